"""Runs a job again and again in one process, and prints what the process holds: `python -m tests.leaks RUNS`."""

import gc
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from lstm_ae import cli
from tests.faulty import TINY

EVERY = 10  # runs between two lines


def held() -> dict[str, int]:
    """Returns resident memory in KiB, open files, and threads."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),  # noqa: PTH208
    }


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        with tempfile.TemporaryDirectory() as folder:
            sys.argv = ["run.py", *TINY, f"hydra.run.dir={folder}/run"]
            assert cli.report_errors() == 0
        if (number + 1) % EVERY == 0:
            print(json.dumps(held()), file=sys.stderr, flush=True)
