"""The trainer's samples a second beside a bare loop over the same LSTMs, optimizer and ready-made batches.

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


def make(time_steps: int, features: int, hidden: int) -> tuple[SequenceSubset, Training]:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(SEQUENCES * time_steps, features, generator=generator)
    starts = torch.arange(SEQUENCES) * time_steps
    scaling = Scaling("fixed", shift=0.5, scale=0.5)
    data = SequenceData(values, starts, time_steps, np.zeros(SEQUENCES, dtype=bool), scaling)
    everything = np.arange(SEQUENCES)
    torch.manual_seed(0)
    model = Autoencoder(features, hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
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
        _, by_hand = make(*shape)
        batches = [subset.batch(positions).inputs for positions in torch.arange(SEQUENCES).split(BATCH)]
        ours(by_trainer, trainer, subset), bare(by_hand, batches)  # warm-up
        ratios, seconds = [], []
        for _ in range(ROUNDS):  # ours, bare, bare, ours: a machine that grows slower or faster favours neither
            first, by_loop = ours(by_trainer, trainer, subset), bare(by_hand, batches) + bare(by_hand, batches)
            seconds.append((first + ours(by_trainer, trainer, subset)) / 2)
            ratios.append(by_loop / 2 / seconds[-1])
        print(
            f"{name}: {statistics.median(ratios):.3f} of the bare loop's samples a second "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {SEQUENCES / statistics.median(seconds):,.0f} samples/s"
        )


if __name__ == "__main__":
    main()
