"""Several steps ahead from a model that predicts one: each prediction is fed back."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.types import Batch, Output, present


@torch.no_grad()
def roll_out(
    answer: Callable[[Batch], Output], batch: Batch, known: int, steps: int
) -> Float[Tensor, "batch target_time features"]:
    """Returns the `steps` values that follow the first `known` inputs, each predicted from those before it.

    The window slides: each prediction is appended, and the oldest value dropped.

    Args:
        answer: A model or a baseline.
        batch: Inputs of one length, without holes.
        known: How many of its steps are read.
        steps: How many are predicted.
    """
    window, made = batch.inputs[:, :known], []
    for _ in range(steps):
        read = replace(batch, inputs=window, observed=None, target=None, target_observed=None)
        made.append(present(answer(read).prediction, "predictions")[:, -1:])
        window = torch.cat([window[:, 1:], made[-1]], dim=1)
    return torch.cat(made, dim=1)
