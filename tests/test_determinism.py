"""The same job leaves the same files: a second time in a process, after others, and in another process."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_ae
from lstm_ae import cli
from lstm_ae.data.frames import from_arrays
from lstm_ae.models import BottleneckAutoencoder
from lstm_ae.tasks import Reconstruction
from tests.faulty import TINY
from tests.outcome import outcome
from tests.zygote import ROOT

#: Jobs that draw random numbers in every way that there is: weights, order, splits, noise, holes, latents, dropout.
JOBS = {
    "latents": (*TINY, "model=variational", "task=denoising", "scheduler=one_cycle"),
    "holes": (*TINY, "task=imputation", "model=bottleneck", "model.dropout=0.5", "split=kfold", "fold=1"),
    "future": (*TINY, "task=forecast", "model=forecaster", "optimizer=sgd"),
}
CODE = "import sys; from pathlib import Path; from tests.test_determinism import run; run(*map(Path, sys.argv[1:]))"


def run(*folders: Path) -> None:
    """Runs all jobs in each folder, in one order and then in the other."""
    for turn, folder in enumerate(folders):
        for name in list(JOBS)[:: (-1) ** turn]:
            sys.argv = ["run.py", *JOBS[name], f"hydra.run.dir={folder}/{name}"]
            assert cli.report_errors() == 0
        fit(folder / "fit")


def fit(path: Path) -> None:
    """Fits without a configuration."""
    data = from_arrays(np.random.default_rng(0).normal(size=(30, 12, 2)))
    model = functools.partial(BottleneckAutoencoder, hidden_size=4)
    trainer = functools.partial(lstm_ae.Trainer, epochs=3, threads=1, batch_size=8)
    lstm_ae.fit(data, model, Reconstruction, trainer=trainer, run_dir=path)


@pytest.fixture(scope="module")
def outcomes(python, tmp_path_factory):
    """What two turns in one process leave, and one in another, in which sets and dictionaries have another order."""
    folder = tmp_path_factory.mktemp("same")
    once = python(["-c", CODE, str(folder / "first"), str(folder / "again")], ROOT, None)
    assert once.returncode == 0, once.stderr
    words = [sys.executable, "-c", CODE, str(folder / "elsewhere")]
    other = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=False
    )
    assert other.returncode == 0, other.stderr
    return {
        turn: {name: outcome(folder / turn / name) for name in (*JOBS, "fit")}
        for turn in ("first", "again", "elsewhere")
    }


@pytest.mark.parametrize("name", [*JOBS, "fit"])
@pytest.mark.parametrize("turn", ["again", "elsewhere"])
def test_a_job_leaves_the_same_files_byte_for_byte(outcomes, turn, name):
    assert {"metrics.json", "history.csv", "model.pt"} <= outcomes["first"][name].keys()
    assert outcomes[turn][name] == outcomes["first"][name]
