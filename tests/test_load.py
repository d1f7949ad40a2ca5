"""Very many jobs, some of which fail in every way: each is accounted for, and the sweep's own process does not grow."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from lstm_ae.run_dir import RunDir
from tests.deadly import CURED, trouble
from tests.faulty import TINY
from tests.zygote import ROOT

#: By what goes wrong in a job: its state, its error, and its state after the same command without what was wrong.
ENDS = {
    None: ("finished", None, "finished"),
    "raises": ("failed", "RuntimeError: shapes do not fit", "failed"),
    "diverges": ("diverged", None, "diverged"),
    "dies": ("failed", "its worker was killed", "finished"),
    "fills disk": ("interrupted", "No space left on device", "finished"),
}
MEMORY = 4  # MB that the second half of the jobs may add, and 6 KB for each: its result and its overrides


def sweep(words, env, errors):
    """Runs a sweep and returns its exit code, its output, and its resident memory in MB at the end of each job."""
    held, shown = {}, []
    with (
        errors.open("w") as file,
        subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *words], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE,
            stderr=file,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            shown.append(line)
            if ended := re.search(r"\((\d+) of \d+\)$", line):
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                held[int(ended[1])] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return process.returncode, "".join(shown), held


def states(folder, jobs):
    return {job: RunDir(folder / str(job)).status().get("state") for job in range(jobs)}


@pytest.mark.parametrize(
    ("jobs", "every"),
    [pytest.param(40, 10, marks=pytest.mark.slow), pytest.param(2000, 20, marks=pytest.mark.exhaustive)],
)
def test_every_job_is_accounted_for_and_the_sweep_itself_does_not_grow(tmp_path, jobs, every):
    folder, errors = tmp_path / "sweep", tmp_path / "errors"
    ends = [ENDS[trouble(seed, every)] for seed in range(jobs)]
    words = ["--multirun", *TINY, "trainer.epochs=1", "model._target_=tests.deadly.Troubled", f"+model.every={every}",
             f"seed=range(0,{jobs})", "hydra.launcher.n_jobs=2", "retry_failed=true",
             f"hydra.sweep.dir={folder}"]  # fmt: skip

    code, shown, held = sweep(words, dict(os.environ), errors)
    assert code == 1
    assert states(folder, jobs) == {job: state for job, (state, _, _) in enumerate(ends)}
    failed = {job: end for job, end in enumerate(ends) if end[0] in ("failed", "interrupted")}
    said = errors.read_text()
    assert f"{len(failed)} of {jobs} jobs failed:" in said
    for job, (state, error, _) in failed.items():
        assert re.search(rf"{folder}/{job}: {state}, .*{error}", said), job
    count = Counter(state for state, _, _ in ends)
    assert re.search(
        ", ".join(rf"{count[state]} {state}" for state in sorted(count, key=count.get, reverse=True)), shown
    )
    begun = {job: (folder / str(job) / "run.log").read_text().count("sequences of") for job in failed}
    assert {begun[job] for job, end in failed.items() if end == ENDS["raises"]} == {1}  # also where a worker died later
    table = pd.read_csv(folder / "comparison.csv", index_col="seed")
    for job, (state, error, _) in enumerate(ends):
        assert table["state"][job] == state
        assert pd.isna(table["error"][job]) if error is None else error in table["error"][job]
    half = {count: memory for count, memory in held.items() if count >= jobs // 2}
    print(f"memory of the sweep, MB: first {held[min(held)]}, at half {half[min(half)]}, at most {max(half.values())}")
    assert len(half) > jobs // 4
    assert max(half.values()) - half[min(half)] < MEMORY + 0.006 * len(half)

    code, _, _ = sweep(words, os.environ | {CURED: "1"}, errors)
    assert code == 1
    assert states(folder, jobs) == {job: state for job, (_, _, state) in enumerate(ends)}
    assert f"{[state for _, _, state in ends].count('failed')} of {jobs} jobs failed:" in errors.read_text()
