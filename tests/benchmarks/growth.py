"""How time and memory grow: a step with its sequences, steps and units, a run compared with a bare loop.

python -m tests.benchmarks.growth

A growth of 1.0 is linear: twice as much takes twice as long. Below it, fixed costs are shared; above it, less fits the
processor's cache. A layer's products grow with the square of its units.
"""

import math
import statistics
import subprocess
import sys
from itertools import pairwise

import torch

from tests.benchmarks.trainer import bare, make
from tests.conftest import ROOT

START = {"sequences": 128, "steps": 50, "units": 8}
DOUBLINGS, ROUNDS = 4, 7
RUN = ("run.py", "experiment=toy_reconstruction", "trainer.epochs=3", "figures=false")
LOOP = """
import torch
x = torch.rand(6000, 50, 1)
encoder, decoder = torch.nn.LSTM(1, 16, batch_first=True), torch.nn.LSTM(16, 1, batch_first=True)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
for _ in range(3):
    for batch in x.split(128):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(decoder(encoder(batch)[0])[0], batch).backward()
        optimizer.step()
"""
PEAK = "\nimport resource; print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def seconds(sequences: int, steps: int, units: int) -> float:
    """Returns the seconds of a training step of the autoencoder."""
    subset, training = make(steps, 1, units)
    batch = subset.batch(torch.arange(sequences)).inputs
    bare(training, [batch])
    return statistics.median(bare(training, [batch]) for _ in range(ROUNDS))


def peak(code: str) -> int:
    """Returns the largest memory of a program, in KiB."""
    done = subprocess.run([sys.executable, "-c", code + PEAK], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout.rpartition("peak")[2])


def main() -> None:
    torch.set_num_threads(1)
    for name, first in START.items():
        sizes = [first * 2**i for i in range(DOUBLINGS)]
        found = [seconds(**(START | {name: size})) for size in sizes]
        growth = [math.log2(after / before) for before, after in pairwise(found)]
        print(
            f"{name} {sizes}: {[round(1e3 * one, 2) for one in found]} ms, growth {[round(one, 2) for one in growth]}"
        )
    run = f"import sys, runpy\nsys.argv = {list(RUN)!r}\ntry: runpy.run_path('run.py', run_name='__main__')\n"
    ours, theirs = peak(run + "except SystemExit: pass"), peak(LOOP)
    print(f"peak memory: a run {ours / 1024:.0f} MiB, a bare loop {theirs / 1024:.0f} MiB, {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
