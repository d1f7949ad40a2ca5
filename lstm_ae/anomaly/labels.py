"""Checks of scores and labels that the measures share."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked(score: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Checks a score and its labels.

    Args:
        score: (steps,); NaN, a step without a score, becomes minus infinity, the lowest.
        label: (steps,), 0 or 1.

    Returns:
        The scores, and whether each step is labelled.

    Raises:
        ValueError: The scores cannot be used, or the labels are all the same or have other values.
    """
    scores = scores_of(score)
    if len(scores) < 2:
        raise ValueError(f"`score` must have at least 2 steps, got {len(scores)}. Pass a longer series.")
    if not np.isfinite(scores).any():
        raise ValueError("`score` must have a number at one step at least, got none. Pass a series with a full window.")
    labels = np.asarray(label)
    if labels.shape != scores.shape:
        raise ValueError(
            f"`label` must have one value a step, got shape {labels.shape} for {len(scores)} scores. "
            "Pass the labels of these steps."
        )
    values = np.unique(labels)
    if others := [one for one in values.tolist() if one not in (0, 1)]:
        raise ValueError(
            f"`label` must be 0 or 1 at each step, got {others[0]!r}. Write 1 for an anomalous step, 0 otherwise."
        )
    if len(values) < 2:
        raise ValueError(
            f"`label` must have both 0 and 1, got {values[0]!s} at all {len(labels)} steps. "
            "Nothing can be measured on them: pass a series with an anomaly and with normal steps."
        )
    return scores, labels.astype(bool)


def scores_of(score: ArrayLike) -> NDArray[np.float64]:
    """Returns scores with the lowest (minus infinity) for NaN.

    Raises:
        ValueError: Not one row of steps, or a plus infinity.
    """
    scores = np.array(score, dtype=float)
    if scores.ndim != 1:
        raise ValueError(f"`score` must be one row of steps, got shape {scores.shape}. Pass one series at a time.")
    if np.isposinf(scores).any():
        raise ValueError(
            f"`score` must be finite, or NaN for a step without a score, got inf at step {int(np.argmax(scores))}. "
            "Look for an overflow in the model's output."
        )
    scores[np.isnan(scores)] = -np.inf
    return scores


def highest_f1(scores: NDArray[np.float64], flags: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns the highest F1 over steps of all thresholds, and the lowest score that is flagged there.

    Args:
        scores: (steps,).
        flags: (steps,), whether a step is labelled.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(flags[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + flags.sum())
    last = np.append(ordered[1:] < ordered[:-1], True) & np.isfinite(ordered)  # of equal scores; -inf is no score
    best = int(np.argmax(np.where(last, f1, -1)))
    return float(f1[best]), float(ordered[best])
