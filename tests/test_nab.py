"""`dataset=nab`: NAB as it is cloned, or files with a column of labels."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from lstm_ae import cli
from lstm_ae.compare import __main__ as compare
from lstm_ae.data.nab import load_nab
from tests.tables import waves


@pytest.fixture
def clone(tmp_path):
    """A folder as `git clone` leaves it, with one series of a day's period."""
    rows = 400
    frame = pd.DataFrame({"timestamp": pd.date_range("2014-01-01", periods=rows, freq="h")})
    frame["value"] = np.sin(2 * np.pi * np.arange(rows) / 24)
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    (tmp_path / "results").mkdir()
    frame.to_csv(tmp_path / "data" / "real" / "pump.csv", index=False)
    frame.to_csv(tmp_path / "results" / "other.csv", index=False)
    windows = {"real/pump.csv": [["2014-01-10 00:00:00.000000", "2014-01-10 05:00:00.000000"]]}
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return tmp_path


def test_a_clone_is_read_with_its_windows_as_flags(clone):
    data = load_nab(str(clone), "real/pump", normal=200)
    assert np.flatnonzero(data.label_of_step).tolist() == list(range(216, 222))
    assert data.length == 20  # a tenth of the normal rows: three periods of 24 would be too long
    assert data.starts[~data.test].max() == 200 - 20
    assert data.starts[data.test].min() == 200


def test_files_with_a_column_of_labels_are_read_with_the_rows_that_index_csv_names(clone):
    frame = pd.read_csv(clone / "data" / "real" / "pump.csv").assign(anomaly=0)
    frame.loc[300:310, "anomaly"] = 1
    flat = clone / "flat"
    flat.mkdir()
    frame.to_csv(flat / "pump.csv", index=False)
    (flat / "index.csv").write_text("series,train_rows\npump,240\n")
    data = load_nab(str(flat), "pump", window=24)
    assert data.label_of_step.sum() == 11
    assert data.starts[data.test].min() == 240


@pytest.mark.parametrize(
    ("folder", "series", "message"),
    [
        ("nowhere", "pump", "Use git clone https://github.com/numenta/NAB"),
        ("", "pump", "got 'pump'. Use one of: real/pump."),
    ],
)
def test_what_is_not_there_is_said_with_what_is(clone, folder, series, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_nab(str(clone / folder), series)


def test_a_sweep_takes_the_series_of_the_folder(clone):
    assert cli._tables(str(clone)) == "'real/pump'"
    assert OmegaConf.create({"series": f"${{tables:{clone}/nowhere}}"}).series == "none"


def test_the_sweep_over_series_judges_and_draws_each_and_one_page_shows_all(command, tmp_path):
    folder, out = tmp_path / "series", tmp_path / "sweep"
    folder.mkdir()
    for name, period in (("a", 12), ("b", 20)):
        waves(period=period).to_csv(folder / f"{name}.csv", index=False)
    small = ("dataset.normal=200", "trainer.epochs=1", "model.hidden_size=4", f"hydra.sweep.dir={out}")
    done = command("sweep=anomaly_series", *small, env={"LSTM_AE_NAB": str(folder)})
    assert done.returncode == 0, done.stderr
    for job in (0, 1):
        assert json.loads((out / str(job) / "metrics.json").read_text())["test"]["vus_pr"] > 0
    assert "vus_pr" in done.stdout
    assert compare.main([str(out), "--report", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "report.html").read_text()
    pictures = json.loads(re.search(r'id="pictures">(.*?)</script>', page)[1])
    assert [run[0]["name"] for run in pictures.values()] == ["alarms", "alarms"]
