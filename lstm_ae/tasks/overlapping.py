"""One error a time step from those of overlapping windows: the one rule of reports, `score_samples` and streams."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lstm_ae.types import Batch, present


def offset(batch: Batch, errors: Float[Tensor, "batch ..."]) -> Int[Tensor, " batch"]:
    """Returns the step of each sequence at which its errors begin; fewer steps than targets are the last of these."""
    starts = present(batch.starts, "starts")
    fewer = batch.targets.shape[1] - errors.shape[1] if errors.ndim == 3 else 0
    return (starts if batch.target_starts is None else batch.target_starts) - starts + fewer


def spread(errors: Float[Tensor, "batch target_time features"]) -> Float[Tensor, "batch target_time twice"]:
    """Returns the error of each step and feature, and next to them the mean of each window, at each of its steps."""
    return torch.cat([errors, errors.mean(dim=1, keepdim=True).expand_as(errors)], dim=2)


def over_usual(
    errors: Float[Tensor, "*steps twice"], scale: Float[Tensor, "2 features"]
) -> Float[Tensor, "*steps features"]:
    """Returns the parts of each step's score, which is the larger of two sums: of step errors, and of window errors.

    Args:
        errors: As `spread` gives them.
        scale: What the errors of steps, and those of windows, are divided by; infinite where these play no part.
    """
    step, window = errors.reshape(*errors.shape[:-1], 2, scale.shape[1]).div(scale).unbind(dim=-2)
    return torch.where(step.sum(dim=-1, keepdim=True) > window.sum(dim=-1, keepdim=True), step, window)


class MeanOverWindows:
    """The mean error of each time step over all windows of a signal, at stride 1, whose targets contain it.

    A step's mean depends on the `window - 1` steps before and after it only, however the windows are cut into parts.
    Near a signal's ends fewer windows contain a step. Their mean is then not comparable: it lacks places of a window
    at which a model errs less or more than at others, and few errors are averaged.

    Args:
        window: Rows of each.
        features: Of a row.
        partial: Whether steps near the ends have the mean of the windows that there are; else they have 0, the lowest.

    Attributes:
        known: The steps whose errors were returned.
        targets: Of each window.

    Example:
        >>> import torch
        >>> means = MeanOverWindows(window=2, features=1)
        >>> means.add(torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]]), 0).ravel().tolist()
        [1.0, 4.0]
        >>> means.finish(1).ravel().tolist()
        [7.0]
    """

    def __init__(self, window: int, features: int, partial: bool = True) -> None:
        self.known = 0
        self._partial = partial
        self._windows = 0
        self._pending = np.zeros((features, window - 1))  # sums of the steps from that on which begins the next window
        self._begin, self.targets = 0, 1

    def add(self, found: Float[Tensor, "batch target_time features"], begin: int) -> np.ndarray:
        """Takes in the errors of the next windows, and returns those of the steps that no later one can contain.

        Args:
            found: Errors.
            begin: The step of a window at which its targets begin.

        Returns:
            (steps, features)
        """
        count, targets, features = found.shape
        errors = found.permute(1, 2, 0).double().contiguous().numpy()  # (target time, features, windows)
        sums = np.concatenate([self._pending, np.zeros((features, count))], axis=1)
        for place in reversed(range(targets)):  # each step's windows are added in their order, however they are cut
            sums[:, begin + place : begin + place + count] += errors[place]
        first, self._begin, self.targets = self._windows, begin, targets
        self._windows += count
        self._pending = sums[:, count:].copy()
        return self._means(sums, first, self._windows + begin)

    def finish(self, count: int) -> np.ndarray:
        """Returns the errors of the other steps of the `count` that begin no window, of the windows that there are."""
        return self._means(self._pending, self._windows, self._windows + count)

    def _means(self, sums: np.ndarray, first: int, end: int) -> np.ndarray:
        """Returns the means of the steps from the first that is not known to before `end`; `sums` are from `first`."""
        steps, begin, targets = np.arange(self.known, end), self._begin, self.targets
        self.known = end
        contained = np.minimum(steps - begin, self._windows - 1) - np.maximum(steps - begin - targets + 1, 0) + 1
        means = sums[:, steps - first] / np.maximum(contained, 1)
        return np.ascontiguousarray((means if self._partial else np.where(contained == targets, means, 0.0)).T)
