"""This machine's numbers: LSTM layers of the presets' sizes by the kernel and by nn.LSTM, and what to set.

python -m lstm_ae.benchmark                           half a minute
python -m lstm_ae.benchmark --sizes 6,24,100          of your own: features, hidden units, steps

A ratio is nn.LSTM's time over the kernel's, of a forward and a backward pass, the two in turn in one process: the
median over pairs. `LSTM_AE_KERNEL_ISA=avx2` measures what a processor without AVX-512 would run.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from lstm_ae.models.kernel import LSTM, unavailable
from lstm_ae.models.kernel.processor import processor

#: Features, hidden units, steps: encoders and decoders of the presets.
SIZES = ("1,8,50", "8,1,50", "1,16,50", "1,32,50", "28,16,28", "28,64,28", "28,128,28", "1,64,784")
WORTH = 1.15  # times the speed of one thread, from which on a second is advised


def side(kind: type[nn.LSTM], sizes: tuple[int, int, int], batch: int) -> Callable[[], object]:
    """Returns a call of a layer with all its gradients.

    Args:
        kind: Of the layer.
        sizes: Features, hidden units, steps.
        batch: Sequences.
    """
    features, hidden, steps = sizes
    torch.manual_seed(0)
    layer = kind(features, hidden, batch_first=True)
    inputs, gradient = torch.randn(batch, steps, features), torch.randn(batch, steps, hidden)
    parameters = list(layer.parameters())
    return lambda: torch.autograd.grad(layer(inputs)[0], parameters, gradient)


def measure(sides: Sequence[Callable[[], object]], seconds: float) -> list[list[float]]:
    """Returns the seconds of each call, the sides in turn.

    Args:
        sides: What to call.
        seconds: How long; each is called at least five times.
    """
    for call in [*sides, *sides]:
        call()  # the first compiles
    times: list[list[float]] = [[] for _ in sides]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, seen in zip(sides, times, strict=True):
            began = time.perf_counter()
            call()
            seen.append(time.perf_counter() - began)
    return times


def table(sizes: Sequence[str], batch: int, threads: Sequence[int], seconds: float) -> dict[tuple[str, int], float]:
    """Prints a row for each size and number of threads, and returns the kernel's median seconds of each.

    Args:
        sizes: Features, hidden units and steps, with commas between them.
        batch: Sequences.
        threads: Numbers of threads.
        seconds: Of each row.
    """
    row = "{:>22} {:>8} {:>11} {:>10} {:>6}"
    print(row.format("features,hidden,steps", "threads", "nn.LSTM us", "kernel us", "ratio"))
    found = {}
    for count in threads:
        torch.set_num_threads(count)
        for size in sizes:
            features, hidden, steps = (int(number) for number in size.split(","))
            plain, ours = measure([side(kind, (features, hidden, steps), batch) for kind in (nn.LSTM, LSTM)], seconds)
            ratio = statistics.median(a / b for a, b in zip(plain, ours, strict=True))
            found[size, count] = statistics.median(ours)
            print(row.format(size, count, f"{1e6 * statistics.median(plain):,.0f}",
                f"{1e6 * found[size, count]:,.0f}", f"{ratio:.2f}"), flush=True)  # fmt: skip
    return found


def advice(found: dict[tuple[str, int], float], threads: Sequence[int]) -> str:
    """Returns what to set, from the kernel's seconds by size and threads."""
    if len(threads) < 2:
        return "trainer.threads=1 is the default."
    first, last = threads[0], threads[-1]
    gains = {size: found[size, first] / found[size, last] for size, count in found if count == first}
    worth = [size for size, gain in gains.items() if gain > WORTH]
    if not worth:
        return f"{last} threads are not faster than {first} at these sizes: leave trainer.threads at 1."
    return (
        f"{last} threads are at least {WORTH:.2f} times as fast as {first} at {', '.join(worth)}: there "
        f"trainer.threads={last} pays for single runs, while nothing else runs. "
        "In a sweep leave it at 1: each core has a job."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints this machine's numbers."""
    parser = argparse.ArgumentParser(prog="python -m lstm_ae.benchmark", description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="FEATURES,HIDDEN,STEPS")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.5, help="of each row")
    options = parser.parse_args(arguments)
    reason: str | None = unavailable()
    if reason is None:
        isa = "AVX-512" if processor().has("avx512f") else "AVX2"
        print(f"{processor().name}, {isa}, batch {options.batch}, float32, forward and backward")
    else:
        print(f"The kernel cannot be used here, both sides are nn.LSTM: {reason}")
    found = table(options.sizes, options.batch, options.threads, options.seconds)
    print(advice(found, options.threads))


if __name__ == "__main__":
    main()
