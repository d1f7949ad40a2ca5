"""A signal ends a run as Ctrl-C does, and workers end with the process that started them."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lstm_ae import interrupts
from lstm_ae.run_dir import RunDir
from tests.conftest import SMALL
from tests.test_experiment import results, stop_after
from tests.zygote import ROOT


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_interrupts_once_and_the_handler_is_put_back(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def body():
        with interrupts.as_interrupt():
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(number)  # while the checkpoint is written

    with pytest.raises(KeyboardInterrupt, match=name):
        body()
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.as_interrupt():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminated_run_has_its_last_epoch_says_so_and_goes_on_bit_identically(run_in, tmp_path, monkeypatch):
    run_in(tmp_path / "undisturbed", *SMALL)

    class Terminated(BaseException):
        def __init__(self):
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        stop_after(patch, 2, Terminated)
        with pytest.raises(KeyboardInterrupt, match=r"this goes on from it:\n  python run.py hydra.run.dir="):
            run_in(tmp_path / "run", *SMALL)
    status = RunDir(tmp_path / "run").status()
    assert (status["state"], status["error"]) == ("interrupted", "SIGTERM")
    assert len(RunDir(tmp_path / "run").read_history()["epoch"]) == 2
    run_in(tmp_path / "run", *SMALL)
    assert results(tmp_path / "run") == results(tmp_path / "undisturbed")


WORKER = "import time; from lstm_ae.interrupts import end_with_sweep; end_with_sweep(); print('up', flush=True); {}"
PARENT = """
import os, subprocess, sys, time
os.environ["LSTM_AE_SWEEP_PROCESS"] = {parent}
worker = subprocess.Popen([sys.executable, "-c", {worker!r}], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("parent", "survives"), [("str(os.getpid())", False), ("'1'", True)])
def test_a_worker_ends_with_the_sweep_that_started_it_and_no_other(parent, survives):
    code = PARENT.format(parent=parent, worker=WORKER.format("time.sleep(60)"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + (1.5 if survives else 10)
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    survived = alive(worker)
    if survived:
        os.kill(worker, signal.SIGKILL)
    assert survived is survives


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


JOBLIB, RAY = "hydra.launcher.n_jobs=2", "hydra/launcher=cluster"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "number"),
    [(JOBLIB, signal.SIGKILL), (JOBLIB, signal.SIGTERM), (JOBLIB, signal.SIGINT), (RAY, signal.SIGKILL)],
    ids=["joblib, KILL", "joblib, TERM", "joblib, INT", "a local Ray, KILL"],
)
def test_the_sweeps_own_process_killed_leaves_no_worker_and_the_same_command_at_once_goes_on(
    tmp_path, launcher, number
):
    words = [
        sys.executable, str(ROOT / "run.py"), "--multirun", *SMALL, "seed=0,1", "trainer.epochs=400",
        launcher, f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]  # fmt: skip
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's background ignores
    first = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heard)
    jobs = [tmp_path / "sweep" / str(job) for job in range(2)]
    while not all((job / "checkpoint.pt").exists() for job in jobs) and first.poll() is None:
        time.sleep(0.05)
    workers = [json.loads((job / "status.json").read_text())["pid"] for job in jobs]
    first.send_signal(number)
    first.wait()
    if number != signal.SIGKILL:
        assert [RunDir(job).status()["state"] for job in jobs] == ["interrupted"] * 2
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert not any(alive(worker) for worker in workers)
    assert [RunDir(job).status()["state"] for job in jobs] == ["finished"] * 2
