"""Measures of an anomaly score and of alarms against labels.

A score is judged by all of its thresholds at once (`vus`, `auc_pr`, `auc_roc`), a chosen threshold by its alarms
(`event_scores`). Series with few events give wide intervals: the event, not the step, is what is drawn
afresh.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae import checks
from lstm_ae.anomaly.events import Events, events
from lstm_ae.anomaly.labels import checked, highest_f1
from lstm_ae.anomaly.vus import vus
from lstm_ae.statistics import Interval, proportion_interval

__all__ = [
    "EventScores",
    "auc_pr",
    "auc_roc",
    "event_interval",
    "event_scores",
    "point_adjusted_f1",
    "vus",
]

FEWEST_EVENTS = 5  # that an interval is given for
Measure = Callable[[NDArray[np.float64], NDArray[np.bool_]], float]


def auc_pr(score: ArrayLike, label: ArrayLike) -> float:
    """Returns the average precision over steps; a random score gets the share of anomalous steps.

    Args:
        score: (steps,).
        label: (steps,), 0 or 1.

    Raises:
        ValueError: Scores or labels cannot be used.
    """
    from sklearn.metrics import average_precision_score

    scores, flags = checked(score, label)
    return float(average_precision_score(flags, _places(scores)))


def auc_roc(score: ArrayLike, label: ArrayLike) -> float:
    """Returns the area under the ROC curve over steps; a random score gets 0.5.

    Args:
        score: (steps,).
        label: (steps,), 0 or 1.

    Raises:
        ValueError: Scores or labels cannot be used.
    """
    from sklearn.metrics import roc_auc_score

    scores, flags = checked(score, label)
    return float(roc_auc_score(flags, _places(scores)))


def point_adjusted_f1(score: ArrayLike, label: ArrayLike) -> float:
    """Returns the F1 that point adjustment claims: one flagged step counts as its whole event, at the best threshold.

    It is no measure of a detector: noise gets a high one where events are long, higher than published methods do (Kim
    et al., "Towards a Rigorous Evaluation of Time-Series Anomaly Detection", AAAI 2022).

    Args:
        score: (steps,).
        label: (steps,), 0 or 1.

    Raises:
        ValueError: Scores or labels cannot be used.
    """
    scores, flags = checked(score, label)
    adjusted = scores.copy()
    for start, end in events(flags):
        adjusted[start:end] = scores[start:end].max()
    return highest_f1(adjusted, flags)[0]


@dataclass(frozen=True)
class EventScores:
    """How alarms meet labelled events; an alarm and an event meet where they share a step.

    The intervals are Wilson's over alarms and over events, without ends and with a reason where there are too few.
    """

    precision: Interval  # the share of alarms that meet an event
    recall: Interval  # the share of events that an alarm meets
    delay: float  # steps from an event's start to its first step in alarm, the median over events found; NaN: none


def event_scores(alarms: Events, label_events: Events, *, minimum_length: int = 1) -> EventScores:
    """Compares alarms with labelled events.

    Args:
        alarms: (n, 2), start and end (exclusive) in steps.
        label_events: (m, 2), likewise.
        minimum_length: Of the rules that made the alarms: an alarm is known only at that many steps after its start,
            which the delay includes.

    Raises:
        ValueError: There are no labelled events.
    """
    checks.at_least("minimum_length", minimum_length, 1)
    found, labelled = _pairs("alarms", alarms), _pairs("label_events", label_events)
    if not len(labelled):
        raise ValueError("`label_events` must have one event at least, got none. On normal data every alarm is false.")
    meets = (found[:, None, 0] < labelled[None, :, 1]) & (found[:, None, 1] > labelled[None, :, 0])  # (alarms, events)
    hit, caught = np.asarray(meets.any(axis=1)), np.asarray(meets.any(axis=0))
    known = found[:, :1] + minimum_length - 1
    delays = np.where(meets, np.maximum(known - labelled[None, :, 0], 0), np.inf).min(axis=0, initial=np.inf)[caught]
    precision, recall = _share(hit, "alarms"), _share(caught, "events")
    return EventScores(precision, recall, float(np.median(delays)) if len(delays) else math.nan)


def event_interval(
    measure: Measure, score: ArrayLike, label: ArrayLike, *, draws: int = 200, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Returns a measure of a score with a bootstrap interval over events.

    The signal is cut half way between neighbouring events, so that each piece holds one event and the normal steps
    around it; pieces are drawn with replacement and put together in time order.

    Args:
        measure: From (steps,) scores and (steps,) flags to a number, such as `auc_pr`.
        score: (steps,).
        label: (steps,), 0 or 1.
        draws: Of the bootstrap.
        confidence: Of the interval.
        seed: Of the draws.

    Returns:
        The interval; its ends are NaN, with a reason, where there are fewer than five events.

    Raises:
        ValueError: Scores or labels cannot be used.
    """
    checks.at_least("draws", draws, 1)
    checks.check("confidence", confidence, checks.Share)
    scores, flags = checked(score, label)
    estimate = measure(scores, flags)
    labelled = events(flags)
    if len(labelled) < FEWEST_EVENTS:
        return Interval(estimate, math.nan, math.nan, _too_few(len(labelled), "events"))
    cuts = np.concatenate([[0], (labelled[:-1, 1] + labelled[1:, 0] + 1) // 2, [len(scores)]])
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        pieces = np.sort(draw.integers(0, len(labelled), len(labelled)))
        steps = np.concatenate([np.arange(cuts[piece], cuts[piece + 1]) for piece in pieces])
        if not flags[steps].all():
            found.append(measure(scores[steps], flags[steps]))
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high))


def _places(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Returns the place of each score in their order, equal for equal scores; scikit-learn takes no infinity."""
    return np.unique(scores, return_inverse=True)[1]


def _share(flags: NDArray[np.bool_], what: str) -> Interval:
    if len(flags) >= FEWEST_EVENTS:
        return proportion_interval(int(flags.sum()), len(flags))
    return Interval(float(flags.mean()) if len(flags) else math.nan, math.nan, math.nan, _too_few(len(flags), what))


def _too_few(count: int, what: str) -> str:
    return f"{count} {what}, an interval takes {FEWEST_EVENTS}"


def _pairs(name: str, pairs: Events) -> Events:
    array = np.asarray(pairs, dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"`{name}` must be rows of start and end, got shape {array.shape}. Use events or alarms.")
    return array
