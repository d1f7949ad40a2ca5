"""Damaged in any file, in any way: no command gives a wrong number, a traceback, or waits forever."""

import contextlib
import json
import os
import random
import re
import shutil
import signal

import numpy as np
import pandas as pd
import pytest

from lstm_ae import plots, score
from lstm_ae.compare.__main__ import main as compare
from lstm_ae.experiment.configured import JobError
from lstm_ae.run_dir import METRICS, STATUS
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
    """A copy of it; next to it is a run with another seed, whose files are put in place of its own."""
    if not undisturbed.exists():
        run_in(undisturbed, *TINY)
        run_in(undisturbed.with_name("another"), *TINY, "seed=1")
    shutil.copytree(undisturbed.with_name("another"), tmp_path / "another")
    shutil.copytree(undisturbed, tmp_path / "run")
    pd.DataFrame({"value": np.sin(np.arange(72))}).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "run"


FILES = (
    "config.json", "status.json", "metrics.json", "environment.json", "model.json", "model.pt", "checkpoint.pt",
    "samples.npz", "scaler.npz", "history.csv",
)  # fmt: skip
SECONDS = 60
KNOWN = (JobError, ValueError, OSError, SystemExit)  # what the commands show in one line


CURE = re.compile("(restore|remove|run|train|install|name|use) (it|a|an|another|the|status.json|allow)", re.IGNORECASE)


def of_another_run(path):
    shutil.copyfile(path.parent.with_name("another") / path.name, path)


KINDS = {**DAMAGES, "of another run": of_another_run}


def commands(run_in, path):
    """What reads a run directory, by name."""
    new, scores = str(path.parent / "new.csv"), str(path.parent / "scores.csv")
    return {
        "same command": lambda: run_in(path, *TINY),
        "dry run": lambda: run_in(path, *TINY, "dry_run=true", cwd=path.parent),
        "longer": lambda: run_in(path, *TINY, "trainer.epochs=3"),
        "compare": lambda: compare([str(path)]),
        "load": lambda: load_run(path),
        "score": lambda: score.main([str(path), new, "--output", scores]),
        "figures": lambda: plots.main([str(path)]),
    }


def asked(run_in, path, command, capsys):
    """Returns what a command answers, None if it cannot, and what it says then."""
    with at_most(SECONDS):
        try:
            answer = commands(run_in, path)[command]()
        except KNOWN as error:
            answer, said = None, str(error)
        else:
            said = capsys.readouterr().err
    failed = answer is None or (answer == 1 and command in ("compare", "score", "figures"))
    if failed:
        assert "Traceback" not in said
        assert "weights_only=False" not in said
        assert str(path) in said
        assert CURE.search(said) or command == "compare", said  # which only says what it leaves out
    return None if failed else answer


def check_damage(run_in, finished, capsys, name, damage, command):
    metrics = finished / METRICS
    before, whole = metrics.read_bytes(), content(metrics)
    KINDS[damage](finished / name)
    damaged = metrics.stat(follow_symlinks=False).st_ino if os.path.lexists(metrics) else None
    answer = asked(run_in, finished, command, capsys)
    if answer is None:
        return
    if command in ("same command", "dry run"):
        assert answer == whole["validation"]["loss"]
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


COMMANDS = ("same command", "dry run", "longer", "compare", "load", "score", "figures")
SHORT = [
    ("model.pt", "flip", "dry run"), ("metrics.json", "flip", "same command"), ("status.json", "empty", "same command"),
    ("config.json", "pipe", "same command"), ("checkpoint.pt", "flip", "longer"), ("scaler.npz", "flip", "load"),
    ("samples.npz", "garbage", "figures"), ("status.json", "pipe", "compare"), ("history.csv", "folder", "dry run"),
    ("checkpoint.pt", "of another run", "longer"), ("model.pt", "of another run", "score"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "command"), SHORT)
def test_a_damaged_file_gives_no_wrong_number_and_no_traceback(run_in, finished, capsys, name, damage, command):
    check_damage(run_in, finished, capsys, name, damage, command)


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_no_damage_gives_a_wrong_number_or_a_traceback(run_in, finished, capsys, name, damage, command):
    check_damage(run_in, finished, capsys, name, damage, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_answer_where_nothing_is_damaged(run_in, finished, capsys, command):
    assert asked(run_in, finished, command, capsys) is not None


VALUES = (None, True, 0, -1, 1e400, 10**400, "", "x" * 5000, "\0\x1b[2J", [], [[]], {}, {"a": {"b": []}}, "../../etc")


def changed(value, rng):
    """A JSON value of which one part, anywhere, is another, is not there, or is there twice under another name."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        made = dict(value) if isinstance(value, dict) else list(value)
        key = rng.choice(list(made) if isinstance(made, dict) else range(len(made)))
        if rng.random() < 0.2:
            del made[key]
        else:
            made[key] = changed(made[key], rng)
        return made
    return rng.choice(VALUES)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(4, 400))]
)
def test_whatever_a_json_file_holds_no_command_ends_in_a_traceback(run_in, finished, capsys, seed):
    """The list of digests is empty, so that each reader meets the content itself."""
    rng = random.Random(seed)
    status = json.loads((finished / STATUS).read_text())
    (finished / STATUS).write_text(json.dumps(status | {"files": {}}))
    path = finished / rng.choice([name for name in FILES if name.endswith(".json")])
    path.write_text(json.dumps(changed(json.loads(path.read_text()), rng)))
    asked(run_in, finished, rng.choice(COMMANDS), capsys)
