"""Fill in values that were hidden."""

import dataclasses

import torch

from lstm_ae import checks
from lstm_ae.baselines import Interpolation, TrainingMean
from lstm_ae.checks import Seed, Share
from lstm_ae.tasks import draws
from lstm_ae.tasks.reconstruction import Reconstructing
from lstm_ae.types import Baselines, Batch


class Imputation(Reconstructing):
    """A share of the inputs is hidden, and only these are scored: mean squared error on the scaled values.

    Hidden inputs are 0, as missing ones are; a model that names `observed` is told which are there. Training hides
    other values every epoch; in evaluation each sequence has its own hidden values, always the same.

    Args:
        hidden_share: The share of the values that is hidden.
        seed: Of the draw in evaluation.
        baselines: What a model must beat, by name; None: the training mean, and interpolation over time.

    Example:
        >>> batch = Imputation(hidden_share=0.5).prepare(Batch(torch.ones(9, 5, 1), index=torch.arange(9)), False)
        >>> bool((batch.inputs[batch.target_observed] == 0).all()), bool((batch.target == 1).all())
        (True, True)
    """

    baselines: Baselines = {"mean": TrainingMean, "interpolation": Interpolation}

    @checks.checked
    def __init__(self, hidden_share: Share = 0.2, seed: Seed = 0, baselines: Baselines | None = None) -> None:
        self.hidden_share, self.seed = hidden_share, seed
        self.baselines = self.baselines if baselines is None else baselines

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns the batch without the hidden values, which are its target."""
        there = torch.ones_like(batch.inputs, dtype=torch.bool)
        if batch.target_observed is not None:
            there = batch.target_observed
        hidden = (draws.uniform(batch, self.seed, training) < self.hidden_share) & there
        return dataclasses.replace(
            batch,
            inputs=torch.where(hidden, 0.0, batch.inputs),
            observed=there & ~hidden,
            target=batch.inputs,
            target_observed=hidden,
            target_starts=batch.starts,
        )
