"""A training step of the autoencoder, compared with others' ways to train the same model.

python -m tests.benchmarks.frameworks            one thread, five rounds in turn; needs keras, jax, lightning and skorch
python -m tests.benchmarks.frameworks 2 3        two threads, three rounds

Every one trains LSTM(features, hidden) and LSTM(hidden, features) by Adam on the mean squared error, with the gradient
clipped to a norm of 1, in batches of 128. A process measures one of them: seconds of its fastest epoch, by steps.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

#: Steps, features, hidden, and the sequences of an epoch.
SHAPES = {
    "1, 8, 50": (50, 1, 8, 1920),
    "1, 16, 50": (50, 1, 16, 1920),
    "1, 32, 50": (50, 1, 32, 1920),
    "28, 64, 28": (28, 28, 64, 640),
    "28, 128, 28": (28, 28, 128, 640),
    "1, 64, 784": (784, 1, 64, 128),
}
BATCH, EPOCHS = 128, 4  # the first epoch warms up, and is not counted
WAYS = ("ours", "bare loop", "Lightning", "skorch", "Keras on JAX", "Keras on torch")


def fastest(epoch: Callable[[], Any], sequences: int) -> float:
    """Returns the microseconds of a step, in the fastest epoch."""
    seconds = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:]) * 1e6 / (sequences / BATCH)


def ours(x: np.ndarray, hidden: int, threads: int) -> float:
    import torch

    from lstm_ae import SequenceData
    from lstm_ae.data.sequences import SequenceSubset
    from lstm_ae.models import Autoencoder
    from lstm_ae.tasks import Reconstruction
    from lstm_ae.trainer import Trainer, Training

    data = SequenceData.from_arrays(x)
    index = np.arange(len(x))
    trainer = Trainer(epochs=1, batch_size=BATCH, threads=threads)
    torch.set_num_threads(threads)
    model = trainer.place(Autoencoder(x.shape[2], hidden))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    training = Training(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0))
    subset = SequenceSubset(data, index, data.fit_scaling(index))
    return fastest(lambda: trainer._epoch(training, Reconstruction(), subset, {}), len(x))


def _module(features: int, hidden: int) -> Any:
    import torch

    class Pair(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.LSTM(features, hidden, batch_first=True)
            self.decoder = torch.nn.LSTM(hidden, features, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.decoder(self.encoder(x)[0])[0]

    return Pair()


def bare_loop(x: np.ndarray, hidden: int, threads: int) -> float:
    import torch

    torch.set_num_threads(threads)
    model, values = _module(x.shape[2], hidden), torch.from_numpy(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    parameters = list(model.parameters())

    def epoch() -> None:
        for positions in torch.randperm(len(values)).split(BATCH):
            batch = values[positions]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(batch), batch).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    return fastest(epoch, len(x))


def lightning(x: np.ndarray, hidden: int, threads: int) -> float:
    import logging

    import torch

    from lstm_ae.data.mnist import _torchvision

    _torchvision()  # Lightning imports it, and it needs help next to a torch without CUDA
    import lightning as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    seconds: list[float] = []

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.pair = _module(x.shape[2], hidden)

        def training_step(self, batch: Any, _: int) -> Any:
            return torch.nn.functional.mse_loss(self.pair(batch[0]), batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

        def on_train_epoch_start(self) -> None:
            seconds.append(-time.perf_counter())

        def on_train_epoch_end(self) -> None:
            seconds[-1] += time.perf_counter()

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x)), batch_size=BATCH, shuffle=True
    )
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", gradient_clip_val=1.0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Model(), loader)
    return min(seconds[1:]) * 1e6 / (len(x) / BATCH)


def skorch(x: np.ndarray, hidden: int, threads: int) -> float:
    import torch
    from skorch import NeuralNet
    from skorch.callbacks import GradientNormClipping

    torch.set_num_threads(threads)
    net = NeuralNet(
        _module(x.shape[2], hidden), torch.nn.MSELoss, optimizer=torch.optim.Adam, lr=0.01, max_epochs=1,
        batch_size=BATCH, train_split=None, iterator_train__shuffle=True, verbose=0,
        callbacks=[GradientNormClipping(1.0)],
    ).initialize()  # fmt: skip
    return fastest(lambda: net.partial_fit(x, x), len(x))


def keras(x: np.ndarray, hidden: int, threads: int) -> float:
    import keras as k

    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        torch.set_num_threads(threads)
    model = k.Sequential(
        [
            k.Input(x.shape[1:]),
            k.layers.LSTM(hidden, return_sequences=True),
            k.layers.LSTM(x.shape[2], return_sequences=True),
        ]
    )
    model.compile(optimizer=k.optimizers.Adam(0.01, global_clipnorm=1.0), loss="mse")
    return fastest(lambda: model.fit(x, x, batch_size=BATCH, epochs=1, verbose=0), len(x))


def child(way: str, threads: int) -> None:
    """Prints the microseconds of a step, by shape."""
    warnings.simplefilter("ignore")
    if threads == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # JAX takes no number of threads
    os.environ["KERAS_BACKEND"] = "jax" if way == "Keras on JAX" else "torch"
    measure = {"ours": ours, "bare loop": bare_loop, "Lightning": lightning, "skorch": skorch}.get(way, keras)
    found = {}
    for name, (steps, features, hidden, sequences) in SHAPES.items():
        x = np.random.default_rng(0).random((sequences, steps, features), dtype=np.float32)
        found[name] = measure(x, hidden, threads)
    print(json.dumps(found))


def main(threads: int = 1, rounds: int = 5) -> None:
    """Measures all ways in turn, and prints how many times as long as ours the others take."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            command = [sys.executable, "-m", "tests.benchmarks.frameworks", "child", way, str(threads)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                sys.exit(f"{way} failed:\n{ended.stderr}")
            found[way].append(json.loads(ended.stdout.splitlines()[-1]))
    print(f"{threads} thread(s), median of {rounds}: times our step, layer by features, hidden, steps")
    print(f"{'':16}" + "".join(f"{name:>14}" for name in SHAPES))
    for way in WAYS[1:]:
        ratios = {n: [a[n] / b[n] for a, b in zip(found[way], found["ours"], strict=True)] for n in SHAPES}
        print(f"{way:16}" + "".join(f"{statistics.median(ratios[name]):14.2f}" for name in SHAPES))
    own = {name: statistics.median(one[name] for one in found["ours"]) for name in SHAPES}
    print(f"{'ours, us':16}" + "".join(f"{own[name]:14.0f}" for name in SHAPES))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
