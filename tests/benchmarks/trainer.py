"""The trainer's samples a second compared with bare loops over ready-made batches: the same layers, and nn.LSTM.

python -m tests.benchmarks.trainer
"""

import statistics
import time

import numpy as np
import torch
from torch import nn

from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.models import Autoencoder
from lstm_ae.tasks import Reconstruction
from lstm_ae.trainer import Trainer, Training

CASES = {"toy, hidden 8": (50, 1, 8), "toy, hidden 16": (50, 1, 16), "toy, hidden 32": (50, 1, 32),
         "28 x 28 rows, hidden 64": (28, 28, 64)}  # fmt: skip
SEQUENCES, BATCH, ROUNDS = 3000, 128, 15


def make(time_steps: int, features: int, hidden: int, kernel: bool | None = None) -> tuple[SequenceSubset, Training]:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(SEQUENCES * time_steps, features, generator=generator)
    starts = torch.arange(SEQUENCES) * time_steps
    scaling = Scaling("fixed", shift=0.5, scale=0.5)
    data = SequenceData(values, starts, time_steps, np.zeros(SEQUENCES, dtype=bool), scaling)
    everything = np.arange(SEQUENCES)
    torch.manual_seed(0)
    model = Autoencoder(features, hidden)
    model.encoder.kernel = model.decoder.kernel = kernel
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=kernel is None)
    training = Training(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0))
    return SequenceSubset(data, everything, data.fit_scaling(everything)), training


def bare(training: Training, batches: list[torch.Tensor]) -> float:
    """Seconds of one epoch of the loop that one would write by hand."""
    model, optimizer = training.model, training.optimizer
    parameters = list(model.parameters())
    model.train()
    began = time.perf_counter()
    for batch in batches:
        states, _ = model.encoder(batch)
        reconstruction, _ = model.decoder(states)
        loss = nn.functional.mse_loss(reconstruction, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return time.perf_counter() - began


def ours(training: Training, trainer: Trainer, subset: SequenceSubset) -> float:
    """Seconds of one epoch of the trainer."""
    began = time.perf_counter()
    trainer._epoch(training, Reconstruction(), subset, {})
    return time.perf_counter() - began


def main() -> None:
    trainer = Trainer(epochs=1, batch_size=BATCH, device="cpu")
    torch.set_num_threads(trainer.threads)
    for name, shape in CASES.items():
        subset, by_trainer = make(*shape)
        loops = {"the same layers": make(*shape)[1], "nn.LSTM": make(*shape, kernel=False)[1]}
        batches = [subset.batch(positions).inputs for positions in torch.arange(SEQUENCES).split(BATCH)]
        ours(by_trainer, trainer, subset)  # warm-up
        seconds, ratios = [], {loop: [] for loop in loops}
        for loop in loops.values():
            bare(loop, batches)
        for _ in range(ROUNDS):  # ours, bare, ours: a machine that grows slower or faster favours neither
            for loop, training in loops.items():
                first, by_loop = ours(by_trainer, trainer, subset), bare(training, batches)
                seconds.append((first + ours(by_trainer, trainer, subset)) / 2)
                ratios[loop].append(by_loop / seconds[-1])
        compared = ", ".join(f"{statistics.median(found):.2f} with {loop}" for loop, found in ratios.items())
        rate = SEQUENCES / statistics.median(seconds)
        print(f"{name}: times a bare loop's samples a second: {compared}; {rate:,.0f} samples/s")


if __name__ == "__main__":
    main()
