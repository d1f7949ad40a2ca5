"""The overhead of a sweep: `python -m tests.benchmarks.sweep`; about twenty minutes on two cores.

launchers: the 18-run toy grid with `parallel` and with Hydra's basic launcher with two threads per job, alternating.
cost: the time from the end of one job to the end of the next, minus its epochs, on one worker.
memory: the memory of each worker early and late in a sweep of 500 two-epoch jobs.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 5
JOBS = 500
WARM = 100  # jobs after which a worker has loaded everything


def sweep(folder: Path, *arguments: str, threads: int | None = None) -> float:
    """Runs a sweep and returns its seconds."""
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    variables |= {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    subprocess.run([sys.executable, "run.py", *arguments, f"hydra.sweep.dir={folder}"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL, env=variables)  # fmt: skip
    return time.perf_counter() - began


def launchers(folder: Path) -> None:
    """Prints the time of the grid with each launcher."""
    ratios = []
    for number in range(ROUNDS):
        parallel = sweep(folder / f"parallel{number}", "sweep=toy_grid")
        basic = sweep(folder / f"basic{number}", "sweep=toy_grid", "hydra/launcher=basic", threads=2)
        ratios.append(parallel / basic)
        print(f"toy grid, 18 runs: parallel {parallel:.0f} s, basic with two threads {basic:.0f} s", flush=True)
    between = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"parallel: {statistics.median(ratios):.2f} of the basic launcher's time ({between})")


def cost(folder: Path) -> None:
    """Prints the overhead of a job on a warm worker."""
    sweep(folder, "--multirun", "experiment=toy_reconstruction", "seed=range(0,40)", "trainer.epochs=2",
        "hydra.launcher.n_jobs=1")  # fmt: skip
    runs = sorted(folder.glob("*/status.json"), key=lambda path: int(path.parent.name))[5:]
    times = [json.loads(path.read_text()) for path in runs]
    ends = [datetime.fromisoformat(status["end"]).timestamp() for status in times]
    epochs = [json.loads(path.with_name("metrics.json").read_text())["seconds"] for path in runs]
    costs = [end - before - trained for before, end, trained in zip(ends, ends[1:], epochs[1:], strict=False)]
    print(f"overhead per job: {1000 * statistics.median(costs):.0f} ms (median of {len(costs)})")


def memory(folder: Path) -> None:
    """Prints the memory of each worker early and late in a long sweep."""
    process = subprocess.Popen([sys.executable, "run.py", "--multirun",
        "experiment=toy_reconstruction", f"seed=range(0,{JOBS})", "trainer.epochs=2",
        "dataset.sequences=1000", f"hydra.sweep.dir={folder}"], cwd=ROOT, stdout=subprocess.DEVNULL)  # fmt: skip
    seen: dict[int, list[tuple[int, float]]] = {}
    while process.poll() is None:
        time.sleep(1)
        states = [json.loads(path.read_text()) for path in folder.glob("*/status.json")]
        for pid in {status["pid"] for status in states if status["state"] == "running"}:
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
            seen.setdefault(pid, []).append((len(states), pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
    done = len(list(folder.glob("*/metrics.json")))
    print(f"{done} of {JOBS} jobs done, exit code {process.returncode}")
    for pid, found in seen.items():
        early = statistics.median(size for jobs, size in found if WARM <= jobs < 2 * WARM)
        late = statistics.median(size for jobs, size in found if jobs >= JOBS - WARM)
        print(f"worker {pid}: {early:.0f} MiB after {WARM} jobs, {late:.0f} MiB after {JOBS - WARM} jobs")


def main() -> None:
    """Runs all three benchmarks, or those named on the command line."""
    named = sys.argv[1:] or ["launchers", "cost", "memory"]
    with tempfile.TemporaryDirectory() as folder:
        for name in named:
            {"launchers": launchers, "cost": cost, "memory": memory}[name](Path(folder) / name)


if __name__ == "__main__":
    main()
