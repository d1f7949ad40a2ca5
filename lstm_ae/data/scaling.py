"""Scaling: each value less a shift, over a scale. Fitted on the training part's time steps and on nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Shaped
from torch import Tensor

from lstm_ae import checks

METHODS = ("none", "fixed", "minmax", "standard", "relative")


@dataclass(frozen=True)
class FittedScaling:
    """scaled = (value - shift) / scale.

    Attributes:
        shift: A row for each scaler.
        scale: The same.
        row: The row that belongs to each sequence.
    """

    shift: Float[Tensor, "scalers features"]
    scale: Float[Tensor, "scalers features"]
    row: Int64[Tensor, " sequences"]


@dataclass(frozen=True)
class Scaling:
    """How the values of a dataset are scaled.

    Attributes:
        method: `minmax`: to [0, 1], and `standard`: to mean 0 and deviation 1, each with a scaler a group;
            `relative`: each sequence over its own first step, less one, so that it begins at 0 (a price's change since
            the window's first day), and over the largest such change in training, so that what a decoder bounded by
            tanh can return is enough; `fixed`: by `shift` and `scale` below; `none`.
        shift: Subtracted where the method is `fixed`.
        scale: Divided by where the method is `fixed`.
        sees: `training` steps alone, or `everything`, which lets the test part leak into the scale.
    """

    method: str = "none"
    shift: float = 0.0
    scale: float = 1.0
    sees: str = "training"

    def __post_init__(self) -> None:
        checks.one_of("scaling", self.method, METHODS)
        checks.one_of("scaler_sees", self.sees, ("training", "everything"))

    def fit(
        self,
        values: Shaped[Tensor, "steps features"],
        starts: Int64[Tensor, " sequences"],
        length: int,
        group_of_step: Int[np.ndarray, " steps"] | None,
        seen: Bool[np.ndarray, " steps"],
    ) -> FittedScaling:
        """Returns the scalers of all sequences, fitted on the rows of the table that `seen` marks.

        Raises:
            ValueError: nothing was seen, or the first step of a window is 0 where the method is `relative`.
        """
        features = values.shape[1]
        if self.sees == "everything":
            seen = np.ones_like(seen)
        if self.method == "relative":
            return _relative(values.float(), starts, length, seen)
        if self.method in ("none", "fixed"):
            by = (self.shift, self.scale) if self.method == "fixed" else (0.0, 1.0)
            shifts, scales = (torch.full((1, features), value) for value in by)
            return FittedScaling(shifts, scales, torch.zeros_like(starts))
        groups = np.zeros(len(values), dtype=np.int64) if group_of_step is None else group_of_step
        statistics = _extremes if self.method == "minmax" else _moments
        shift, scale = _by_group(values.numpy(), groups, seen, statistics)
        return FittedScaling(torch.from_numpy(shift), torch.from_numpy(scale), torch.from_numpy(groups)[starts])


def _relative(values: Tensor, starts: Tensor, length: int, seen: np.ndarray) -> FittedScaling:
    first = values[starts]
    if not (first != 0).all():
        raise ValueError("`scaling=relative` divides by the first step of a window, and one is 0. Use minmax.")
    unseen_before = torch.from_numpy(np.concatenate([[0], np.cumsum(~seen)]))
    trained = starts[unseen_before[starts + length] == unseen_before[starts]]
    largest = torch.zeros(values.shape[1])
    for offset in range(length):
        change = (values[trained + offset] / values[trained] - 1).abs()
        largest = torch.maximum(largest, change.amax(dim=0)) if len(trained) else largest
    largest[largest == 0] = 1.0
    return FittedScaling(first, first * largest, torch.arange(len(starts)))


def _by_group(
    values: np.ndarray, groups: np.ndarray, seen: np.ndarray, statistics: Callable[[np.ndarray], tuple]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (groups, features) shifts and scales; a group of which nothing was seen gets those of all together."""
    if not seen.any():
        raise ValueError("`scaling` has no training values to be fitted on. Use a larger training part.")
    n_groups = int(groups.max()) + 1
    shift, scale = (np.tile(part, (n_groups, 1)).astype(np.float32) for part in statistics(values[seen]))
    for group in range(n_groups):
        rows = values[seen & (groups == group)]
        if len(rows):
            shift[group], scale[group] = statistics(rows)
    scale[scale == 0] = 1.0  # a constant series is centred, not divided
    return shift, scale


def _extremes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lowest = values.min(axis=0)
    return lowest, values.max(axis=0) - lowest


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
