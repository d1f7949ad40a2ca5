"""Events of a signal: runs of flagged steps, and alarms that come out the same however the signal is cut."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae import checks

Events = NDArray[np.int64]  # (n, 2): start, and end (exclusive), in steps


def events(flags: ArrayLike) -> Events:
    """Finds the runs of true.

    Args:
        flags: (steps,), true or false.

    Returns:
        (n, 2): start and end (exclusive) of each run, in steps.

    Raises:
        ValueError: `flags` has more than one axis.

    >>> events([False, True, True, False, True]).tolist()
    [[1, 3], [4, 5]]
    """
    flagged = np.asarray(flags, dtype=bool)
    if flagged.ndim != 1:
        raise ValueError(f"`flags` must be one row of steps, got shape {flagged.shape}. Pass one signal at a time.")
    edges = np.diff(flagged.astype(np.int8), prepend=0, append=0)
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


class Alarms:
    """Alarms of a stream; `alarms` is the same for a whole signal.

    A run starts with a step above the threshold and goes on while no more than `merge_within` steps in a row are not
    above it; it ends after its last step above. It is an alarm once it is `minimum_length` steps long. Steps within
    `cool_down` steps after the end of an alarm start no run. Nothing here looks ahead, so that any way of cutting the
    signal gives the same alarms.

    Args:
        threshold: A step counts where its score is strictly above it; NaN never is.
        minimum_length: Steps that a run needs to be an alarm, its gaps included.
        merge_within: Steps not above the threshold that a run may bridge.
        cool_down: Steps after an alarm that start no other.

    Raises:
        ValueError: The threshold is NaN, or a number of steps is too small.
    """

    def __init__(self, threshold: float, *, minimum_length: int = 1, merge_within: int = 0, cool_down: int = 0) -> None:
        if np.isnan(threshold):
            raise ValueError("`threshold` must be a number, got nan. Calibrate it on scores of normal data.")
        checks.at_least("minimum_length", minimum_length, 1)
        checks.at_least("merge_within", merge_within, 0)
        checks.at_least("cool_down", cool_down, 0)
        self.threshold, self.minimum_length = threshold, minimum_length
        self.merge_within, self.cool_down = merge_within, cool_down
        self._seen = 0
        self._free = 0  # the first step that may start a run
        self._run: tuple[int, int] | None = None

    @property
    def current(self) -> tuple[int, int] | None:
        """The alarm that is not over yet, as (start, end so far), or none."""
        return self._run if self._run and self._run[1] - self._run[0] >= self.minimum_length else None

    @property
    def since(self) -> int:
        """The first step of the run that is not over, alarm or not yet; without one, the next step."""
        return self._run[0] if self._run else self._seen

    def update(self, score: ArrayLike) -> Events:
        """Takes the next step or steps.

        Args:
            score: One score, or (steps,).

        Returns:
            (n, 2): the alarms that have ended by now, counted from the stream's first step.
        """
        scores = np.atleast_1d(np.asarray(score, dtype=float))
        ended: list[tuple[int, int]] = []
        for start, end in (events(scores > self.threshold) + self._seen).tolist():
            if self._run and start - self._run[1] <= self.merge_within:
                self._run = (self._run[0], end)
                continue
            ended += self._close()
            start = max(start, self._free)
            self._run = (start, end) if start < end else None
        self._seen += len(scores)
        if self._run and self._seen - self._run[1] > self.merge_within:
            ended += self._close()
        return _array(ended)

    def finish(self) -> Events:
        """Ends the stream and returns the alarm that was not over, (0 or 1, 2)."""
        return _array(self._close())

    def _close(self) -> list[tuple[int, int]]:
        alarm, self._run = self.current, None
        if alarm is None:
            return []
        self._free = alarm[1] + self.cool_down
        return [alarm]


def alarms(score: ArrayLike, threshold: float, **rules: Any) -> Events:
    """Finds the alarms of a whole signal, by the rules of `Alarms`.

    Args:
        score: (steps,).
        threshold: A step counts where its score is strictly above it; NaN never is.
        **rules: `minimum_length`, `merge_within` and `cool_down` of `Alarms`.

    Returns:
        (n, 2): start and end (exclusive) of each alarm, in steps.

    >>> alarms([0, 2, 0, 2, 0, 0, 2], 1, merge_within=1, minimum_length=2).tolist()
    [[1, 4]]
    """
    stream = Alarms(threshold, **rules)
    return np.concatenate([stream.update(score), stream.finish()])


def _array(found: list[tuple[int, int]]) -> Events:
    return np.array(found, dtype=np.int64).reshape(-1, 2)
