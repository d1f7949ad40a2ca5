"""Very many jobs, some of which fail in every way: each is accounted for, and the sweep's own process does not grow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lstm_ae.run_dir import RunDir
from tests.deadly import CURED
from tests.faulty import TINY
from tests.zygote import ROOT

#: How a job fails: its model, its state, its error, and its state after the same command without what was wrong.
RAISES = ("RaisesInTraining", "failed", "RuntimeError: shapes do not fit", "failed")
DIVERGES = ("Diverges", "diverged", None, "diverged")
DIES = ("DiesInTraining", "failed", "its worker was killed", "finished")
FULL = ("FillsDisk", "interrupted", "No space left on device", "finished")
FAULTS = [RAISES, DIVERGES, DIES, FULL, *[RAISES, DIVERGES, FULL] * 2]  # a worker's death costs many seconds
WELL = (None, "finished", None, "finished")
MEMORY = 2  # MB that the second half of the jobs may add, with 6 KB for each: its result and its overrides


def sweep(words, env, errors):
    """Runs a sweep and returns its exit code and its resident memory in MB as the end of each job is told."""
    held = {}
    with (
        errors.open("w") as file,
        subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *words], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE,
            stderr=file,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if ended := re.search(r"\((\d+) of \d+\)$", line):
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                held[int(ended[1])] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return process.returncode, held


def states(folder, jobs):
    return {job: RunDir(folder / str(job)).status().get("state") for job in range(jobs)}


@pytest.mark.parametrize(
    ("jobs", "every"),
    [pytest.param(40, 10, marks=pytest.mark.slow), pytest.param(2000, 20, marks=pytest.mark.exhaustive)],
)
def test_every_job_is_accounted_for_and_the_sweep_itself_does_not_grow(tmp_path, jobs, every):
    folder, errors = tmp_path / "sweep", tmp_path / "errors"
    kinds = [FAULTS[job // every % len(FAULTS)] if job % every == every // 2 else WELL for job in range(jobs)]
    listed = [
        f"seed={job}" + f" model._target_=tests.deadly.{kind[0]}" * (kind != WELL) for job, kind in enumerate(kinds)
    ]
    words = ["--multirun", *TINY, "trainer.epochs=1", "hydra.launcher.n_jobs=2", f"hydra.sweeper.jobs={listed}",
             f"hydra.sweep.dir={folder}"]  # fmt: skip

    code, held = sweep(words, dict(os.environ), errors)
    assert code == 1
    assert states(folder, jobs) == {job: kind[1] for job, kind in enumerate(kinds)}
    failed = {job: kind for job, kind in enumerate(kinds) if kind[1] in ("failed", "interrupted")}
    said = errors.read_text()
    assert f"{len(failed)} of {jobs} jobs failed:" in said
    for job, (_, state, error, _) in failed.items():
        assert re.search(rf"{folder}/{job}: {state}, .*{error}", said), job
    table = pd.read_csv(folder / "comparison.csv", index_col="seed")
    for job, (_, state, error, _) in enumerate(kinds):
        assert table["state"][job] == state
        assert pd.isna(table["error"][job]) if error is None else error in table["error"][job]
    half = {count: memory for count, memory in held.items() if count >= jobs // 2}
    print(f"memory of the sweep, MB: first {held[min(held)]}, at half {half[min(half)]}, at most {max(half.values())}")
    assert len(half) > jobs // 4
    assert max(half.values()) - half[min(half)] < MEMORY + 0.006 * len(half)

    code, _ = sweep([*words, "retry_failed=true"], os.environ | {CURED: "1"}, errors)
    assert code == 1
    assert states(folder, jobs) == {job: kind[3] for job, kind in enumerate(kinds)}
    assert f"{kinds.count(RAISES)} of {jobs} jobs failed:" in errors.read_text()
