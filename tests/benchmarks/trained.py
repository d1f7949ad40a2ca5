"""A trained model in use: scoring next to a bare forward pass, a window by ONNX, a large file's memory.

python -m tests.benchmarks.trained                times of the processor, one thread: others' work changes them little
python -m tests.benchmarks.trained file ROWS      scores a file of so many rows
"""

import contextlib
import functools
import io
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import lstm_ae
from lstm_ae import export, score
from lstm_ae.models import BottleneckAutoencoder, Forecaster
from lstm_ae.tasks import Forecast, Reconstruction
from lstm_ae.trained import Trained

SIZES = ((5, 16, 48), (3, 32, 30), (1, 16, 50))  # features, hidden units, window
ROWS, BATCH, ROUNDS, CHUNK = 20_000, 1024, 9, 100_000


def table(rows: int, features: int, first: int = 0) -> pd.DataFrame:
    time = np.arange(first, first + rows)
    noise = np.random.default_rng(first).normal(0, 0.1, (rows, features))
    values = np.round(np.sin(time[:, None] / 9 + np.arange(features)) + noise, 4)
    return pd.DataFrame(values, columns=[f"s{place}" for place in range(features)]).assign(time=time)


def train(folder: str, features: int, window: int, model: functools.partial, task=Reconstruction) -> Trained:
    data = lstm_ae.SequenceData.from_frame(table(3000, features), time="time", window=window)
    with contextlib.redirect_stdout(io.StringIO()):
        return lstm_ae.fit(data, model, task, epochs=1, run_dir=folder).trained


def seconds(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def scoring(features: int, hidden: int, window: int) -> None:
    """Rows a second next to a bare forward pass of the same windows."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(folder, features, window, functools.partial(BottleneckAutoencoder, hidden_size=hidden))
    rows = table(ROWS, features).drop(columns="time").to_numpy(np.float32)
    windows = torch.from_numpy(rows).unfold(0, window, 1).transpose(1, 2)
    batches = [one.contiguous() for one in torch.split(windows, BATCH)]

    @torch.no_grad()
    def bare() -> None:
        for batch in batches:
            trained.model(batch)

    def scored() -> None:
        stream = trained.stream()
        stream.extend(rows)
        stream.finish()

    bare(), scored()
    pairs = [(seconds(bare), seconds(scored)) for _ in range(ROUNDS)]
    ratio = statistics.median(one / other for one, other in pairs)
    rate = ROWS / statistics.median(other for _, other in pairs)
    print(f"{features} features, {hidden} units, windows of {window}: {ratio:.2f} of the bare pass, {rate:,.0f} rows/s")


def row_of_a_stream(features: int, hidden: int, window: int) -> None:
    """Milliseconds from a row to the score that it completes."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(folder, features, window, functools.partial(BottleneckAutoencoder, hidden_size=hidden))
    rows, stream = iter(table(1200, features).drop(columns="time").to_numpy(np.float32)), trained.stream()
    times = [seconds(lambda: stream.update(next(rows))) for _ in range(1200)][200:]
    print(f"{features} features, {hidden} units, windows of {window}: {1e3 * statistics.median(times):.2f} ms a row")


def window_by_onnx(name: str, model: functools.partial, task=Reconstruction) -> None:
    """Milliseconds of one window of 48 steps, all outputs."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        export.export(train(folder, 2, 48, model, task), Path(folder) / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options)
    window = table(48, 2).drop(columns="time").to_numpy(np.float32)[None]
    times = [seconds(lambda: session.run(None, {"x": window})) for _ in range(3000)]
    print(f"{name}: {1e3 * statistics.median(times):.3f} ms a window")


def file(rows: int) -> None:
    """Seconds and memory of `python -m lstm_ae.score`."""
    with tempfile.TemporaryDirectory() as folder:
        train(f"{folder}/run", 3, 12, functools.partial(BottleneckAutoencoder, hidden_size=4))
        for first in range(0, rows, CHUNK):
            part = table(min(CHUNK, rows - first), 3, first)
            part.to_csv(f"{folder}/data.csv", mode="a", header=first == 0, index=False)
        began = time.perf_counter()
        score.main([f"{folder}/run", f"{folder}/data.csv", "--output", f"{folder}/scores.csv"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows: {time.perf_counter() - began:.0f} s, {peak:.0f} MiB")


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["file"]:
        file(int(sys.argv[2]))
        return
    for sizes in SIZES:
        scoring(*sizes)
    row_of_a_stream(4, 64, 24)
    window_by_onnx("autoencoder", functools.partial(BottleneckAutoencoder, hidden_size=16))
    forecaster = functools.partial(Forecaster, hidden_size=16, horizon=6)
    window_by_onnx("forecaster", forecaster, functools.partial(Forecast, horizon=6))


if __name__ == "__main__":
    main()
