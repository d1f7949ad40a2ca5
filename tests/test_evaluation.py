"""What stands beside the metrics: intervals, tables by class and company, errors by horizon."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_ae.baselines import fit_baselines
from lstm_ae.experiment import evaluation
from lstm_ae.experiment.job import JobError
from lstm_ae.experiment.tables import _skill_interval
from lstm_ae.tasks import roll_out
from lstm_ae.types import Output
from tests.test_data import write_prices

QUICK = ("trainer=smoke", "model.hidden_size=3")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "p.csv"
    write_prices(path, days=150, symbols=("AAA", "BBB", "CCC"))
    return ["dataset=sp500", f"dataset.path={path}", "dataset.window=9", "dataset.test_share=0.3"]


def test_a_classifier_leaves_a_confusion_matrix_and_the_accuracy_of_each_class(run_in, tmp_path):
    run_in(tmp_path / "run", "dataset=digits", "task=classification", "model=v3", *QUICK)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    confusion = pd.read_csv(tmp_path / "run" / "confusion.csv").set_index("class")
    classes = pd.read_csv(tmp_path / "run" / "classes.csv")
    assert confusion.to_numpy().sum() == 360
    accuracy = np.trace(confusion.to_numpy()) / 360
    assert metrics["test"]["accuracy"] == pytest.approx(accuracy)
    low, high = metrics["interval"]["accuracy"]
    assert low < accuracy < high
    assert (classes["sequences"] * classes["accuracy"]).sum() == pytest.approx(accuracy * 360)
    assert set(metrics["baseline"]) == {"logistic_regression", "most_frequent_class"}
    error = metrics["baseline"]["logistic_regression"]["accuracy"]
    assert metrics["skill"]["logistic_regression"] == pytest.approx(1 - (1 - accuracy) / (1 - error))
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {
        "data.png", "loss.png", "reconstruction.png", "confusion.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "model", "figures"),
    [
        ("prediction", "predictor_v3", {"prediction"}),
        ("last_day", "predictor_v1", {"prediction"}),
        ("prediction", "residual_predictor", {"prediction", "multi_step"}),
    ],
)
def test_a_predictor_is_set_beside_persistence_and_drift_company_by_company(
    run_in, tmp_path, prices, task, model, figures
):
    more = ["task.multi_step=true"] if "multi_step" in figures else []
    run_in(tmp_path / "run", *prices, f"task={task}", f"model={model}", *QUICK, *more)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["skill"]) == set(metrics["skill_interval"]) == {"persistence", "drift"}
    low, high = metrics["skill_interval"]["persistence"]
    assert low is None or low <= metrics["skill"]["persistence"] <= high
    companies = pd.read_csv(tmp_path / "run" / "companies.csv")
    assert list(companies["company"]) == ["AAA", "BBB", "CCC"]
    weights = companies["windows"] / companies["windows"].sum()
    assert (weights * companies["prediction_mse"]).sum() == pytest.approx(metrics["test"]["prediction_mse"], rel=1e-4)
    assert (weights * companies["persistence_mse"]).sum() == pytest.approx(
        metrics["baseline"]["persistence"]["prediction_mse"], rel=1e-4
    )
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"data", "loss", "reconstruction"} | figures


def test_the_error_by_horizon_begins_where_one_step_does(run_in, tmp_path, prices):
    overrides = ["task=prediction", "model=residual_predictor", "task.multi_step=true", "figures=false"]
    run_in(tmp_path / "run", *prices, *overrides, *QUICK)
    table = pd.read_csv(tmp_path / "run" / "multi_step.csv")
    assert list(table["horizon"]) == [1, 2, 3, 4, 5]
    # The one-step model has read the same days up to the first prediction, and nothing else.
    assert table["multi_step_mse"][0] == pytest.approx(table["one_step_mse"][0], rel=1e-5)
    assert table["persistence_mse"].is_monotonic_increasing


def test_a_roll_out_feeds_each_prediction_back_and_drops_the_oldest():
    seen = []

    def model(inputs):
        seen.append(inputs[0, :, 0].tolist())
        return Output(prediction=inputs + 1)

    rolled = roll_out(model, torch.tensor([[[1.0], [5.0]]]), steps=3)
    assert rolled[0, :, 0].tolist() == [6, 7, 8]
    assert seen == [[1, 5], [5, 6], [6, 7]]


def test_the_interval_of_a_skill_holds_the_skill_and_widens_with_fewer_days():
    rng = np.random.default_rng(0)

    def width(days):
        baseline = rng.random(days * 4)
        interval = _skill_interval(0.8 * baseline + 0.1 * rng.random(days * 4), baseline, np.arange(days * 4) // 4, 5)
        return interval, interval[1] - interval[0]

    (low, high), narrow = width(1000)
    assert low < 1 - (0.4 + 0.05) / 0.5 < high
    assert width(50)[1] > 2 * narrow
    assert _skill_interval(np.ones(24), np.ones(24), np.arange(24), block=5) == [None, None]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=classification", "model=v4"], "`task` and `dataset` do not fit: the task needs classes, and the"),
        (["task=prediction", "dataset=digits"], "nothing comes after an image. Use dataset=sp500 or dataset=toy"),
        (["model=v1"], "the model names classes. Use model=autoencoder with this task, or task=classification"),
        (["task=prediction", "model=autoencoder"], "the model only reconstructs. Use model=predictor_v3 with this"),
        (["task=prediction", "model=predictor_v1"], "predicts only the last step. .* or task=last_day with this model"),
        (["task=classification", "dataset=digits", "model=v4", "task.reconstruction_dominance=2"],
         r"`reconstruction_dominance` must lie in \[0, 1\], got 2"),
        (["dataset=sp500", "task=prediction", "model=predictor_v3", "task.multi_step=true", "dataset.window=4",
          "dataset.symbols=[AAPL]"], "`dataset.window` must be at least 5 to be halved by .*, got 4"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_both_sides_and_what_fits(run_in, tmp_path, overrides, message):
    with pytest.raises(JobError, match=message.replace("`task` and `dataset`", "`task=.*` and `dataset=.*`")):
        run_in(tmp_path / "run", *overrides)


def test_baselines_are_fitted_once_for_all_jobs_that_learn_from_the_same_sequences(run_in, tmp_path, monkeypatch):
    fits = []

    def fit(task, train, latent_size, classes):
        fits.append((task, latent_size))
        return fit_baselines(task, train, latent_size, classes)

    monkeypatch.setattr(evaluation, "fit_baselines", fit)
    monkeypatch.setattr(evaluation, "_kept", evaluation._Kept())
    digits = ["dataset=digits", "evaluate_test=false", "figures=false", "trainer=smoke"]
    runs = [
        ["task=classification", "model=v1", "model.hidden_size=3"],
        ["task=classification", "model=v3", "model.hidden_size=4"],
        ["model.hidden_size=3"],
        ["model.hidden_size=4", "optimizer.lr=0.1"],
        ["model.hidden_size=4"],
        ["task=classification", "model=v1", "seed=1"],  # which draws another training part
        ["task=classification", "model=v1", "model.hidden_size=3"],
    ]
    for number, overrides in enumerate(runs):
        run_in(tmp_path / str(number), *digits, *overrides)
    assert [task for task, _ in fits] == ["classification", "reconstruction", "reconstruction", *["classification"] * 2]
    first, again = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("0", "6"))
    assert first["baseline"] == again["baseline"]


def test_where_test_is_left_alone_the_validation_part_is_judged(run_in, tmp_path):
    run_in(tmp_path, "dataset=digits", "task=classification", "model=v1", "evaluate_test=false", *QUICK)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"] == {}
    assert pd.read_csv(tmp_path / "classes.csv")["sequences"].sum() == 359  # a quarter of what is not test
    error = 1 - metrics["baseline"]["logistic_regression"]["accuracy"]
    assert metrics["skill"]["logistic_regression"] == pytest.approx(1 - (1 - metrics["validation"]["accuracy"]) / error)
