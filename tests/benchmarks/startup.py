"""The time of `python run.py --cfg job` relative to `python -c "import hydra.main"`, alternating.

python -m tests.benchmarks.startup
"""

import statistics
import subprocess
import sys
import time

from tests.conftest import ROOT

COMMANDS = (["run.py", "--cfg", "job"], ["-c", "import hydra.main"])
ROUNDS = 25


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    ratios = []
    for _ in range(ROUNDS + 1):
        ours, theirs = (seconds(arguments) for arguments in COMMANDS)
        ratios.append(ours / theirs)
    ratios = ratios[1:]  # the first round fills the file system's cache
    print(f"--cfg job: {statistics.median(ratios):.2f} of the import ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
