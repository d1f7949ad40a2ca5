"""Updates per second with one thread and with more, alternating: to choose the default of `trainer.threads`.

python -m tests.benchmarks.threads
"""

import os
import statistics

import torch

from tests.benchmarks.trainer import BATCH, SEQUENCES, bare, make

CASES = {"toy, hidden 8": (50, 1, 8), "toy, hidden 32": (50, 1, 32), "prices, hidden 32": (30, 1, 32),
         "28 x 28 rows, hidden 8": (28, 28, 8), "28 x 28 rows, hidden 64": (28, 28, 64)}  # fmt: skip
ROUNDS = 9


def main() -> None:
    for name, shape in CASES.items():
        subset, training = make(*shape)
        batches = [subset.batch(positions).inputs for positions in torch.arange(SEQUENCES // 2).split(BATCH)]

        def measure(threads: int, training=training, batches=batches) -> float:
            torch.set_num_threads(threads)
            return bare(training, batches)

        measure(1)
        for threads in sorted({2, os.cpu_count() or 1}):
            ratios = [measure(1) / measure(threads) for _ in range(ROUNDS)]
            print(
                f"{name}: {threads} threads do {statistics.median(ratios):.2f} times the updates of one "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
