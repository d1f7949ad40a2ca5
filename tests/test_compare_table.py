"""The table of runs: settings that differ, and scores."""

import math

import pytest

from lstm_ae.compare import load, table
from lstm_ae.run_dir import RunDir
from tests.run_dirs import METRICS


@pytest.fixture
def runs(tmp_path):
    def write(name, loss, state="finished", **config):
        run = RunDir(tmp_path / name)
        run.write_json("config.json", {"seed": 0, "model": {"hidden_size": 8}, "trainer": {"threads": 1}, **config})
        run.write_json("status.json", {"state": state, "error": None if state == "finished" else "why"})
        if loss is not None:
            run.write_json(
                "metrics.json", {"metrics": METRICS, "validation": {"loss": loss}, "test": {"accuracy": 1 - loss}}
            )
        return tmp_path

    return write


def test_settings_that_cannot_change_a_result_are_ignored(runs):
    runs("0", 0.1, trainer={"threads": 1}, dataset={"root": "a"})
    folder = runs("1", 0.2, trainer={"threads": 2}, dataset={"root": "b"})
    assert table.settings(load(folder)) == []


def test_a_failed_run_has_no_score_and_a_diverged_one_is_infinitely_bad(runs):
    runs("0", 0.1)
    runs("1", 0.05, state="failed")
    runs("2", 0.3, model={"hidden_size": 2})
    folder = runs("3", 0.01, state="diverged", model={"hidden_size": 4})
    scores = table.scores(load(folder), "validation.loss")
    assert list(scores) == pytest.approx([0.1, math.nan, 0.3, math.inf], nan_ok=True)
    assert table.scores(load(folder), "test.accuracy")[3] == -math.inf


def test_an_unreadable_run_is_an_empty_row_and_jobs_are_sorted_by_number(runs):
    for number in (10, 9, 0):
        folder = runs(str(number), 0.1)
    (folder / "9" / "metrics.json").write_text("{")
    frame = load(folder)
    assert [run.rsplit("/", 1)[-1] for run in frame["run"]] == ["0", "9", "10"]
    assert math.isnan(frame["validation.loss"][1])
