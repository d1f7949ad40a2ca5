"""Optuna's search: the study is stored with the jobs and can be resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from lstm_ae.run_dir import RunDir
from tests.conftest import ROOT, SMALL


def arguments(folder, trials, *more):
    small = [word for word in SMALL if not word.startswith("model.hidden_size")]
    return ["sweep=search", *small, *more, f"hydra.sweep.dir={folder}", f"hydra.sweeper.n_trials={trials}"]


def settings(folder):
    configs = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/config.json")}
    return {name: (config["optimizer"]["lr"], config["model"]["hidden_size"]) for name, config in configs.items()}


@pytest.fixture(scope="module")
def searched(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "sweep"
    done = command(*arguments(folder, 4))
    assert done.returncode == 0, done.stderr
    return folder


def test_it_tries_values_within_the_ranges_and_ranks_them(searched):
    tried = settings(searched)
    assert set(tried) == {"0", "1", "2", "3"}
    assert len(set(tried.values())) == 4
    assert all(0.001 <= lr <= 0.2 and 4 <= size <= 32 and isinstance(size, int) for lr, size in tried.values())
    assert (searched / "comparison.csv").exists()


def test_a_search_is_extended_with_more_trials(command, searched):
    before, began = settings(searched), (searched / "0" / "status.json").read_bytes()
    done = command(*arguments(searched, 6))
    assert done.returncode == 0, done.stderr
    assert "Search: 2 of 6 trials remaining" in done.stdout
    assert settings(searched).items() >= before.items()
    assert set(settings(searched)) == set("012345")
    assert (searched / "0" / "status.json").read_bytes() == began


def test_another_search_is_refused(command, searched):
    done = command(*arguments(searched, 9, "seed=3"))
    assert done.returncode == 1
    assert "must be new or contain this search, but it contains another: dataset.sequences=60" in done.stderr


def test_a_full_disk_interrupts_a_search_and_the_same_command_goes_on(python, tmp_path):
    folder = tmp_path / "sweep"

    def search(at, fault):
        asked = {"at": at, "fault": fault, "root": str(tmp_path), "record": str(tmp_path / "operations.json")}
        words = arguments(folder, 2, "hydra.launcher.n_jobs=1")
        return python(["-m", "tests.faulty", json.dumps(asked), *words], ROOT, None)

    first = search(50, "full")
    assert first.returncode == 1
    assert re.search(r"0: interrupted, .* No space left on device", first.stderr)
    assert "repeat the command with the same hydra.sweep.dir." in first.stderr
    again = search(-1, "")
    assert again.returncode == 0, again.stderr
    assert [RunDir(folder / name).status()["state"] for name in "01"] == ["finished"] * 2


@pytest.mark.slow
def test_interrupted_trials_resume_with_their_values_in_their_directories(command, tmp_path):
    words = arguments(tmp_path / "sweep", 4, "trainer.epochs=300")
    process = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *words], cwd=ROOT, start_new_session=True)
    while not (tmp_path / "sweep" / "1" / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = settings(tmp_path / "sweep")
    again = command(*words)
    assert again.returncode == 0, again.stderr
    assert settings(tmp_path / "sweep").items() >= begun.items()
    assert len(settings(tmp_path / "sweep")) == 4
    assert "Resumed after epoch" in (tmp_path / "sweep" / "1" / "run.log").read_text()


@pytest.mark.slow
def test_interrupted_trials_keep_their_directories_with_fewer_at_a_time(command, tmp_path):
    folder = tmp_path / "sweep"
    words = arguments(folder, 4, "trainer.epochs=300")
    at_once = "hydra.sweeper.n_jobs="
    process = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *words, f"{at_once}4", "hydra.launcher.n_jobs=4"],
                               cwd=ROOT, start_new_session=True)  # fmt: skip
    while len(list(folder.glob("*/checkpoint.pt"))) < 4 and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = settings(folder)
    assert len(begun) == 4
    again = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *words, f"{at_once}1"], cwd=ROOT,
                             start_new_session=True)  # fmt: skip
    while not list(folder.glob("*/metrics.json")) and again.poll() is None:
        time.sleep(0.01)
    os.killpg(again.pid, signal.SIGKILL)
    again.wait()
    done = command(*words, f"{at_once}3", "figures=false", "trainer.device=cpu")
    assert done.returncode == 0, done.stderr
    assert settings(folder) == begun
    assert all("Resumed after epoch" in (folder / name / "run.log").read_text() for name in begun)


@pytest.mark.slow
def test_failed_trials_are_retried_in_their_directories(command, tmp_path):
    folder = tmp_path / "sweep"
    (folder / "1" / "history.csv").mkdir(parents=True)
    words = arguments(folder, 3)
    assert command(*words).returncode == 1
    tried = settings(folder)
    (folder / "1" / "history.csv").rmdir()
    assert command(*words).returncode == 1  # not retried by default
    done = command(*words, "retry_failed=true")
    assert done.returncode == 0, done.stderr
    assert settings(folder) == tried
    assert len(tried) == 3


def test_a_trial_that_cannot_run_fails_and_the_search_goes_on(command, tmp_path):
    done = command(*arguments(tmp_path / "sweep", 6, "model.hidden_size=int(interval(-8,8))"))
    assert done.returncode == 1
    assert "`model.hidden_size` must be at least 1, got " in done.stderr
    states = [json.loads(path.read_text())["state"] for path in tmp_path.glob("sweep/*/status.json")]
    assert set(states) == {"failed", "finished"}
    assert len(states) == 6


def test_if_every_trial_fails_the_summary_names_the_errors(command, tmp_path):
    for number in range(2):
        (tmp_path / "sweep" / str(number) / "history.csv").mkdir(parents=True)
    done = command(*arguments(tmp_path / "sweep", 2))
    assert done.returncode == 1
    assert "2 of 2 jobs failed:" in done.stderr
    assert "history.csv" in done.stderr


def test_an_error_is_found_before_the_first_job(command, tmp_path):
    done = command(*arguments(tmp_path / "sweep", 2, "model.hidden_size=interval(4,8)"))
    assert done.returncode == 1
    assert "`model.hidden_size` must be of type int" in done.stderr


def test_the_jobs_of_a_search_cannot_be_listed(command, tmp_path):
    done = command(*arguments(tmp_path / "sweep", 2, "list_jobs=true"))
    assert done.returncode == 1
    assert "`list_jobs` must be false with sweep=search" in done.stderr
