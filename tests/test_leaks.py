"""A process that runs many jobs, such as a sweep's worker, holds no more after the last than after the first few."""

import json
import sys
from itertools import pairwise

import pytest

from tests.zygote import ROOT

WARM = 2  # lines of `tests.leaks` before caches are full
MEMORY = 30  # KiB a run: less than the smallest thing that a run could keep, its weights and its data


@pytest.mark.parametrize(
    "runs", [pytest.param(100, marks=pytest.mark.slow), pytest.param(500, marks=pytest.mark.exhaustive)]
)
def test_memory_files_and_threads_stay_flat_over_many_runs(python, runs):
    done = python(["-m", "tests.leaks", str(runs)], ROOT, None)
    assert done.returncode == 0, done.stderr
    held = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")][WARM:]
    print(held, file=sys.stderr)
    for name in ("files", "threads", "tasks"):
        assert len({one[name] for one in held}) == 1, name
    growth = [after["memory"] - before["memory"] for before, after in pairwise(held)]
    assert sum(growth) <= MEMORY * 10 * len(growth), growth
