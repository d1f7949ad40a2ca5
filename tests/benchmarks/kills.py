"""Kills and restarts a sweep: `python -m tests.benchmarks.kills`; about twenty minutes on two cores.

The process group of the 18-run toy grid is killed with SIGKILL at ten random times, each in its own directory, and the
sweep is started again. Its table must equal that of an uninterrupted sweep.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
KILLS = 10


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Starts the sweep."""
    words = [sys.executable, "run.py", "sweep=toy_grid", f"hydra.sweep.dir={folder}"]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def table(folder: Path) -> pd.DataFrame:
    """Returns the table of a sweep without the columns that depend on time or place."""
    return pd.read_csv(folder / "comparison.csv").drop(columns=["run", "seconds"])


def main() -> None:
    """Prints the time of each kill, and whether the table is the same."""
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        start(Path(place) / "undisturbed").wait()
        seconds = time.monotonic() - began
        expected = table(Path(place) / "undisturbed")
        print(f"undisturbed: {len(expected)} jobs in {seconds:.0f} s", flush=True)
        for number in range(KILLS):
            folder, moment = Path(place) / str(number), random.uniform(0, seconds)
            process = start(folder)
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done = len(list(folder.glob("*/metrics.json")))
            code = start(folder).wait()
            same = code == 0 and table(folder).equals(expected)
            print(
                f"killed after {moment:.1f} s, {done} jobs done: {'same table' if same else 'DIFFERENT TABLE'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
