"""One error a time step from those of overlapping windows: the one rule of reports, `score_samples` and streams."""

import numpy as np
from jaxtyping import Float
from torch import Tensor


class MeanOverWindows:
    """The mean error of each time step over all windows of a signal, at stride 1, whose targets contain it.

    A step's mean depends on the `window - 1` steps before and after it only, however the windows are cut into parts.

    Args:
        window: Rows of each.
        features: Of a row.

    Attributes:
        windows: How many were added.

    Example:
        >>> import torch
        >>> means = MeanOverWindows(window=2, features=1)
        >>> means.add(torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]]), 0).ravel().tolist()
        [1.0, 4.0]
        >>> means.finish(1).ravel().tolist()
        [7.0]
    """

    def __init__(self, window: int, features: int) -> None:
        self.windows = 0
        self._pending = np.zeros((features, window - 1))  # sums of steps that more windows contain
        self._targets = (0, 0)  # where in a window its targets begin, and how many there are

    def add(self, found: Float[Tensor, "batch target_time features"], begin: int) -> np.ndarray:
        """Takes in the errors of the next windows, and returns those of the steps that begin them, (batch, features).

        Args:
            found: Errors.
            begin: The step of a window at which its targets begin.
        """
        count, targets, features = found.shape
        errors = found.permute(1, 2, 0).double().contiguous().numpy()  # (target time, features, windows)
        sums = np.concatenate([self._pending, np.zeros((features, count))], axis=1)
        for place in reversed(range(targets)):  # each step's windows are added in their order, however they are cut
            sums[:, begin + place : begin + place + count] += errors[place]
        self._pending, self._targets = sums[:, count:].copy(), (begin, targets)
        steps = np.arange(self.windows, self.windows + count)
        self.windows += count
        return _divided(sums[:, :count], np.minimum(steps - begin + 1, targets))

    def finish(self, count: int) -> np.ndarray:
        """Returns the errors of the `count` steps after those that begin a window, of the windows that there are."""
        begin, targets = self._targets
        steps = np.arange(self.windows, self.windows + count)
        contained = np.minimum(steps - begin, self.windows - 1) - np.maximum(steps - begin - targets + 1, 0) + 1
        return _divided(self._pending[:, :count], contained if self.windows else 0 * steps)


def _divided(sums: np.ndarray, contained: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((sums / np.maximum(contained, 1)).T)
