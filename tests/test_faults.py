"""Killed, cut off, out of space or without power at any file operation: the same command finishes a run or a sweep.

Every number that was written is whole or absent, and the tables in the end are those of an undisturbed one, byte for
byte, less times, hosts and paths.
"""

import functools
import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faulty import TINY
from tests.outcome import outcome
from tests.zygote import ROOT, Zygote

STAGES = (
    "sweep=two_stage_kfold", "split.n_splits=2", "optimizer.lr=0.1,0.01", "hydra.sweeper.two_stage.keep=1",
    "hydra.sweeper.two_stage.final_seeds=1",
)  # fmt: skip
SCENARIOS = {
    "run": TINY,
    "resumed run": TINY,
    "grid": ("--multirun", *TINY, "seed=0,1"),
    "two stages": (*TINY, *STAGES),
}
Point = tuple[int, str]  # which operation, and what goes wrong there


class Scenario:
    """A command, what it leaves undisturbed, and its file operations.

    Args:
        name: Of `SCENARIOS`.
        python: Runs `python WORDS`.
        folder: For its own files.
    """

    def __init__(self, name: str, python: Callable, folder: Path) -> None:
        self.words, self._python, self._folder = SCENARIOS[name], python, folder
        self.path = folder / "undisturbed"
        self._key = "hydra.run.dir" if "run" in name else "hydra.sweep.dir"
        self._begin: Path | None = None
        if name == "resumed run":
            self.run(folder / "whole")
            at = place(self._recorded(), "rename", "checkpoint.pt")
            assert self.run(folder / "begin", at, "killed after").returncode == -signal.SIGKILL
            self._begin = folder / "begin"
        done = self.run(self.path, prepared=True)
        assert done.returncode == 0, done.stderr
        self.operations = self._recorded()
        self.undisturbed = outcome(self.path)

    def run(self, path: Path, at: int = -1, fault: str = "", prepared: bool = False):
        """Runs the command with its files in a directory, and a fault at one of its operations."""
        if prepared and self._begin is not None:
            shutil.copytree(self._begin, path)
        path.parent.mkdir(exist_ok=True)
        asked = {"at": at, "fault": fault, "root": str(path.parent), "record": str(self._folder / "operations.json")}
        return self._python(["-m", "tests.faulty", json.dumps(asked), *self.words, f"{self._key}={path}"], ROOT, None)

    def _recorded(self) -> list[str]:
        return json.loads((self._folder / "operations.json").read_text())

    @functools.cached_property
    def points(self) -> list[Point]:
        """All points that differ: a kill after an operation is one before the next."""
        places = list(enumerate(self.operations))
        writes = [at for at, one in places if one.startswith("write")]
        every = [(at, fault) for at, _ in places for fault in ("full", "killed", "power lost")]
        of_writes = [(at, fault) for at in writes for fault in ("torn", "power kept")]
        return [*every, *of_writes, (len(places) - 1, "killed after")]

    def check(self, path: Path, at: int, fault: str) -> None:
        """Runs the command with a fault, then without, and compares with the undisturbed outcome."""
        first = self.run(path, at, fault, prepared=True)
        assert "Traceback" not in first.stderr
        if fault != "full":
            assert first.returncode == -signal.SIGKILL, first.stderr
        check_whole(outcome(path), self.undisturbed)
        again = self.run(path)
        assert again.returncode == 0, again.stderr
        assert outcome(path) == self.undisturbed


def check_whole(found: dict[str, object], undisturbed: dict[str, object]) -> None:
    """Checks that each file with its final name is that of the undisturbed outcome, or its beginning."""
    for name, content in found.items():
        last = Path(name).name
        if last.startswith(".") or last == "status.json":  # a temporary file; a state that was not the last
            continue
        if last == "history.csv":
            assert content == undisturbed[name][: len(content)]
        elif last == "comparison.csv":
            check_table(content, undisturbed[name])
        elif last == "checkpoint.pt":
            assert content == "written"
        else:
            assert content == undisturbed[name], name


def check_table(rows: list[dict[str, str]], undisturbed: list[dict[str, str]]) -> None:
    """Checks that a sweep's table has the numbers of the undisturbed one, or none: of a job that has not ended."""
    of_run = {row["run"]: row for row in undisturbed}
    for row in rows:  # a job that could not begin has none
        whole = of_run[row["run"]]
        for key, value in row.items():
            absent = row["state"] != "finished" and value == ""
            assert absent or value == whole[key] or key in ("state", "error"), key


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scenario]]:
    """A function from a name to its scenario, which is run undisturbed once."""
    zygote = Zygote("tests.warm")
    yield functools.cache(lambda name: Scenario(name, zygote.run, tmp_path_factory.mktemp("scenario")))
    zygote.close()


def place(operations: list[str], operation: str, name: str) -> int:
    """Returns the first operation of a kind with a file of this name."""
    return next(at for at, one in enumerate(operations) if one.startswith(operation) and one.rpartition("/")[2] == name)


#: Of each scenario, an operation that matters most and a fault there.
SHORT = [
    ("run", "write model.pt", "full"),
    ("run", "rename metrics.json", "power lost"),
    ("resumed run", "write metrics.json", "torn"),
    ("grid", "write comparison.csv", "full"),
    ("two stages", "rename two_stage.json", "power lost"),
]


@pytest.mark.parametrize(("name", "wanted", "fault"), SHORT)
def test_a_fault_at_an_operation_changes_nothing_in_the_end(scenario, tmp_path, name, wanted, fault):
    found = scenario(name)
    found.check(tmp_path / "disturbed", place(found.operations, *wanted.split()), fault)


@pytest.mark.parametrize("name", ["run", pytest.param("grid", marks=pytest.mark.exhaustive)])
def test_what_was_reported_survives_a_power_cut(scenario, tmp_path, name):
    assert scenario(name).run(tmp_path / "cut", fault="power lost").returncode == 0
    left = outcome(tmp_path / "cut")
    assert {key: left.get(key) for key in scenario(name).undisturbed} == scenario(name).undisturbed


def test_what_killed_processes_left_is_removed_by_the_next_command(scenario, tmp_path):
    path = shutil.copytree(scenario("grid").path, tmp_path / "sweep")
    for name in ("0/checkpoint.pt", "0/.metrics.json.12345", "1/.hydra/.config.yaml.12345", ".comparison.csv.12345"):
        (path / name).write_text("left")
    assert scenario("grid").run(path).returncode == 0
    assert outcome(path) == scenario("grid").undisturbed


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_any_operation_changes_nothing_in_the_end(scenario, tmp_path, name):
    """All points in one test, in random order: some hours are needed, and a part of them is then a fair sample."""
    found, failed = scenario(name), []
    points = random.Random(0).sample(found.points, len(found.points))
    for number, (at, fault) in enumerate(points):
        try:
            found.check(tmp_path / "disturbed", at, fault)
        except Exception as error:
            failed.append(f"{fault} at {at} ({found.operations[at]}): {error!r}")
        shutil.rmtree(tmp_path / "disturbed", ignore_errors=True)
        print(f"{name}: {number + 1} of {len(points)} points, {len(failed)} failed", *failed[-1:], flush=True)
    assert not failed
