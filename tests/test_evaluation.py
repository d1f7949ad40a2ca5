"""What stands next to the metrics: intervals, tables by class and series, errors by horizon."""

import json

import numpy as np
import pandas as pd
import pytest

from lstm_ae import baselines
from lstm_ae.experiment import baselines as job_baselines
from lstm_ae.experiment import evaluation
from lstm_ae.experiment.configured import JobError
from tests.test_data import write_prices

QUICK = ("trainer=smoke", "model.hidden_size=3")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "p.csv"
    write_prices(path, days=150, symbols=("AAA", "BBB", "CCC"))
    return ["dataset=sp500", f"dataset.path={path}", "dataset.window=9", "dataset.test_share=0.3"]


@pytest.fixture(scope="module")
def classified(run_in, tmp_path_factory):
    """The directory of a classification of digits."""
    path = tmp_path_factory.mktemp("classified")
    run_in(path, "dataset=digits", "task=classification", "model=v3", *QUICK)
    return path


def test_a_classifier_leaves_a_confusion_matrix_and_the_accuracy_of_each_class(classified):
    metrics = json.loads((classified / "metrics.json").read_text())
    confusion = pd.read_csv(classified / "confusion.csv").set_index("class")
    classes = pd.read_csv(classified / "classes.csv")
    assert confusion.to_numpy().sum() == 360
    accuracy = np.trace(confusion.to_numpy()) / 360
    assert metrics["test"]["accuracy"] == pytest.approx(accuracy)
    low, high = metrics["interval"]["accuracy"]
    assert low < accuracy < high
    assert (classes["sequences"] * classes["accuracy"]).sum() == pytest.approx(accuracy * 360)
    assert set(metrics["baseline"]) == {"logistic_regression", "most_frequent_class"}
    error = metrics["baseline"]["logistic_regression"]["accuracy"]
    assert metrics["skill"]["logistic_regression"] == pytest.approx(1 - (1 - accuracy) / (1 - error))
    assert {path.name for path in (classified / "figures").iterdir()} == {
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
def test_a_predictor_is_set_against_what_needs_no_network_series_by_series(
    run_in, tmp_path, prices, task, model, figures
):
    more = ["task.multi_step=true"] if "multi_step" in figures else []
    run_in(tmp_path / "run", *prices, f"task={task}", f"model={model}", *QUICK, *more)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(metrics["skill"]) == ["persistence", "drift", "prevailing_direction", "autoregression"]
    directions = {"direction_accuracy", "last_step_direction_accuracy"}
    gains = {f"direction_gain.{name}" for name in metrics["skill"]}
    assert set(metrics["interval"]) == directions | gains | {f"skill.{name}" for name in metrics["skill"]}
    assert set(metrics["metrics"]) == set(metrics["test"])  # each with its unit and direction
    assert metrics["baseline"]["persistence"]["direction_accuracy"] is None
    assert metrics["test"]["direction_gain.persistence"] is None
    assert metrics["interval_reason"]["direction_gain.persistence"] == "persistence predicts no movement"
    for name in ("drift", "prevailing_direction", "autoregression"):
        less = metrics["baseline"][name]["direction_accuracy"]
        gain = metrics["test"]["direction_accuracy"] - less
        assert metrics["test"][f"direction_gain.{name}"] == pytest.approx(gain, abs=1e-6)
    for name in metrics["skill"]:
        low, high = metrics["interval"][f"skill.{name}"] or (None, None)
        assert (low is None) == (f"skill.{name}" in metrics.get("interval_reason", {}))
        assert low is None or low <= metrics["skill"][name] <= high
    series = pd.read_csv(tmp_path / "run" / "series.csv")
    assert list(series["series"]) == ["AAA", "BBB", "CCC"]
    weights = series["sequences"] / series["sequences"].sum()
    assert (weights * series["prediction_mse"]).sum() == pytest.approx(metrics["test"]["prediction_mse"], rel=1e-4)
    assert (weights * series["persistence_mse"]).sum() == pytest.approx(
        metrics["baseline"]["persistence"]["prediction_mse"], rel=1e-4
    )
    share = (weights * series["last_step_direction_accuracy"]).sum()
    assert metrics["test"]["last_step_direction_accuracy"] == pytest.approx(share)
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
    assert {"drift_mse", "prevailing_direction_mse", "autoregression_mse"} < set(table)


def test_a_model_whose_latent_is_no_smaller_than_the_sequence_is_said_to_copy(run_in, tmp_path):
    """Of a model that compresses there is a skill over PCA of the same budget, and nothing is said of copying."""
    small = ("experiment=toy_reconstruction", "dataset.sequences=60", "figures=false", *QUICK)
    run_in(tmp_path / "copies", *small)
    run_in(tmp_path / "compresses", *small, "model=bottleneck")
    copies, compresses = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in
        ("copies", "compresses"))  # fmt: skip
    assert copies["skill"] == {"pca": None}
    assert copies["baseline"] == {}
    assert copies["copies"] == "copies: its latent (150 values) is not smaller than the sequence (50)"
    assert "copies" not in compresses
    assert compresses["skill"]["pca"] == pytest.approx(
        1 - compresses["test"]["reconstruction_mse"] / compresses["baseline"]["pca"]["reconstruction_mse"]
    )


def test_each_metric_is_recorded_with_its_unit_and_direction(classified):
    metrics = json.loads((classified / "metrics.json").read_text())
    assert set(metrics["metrics"]) == set(metrics["test"])
    assert metrics["metrics"]["accuracy"] == {
        "unit": "share of the sequences",
        "higher_is_better": True,
        "proportion": True,
    }
    assert {name for name, about in metrics["metrics"].items() if not about["higher_is_better"]} == {
        "loss",
        "reconstruction_mse",
        "classification_loss",
    }


def test_the_subsets_are_recorded_so_that_the_same_split_is_seen(run_in, tmp_path):
    """A seed draws other training sequences, the test subset stays, and is described where it is not judged, too."""
    small = ("dataset=digits", "model.hidden_size=3", "figures=false", *QUICK)
    runs = {"first": (), "longer": ("trainer.batch_size=500", "evaluate_test=false"), "redrawn": ("seed=1",)}
    found = {}
    for name, more in runs.items():
        run_in(tmp_path / name, *small, *more)
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())["subsets"]
    assert {name: one["sequences"] for name, one in found["first"].items()} == {
        "train": 1078, "validation": 359, "test": 360,
    }  # fmt: skip
    assert found["first"] == found["longer"]
    assert found["redrawn"]["test"] == found["first"]["test"]
    assert all(found["redrawn"][part]["digest"] != found["first"][part]["digest"] for part in ("train", "validation"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=toy", "task=classification", "model=v4"],
         r"`task` \(.*Classification\) does not fit the dataset: The task needs classes, and the dataset has none"),
        (["task=prediction", "dataset=digits"], "nothing comes after an image. Use dataset=sp500 or dataset=toy"),
        (["dataset=toy", "model=v1"],
         r"`model` \(.*InputClassifier\) needs classes, and the dataset has none. Use dataset=digits"),
        (["dataset=toy", "task=prediction", "model=autoencoder"],
         "the task accepts next_sequence, and the model produces only a reconstruction. Use model=predictor_v3 with t"),
        (["dataset=toy", "task=prediction", "model=predictor_v1"],
         "the task accepts next_sequence, and the model produces next_step. .* or model=predictor_v1 with task=last_d"),
        (["task=classification", "dataset=digits", "model=v4", "task.reconstruction_dominance=2"],
         "`task.reconstruction_dominance` must be at most 1, got 2"),
        (["dataset=sp500", "task=prediction", "model=predictor_v3", "task.multi_step=true", "dataset.window=4",
          "dataset.symbols=[AAPL]"], "`dataset.window` must be at least 5, and the same .*, to be halved by .*, got 4"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_both_sides_and_what_fits(run_in, tmp_path, overrides, message):
    with pytest.raises(JobError, match=message):
        run_in(tmp_path / "run", *overrides)


def test_a_task_that_accepts_anything_accepts_a_classifier(run_in, tmp_path):
    run_in(tmp_path / "run", "dataset=digits", "task=reconstruction", "model=v3", "figures=false", *QUICK)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["test"]) == {"loss", "reconstruction_mse"}
    assert metrics["skill"]["pca"] is not None


def test_baselines_are_fitted_once_for_all_jobs_that_learn_from_the_same_sequences(run_in, tmp_path, monkeypatch):
    fits = []

    def counted(baseline):
        fit = baseline.fit

        def wrapped(self, train, validation, seed):
            if len(train) > evaluation.TRIAL_SIZE:  # the trial before each training fits its own, on a few sequences
                fits.append((baseline.__name__, getattr(self, "components", None)))
            fit(self, train, validation, seed)

        monkeypatch.setattr(baseline, "fit", wrapped)

    counted(baselines.LogisticRegression)
    counted(baselines.Pca)
    job_baselines._kept.cache_clear()
    digits = ["dataset=digits", "evaluate_test=false", "figures=false", "trainer=smoke"]
    runs = [
        ["task=classification", "model=v1", "model.hidden_size=3"],
        ["model.latent_size=3"],
        ["model.latent_size=4", "optimizer.lr=0.1"],
        ["model.latent_size=4"],
        ["task=classification", "model=v1", "seed=1"],  # which draws another training part
        ["task=classification", "model=v1", "model.hidden_size=3"],
    ]
    for number, overrides in enumerate(runs):
        run_in(tmp_path / str(number), *digits, *overrides)
    logistic = ("LogisticRegression", None)
    assert fits == [logistic, ("Pca", 3), ("Pca", 4), logistic, logistic]
    first, again = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("0", "5"))
    assert first["baseline"] == again["baseline"]


def test_where_test_is_left_alone_the_validation_part_is_judged(run_in, tmp_path):
    run_in(tmp_path, "dataset=digits", "task=classification", "model=v1", "evaluate_test=false", *QUICK)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"] == {}
    assert pd.read_csv(tmp_path / "classes.csv")["sequences"].sum() == 359  # a quarter of what is not test
    error = 1 - metrics["baseline"]["logistic_regression"]["accuracy"]
    assert metrics["skill"]["logistic_regression"] == pytest.approx(1 - (1 - metrics["validation"]["accuracy"]) / error)
