"""The cost of `python -m lstm_ae.compare` with thousands of runs: time and memory of a table, time of --help.

python -m tests.benchmarks.compare
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT

COUNTS = (2_500, 5_000, 10_000)
ROUNDS = 3
PATTERN = ROOT / "multirun" / "reference" / "ours" / "origin_toy" / "0"


def write_runs(folder: Path, count: int) -> None:
    """Writes runs like a real one: a random search over lr, five hidden sizes, ten seeds."""
    config, metrics, status = (json.loads((PATTERN / f"{n}.json").read_text()) for n in ("config", "metrics", "status"))
    history = (PATTERN / "history.csv").read_text()
    for number in range(count):
        run = folder / str(number)
        run.mkdir(parents=True)
        config["seed"], config["model"]["hidden_size"] = number % 10, 2 ** (number // 10 % 5)
        config["optimizer"]["lr"] = 0.1 / (1 + number // 50)
        metrics["validation"]["loss"] = (number * 7919 % count) / count
        for name, content in (("config", config), ("metrics", metrics), ("status", status)):
            (run / f"{name}.json").write_text(json.dumps(content, indent=2))
        (run / "history.csv").write_text(history)


def measure(*arguments: object) -> tuple[float, float, float]:
    """Returns the wall time, the CPU time and the peak memory (MB) of a command."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
    code += "print(used.ru_maxrss, used.ru_utime + used.ru_stime)"
    command = [sys.executable, "-c", code, sys.executable, "-m", "lstm_ae.compare", *map(str, arguments)]
    began = time.perf_counter()
    peak, cpu = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    seconds = time.perf_counter() - began
    return seconds, float(cpu), int(peak) / (1024 if sys.platform == "linux" else 1024**2)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            write_runs(Path(folder) / str(count), count)
            taken = [measure(Path(folder) / str(count)) for _ in range(ROUNDS)]
            seconds, cpu, peak = (statistics.median(column) for column in zip(*taken, strict=True))
            print(f"{count} runs: {seconds:.2f} s, CPU {cpu:.2f} s, {peak:.0f} MB")
    print(f"--help: {statistics.median(measure('--help')[0] for _ in range(ROUNDS)):.2f} s")


if __name__ == "__main__":
    main()
