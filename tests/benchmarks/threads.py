"""Seconds of a toy epoch with one thread and with two, on an idle machine and on a busy one: the default's reasons.

python -m tests.benchmarks.threads
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from tests.benchmarks.trainer import BATCH, make, ours

SEQUENCES, SECONDS, ROUNDS = 3000, 6, 3
#: Trainings at a time, and processes that do nothing but compute.
SITUATIONS = {"by itself": (1, 0), "two side by side": (2, 0), "two, next to two busy processes": (2, 2)}


def child(threads: int, kernel: bool) -> None:
    """Prints the median and the longest epoch of some seconds of training."""
    from lstm_ae.trainer import Trainer

    trainer = Trainer(epochs=1, batch_size=BATCH, device="cpu", threads=threads)
    subset, training = make(50, 1, 16, kernel=None if kernel else False)
    torch.set_num_threads(threads)
    ours(training, trainer, subset)
    found, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or not found:
        found.append(ours(training, trainer, subset))
    print(json.dumps([statistics.median(found), max(found)]))


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that compute without end."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure(threads: int, kernel: bool, trainings: int, others: int) -> tuple[float, float]:
    """Returns the median and the longest epoch of trainings at the same time."""
    command = [sys.executable, "-m", "tests.benchmarks.threads", str(threads), str(int(kernel))]
    with busy(others):
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(trainings)]
        found = [json.loads(process.communicate()[0]) for process in running]
    return statistics.median(one[0] for one in found), max(one[1] for one in found)


def main() -> None:
    for kernel in (True, False):
        print("with the kernel" if kernel else "without the kernel")
        for name, situation in SITUATIONS.items():
            for threads in (1, 2):
                found = [measure(threads, kernel, *situation) for _ in range(ROUNDS)]
                usual, longest = statistics.median(one[0] for one in found), max(one[1] for one in found)
                print(f"  {name}, {threads} thread(s): {usual:.2f} s an epoch, at most {longest:.2f} s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(int(sys.argv[1]), bool(int(sys.argv[2])))
    else:
        main()
