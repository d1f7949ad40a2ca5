"""`python run.py` as a user types it: exit codes, messages, and what a kill leaves behind."""

import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lstm_ae import interrupts
from lstm_ae.run_dir import RunDir
from tests.conftest import ROOT, SMALL
from tests.test_experiment import read, results

LONG = (*SMALL, "dataset.sequences=2000", "trainer.epochs=60")  # seconds: it must not end before it is stopped


def start(*arguments, **options):
    words = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    # A shell that starts this in the background has children ignore Ctrl-C; a person's shell does not.
    return subprocess.Popen(words, cwd=ROOT, preexec_fn=_heed_ctrl_c, **options)


def _heed_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_epoch(path, epoch, process):
    deadline = time.monotonic() + 240  # a busy machine takes a minute to import torch
    while time.monotonic() < deadline:
        if (path / "history.csv").exists() and len(RunDir(path).read_history().get("epoch", [])) >= epoch:
            return
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.02)
    pytest.fail("no checkpoint within four minutes")


def test_a_run_ends_with_its_result_and_plain_lines(fresh_command, tmp_path):
    done = fresh_command(*SMALL, "model=bottleneck", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "reconstruction_mse: pca test" in done.stdout
    assert f"Run directory: {tmp_path}/run" in done.stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.stdout)
    assert (tmp_path / "run" / "run.log").read_text() == done.stdout


def test_a_model_that_copies_is_said_to_where_its_skill_would_stand(command, tmp_path):
    done = command(*SMALL, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert "skill over it" not in done.stdout
    assert "copies: its latent (150 values) is not smaller than the sequence (50)" in done.stdout


def test_the_console_command_is_the_same(tmp_path):
    words = ["-m", "lstm_ae.cli", "--cfg", "job", "model.hidden_size=5"]
    done, expected = (subprocess.run([sys.executable, *first, *words[2:]], cwd=ROOT, capture_output=True, text=True,
        check=True) for first in (words[:2], ["run.py"]))  # fmt: skip
    assert done.stdout == expected.stdout
    assert "hidden_size: 5" in done.stdout


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=nothing", "`model` has no option 'nothing'."),
        ("model=autoencodr", "`model` has no option 'autoencodr'. Did you mean model=autoencoder? There are: auto"),
        ("model.nothing=1", "There is no key 'model.nothing'."),
        ("model.hiden_size=1", "There is no key 'model.hiden_size'. Did you mean model.hidden_size?"),
        ("seed=abc", "Value 'abc' of type 'str' could not be converted to Integer"),
        ("model.hidden_size=0", "`model.hidden_size` must be at least 1, got 0"),
        ("hydra.run.dir=/proc/nothing/run", "`hydra.run.dir` must be a folder that can be written: "),
    ],
)
def test_bad_input_gives_a_message_exit_code_1_and_no_traceback(command, tmp_path, override, message):
    place = () if override.startswith("hydra.run.dir") else (f"hydra.run.dir={tmp_path}/run",)
    done = command(*place, override)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_traceback_is_there_for_those_who_ask(command, tmp_path):
    done = command(f"hydra.run.dir={tmp_path}/run", "model.hidden_size=0", env={**os.environ, "HYDRA_FULL_ERROR": "1"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_full_disk_ends_with_a_message_and_no_traceback(tmp_path):
    """The limit on a file's size stands for the full disk: the write of the checkpoint fails as it would there."""
    words = [sys.executable, str(ROOT / "run.py"), *SMALL, f"hydra.run.dir={tmp_path}/run"]
    code = (
        "import resource, signal, runpy, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); sys.argv = {words[1:]!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "must be a folder that can be written" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_killed_in_mid_training_and_started_again_ends_like_an_undisturbed_one(command, tmp_path):
    undisturbed = command(*LONG, f"hydra.run.dir={tmp_path}/undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    process = start(*LONG, f"hydra.run.dir={tmp_path}/run", stdout=subprocess.DEVNULL)
    wait_for_epoch(tmp_path / "run", 5, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read(tmp_path / "run", "status.json")["state"] == "running"
    resumed = command(*LONG, f"hydra.run.dir={tmp_path}/run")
    assert resumed.returncode == 0, resumed.stderr
    assert "Resumed after epoch" in resumed.stdout
    assert results(tmp_path / "run") == results(tmp_path / "undisturbed")


SIGNALS = [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP))]


def children():
    """The processor time of the processes that were waited for, seconds."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_with_a_message_within_seconds_and_keeps_the_checkpoint(tmp_path, number):
    endless, before = (*LONG, "trainer.epochs=100000", f"hydra.run.dir={tmp_path}/run"), children()
    process = start(*endless, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_epoch(tmp_path / "run", 3, process)
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    used = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    assert children() - before - used < interrupts.GRACE_SECONDS  # processor time: the machine may be busy
    assert process.returncode == 1
    assert "Interrupted. The checkpoint is kept; this goes on from it:" in stderr
    assert "Traceback" not in stderr
    assert read(tmp_path / "run", "status.json")["state"] == "interrupted"
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_on_a_terminal_there_is_a_progress_bar_and_a_table(tmp_path):
    controller, terminal = pty.openpty()
    process = start(*SMALL, f"hydra.run.dir={tmp_path}/run", stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "3/3" in text
    assert "skill over it" in text
    assert "epoch 1/3: loss" not in text  # that line goes to the log alone
    assert "epoch 1/3: loss" in (tmp_path / "run" / "run.log").read_text()
