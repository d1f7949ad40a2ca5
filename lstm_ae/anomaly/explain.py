"""Which feature an alarm is about, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lstm_ae.anomaly.events import Events, alarms


@dataclass(frozen=True)
class Onset:
    """The feature to blame first for an alarm, and where its deviation begins."""

    feature: int
    step: int
    shares: tuple[float, ...]  # of each feature in the alarm's score, adding up to 1


def onset(
    score_per_feature: ArrayLike,
    alarm: Sequence[int] | Events,
    usual: ArrayLike | None = None,
    *,
    feature: int | None = None,
    gap: int = 5,
) -> Onset:
    """Finds the feature to blame for an alarm and the first step of its deviation.

    Its deviation begins at the start of the run of steps above its usual level that leads to its highest score in the
    alarm, which may lie before the alarm.

    Args:
        score_per_feature: (steps, features), not negative; on one scale, where no feature is given.
        alarm: Start and end (exclusive), in steps.
        usual: (features,), the level that normal steps seldom exceed, such as a high quantile of validation scores;
            without it, the median of the steps before the alarm (of all, where fewer than 100 come before it) plus
            four times the distance from there to the upper quartile.
        feature: The one to blame; without it, that with the largest sum of scores over the alarm.
        gap: Steps at the usual level that the run may bridge.

    Raises:
        ValueError: The scores have another shape, or the alarm lies outside of them.
    """
    scores = np.nan_to_num(np.asarray(score_per_feature, dtype=float), nan=0.0)
    start, end = np.asarray(alarm).tolist()
    if scores.ndim != 2 or not 0 <= start < end <= len(scores):
        raise ValueError(
            f"`alarm` must lie within the steps of `score_per_feature`, (steps, features), got {start}:{end} for shape "
            f"{scores.shape}. Pass scores and alarm of one series."
        )
    total = scores[start:end].sum(axis=0)
    feature = int(np.argmax(total)) if feature is None else feature
    if usual is None:
        median, upper = np.quantile(scores[: start if start >= 100 else None, feature], [0.5, 0.75])
        level = float(median + 4 * (upper - median))
    else:
        level = float(np.asarray(usual, dtype=float)[feature])
    peak = start + int(np.argmax(scores[start:end, feature]))
    runs = alarms(scores[: peak + 1, feature], level, merge_within=gap)
    begins = int(runs[-1, 0]) if len(runs) and runs[-1, 1] == peak + 1 else peak
    return Onset(feature, begins, tuple((total / total.sum() if total.sum() > 0 else total).tolist()))


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
