"""A process that runs many jobs, such as a sweep's worker, holds no more after the last than after the first few."""

import json
import statistics
from itertools import pairwise

import pytest

from tests.leaks import EVERY
from tests.zygote import ROOT

WARM = 2  # lines of `tests.leaks` before caches are full
MEMORY = 10  # KiB a run: less than what a run could keep, its data or its configuration
RUNS = [pytest.param(100, marks=pytest.mark.slow), pytest.param(500, marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("runs", RUNS)
def test_memory_files_and_threads_stay_flat_over_many_runs(python, runs):
    done = python(["-m", "tests.leaks", str(runs)], ROOT, None)
    assert done.returncode == 0, done.stderr
    held = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")][WARM:]
    print(f"after {WARM * EVERY} runs {held[0]}, after {runs} {held[-1]}")
    for name in ("files", "threads", "tasks"):
        assert len({one[name] for one in held}) == 1, name
    growth = [after["memory"] - before["memory"] for before, after in pairwise(held)]
    assert statistics.median(growth) <= MEMORY * EVERY, growth  # the allocator's own steps are rare
