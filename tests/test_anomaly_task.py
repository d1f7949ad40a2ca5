"""`task=anomaly`: from a table to scores, a threshold and alarms, with and without labels."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
import torch

import lstm_ae
from lstm_ae import score
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.models import BottleneckAutoencoder, ResidualPredictor
from lstm_ae.run_dir import RunDir
from lstm_ae.tasks import Anomaly, detection
from lstm_ae.types import Batch, Output

SMALL = (
    "dataset=table", "task=anomaly", "model=bottleneck", "model.hidden_size=4", "model.latent_size=2",
    "trainer.epochs=2", "dataset.window=8", "figures=false",
)  # fmt: skip


def pump(rows=900, seed=0, burst=(700, 712)):
    """Three sensors, an hour a row; `heat` is noise in the burst."""
    rng = np.random.default_rng(seed)
    phase = np.arange(rows) / 4
    values = np.stack([np.sin(phase), np.cos(phase), np.sin(phase / 2)], axis=1) + rng.normal(0, 0.1, (rows, 3))
    values[slice(*burst), 0] += rng.normal(0, 4, burst[1] - burst[0])
    frame = pd.DataFrame(values, columns=["heat", "flow", "noise"])
    frame.insert(0, "timestamp", pd.date_range("2024-01-01", periods=rows, freq="h"))
    frame["flag"] = (np.arange(rows) >= burst[0]) & (np.arange(rows) < burst[1])
    frame["flag"] = frame["flag"].astype(int)
    return frame


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("pump") / "pump.csv"
    pump().to_csv(path, index=False)
    return path


def read(path, name):
    return RunDir(path).read_json(name)


def test_a_table_without_labels_gives_scores_a_threshold_and_alarms(run_in, table, tmp_path):
    run_in(tmp_path, *SMALL, f"dataset.path={table}", "dataset.features=[heat,flow,noise]", "task.rate=1/day")
    alarms = pd.read_csv(tmp_path / "alarms.csv")
    hit = alarms[(alarms.start <= "2024-01-30T16") & (alarms.end >= "2024-01-30T04")]
    assert len(hit)
    assert hit.features.str.startswith("heat").all()
    metrics = read(tmp_path, "metrics.json")["test"]
    assert metrics["alarms"] == len(alarms)
    assert "vus_pr" not in metrics


def test_labels_are_judged_and_the_rows_before_them_are_what_is_normal(run_in, table, tmp_path):
    run_in(
        tmp_path, *SMALL, f"dataset.path={table}", "dataset.label=flag", "dataset.normal=600", "task.threshold=quantile"
    )
    assert read(tmp_path, "metrics.json")["test"]["vus_pr"] > 0.5


def monitored(table, path, spread="step"):
    """A run on the first rows of the table, as `lstm_ae.load_run` gives it."""
    data = SequenceData.from_frame(
        pd.read_csv(table), time="timestamp", features=["heat", "flow", "noise"], label="flag", normal=600, window=8
    )
    model = functools.partial(BottleneckAutoencoder, hidden_size=4, latent_size=2)
    task = functools.partial(Anomaly, rate="1/50", spread=spread)
    return lstm_ae.fit(data, model, task, epochs=2, run_dir=path).trained


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    return monitored(table, tmp_path_factory.mktemp("run"))


def test_scores_are_over_what_is_usual_and_streams_agree_with_them(trained, table):
    frame = pd.read_csv(table)
    scores = trained.score_samples(frame).steps[0]
    assert np.median(scores[450:600]) == pytest.approx(1, abs=0.5)
    stream = trained.stream()
    rows = frame[["heat", "flow", "noise"]].to_numpy(np.float32)
    found = np.concatenate([stream.extend(one).steps for one in np.array_split(rows, 13)] + [stream.finish().steps])
    assert np.array_equal(scores, found)


def test_the_report_scores_as_the_loaded_model_does(trained, table):
    kept = RunDir(trained.path).read_arrays("samples.npz")["signal_score"]
    assert np.isneginf(kept[[0, 6, -7, -1]]).all()  # steps that not all windows of 8 rows contain
    assert np.maximum(kept, 0) == pytest.approx(trained.score_samples(pd.read_csv(table)).steps[0], rel=1e-4, abs=1e-5)


def test_another_rate_changes_the_threshold_without_training(trained):
    assert trained.threshold("1/30") <= trained.threshold()
    with pytest.raises(ValueError, match=r"At 90% confidence, a rate of one alarm in 100000 steps takes \d+ steps"):
        trained.threshold("1/100000")


def test_the_command_writes_alarms_with_the_features_to_blame(trained, table, tmp_path, capsys):
    scores, alarms = tmp_path / "scores.csv", tmp_path / "alarms.csv"
    assert score.main([str(trained.path), str(table), "--output", str(scores), "--alarms", str(alarms)]) == 0
    table_of_scores, events = pd.read_csv(scores), pd.read_csv(alarms)
    assert set(table_of_scores.alarm) == {0, 1}
    assert (table_of_scores.alarm == (table_of_scores.score > trained.threshold())).all()
    assert events.sort_values("score").features.iloc[-1].startswith("heat")
    kept = pd.read_csv(trained.path / "alarms.csv")
    assert len(kept) == len(events)
    assert f"{len(events)} alarms above" in capsys.readouterr().out


@pytest.mark.parametrize("spread", ["step", "window", "both"])
def test_the_command_gives_the_alarms_of_the_report_with_their_onsets(spread, table, tmp_path, monkeypatch):
    trained = monitored(table, tmp_path / "run", spread)
    kept = pd.read_csv(trained.path / "alarms.csv").drop(columns="series")
    for rows in (50, 50_000):
        monkeypatch.setattr("lstm_ae.trained.files.ROWS", rows)
        paths = tmp_path / "scores.csv", tmp_path / "alarms.csv"
        score.main([str(trained.path), str(table), "--output", str(paths[0]), "--alarms", str(paths[1])])
        found = pd.read_csv(paths[1])
        places = ["start", "end", "peak", "onset"]
        assert (found[places].apply(pd.to_datetime) == kept[places].apply(pd.to_datetime)).all(axis=None)
        assert (found.features == kept.features).all()
        assert found.score.to_numpy() == pytest.approx(kept.score.to_numpy(), rel=1e-4)
    burst = pd.to_datetime(found.loc[found.score.idxmax()].onset) - pd.to_datetime("2024-01-30T04")
    assert abs(burst) <= pd.Timedelta(hours=2)  # however far the score of a window reaches


def test_the_nearest_normal_window_is_one_of_training(trained, table):
    rows = pd.read_csv(table)[["heat", "flow", "noise"]].to_numpy(np.float32)
    near = trained.nearest_normal([rows[702:710], rows[40:48]])
    starts = trained.fitted["normal_windows"]
    assert all((starts == one).all(axis=(1, 2)).any() for one in near)
    assert np.abs(near[1] - rows[40:48]).mean() < np.abs(near[0] - rows[702:710]).mean()
    with pytest.raises(ValueError, match=r"`window` must have the shape of one of `normal`, .* got \(7, 3\)"):
        trained.nearest_normal([rows[:7]])


def test_intervals_of_few_events_say_so(trained):
    metrics = read(trained.path, "metrics.json")
    assert metrics["interval"]["vus_pr"] is None
    assert metrics["interval_reason"]["vus_pr"] == "1 events, an interval takes 5"


@pytest.fixture(scope="module")
def predicting(table, tmp_path_factory):
    data = SequenceData.from_frame(
        pd.read_csv(table), time="timestamp", features=["heat", "flow", "noise"], normal=600, window=8
    )
    task = functools.partial(Anomaly, error="prediction", rate="1/50", trimmed=0.1)
    model = functools.partial(ResidualPredictor, hidden_size=4)
    return lstm_ae.fit(data, model, task, epochs=2, run_dir=tmp_path_factory.mktemp("run"))


def rows_do_not_matter():
    """Whether PyTorch's output layer answers the same on this processor whatever other rows it gets: not on all."""
    layer, states = torch.nn.Linear(4, 3), torch.randn(120, 8, 4)
    whole = layer(states)
    return all(
        torch.equal(whole[at : at + 1], layer(states[at : at + 1]))
        and torch.equal(whole[at : at + 1, -1], layer(states[at : at + 1, -1]))
        for at in range(len(states))
    )


def test_the_error_of_a_prediction_is_known_at_once_and_depends_on_earlier_rows_only(predicting, table):
    trained = predicting.trained
    rows = pd.read_csv(table)[["heat", "flow", "noise"]].to_numpy(np.float32)
    whole = trained.score_samples([rows]).steps[0]
    assert (whole[:7] == 0).all()
    assert (whole[7:] > 0).all()
    stream = trained.stream()
    found = [stream.update(row) for row in rows[:60]]
    assert found[:7] == [None] * 7
    steps, scores = zip(*found[7:], strict=True)
    assert steps == tuple(range(7, 60))
    if rows_do_not_matter():
        assert scores == tuple(whole[7:60])
    assert scores == pytest.approx(whole[7:60], rel=1e-6)
    kept = RunDir(trained.path).read_arrays("samples.npz")["signal_score"]
    assert np.maximum(kept, 0) == pytest.approx(whole, rel=1e-3, abs=1e-5)
    assert predicting.metrics["baseline"]["persistence"]["prediction_mse"] > 0
    assert predicting.figure("worst_windows")


def test_alarms_of_predictions_are_blamed_as_well(predicting):
    alarms = predicting.table("alarms")
    hit = alarms[(alarms.start <= "2024-01-30T16") & (alarms.end >= "2024-01-30T04")]
    assert len(hit)
    assert hit.features.str.startswith("heat").all()


def test_the_error_of_a_prediction_has_no_spread():
    with pytest.raises(ValueError, match="`spread=window` is of a reconstruction"):
        Anomaly(error="prediction", spread="window")


def test_trimming_leaves_the_worst_sequences_out_of_the_loss():
    inputs = torch.zeros(4, 3, 1)
    made = torch.stack([torch.full((3, 1), float(one)) for one in (0, 1, 1, 9)])
    mean, weight = Anomaly(trimmed=0.25).score(Batch(inputs), Output(reconstruction=made)).terms["reconstruction"]
    assert (mean.item(), weight) == (pytest.approx(2 / 3), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normal": 0}, "`normal` must say what is normal: a number of first rows"),
        ({"normal": 900}, "`normal` must leave rows to test, got 900 of 900"),
        ({"normal": "odd", "label": "flag"}, "Use values of 'flag' such as '0'"),
        ({"normal": [1], "label": "flag", "window": 200}, "`normal` leaves no normal data"),
    ],
)
def test_data_without_anything_normal_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SequenceData.from_frame(pump(), **{"time": "timestamp", "features": ["heat"], "window": 8} | options)


def fitted(frame, **options):
    data = SequenceData.from_frame(frame, time="timestamp", features=["heat"], **options)
    return lstm_ae.fit(data, functools.partial(BottleneckAutoencoder, hidden_size=4), Anomaly, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 8}, "cannot show 1/1000: that takes 2303. Use more data, task.rate=1/"),
        ({"window": 8, "label": "flag"}, "cannot show 1/1000"),
        ({"window": 8, "label": "same"}, "`label` must hold normal and abnormal rows, and all hold '0'"),
        ({"window": 8, "label": "ones"}, "`label` must hold normal and abnormal rows, and all hold '1'"),
        (
            {"window": 8, "label": "odd"},
            "`label` must be one class a sequence, or a flag of 0 and 1 a row, and 'odd' holds",
        ),
        ({"window": 400}, "`window` must fit into a series, got 400, and the longest has 300 rows"),
        ({"window": 40}, "must have a stretch of at least 79 rows, in which a step has all of its windows of 40"),
    ],
)
def test_what_cannot_be_judged_or_calibrated_is_refused_before_training(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fitted(pump(300, burst=(200, 210)).assign(same=0, ones=1, odd=np.arange(300) // 10), **options)


def test_a_threshold_needs_a_run_that_fitted_one():
    with pytest.raises(ValueError, match=r"must have fitted a threshold, and has none\. Train with task=anomaly"):
        detection.threshold({})


def test_labelled_anomalies_in_what_is_learnt_from_are_counted(caplog):
    data = SequenceData.from_frame(pump(), time="timestamp", features=["heat"], label="flag", window=8)
    index = np.arange(len(data))
    subset = SequenceSubset(data, index, data.fit_scaling(index))
    with caplog.at_level("WARNING", "lstm_ae"):
        detection.warn_of_labelled(data, {"train": subset, "validation": subset})
    assert "The train data contain 12 labelled anomalous rows, in 1 events." in caplog.text


def test_windows_cut_anew_are_scaled_as_the_subset_is():
    frame = pd.concat([pump(60, burst=(0, 0)).assign(machine=name) for name in "ab"])
    frame.loc[frame.machine == "b", "heat"] *= 9
    data = SequenceData.from_frame(
        frame, series="machine", time="timestamp", features=["heat"], window=8, stride=4, scaling_per="series"
    )
    index = np.flatnonzero(~data.test)
    cut = SequenceSubset(data, index, data.fit_scaling(index)).windows_between(60, 75)
    assert len(cut) == 8
    batch = cut.batch(torch.arange(8))
    assert batch.starts.tolist() == list(range(60, 68))
    back = cut.unscaled(batch.inputs, torch.arange(8))
    assert torch.allclose(back[3, :, 0], data.values[63:71, 0], atol=1e-5)
    assert batch.inputs.abs().max() < 4
