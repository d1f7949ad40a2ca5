"""The commands that use a trained model on a file: what they write, and that nothing is written where they fail."""

import functools
import re

import numpy as np
import pandas as pd
import pytest

import lstm_ae
from lstm_ae import encode, forecast, score
from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.data.table import load_table
from lstm_ae.models import Autoencoder, BottleneckAutoencoder, Forecaster
from lstm_ae.tasks import Forecast, Reconstruction
from lstm_ae.trained import files
from tests.test_fit import waves
from tests.test_frames import table

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=4)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    data = from_frame(table(machines=3, rows=60), series="machine", time="time", window=8, stride=4)
    return lstm_ae.fit(data, SMALL, Reconstruction, epochs=1, run_dir=tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    data = from_frame(table(machines=12), series="machine", time="time")
    model = functools.partial(Autoencoder, hidden_size=3)
    return lstm_ae.fit(data, model, Reconstruction, epochs=1, run_dir=tmp_path_factory.mktemp("whole"))


@pytest.fixture
def small_chunks(monkeypatch):
    """Files are read in chunks of 17 rows."""
    monkeypatch.setattr(files, "ROWS", 17)


def written(frame, path):
    frame.to_csv(path, index=False)
    return path


def interleaved(frame):
    """The rows of all series in the order of time, as a log has them."""
    return frame.sort_values("time", kind="stable").reset_index(drop=True)


@pytest.mark.parametrize("order", [lambda frame: frame, interleaved])
def test_scores_of_a_file_in_chunks_are_those_of_the_table(windows, tmp_path, small_chunks, capsys, order):
    frame = order(table(machines=3, rows=40, seed=5))
    frame.loc[50, "sensor_1"] = 60.0
    path = written(frame, tmp_path / "data.csv")
    output, figure = tmp_path / "scores.csv", tmp_path / "worst.png"
    words = [windows.path, path, "--output", output, "--figure", figure, "--every-feature"]
    assert score.main([str(word) for word in words]) == 0
    found, scores = pd.read_csv(output), windows.trained.score_samples(frame)
    assert sorted(found["row"]) == list(range(len(frame)))
    for name, steps, values in zip(scores.names, scores.steps, scores.values, strict=True):
        own = found[found["machine"] == name].sort_values("row")
        assert own["score"].tolist() == steps.tolist()  # to the last digit
        assert own[["error.sensor_0", "error.sensor_1"]].to_numpy().tolist() == values.tolist()
        assert own["time"].tolist() == frame[frame["machine"] == name]["time"].astype(str).tolist()
    worst = found.loc[found["score"].idxmax()]
    assert worst["row"] == 50
    assert worst["feature"] == "sensor_1"
    assert worst["share"] > 0.9
    shown = capsys.readouterr().out
    assert "123 steps scored" in shown
    assert "sensor_1 1" in shown
    assert figure.read_bytes()[1:4] == b"PNG"
    assert {path.name for path in tmp_path.iterdir()} == {"data.csv", "scores.csv", "worst.png"}


@pytest.mark.parametrize(
    "options", [{"missing": "forward"}, {"missing": "interpolate"}, {"scaling_per": "series", "unseen": 20}]
)
def test_what_depends_on_other_rows_of_a_series_does_not_depend_on_chunks(tmp_path, small_chunks, options):
    frame = table(machines=3, rows=60)
    if "missing" in options:
        frame.loc[np.random.default_rng(1).random(len(frame)) < 0.3, "sensor_1"] = np.nan
    data = from_frame(frame, series="machine", time="time", window=8, stride=4, **options)
    model = functools.partial(Forecaster, hidden_size=3, horizon=2)
    run = lstm_ae.fit(data, model, functools.partial(Forecast, horizon=2), epochs=1, run_dir=tmp_path / "run")
    new = frame.assign(machine="new " + frame["machine"])
    path, output = written(new, tmp_path / "data.csv"), tmp_path / "scores.csv"
    assert score.main([str(run.path), str(path), "--output", str(output)]) == 0
    scores = np.concatenate(run.trained.score_samples(new).steps)
    assert pd.read_csv(output).sort_values("row")["score"].tolist() == scores.tolist()
    assert forecast.main([str(run.path), str(path), "--steps", "3", "--output", str(output)]) == 0
    wanted = run.trained.forecast(new, 3).reshape(-1, 2)
    assert np.allclose(pd.read_csv(output)[["sensor_0", "sensor_1"]], wanted, rtol=1e-6)


def test_whole_series_are_scored_one_at_a_time(whole, tmp_path, small_chunks):
    frame = table(machines=5, seed=2)
    path = written(frame, tmp_path / "data.csv")
    assert score.main([str(whole.path), str(path), "--output", str(tmp_path / "scores.csv")]) == 0
    found, scores = pd.read_csv(tmp_path / "scores.csv"), whole.trained.score_samples(frame)
    assert np.allclose(found["score"], np.concatenate(scores.steps), rtol=1e-6)
    assert found["row"].tolist() == list(range(len(frame)))


def test_latents_of_a_file_are_those_of_the_table(windows, whole, tmp_path, small_chunks):
    frame = table(machines=3, rows=20, seed=2)
    path, output = written(frame, tmp_path / "data.csv"), tmp_path / "latents.csv"
    assert encode.main([str(windows.path), str(path), "--output", str(output)]) == 0
    found = pd.read_csv(output)
    columns = [f"latent_{place}" for place in range(4)]
    assert np.allclose(found[columns], windows.trained.encode(frame), atol=1e-6)
    assert found["row"].tolist() == [0, 4, 8, 12, 20, 24, 28, 32, 41, 45, 49, 53]
    assert found["machine"].tolist() == ["m0"] * 4 + ["m1"] * 4 + ["m2"] * 4
    assert encode.main([str(whole.path), str(path), "--output", str(output)]) == 0  # a latent at every step
    assert pd.read_csv(output)["row"].tolist() == list(range(len(frame)))


def test_forecasts_of_a_file_are_those_of_the_table(tmp_path, small_chunks):
    data = from_frame(table(machines=3, rows=60), series="machine", time="time", window=9)
    model = functools.partial(Forecaster, hidden_size=3, horizon=3)
    run = lstm_ae.fit(data, model, functools.partial(Forecast, horizon=3), epochs=1, run_dir=tmp_path / "run")
    frame = interleaved(table(machines=3, rows=30, seed=4))
    path, output = written(frame, tmp_path / "data.csv"), tmp_path / "forecast.csv"
    assert forecast.main([str(run.path), str(path), "--steps", "4", "--output", str(output)]) == 0
    found = pd.read_csv(output)
    assert found["step"].tolist() == [1, 2, 3, 4] * 3
    expected = run.trained.forecast(frame, 4).reshape(-1, 2)
    assert np.allclose(found[["sensor_0", "sensor_1"]], expected, atol=1e-6)


def wide(count, seed=0):
    """A sequence a row, of two features and up to six steps."""
    drawn = np.random.default_rng(seed).normal(size=(count, 12))
    frame = pd.DataFrame(drawn, columns=[f"{name}_{step}" for name in ("up", "on") for step in range(6)])
    frame.loc[1, ["up_4", "up_5", "on_4", "on_5"]] = np.nan
    return frame


@pytest.mark.parametrize("series", [None, "name"])
def test_a_sequence_a_row_is_scored_encoded_and_refused_as_in_training(tmp_path, capsys, series, small_chunks):
    named = (
        (lambda frame: frame.assign(name=[f"s{one:02}" for one in range(len(frame))])) if series else (lambda one: one)
    )
    path = written(named(wide(30)), tmp_path / "training.csv")
    data = load_table(str(path), layout="wide", series=series, features=["up_*", "on_*"])
    run = lstm_ae.fit(data, functools.partial(Autoencoder, hidden_size=3), Reconstruction, epochs=1,
                      run_dir=tmp_path / "run")  # fmt: skip
    frame = named(wide(20, seed=1))
    path, output = written(frame, tmp_path / "data.csv"), tmp_path / "out.csv"
    assert score.main([str(run.path), str(path), "--output", str(output)]) == 0
    found, scores = pd.read_csv(output), run.trained.score_samples(frame)
    lengths = [4 if row == 1 else 6 for row in range(20)]
    assert found["row"].tolist() == np.repeat(np.arange(20), lengths).tolist()
    assert found["step"].tolist() == [step for length in lengths for step in range(length)]
    assert np.allclose(found["score"], np.concatenate(scores.steps), rtol=1e-6)
    assert encode.main([str(run.path), str(path), "--output", str(output)]) == 0
    found = pd.read_csv(output)
    assert found[found["row"] == 1]["step"].tolist() == [0, 1, 2, 3]
    capsys.readouterr()
    path = written(frame.drop(columns="on_3"), tmp_path / "lacks.csv")
    assert score.main([str(run.path), str(path), "--output", str(tmp_path / "no.csv")]) == 1
    assert "must have the column 'on_3', as the one of training had" in capsys.readouterr().err


def swapped(frame):
    frame = frame.copy()
    frame.loc[[20, 39], "time"] = frame.loc[[39, 20], "time"].to_numpy()
    return frame


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.rename(columns={"sensor_0": "sensor0"}), "have the column 'sensor_0', .* Did you mean"),
        (lambda frame: frame.astype({"sensor_1": object}).assign(sensor_1=lambda one: [*one["sensor_1"][:-1], "warm"]),
         "row 122 of 'sensor_1' holds 'warm'"),
        (lambda frame: frame.assign(sensor_1=[*frame["sensor_1"][:-1], np.nan]), "'sensor_1' is missing. Train with"),
        (lambda frame: frame.iloc[:5], "must have 8 rows, the window of training, and m0 has 5"),
        (swapped, "Times of a series must rise, and that of row .* does not. Sort the file by time"),
        (lambda frame: frame.iloc[:0], "must hold rows, and .*data.csv has none"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_scored_is_named_in_one_line_and_nothing_is_written(
    windows, tmp_path, small_chunks, capsys, change, message
):
    path = written(change(table(machines=3, rows=40)), tmp_path / "data.csv")
    assert score.main([str(windows.path), str(path), "--output", str(tmp_path / "scores.csv")]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(path) in said
    assert re.search(message, said), said
    assert [one.name for one in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (score, ["RUN", "none.csv", "--output", "OUT"], "must name a CSV or Parquet file, and there is none at none"),
        (score, ["nowhere", "FILE", "--output", "OUT"], "`run` must be the directory of a finished run, got nowhere"),
        (forecast, ["RUN", "FILE", "--steps", "3", "--output", "OUT"], "produces only a reconstruction"),
        (encode, ["RUN", "EMPTY", "--output", "OUT"], "`FILE` must name a file with rows, and"),
    ],
)  # fmt: skip
def test_what_a_command_cannot_do_is_said_in_one_line(windows, tmp_path, capsys, command, words, message):
    (tmp_path / "empty.csv").write_text("")
    named = {"RUN": windows.path, "FILE": written(table(), tmp_path / "data.csv"), "OUT": tmp_path / "out.csv",
             "EMPTY": tmp_path / "empty.csv"}  # fmt: skip
    assert command.main([str(named.get(word, word)) for word in words]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()


def test_whole_series_must_lie_together(whole, tmp_path, small_chunks, capsys):
    path = written(interleaved(table(machines=3)), tmp_path / "data.csv")
    assert score.main([str(whole.path), str(path), "--output", str(tmp_path / "scores.csv")]) == 1
    assert "Rows of a series must be consecutive, and row" in capsys.readouterr().err


def test_a_table_of_a_run_on_arrays_has_its_features_names(tmp_path):
    data = from_arrays(waves(), feature_names=["heat", "noise"])
    run = lstm_ae.fit(data, SMALL, Reconstruction, epochs=1, run_dir=tmp_path / "run")
    path = written(pd.DataFrame(waves()[0], columns=["heat", "noise"]), tmp_path / "data.csv")
    assert score.main([str(run.path), str(path), "--output", str(tmp_path / "scores.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 12
