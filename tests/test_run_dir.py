"""Run directories: atomic writes, and never two runs in one directory."""

import errno
import json
import math
import re

import pytest

from lstm_ae import files
from lstm_ae.run_dir import RunDir, RunDirError, differences, find_finished, signature

CONFIG = {"seed": 0, "dataset": {"path": "a.csv", "window": 30}, "trainer": {"epochs": 5, "device": "cpu"}}


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path / "run")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(run_dir, monkeypatch):
    run_dir.write_json("metrics.json", {"loss": 1})

    def fail(path, content):
        path.write_bytes(content[:4])
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(files.DISK, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        run_dir.write_json("metrics.json", {"loss": 2})
    assert run_dir.read_json("metrics.json") == {"loss": 1}
    assert [path.name for path in run_dir.path.iterdir()] == ["metrics.json"]


def test_numbers_that_are_not_finite_are_written_as_null(run_dir):
    run_dir.write_json("metrics.json", {"test": {"loss": math.inf}, "skill": [math.nan, 0.5]})
    assert json.loads((run_dir / "metrics.json").read_text()) == {"test": {"loss": None}, "skill": [None, 0.5]}


def test_the_history_is_read_back_exactly(run_dir):
    rows = [{"epoch": 1, "train.loss": 0.1 + 0.2}, {"epoch": 2, "train.loss": math.nan}]
    run_dir.write_history(rows)
    history = run_dir.read_history()
    assert history["epoch"] == [1, 2]
    assert history["train.loss"][0] == 0.1 + 0.2
    assert math.isnan(history["train.loss"][1])


def test_the_signature_depends_on_settings_that_change_a_result_and_on_the_data():
    def changed(**more):
        return signature({**CONFIG, **more}, "data")

    same = {"trainer": {"epochs": 5, "device": "cuda", "threads": 8}, "dry_run": True, "retry_failed": True}
    assert signature(CONFIG, "data") == changed(**same) == changed(dataset={"path": "b.csv", "window": 30})
    assert signature(CONFIG, "data") != signature(CONFIG, "other data")
    assert signature(CONFIG, "data") != changed(seed=1)
    assert signature(CONFIG, "data") != changed(dataset={"path": "a.csv", "window": 31})


def test_another_configuration_is_refused_with_the_differences(run_dir):
    run_dir.begin(CONFIG, {}, "data")
    before = {path.name: path.read_bytes() for path in run_dir.path.iterdir()}
    with pytest.raises(RunDirError, match=r"holds another:\n  seed: 0 there, 1 now\n.*Use another directory"):
        run_dir.claim({**CONFIG, "seed": 1})
    run_dir.claim({**CONFIG, "trainer": {"epochs": 5, "device": "cuda"}})
    assert {path.name: path.read_bytes() for path in run_dir.path.iterdir()} == before


def test_other_data_are_refused(run_dir):
    run_dir.begin(CONFIG, {}, "data")
    with pytest.raises(RunDirError, match="holds a run on other data"):
        run_dir.begin(CONFIG, {}, "other data")


def test_two_processes_never_lock_the_same_directory(run_dir):
    with (
        run_dir.locked(),
        pytest.raises(RunDirError, match=f"another process is writing in {re.escape(str(run_dir.path))}"),
        RunDir(run_dir.path).locked(),
    ):
        pass
    with run_dir.locked():
        pass


def test_the_status_follows_the_run(run_dir):
    own = run_dir.begin(CONFIG, {"host": "here"}, "data")
    assert run_dir.status()["state"] == "running"
    assert run_dir.status()["end"] is None
    run_dir.end("failed", error="no luck", trace="Traceback ...")
    status = run_dir.status()
    assert (status["state"], status["error"], status["signature"]) == ("failed", "no luck", own)
    assert status["start"] <= status["end"]
    assert (run_dir / "run.log").read_text() == "Traceback ..."


def test_the_latest_finished_run_of_a_signature_is_found_among_others(tmp_path):
    wanted = signature(CONFIG, "data")
    for name, state, end, weights in (
        ("a/0", "finished", "2026-01-01", True),
        ("a/1", "finished", "2026-01-03", True),
        ("b", "finished", "2026-01-04", False),
        ("c", "failed", "2026-01-05", True),
    ):
        run = RunDir(tmp_path / name)
        run.write_json("status.json", {"state": state, "signature": wanted, "end": end})
        if weights:
            run.write_text("model.pt", "")
    RunDir(tmp_path / "broken").write_text("status.json", "{")
    assert find_finished(tmp_path, wanted) == tmp_path / "a" / "1"
    assert find_finished(tmp_path, "another") is None


def test_differences_name_what_is_on_one_side_only():
    assert differences({"a": 1, "b": 2}, {"b": 2, "c": 3}) == {"a": (1, None), "c": (None, 3)}
