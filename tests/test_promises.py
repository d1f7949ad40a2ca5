"""Damaged in any file, in any way: no command gives a wrong number, a traceback, or waits forever."""

import contextlib
import os
import shutil
import signal

import pytest

from lstm_ae import plots, score
from lstm_ae.compare.__main__ import main as compare
from lstm_ae.experiment.configured import JobError
from lstm_ae.run_dir import METRICS, STATUS, RunDir
from lstm_ae.trained import load_run
from tests.conftest import SMALL
from tests.damage import DAMAGES
from tests.outcome import content

TINY = (*SMALL, "dataset.sequences=20", "dataset.length=36", "trainer.epochs=2")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished run; all tests of the module compare with it."""
    return tmp_path_factory.mktemp("promises") / "run"


@pytest.fixture
def finished(undisturbed, run_in, tmp_path):
    """A copy of it."""
    if not undisturbed.exists():
        run_in(undisturbed, *TINY)
    shutil.copytree(undisturbed, tmp_path / "run")
    return tmp_path / "run"


FILES = (
    "config.json", "status.json", "metrics.json", "environment.json", "model.json", "model.pt", "checkpoint.pt",
    "samples.npz", "scaler.npz", "history.csv",
)  # fmt: skip
SECONDS = 60
KNOWN = (JobError, ValueError, OSError, SystemExit)  # what the commands show in one line


def commands(run_in, path):
    """What reads a run directory, by name."""
    return {
        "same command": lambda: run_in(path, *TINY),
        "dry run": lambda: run_in(path, *TINY, "dry_run=true", cwd=path.parent),
        "longer": lambda: run_in(path, *TINY, "trainer.epochs=3"),
        "compare": lambda: compare([str(path)]),
        "load": lambda: load_run(path),
        "score": lambda: score.main(
            [str(path), str(path.parent / "no.csv"), "--output", str(path.parent / "scores.csv")]
        ),
        "figures": lambda: plots.main([str(path)]),
    }


def check_damage(run_in, finished, name, damage, command):
    metrics = finished / METRICS
    before, whole = metrics.read_bytes(), content(metrics)
    DAMAGES[damage](finished / name)
    damaged = metrics.stat(follow_symlinks=False).st_ino if os.path.lexists(metrics) else None
    with at_most(SECONDS):
        try:
            answer = commands(run_in, finished)[command]()
        except KNOWN as error:
            text = str(error)
            assert "Traceback" not in text
            assert "weights_only=False" not in text
            return
    if command in ("same command", "dry run"):
        assert answer == RunDir(finished).score("loss")
    if command == "same command" and (name != METRICS or metrics.stat().st_ino != damaged):
        assert metrics.read_bytes() == before or name in (METRICS, STATUS, "config.json")
        assert content(metrics) == whole


@contextlib.contextmanager
def at_most(seconds):
    """Fails where the block takes longer: it may wait for what never comes."""

    def stop(number, frame):
        raise AssertionError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SHORT = [
    ("model.pt", "flip", "dry run"), ("metrics.json", "flip", "same command"), ("status.json", "empty", "same command"),
    ("config.json", "pipe", "same command"), ("checkpoint.pt", "flip", "longer"), ("scaler.npz", "flip", "load"),
    ("samples.npz", "garbage", "figures"), ("status.json", "pipe", "compare"), ("history.csv", "folder", "dry run"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "command"), SHORT)
def test_a_damaged_file_gives_no_wrong_number_and_no_traceback(run_in, finished, name, damage, command):
    check_damage(run_in, finished, name, damage, command)


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", ["same command", "dry run", "longer", "compare", "load", "score", "figures"])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_no_damage_gives_a_wrong_number_or_a_traceback(run_in, finished, name, damage, command):
    check_damage(run_in, finished, name, damage, command)
