"""Which feature an alarm is about, and since when."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lstm_ae.anomaly.events import Events, alarms

GAP = 5  # steps at the usual level that a deviation may bridge


def onset(errors: ArrayLike, alarm: Sequence[int] | Events, usual: float) -> int:
    """Returns the first step of the deviation that an alarm is about.

    It is the start of the run of steps above the usual level that leads to the highest error in the alarm, and may lie
    before the alarm.

    Args:
        errors: (steps,), of the feature to blame.
        alarm: Start and end (exclusive), in steps.
        usual: The level that normal steps seldom exceed, such as a high quantile of validation errors.

    Raises:
        ValueError: The errors have another shape, or the alarm lies outside of them.
    """
    known = np.nan_to_num(np.asarray(errors, dtype=float), nan=0.0)
    start, end = np.asarray(alarm).tolist()
    if known.ndim != 1 or not 0 <= start < end <= len(known):
        raise ValueError(
            f"`alarm` must lie within the steps of `errors`, (steps,), got {start}:{end} for shape {known.shape}. "
            "Pass errors and alarm of one series."
        )
    peak = start + int(np.argmax(known[start:end]))
    runs = alarms(known[: peak + 1], usual, merge_within=GAP)
    return int(runs[-1, 0]) if len(runs) and runs[-1, 1] == peak + 1 else peak


def nearest(normal: ArrayLike, window: ArrayLike) -> int:
    """Returns which of some normal windows is the most like a window, each feature by its standard deviation.

    Args:
        normal: (windows, steps, features); NaN is a missing value, and is passed over.
        window: (steps, features).

    Raises:
        ValueError: There are no normal windows, or the shapes do not fit.

    >>> nearest([[[0.0], [0.0]], [[1.0], [2.0]]], [[1.0], [1.5]])
    1
    """
    known, wanted = np.asarray(normal, dtype=float), np.asarray(window, dtype=float)
    if known.ndim != 3 or not len(known) or known.shape[1:] != wanted.shape:
        raise ValueError(
            f"`window` must have the shape of one of `normal`, (windows, steps, features), got {wanted.shape} for "
            f"{known.shape}. Pass windows of one length."
        )
    spread = np.nanstd(known, axis=(0, 1))
    away = ((known - wanted) / np.where(spread > 0, spread, 1.0)) ** 2
    there = np.isfinite(away)
    return int((np.where(there, away, 0).sum(axis=(1, 2)) / np.maximum(there.sum(axis=(1, 2)), 1)).argmin())
