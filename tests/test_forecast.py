"""Several steps ahead from the encoder, next to what a model must beat."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

import lstm_ae
from lstm_ae.baselines import DriftForecast, LastValue, LinearRegression, SeasonalNaive
from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.models import BottleneckAutoencoder, Forecaster
from lstm_ae.tasks import Forecast
from lstm_ae.types import Batch, Output
from tests.test_fit import waves

MODEL = functools.partial(Forecaster, hidden_size=6, horizon=4)
TASK = functools.partial(Forecast, horizon=4)


def batch(values, lengths=None, observed=None, horizon=3):
    values = torch.as_tensor(values, dtype=torch.float32)
    values = values.view(*values.shape, 1)
    if observed is not None:
        observed = torch.as_tensor(observed).view(values.shape)
        values = values * observed
    whole = Batch(values, observed=observed, lengths=lengths)
    return Forecast(horizon=horizon).prepare(whole, training=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two sensors with a season of 7 steps."""
    time, rng = np.arange(400), np.random.default_rng(0)
    season = np.stack([np.sin(2 * np.pi * time / 7), np.cos(2 * np.pi * time / 7)], axis=1)
    frame = pd.DataFrame(3 + season + rng.normal(0, 0.1, season.shape), columns=["a", "b"])
    data = from_frame(frame, window=18)
    return lstm_ae.fit(data, MODEL, TASK, epochs=80, run_dir=tmp_path_factory.mktemp("run")), frame


def test_the_error_by_horizon_stands_next_to_that_of_each_baseline(run):
    table = run[0].table("horizon")
    assert table["horizon"].tolist() == [1, 2, 3, 4]
    named = ["model", "recursive", "persistence", "drift", "seasonal_naive", "ridge"]
    assert [f"{name}_mse" in table for name in named] == [True] * 6
    assert np.allclose(table["model_mse"].mean(), run[0].metrics["test"]["forecast_mse"], rtol=1e-5)
    for name in named[2:]:
        assert table[f"{name}_mse"].mean() == pytest.approx(run[0].metrics["baseline"][name]["forecast_mse"], rel=1e-5)
    assert table["recursive_mse"][0] == pytest.approx(table["model_mse"][0])  # the first step is the same
    assert set(run[0].metrics["skill"]) == {"persistence", "drift", "seasonal_naive", "ridge"}


def test_a_season_is_forecast_better_than_by_persistence_and_drift(run):
    skill = run[0].metrics["skill"]
    assert skill["persistence"] > 0.5
    assert skill["drift"] > 0.5
    baseline = run[0].metrics["baseline"]
    assert baseline["seasonal_naive"]["forecast_mse"] < 0.1 * baseline["persistence"]["forecast_mse"]


def test_both_figures_are_drawn(run):
    assert len(run[0].figure("forecast").axes) == 4
    assert run[0].figure("reconstruction").axes


def test_a_trained_model_forecasts_its_horizon_directly_and_beyond_it_from_its_own_forecasts(run):
    trained, frame = run[0].trained, run[1]
    assert trained.reads == 14
    direct = trained.forecast(frame, 4)
    assert direct.shape == (1, 4, 2)
    assert np.allclose(direct, trained.predict([frame.to_numpy()[-14:]]), atol=1e-5)
    beyond = trained.forecast(frame, 6)
    assert np.allclose(beyond[:, :4], direct, atol=1e-5)
    fed_back = np.concatenate([frame.to_numpy()[-10:], direct[0]])
    assert np.allclose(beyond[:, 4:], trained.predict([fed_back])[:, :2], atol=1e-4)
    assert abs(direct - 3).max() < 2  # in the data's own units


def test_a_score_is_the_error_of_the_forecast_of_each_step(run):
    trained, frame = run[0].trained, run[1]
    scores = trained.score_samples(frame)
    assert not scores.values[0][:14].any()  # no window forecasts these
    assert (scores.steps[0][14:] > 0).all()


def test_a_model_begins_as_persistence():
    model, one = MODEL(features=1), batch(np.random.default_rng(0).random((3, 9)))
    made = model(one.inputs)
    assert torch.equal(made.prediction, one.inputs[:, -1:].expand(-1, 4, -1))
    assert made.reconstruction.shape == one.inputs.shape
    assert Forecaster(1, 6, 4, reconstruct=False)(one.inputs).reconstruction is None


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (LastValue(), [7, 7, 7]),
        (DriftForecast(), [8, 9, 10]),
        (SeasonalNaive(period=2), [6, 7, 6]),
        (SeasonalNaive(period=100), [1, 2, 3]),
    ],
)
def test_what_simple_forecasts_say(baseline, expected):
    values = [list(range(1, 11))]
    assert baseline(batch(values)).prediction.flatten().tolist() == expected
    padded = batch([[*range(1, 11), 0, 0]], lengths=torch.tensor([10]))
    assert baseline(padded).prediction.flatten().tolist() == expected


def test_simple_forecasts_pass_over_what_is_missing():
    observed = [[False, True, True, True, True, False, True, True, True]]
    one = batch([[9, 1, 2, 3, 4, 9, 7, 7, 7]], observed=observed)
    assert LastValue()(one).prediction.flatten().tolist() == [4, 4, 4]
    assert DriftForecast()(one).prediction.flatten().tolist() == [5, 6, 7]
    assert SeasonalNaive(period=2)(one).prediction.flatten().tolist() == [4, 4, 4]
    nothing = batch([[9] * 9], observed=[[False] * 6 + [True] * 3])
    assert LastValue()(nothing).prediction.flatten().tolist() == [0, 0, 0]


def test_ridge_learns_a_linear_rule():
    class Prepared:
        def __len__(self):
            return 50

        def batch(self, positions):
            steps = np.random.default_rng(0).normal(0, 1, (50, 1))
            return batch((np.arange(9) * steps)[positions.numpy()])

    ridge = LinearRegression(predicts=True)
    ridge.fit(Prepared(), Prepared(), 0)
    one = batch([list(range(9))])
    assert torch.allclose(ridge(one).prediction, one.targets, atol=1e-2)


def test_ridge_is_exact_where_steps_are_much_alike():
    slow = np.sin(np.linspace(0, 10, 400))[:, None] + np.linspace(0, 3, 400)[:, None]  # warnings are errors here
    windows = np.stack([slow[begin : begin + 104, 0] for begin in range(290)])

    class Prepared:
        def __len__(self):
            return len(windows)

        def batch(self, positions):
            return batch(windows[positions.numpy()])

    ridge = LinearRegression(predicts=True)
    ridge.fit(Prepared(), Prepared(), 0)
    one = batch(windows[:20])
    assert ridge(one).prediction.dtype == torch.float32
    assert torch.allclose(ridge(one).prediction, one.targets, atol=1e-2)


def test_unequal_lengths_and_holes_are_forecast(tmp_path):
    values = waves()
    values[::3, 2] = np.nan
    data = from_arrays([one[: 9 + place % 4] for place, one in enumerate(values)], missing="mask")
    run = lstm_ae.fit(data, MODEL, TASK, epochs=1, run_dir=tmp_path)
    assert "recursive_mse" not in run.table("horizon")
    assert np.isfinite(run.table("horizon").to_numpy()).all()


def test_holes_do_not_keep_a_forecast_from_being_fed_back(tmp_path):
    values = waves()
    values[::3, 2] = np.nan
    run = lstm_ae.fit(from_arrays(values, missing="mask"), MODEL, TASK, epochs=1, run_dir=tmp_path)
    table = run.table("horizon")
    assert table["recursive_mse"][0] == pytest.approx(table["model_mse"][0])
    known = values[:2].copy()
    known[0, -1] = np.nan
    further = run.trained.forecast(known, 11)
    assert np.allclose(further[:, :4], run.trained.forecast(known, 4))
    assert np.isfinite(further).all()


@pytest.mark.parametrize(
    ("data", "model", "task", "message"),
    [
        (waves(time=4), MODEL, TASK, r"must have more steps than task.horizon=4, and one has 4. Use a smaller"),
        (waves(), functools.partial(MODEL, horizon=3), TASK, r"must have the target's shape \(\d+, 4, 2\)"),
        (waves(), functools.partial(BottleneckAutoencoder, hidden_size=2), TASK,
         "accepts horizon, and the model produces only a reconstruction. Use model=forecaster with task=forecast"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_the_first_epoch(tmp_path, data, model, task, message):
    with pytest.raises(ValueError, match=message):
        lstm_ae.fit(from_arrays(data), model, task, epochs=1, run_dir=tmp_path)


def test_a_model_without_forecasts_is_said_to_lack_them():
    with pytest.raises(ValueError, match="forecasts are missing"):
        Forecast().score(Batch(torch.zeros(1, 5, 1)), Output())
