"""Sweeps: checks before the start, resuming after any interruption, and reports of failed jobs."""

import contextlib
import doctest
import fcntl
import itertools
import json
import os
import pty
import random
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import types

import pandas as pd
import pytest
from filelock import FileLock
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext

from hydra_plugins.lstm_ae_sweeper import _check, _closing, _stages, _sweep
from hydra_plugins.lstm_ae_sweeper._check import Finding, free_memory
from hydra_plugins.lstm_ae_sweeper._job import Job
from hydra_plugins.lstm_ae_sweeper._sweep import jobs_that_fit
from lstm_ae.compare import __main__ as command_line
from lstm_ae.experiment.overrides import parse
from lstm_ae.run_dir import RunDir
from tests.conftest import ROOT, SMALL
from tests.damage import DAMAGES
from tests.faulty import TINY
from tests.outcome import outcome
from tests.run_dirs import write


def states(folder):
    return {int(path.parent.name): json.loads(path.read_text())["state"] for path in folder.glob("*/status.json")}


def scores(folder):
    frame = pd.read_csv(folder / "comparison.csv")
    return dict(zip(frame["run"], frame["validation.loss"], strict=True))


def test_a_grid_runs_every_combination_and_ranks_the_means_over_folds(command, tmp_path):
    folder = tmp_path / "sweep"
    done = command(*SMALL, "sweep=kfold", "split.n_splits=3", "optimizer.lr=0.1,0.01", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert states(folder) == dict.fromkeys(range(6), "finished")
    frame = pd.read_csv(folder / "comparison.csv")
    assert sorted(zip(frame["fold"], frame["optimizer.lr"], strict=True)) == [
        (fold, lr) for fold in range(3) for lr in (0.01, 0.1)
    ]
    best = frame.groupby("optimizer.lr")["validation.loss"].mean()
    ranked = done.stdout.split("Ranking:")[1].splitlines()
    assert ranked[1].split()[:5] == ["lr", "loss", "verdict", "std", "n"]
    assert ranked[2].split()[:3] == [f"{best.idxmin():.4g}", f"{best.min():.4g}", "best"]
    assert "Ranked by validation.loss, mean over fold, lowest first." in done.stdout
    assert "They share training data, which the test allows for (n_validation / n_train = 0.5)." in done.stdout
    assert "job 5 finished" in done.stdout
    assert "epoch 1/3" not in done.stdout  # it is in the job's own log


def start(*arguments, **options):
    """Starts a sweep in its own process group, with the default handling of SIGINT."""
    words = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    reset = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, preexec_fn=reset, **options)


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_ends_with_the_same_table(command, tmp_path):
    def arguments(name):
        grid = ["optimizer.lr=0.1,0.01,0.001", "seed=0,1"]
        return ["--multirun", *SMALL, "trainer.epochs=60", *grid, f"hydra.sweep.dir={tmp_path}/{name}"]

    assert command(*arguments("undisturbed")).returncode == 0
    draw, unfinished = random.Random(0), 0
    for _ in range(6):  # each is killed after it has got somewhat further, at a random moment
        before = len(list((tmp_path / "killed").glob("*/*.json")))
        process = start(*arguments("killed"), stdout=subprocess.DEVNULL)
        while len(list((tmp_path / "killed").glob("*/*.json"))) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        unfinished += not (tmp_path / "killed" / "comparison.csv").exists()
    assert unfinished
    again = command(*arguments("killed"))
    assert again.returncode == 0, again.stderr
    tables = [pd.read_csv(tmp_path / name / "comparison.csv") for name in ("undisturbed", "killed")]
    pd.testing.assert_frame_equal(*(table.drop(columns=["run", "seconds"]) for table in tables))


@pytest.mark.slow
def test_ctrl_c_names_the_command_that_resumes_the_sweep(command, tmp_path):
    folder = tmp_path / "sweep"
    arguments = ["--multirun", *SMALL, "dataset.sequences=2000", "trainer.epochs=40", "seed=0,1,2"]
    process = start(
        *arguments, f"hydra.sweep.dir={folder}", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (folder / "0" / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Finished jobs and checkpoints are kept. To resume:" in stderr
    assert "Traceback" not in stderr
    words = shlex.split(stderr.split("To resume:")[1].splitlines()[1])
    assert words == ["python", "run.py", *arguments, f"hydra.sweep.dir={folder}"]
    assert command(*words[2:]).returncode == 0
    assert states(folder) == dict.fromkeys(range(3), "finished")
    assert "Resumed after epoch" in (folder / "0" / "run.log").read_text()


def test_two_sweeps_never_share_a_directory(command, tmp_path):
    with RunDir(tmp_path / "sweep").locked():
        done = command("--multirun", *SMALL, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert "`hydra.sweep.dir` must be free, and another process is writing in" in done.stderr


@pytest.mark.parametrize("module", [_sweep, _stages], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_are_correct(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_presets_multiply_each_other(command):
    done = command("sweep=[toy_grid,kfold]", "list_jobs=true")
    assert done.stdout.count(" fold=") == 18 * 5
    assert "_several/89: " in done.stdout


def test_only_the_figures_of_the_best_job_are_drawn_by_default(command, tmp_path):
    small = [word for word in SMALL if word != "figures=false"]
    done = command("--multirun", *small, "optimizer.lr=0.1,0.0001", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert f"Figures of the best job: {tmp_path}/sweep/0/figures" in done.stdout
    assert [path.parent.name for path in tmp_path.glob("sweep/*/figures")] == ["0"]
    assert command("--multirun", *small, "optimizer.lr=0.1,0.0001", "figures=true",
                   f"hydra.sweep.dir={tmp_path}/sweep").returncode == 0  # fmt: skip
    assert len(list(tmp_path.glob("sweep/*/figures"))) == 2


def test_on_a_terminal_a_display_shows_the_progress_and_the_best_job(tmp_path):
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = start("--multirun", *SMALL, "optimizer.lr=0.1,0.01", f"hydra.sweep.dir={tmp_path}/sweep", stdout=terminal,
                    stderr=terminal)  # fmt: skip
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while chunk := os.read(controller, 4096):
            shown += chunk
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "2/2" in text
    assert re.search(r"2 done; best loss 0\.\d+: optimizer\.lr=0\.1", text)
    assert "Ranked by validation.loss" in " ".join(text.split())
    assert "epoch 1/3" not in text


class TestOnAGpu:
    """Needs no GPU: torch's answers are replaced."""

    @pytest.mark.parametrize(("device", "free"), [("auto", 7.5), ("cuda:1", 7.5), ("cpu", None)])
    def test_its_free_memory_is_read_if_jobs_run_on_it(self, monkeypatch, device, free):
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (7.5 * 2**30, 80 * 2**30))
        assert free_memory(device) == free

    @pytest.mark.parametrize(
        ("n_jobs", "free", "at_once"), [(8, 7.5, 3), (8, 100, 8), (8, 0.5, 1), (-1, 1000, os.cpu_count())]
    )
    def test_as_many_jobs_run_at_a_time_as_fit_into_its_memory(self, n_jobs, free, at_once):
        assert jobs_that_fit(n_jobs, free, gpu_memory=2.0) == at_once

    def test_one_job_is_checked_first_and_then_as_many_workers_start_as_fit(self, monkeypatch, composed, tmp_path):
        calls = []

        def examine(context, config, folder, jobs, n_jobs):
            calls.append(([path for path, _ in jobs], n_jobs))
            return [Finding(None, path, 7.5) for path, _ in jobs]

        monkeypatch.setattr(_check, "examine", examine)
        monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
        config = composed("hydra.launcher.n_jobs=8", f"hydra.sweep.dir={tmp_path}/sweep")
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
        jobs = [Job(str(number), parse(f"seed={number}")) for number in range(4)]
        sweep = _sweep.Sweep(context, None, config, gpu_memory=2.0)
        sweep.mistakes(jobs, jobs)
        assert calls == [(["0"], 8), (["1", "2", "3"], 3)]
        assert sweep._launcher().joblib["n_jobs"] == 3

    def test_a_job_without_memory_is_refused(self, command):
        done = command("--multirun", "seed=0,1", "hydra.sweeper.gpu_memory=0")
        assert done.returncode == 1
        assert (
            "`hydra.sweeper.gpu_memory` must be a finite number above 0, got 0.0. The default is 2 GiB." in done.stderr
        )


def test_an_error_in_the_last_job_is_found_before_the_first_trains(command, tmp_path):
    done = command("--multirun", *SMALL, "model.hidden_size=3,4,0", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert "No job was started because some cannot run:\n  job 2" in done.stderr
    assert "`model.hidden_size` must be at least 1, got 0" in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_an_unknown_objective_is_found_before_the_first_job_trains(command, tmp_path):
    done = command("--multirun", *SMALL, "seed=0,1", "objective=accuracy", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert "`objective` must be one of loss, reconstruction_mse, got 'accuracy'. Use objective=loss." in done.stderr
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("words", [["seed=1,0,1"], ["optimizer.lr=0.1,0.01", "++optimizer.lr=0.05"]])
def test_a_repeated_job_is_refused(command, tmp_path, words):
    done = command("--multirun", *SMALL, *words, f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert "it is the same as job 0. List each value once, and no key twice." in done.stderr


def test_an_unwritable_sweep_directory_is_refused(command):
    done = command("--multirun", *SMALL, "seed=0,1", "hydra.sweep.dir=/proc/nothing/sweep")
    assert done.returncode == 1
    assert "`hydra.sweep.dir` must be a writable folder: " in done.stderr


def test_a_changed_sweep_is_refused_with_the_differences(command, tmp_path):
    folder = tmp_path / "sweep"
    RunDir(folder / "0").write_json("config.json", {"seed": 7})
    done = command("--multirun", *SMALL, "seed=0,1", f"hydra.sweep.dir={folder}")
    assert done.returncode == 1
    assert "`hydra.sweep.dir` must be new or contain this run" in done.stderr
    assert "seed: 7 there, 0 now" in done.stderr


def test_the_ranking_averages_over_seeds(command, tmp_path):
    done = command(*SMALL, "sweep=seeds", "seed=0,1", "optimizer.lr=0.1,0.01", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    ranked = done.stdout.split("Ranking:")[1].splitlines()
    assert ranked[1].split()[:5] == ["lr", "loss", "verdict", "std", "n"]
    assert "too few blocks" in ranked[2]
    assert "Nothing was tested: 2 blocks (seeds or folds) are too few for a test: 1 more is needed." in done.stdout


def test_the_closing_table_is_the_ranking_of_the_command(tmp_path, caplog, monkeypatch):
    """With a failed fold: that combination comes last in both, and is best in neither."""
    for lr, fold in itertools.product((0.1, 0.2, 0.3), range(3)):
        state = "failed" if (lr, fold) == (0.1, 2) else "finished"
        path = tmp_path / f"{lr}_{fold}"
        write(path, None if state == "failed" else lr + fold**2 * lr, state, fold=fold, optimizer__lr=lr)
    monkeypatch.setattr(_closing.log, "propagate", True)
    with caplog.at_level("INFO"):
        _closing.close(tmp_path, [], [], "loss", figures=False)
    rows = caplog.text.split("Ranking:")[1].splitlines()[2:5]
    assert [row.split()[0] for row in rows] == ["0.2", "0.3", "0.1"]
    assert ["best" in row for row in rows] == [True, False, False]
    assert "2/3 folds" in rows[2]
    assert command_line.main([str(tmp_path), "--output", str(tmp_path / "ranking.csv")]) == 0
    ranked = pd.read_csv(tmp_path / "ranking.csv")
    assert list(zip(ranked["optimizer.lr"], ranked["verdict"], strict=True)) == [
        (0.2, "best"), (0.3, "not told apart"), (0.1, "incomplete"),
    ]  # fmt: skip


def test_a_smaller_sweep_in_the_directory_of_a_larger_is_refused(command, tmp_path):
    RunDir(tmp_path / "sweep" / "2").write_json("config.json", {})
    done = command("--multirun", *SMALL, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert "contains jobs other than its 2: 2. Use another directory." in done.stderr


def test_a_job_that_another_process_holds_is_waited_for(command, tmp_path):
    first, held = (RunDir(tmp_path / "sweep" / name) for name in "01")
    held.write_json("status.json", {"state": "running", "pid": 12, "host": "elsewhere"})
    lock = FileLock(held / ".lock", thread_local=False)
    lock.acquire()
    before = []

    def release():
        while first.status().get("state") != "finished":
            time.sleep(0.05)
        time.sleep(0.5)  # for the other to wait
        before.append(held.status()["pid"])
        lock.release()

    thread = threading.Thread(target=release)
    thread.start()
    done = command("--multirun", *SMALL, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    thread.join()
    assert done.returncode == 0, done.stderr
    assert before == [12]
    assert "job 1 is waited for: another process (process 12 on elsewhere) is writing there" in done.stdout
    assert "waiting for it" not in done.stdout  # the job's own line is in its log
    assert "waiting for it" in (held / "run.log").read_text()
    assert states(tmp_path / "sweep") == dict.fromkeys(range(2), "finished")


def test_the_progress_of_the_checks_is_logged_at_intervals(monkeypatch, caplog):
    monkeypatch.setattr(_check.log, "propagate", True)
    caplog.set_level("INFO", _check.log.name)
    seconds = itertools.count(step=2)  # the clock is read once a check, and once more where a line is due
    monkeypatch.setattr(_check, "time", types.SimpleNamespace(monotonic=lambda: next(seconds)))
    findings = [Finding(None, str(number)) for number in range(12)]
    assert list(_check.progress(findings, 12)) == findings
    assert caplog.messages == [f"{count} of 12 jobs are checked" for count in (3, 6, 9)]


@pytest.mark.slow
def test_a_sweep_survives_a_killed_worker(tmp_path):
    """The worker is killed during training; joblib then stops the other too, and both jobs are resumed."""
    folder = tmp_path / "sweep"
    words = [sys.executable, str(ROOT / "run.py"), "--multirun", *SMALL, "dataset.sequences=2000", "trainer.epochs=60"]
    process = subprocess.Popen(
        [*words, "seed=0,1,2", f"hydra.sweep.dir={folder}", "hydra.launcher.n_jobs=2"], cwd=ROOT, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (folder / "0" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(json.loads((folder / "0" / "status.json").read_text())["pid"], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert states(folder) == dict.fromkeys(range(3), "finished")
    assert "Resumed after epoch" in (folder / "0" / "run.log").read_text()


AUTOENCODER = "model._target_=lstm_ae.models.autoencoder.Autoencoder"


@pytest.mark.slow
def test_a_job_whose_worker_is_always_killed_fails_and_other_jobs_do_not(command, tmp_path):
    folder = tmp_path / "sweep"
    one_dies = ",".join(f"'model._target_=tests.deadly.DiesInTraining seed={seed}'" for seed in (1, 2))
    words = ("--multirun", *SMALL, "dataset.sequences=2000", "trainer.epochs=60", "hydra.launcher.n_jobs=2",
             "seed=0,1,2", f"{AUTOENCODER},tests.deadly.DiesInTraining", f"hydra.sweeper.exclude=[{one_dies}]",
             f"hydra.sweep.dir={folder}")  # fmt: skip
    done = command(*words)
    assert done.returncode == 1
    ended = states(folder)
    (dead,) = (job for job, state in ended.items() if state == "failed")
    assert sorted(ended.values()) == ["failed", "finished", "finished", "finished"]
    assert "1 of 4 jobs failed:" in done.stderr
    assert f"{folder}/{dead}: failed, its worker was killed (out of memory, or by hand)" in done.stderr
    assert len(scores(folder)) == 4
    retried = command(*words, "retry_failed=true")
    assert retried.returncode == 1
    assert json.loads((folder / str(dead) / "status.json").read_text())["kills"] == 3  # the count starts again


def test_errors_while_building_users_models_are_reported_for_their_jobs(command, tmp_path):
    models = ",".join(f"tests.deadly.{name}" for name in ("DiesWhenBuilt", "Raises", "Nothing"))
    done = command("--multirun", *SMALL, f"{AUTOENCODER},{models}", f"hydra.sweep.dir={tmp_path}/sweep",
                   "hydra.launcher.n_jobs=2")  # fmt: skip
    assert done.returncode == 1
    assert "No job was started because some cannot run:" in done.stderr
    for job, message in enumerate(
        ("its worker was killed while the job was built. Is there enough memory?", "RuntimeError: shapes do not fit",
         "Nothing"), start=1,
    ):  # fmt: skip
        assert re.search(rf"\n  job {job} .*{re.escape(message)}", done.stderr), message
    assert "job 0" not in done.stderr


class TestFailures:
    """One job cannot write its history, which the check before the sweep cannot find."""

    @pytest.fixture
    def sweep(self, command, tmp_path):
        folder = tmp_path / "sweep"
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "history.csv").mkdir()
        base = ["--multirun", *SMALL, "seed=0,1,2", f"hydra.sweep.dir={folder}", "hydra.launcher.n_jobs=1"]
        return folder, lambda *more: command(*base, *more)

    def test_the_others_go_on_the_summary_names_it_and_it_can_be_retried(self, sweep):
        folder, run = sweep
        done = run()
        assert done.returncode == 1
        assert states(folder) == {0: "finished", 1: "failed", 2: "finished"}
        assert "1 of 3 jobs failed:" in done.stderr
        assert f"{folder}/1: failed, " in done.stderr
        assert "Traceback" in (folder / "1" / "run.log").read_text()
        (folder / "1" / "history.csv").rmdir()
        assert run().returncode == 1  # not retried by default
        assert states(folder)[1] == "failed"
        assert run("retry_failed=true").returncode == 0
        assert states(folder)[1] == "finished"

    def test_fail_fast_starts_no_more_jobs(self, sweep):
        folder, run = sweep
        assert run("fail_fast=true").returncode == 1
        assert states(folder) == {0: "finished", 1: "failed"}
        (folder / "1" / "history.csv").rmdir()
        assert run("fail_fast=true", "retry_failed=true").returncode == 0
        assert states(folder) == dict.fromkeys(range(3), "finished")


@pytest.fixture(scope="module")
def swept(command, tmp_path_factory):
    """A sweep of three jobs that has ended, and the words after its command."""
    folder, words = tmp_path_factory.mktemp("swept") / "sweep", ("--multirun", *TINY, "seed=0,1,2")
    assert command(*words, f"hydra.sweep.dir={folder}").returncode == 0
    return folder, words


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=() if name in ("empty", "pipe") else pytest.mark.slow) for name in DAMAGES]
)
def test_a_damaged_status_costs_one_job_at_most(command, swept, tmp_path, damage):
    source, words = swept
    folder, name = shutil.copytree(source, tmp_path / "sweep"), tmp_path / "sweep" / "1" / "status.json"
    DAMAGES[damage](name)
    done = command(*words, f"hydra.sweep.dir={folder}")
    assert "Traceback" not in done.stderr
    assert "Ranking:" in done.stdout
    kept = {file: content for file, content in outcome(source).items() if not file.startswith("1/")}
    found = outcome(folder)
    if done.returncode == 0:
        assert found == outcome(source)
        return
    assert "1 of 3 jobs failed:" in done.stderr
    assert f"{name} is " in done.stderr
    del kept["comparison.csv"]
    assert {file: found[file] for file in kept} == kept


def test_list_jobs_prints_the_jobs_and_their_directories_without_running_them(command, tmp_path):
    done = command("sweep=toy_grid", "list_jobs=true", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/sweep/17: optimizer.lr=0.001 model.hidden_size=32 trainer.gradient_clipping=5" in done.stdout
    assert not (tmp_path / "sweep").exists()


def test_combinations_can_be_left_out_or_listed(command):
    out = "hydra.sweeper.exclude=['optimizer.lr=0.1 model.hidden_size=32','optimizer.lr=0.001']"
    done = command("sweep=toy_grid", "list_jobs=true", out)
    assert done.stdout.count("trainer.gradient_clipping=") == 18 - 2 - 6
    done = command("sweep=toy_grid", "list_jobs=true", "hydra.sweeper.exclude=['optimizer.lr=1e-1']")  # by value
    assert done.stdout.count("trainer.gradient_clipping=") == 18 - 6
    done = command("sweep=toy_grid", "list_jobs=true", "hydra.sweeper.exclude=['optimizer.lr=0.2']")
    assert done.returncode == 1
    assert "must name combinations of this sweep, but no job has ['optimizer.lr=0.2']" in done.stderr
    listed = "hydra.sweeper.jobs=['optimizer.lr=0.1 model.hidden_size=8','optimizer.lr=0.01 model.hidden_size=32']"
    done = command("--multirun", "seed=0,1", "list_jobs=true", listed)
    assert done.stdout.count("seed=") == 4


def test_listed_combinations_are_multiplied_by_the_lists_of_a_preset(command):
    listed = "hydra.sweeper.jobs=['optimizer.lr=0.1 model.hidden_size=8',['optimizer.lr=0.01','model.hidden_size=32']]"
    done = command("sweep=kfold", "list_jobs=true", listed)
    assert [done.stdout.count(f"{words} fold=") for words in
            ("optimizer.lr=0.1 model.hidden_size=8", "optimizer.lr=0.01 model.hidden_size=32")] == [5, 5]  # fmt: skip
