"""Several steps ahead from a model that predicts fewer: each prediction is fed back."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.types import Batch, Output, present


@torch.no_grad()
def roll_out(
    answer: Callable[[Batch], Output], batch: Batch, known: int, steps: int, ahead: int = 1
) -> Float[Tensor, "batch target_time features"]:
    """Returns the `steps` values that follow the first `known` inputs, each predicted from those before it.

    The window slides: predictions are appended, and as many of the oldest values dropped.

    Args:
        answer: A model or a baseline.
        batch: Inputs of one length. What is predicted counts as observed.
        known: How many of its steps are read.
        steps: How many are predicted.
        ahead: How many of an answer's last steps lie ahead of its inputs and are fed back: 1 of one that predicts the
            next step at every step, all of one that predicts a horizon.
    """
    window, made = batch.inputs[:, :known], []
    observed = None if batch.observed is None else batch.observed[:, :known]
    for _ in range(0, steps, ahead):
        read = replace(batch, inputs=window, observed=observed, target=None, target_observed=None)
        made.append(present(answer(read).prediction, "predictions")[:, -ahead:])
        window = torch.cat([window, made[-1]], dim=1)[:, -known:]
        if observed is not None:
            observed = torch.cat([observed, torch.ones_like(made[-1], dtype=torch.bool)], dim=1)[:, -known:]
    return torch.cat(made, dim=1)[:, :steps]
