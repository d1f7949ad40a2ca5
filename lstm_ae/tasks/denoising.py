"""Give back the sequence that was read, without the noise that was added to it."""

import dataclasses
from typing import Annotated

import torch

from lstm_ae import checks
from lstm_ae.baselines import Identity, LinearRegression
from lstm_ae.checks import Bounds, Seed
from lstm_ae.tasks import draws
from lstm_ae.tasks.reconstruction import Reconstructing
from lstm_ae.types import Baselines, Batch

Noise = Annotated[float, Bounds(above=0, at_most=1e6, cure="Use task=reconstruction for no noise.")]


class Denoising(Reconstructing):
    """Noise is added to the inputs, and the target is the sequence without it: mean squared error on scaled values.

    Training draws new noise every epoch; in evaluation each sequence has its own, always the same.

    Source: Vincent et al. 2008, https://doi.org/10.1145/1390156.1390294

    Args:
        noise: Standard deviation of the normal noise, in units of the scaled values.
        seed: Of the noise in evaluation.
        baselines: What a model must beat, by name; None: the inputs as they are, and linear regression from them.

    Example:
        >>> task = Denoising(noise=0.5)
        >>> batch = task.prepare(Batch(torch.zeros(2, 5, 1), index=torch.arange(2)), training=False)
        >>> batch.target.abs().max().item(), bool(batch.inputs.abs().max() > 0)
        (0.0, True)
    """

    baselines: Baselines = {"identity": Identity, "linear_regression": LinearRegression}

    @checks.checked
    def __init__(self, noise: Noise = 0.1, seed: Seed = 0, baselines: Baselines | None = None) -> None:
        self.noise, self.seed = noise, seed
        self.baselines = self.baselines if baselines is None else baselines

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns the batch with noise on every input that is there, and the clean inputs as its target."""
        noise = self.noise * draws.normal(batch, self.seed, training)
        if batch.target_observed is not None:
            noise = torch.where(batch.target_observed, noise, 0.0)
        return dataclasses.replace(batch, inputs=batch.inputs + noise, target=batch.inputs, target_starts=batch.starts)
