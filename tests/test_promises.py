"""Killed, cut off or out of space at any file operation: numbers are whole or absent; the same command finishes.

Damaged in any file, in any way: no command gives a wrong number, a traceback, or waits forever.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm_ae import files, plots, score
from lstm_ae.compare.__main__ import main as compare
from lstm_ae.experiment.configured import JobError
from lstm_ae.run_dir import METRICS, STATUS, RunDir
from lstm_ae.trained import load_run
from tests.conftest import SMALL
from tests.test_experiment import results

TINY = (*SMALL, "dataset.sequences=20", "dataset.length=36", "trainer.epochs=2")
OPERATIONS = ("write", "sync", "rename", "remove")
FAULTS = ("full", "torn", "killed", "killed after")
COUNT = 68  # operations of such a run, checked below


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it, see `Faulty`."""


class Faulty(files.Disk):
    """A disk whose n-th operation goes wrong.

    Args:
        at: Which, from 0.
        fault: `full`: no space, before it; `torn`: half of a write, then a kill; `killed`: before it; `killed after`.
    """

    def __init__(self, at: int = -1, fault: str = "") -> None:
        self.at, self.fault, self.done, self.dead = at, fault, 0, False


def _operation(name: str) -> Callable[..., None]:
    whole = getattr(files.Disk, name)

    def operation(self: Faulty, *arguments: object) -> None:
        if self.dead:  # what a killed process cannot do any more
            raise Killed
        hit, self.done = self.done == self.at, self.done + 1
        if hit and self.fault == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
        self.dead = hit
        if hit and self.fault == "torn" and name == "write":
            whole(self, arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if not hit or self.fault == "killed after":
            whole(self, *arguments)
        if hit:
            raise Killed

    return operation


for _name in OPERATIONS:
    setattr(Faulty, _name, _operation(_name))


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


def disturbed(run_in, path, at, fault, monkeypatch):
    """Runs with a fault and then without; returns how many operations the first took."""
    disk = Faulty(at, fault)
    with monkeypatch.context() as patch:
        patch.setattr(files, "DISK", disk)
        with contextlib.suppress(Killed, JobError):
            run_in(path, *TINY)
    whole_or_absent(path)
    run_in(path, *TINY)
    assert RunDir(path).status()["state"] == "finished"
    return disk.done


def whole_or_absent(path: Path) -> None:
    """Every file with its final name can be read, or is absent."""
    for entry in path.iterdir() if path.exists() else ():
        if entry.name.startswith(".") or entry.is_dir():
            continue
        if entry.suffix == ".json":
            RunDir(path).read_json(entry.name)
        elif entry.suffix in (".npz", ".pt"):
            RunDir(path).read_zip(entry.name)


def test_the_number_of_operations_of_a_run_is_known(run_in, tmp_path, monkeypatch):
    assert disturbed(run_in, tmp_path / "run", -1, "", monkeypatch) == COUNT


@pytest.mark.parametrize(("at", "fault"), [(0, "full"), (24, "torn"), (46, "killed"), (COUNT - 2, "killed after")])
def test_a_fault_at_one_operation_changes_nothing_in_the_end(run_in, finished, tmp_path, monkeypatch, at, fault):
    disturbed(run_in, tmp_path / "disturbed", at, fault, monkeypatch)
    assert results(tmp_path / "disturbed") == results(finished)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", range(COUNT))
def test_a_fault_at_any_operation_changes_nothing_in_the_end(run_in, finished, tmp_path, monkeypatch, at, fault):
    disturbed(run_in, tmp_path / "disturbed", at, fault, monkeypatch)
    assert results(tmp_path / "disturbed") == results(finished)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flip": flip,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "wrong type": lambda path: path.write_text("[1, 2]"),
    "folder": replaced(Path.mkdir),
    "pipe": replaced(os.mkfifo),
    "link": replaced(lambda path: path.symlink_to("/dev/zero")),
    "missing": Path.unlink,
}
FILES = (
    "config.json", "status.json", "metrics.json", "environment.json", "model.json", "model.pt", "checkpoint.pt",
    "samples.npz", "scaler.npz", "history.csv",
)  # fmt: skip
KNOWN = (JobError, ValueError, OSError, SystemExit)  # what the commands show in one line


def commands(run_in, path):
    """What reads a run directory, by name."""
    return {
        "same command": lambda: run_in(path, *TINY),
        "dry run": lambda: run_in(path, *TINY, "dry_run=true", cwd=path.parent),
        "longer": lambda: run_in(path, *TINY, "trainer.epochs=3"),
        "compare": lambda: compare([str(path)]),
        "load": lambda: load_run(path),
        "score": lambda: score.main([str(path), str(path.parent / "no.csv")]),
        "figures": lambda: plots.draw(RunDir(path), plots.figures_of(RunDir(path))),
    }


def check_damage(run_in, finished, name, damage, command):
    whole = results(finished)
    before = (finished / METRICS).read_bytes()
    DAMAGES[damage](finished / name)
    damaged = None if name != METRICS or not (finished / name).is_file() else (finished / name).read_bytes()
    try:
        answer = commands(run_in, finished)[command]()
    except KNOWN as error:
        text = str(error)
        assert "Traceback" not in text
        assert "weights_only=False" not in text
        return
    if command in ("same command", "dry run"):
        known = RunDir(finished).score("loss")
        assert answer == known
    if command == "same command" and (finished / METRICS).is_file() and (finished / METRICS).read_bytes() != damaged:
        assert (finished / METRICS).read_bytes() == before or name in (STATUS, "config.json")
        assert results(finished)[0] == whole[0]


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
