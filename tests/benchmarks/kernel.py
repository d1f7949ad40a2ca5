"""The LSTM kernel and nn.LSTM in turn in one process, by size of the layer, on one and two threads.

python -m tests.benchmarks.kernel [--seconds 3] [--batch 128] [--threads 1 2] [--no-gradients] [--sizes 1,8,50 ...]

A ratio is nn.LSTM's time over the kernel's: the median over pairs of calls that follow each other, and that of the
fastest calls. `LSTM_AE_KERNEL_ISA=avx2` measures what a processor without AVX-512 would run.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from lstm_ae.models.kernel import LSTM, unavailable
from lstm_ae.models.kernel.processor import processor

#: Inputs, hidden units, steps: encoders and decoders of the presets.
SIZES = ["1,8,50", "8,1,50", "1,16,50", "16,1,50", "1,32,50", "32,1,50", "28,16,28", "16,28,28", "28,64,28", "64,28,28",
         "28,128,28", "1,64,784"]  # fmt: skip


def side(kind: type[nn.LSTM], sizes: tuple[int, int, int], batch: int, gradients: bool) -> Callable[[], object]:
    """A call of a layer, with all gradients if wanted. An encoder reads data; a decoder another layer's states."""
    inputs, hidden, steps = sizes
    torch.manual_seed(0)
    layer = kind(inputs, hidden, batch_first=True)
    if isinstance(layer, LSTM):
        layer.kernel = True
    decodes = inputs not in (1, 28)

    def states(features: int) -> torch.Tensor:  # as a layer of this kind returns them
        rows = torch.randn(steps, features, batch).permute(2, 0, 1)
        return rows if kind is LSTM else rows.contiguous()

    x = states(inputs).requires_grad_() if decodes else torch.randn(batch, steps, inputs)
    wanted, gradient = [*([x] if decodes else []), *layer.parameters()], states(hidden)

    def call() -> object:
        if gradients:
            return torch.autograd.grad(layer(x)[0], wanted, gradient)
        with torch.no_grad():
            return layer(x)

    return call


def measure(sides: list[Callable[[], object]], seconds: float) -> list[list[float]]:
    """Seconds of each call, the sides in turn."""
    for _ in range(2):
        for call in sides:
            call()
    times: list[list[float]] = [[] for _ in sides]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, seen in zip(sides, times, strict=True):
            began = time.perf_counter()
            call()
            seen.append(time.perf_counter() - began)
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-gradients", action="store_true")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    options = parser.parse_args()
    if (reason := unavailable()) is not None:
        raise SystemExit(reason)
    print(f"{processor().name}, {'AVX-512' if processor().has('avx512f') else 'AVX2'}, batch {options.batch}, "
          f"{'forward only' if options.no_gradients else 'forward and backward'}")  # fmt: skip
    row = "{:>20} {:>8} {:>11} {:>10} {:>6} {:>10}"
    print(row.format("inputs,hidden,steps", "threads", "nn.LSTM us", "kernel us", "ratio", "of fastest"))
    for threads in options.threads:
        torch.set_num_threads(threads)
        for text in options.sizes:
            inputs, hidden, steps = (int(number) for number in text.split(","))
            sides = [
                side(kind, (inputs, hidden, steps), options.batch, not options.no_gradients) for kind in (nn.LSTM, LSTM)
            ]
            theirs, ours = measure(sides, options.seconds)
            ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
            ours_us, theirs_us = (f"{statistics.median(times) * 1e6:,.0f}" for times in (ours, theirs))
            fastest = f"{min(theirs) / min(ours):.2f}"
            print(row.format(text, threads, theirs_us, ours_us, f"{ratio:.2f}", fastest), flush=True)


if __name__ == "__main__":
    main()
