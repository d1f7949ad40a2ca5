"""The volume under the surface (VUS), the measure of the TSB-AD benchmark.

Paparrizos et al., "Volume Under the Surface", VLDB 2022; Liu and Paparrizos, "The Elephant in the Room", NeurIPS 2024.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae import checks
from lstm_ae.anomaly.events import Events, events
from lstm_ae.anomaly.labels import checked

THRESHOLDS = 250  # of the reference implementation

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def vus(score: ArrayLike, label: ArrayLike, window: int) -> tuple[float, float]:
    """Computes VUS-ROC and VUS-PR as the reference implementation does (version "opt", 250 thresholds).

    For each length from 0 to `window`, the labelled events get ramps of half that length on both sides, and steps on a
    ramp count in part where they are flagged; the areas under the two curves are averaged over the lengths.

    Args:
        score: (steps,).
        label: (steps,), 0 or 1.
        window: The longest ramp of both sides together, in steps; the benchmark takes a series' period.

    Returns:
        VUS-ROC and VUS-PR.

    Raises:
        ValueError: The labels are all the same or have other values, or the scores cannot be used.
    """
    scores, flags = checked(score, label)
    checks.at_least("window", window, 0)
    ranks = _ranks(scores)
    counts = _Counts(ranks, flags, events(flags), int(window))
    areas = np.array([counts.areas(length) for length in range(int(window) + 1)])
    roc, pr = areas.mean(axis=0)
    return float(roc), float(pr)


def _ranks(scores: Floats) -> Ints:
    """Returns for each step the first of the thresholds, from the highest, that flags it."""
    ordered = np.sort(-scores)
    thresholds = ordered[np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)]
    return np.searchsorted(thresholds, -scores, side="left")


class _Counts:
    """What is counted once for all lengths of ramp."""

    def __init__(self, ranks: Ints, flags: NDArray[np.bool_], labelled: Events, window: int) -> None:
        self.steps, self.ranks, self.labelled = len(ranks), ranks, labelled
        self.positives = int(flags.sum())
        self.flagged = self._below(ranks)
        self.hits = self._below(ranks[flags])
        distance = np.arange(1, window // 2 + 1)
        before, after = labelled[:, :1] - distance, labelled[:, 1:] - 1 + distance
        steps = np.stack([before, after]).ravel()
        distances = np.broadcast_to(distance, (2, len(labelled), len(distance))).ravel()
        there = (steps >= 0) & (steps < self.steps)
        there[there] = ~flags[steps[there]]  # a ramp that reaches into an event adds nothing to it
        order = np.argsort(distances[there], kind="stable")
        self.distances = distances[there][order]
        self.on_ramp, self.places = np.unique(steps[there][order], return_inverse=True)

    @staticmethod
    def _below(ranks: Ints, weights: Floats | None = None) -> Floats:
        """Returns for each threshold the (weighted) count of steps that it flags."""
        return np.cumsum(np.bincount(ranks, weights, minlength=THRESHOLDS)).astype(float)

    def areas(self, length: int) -> tuple[float, float]:
        """Returns the areas under the ROC curve and under the precision-recall curve for one length of ramp."""
        near = int(np.searchsorted(self.distances, length // 2, side="right"))
        height = np.sqrt(1 - self.distances[:near] / max(length, 1))
        weights = np.bincount(self.places[:near], height, minlength=len(self.on_ramp)).clip(max=1.0).astype(float)
        ramps = self._below(self.ranks[self.on_ramp], weights)
        hits, positives = self.hits + ramps, self.positives + ramps / 2
        recall = np.minimum(hits / positives, 1) * self._found(length // 2)
        fall_out = (self.flagged - hits) / (self.steps - positives)
        precision = hits / self.flagged
        recall_to_1, fall_out_to_1 = np.append(recall, 1), np.append(fall_out, 1)
        middle = recall_to_1 - np.diff(recall_to_1, prepend=0) / 2
        return float(np.diff(fall_out_to_1, prepend=0) @ middle), float(np.diff(recall, prepend=0) @ precision)

    def _found(self, reach: int) -> Floats:
        """Returns for each threshold the share of events that it touches; events whose ramps meet are one."""
        starts, ends = self.labelled[:, 0] - reach, self.labelled[:, 1] + reach
        apart = starts[1:] >= ends[:-1]
        starts = np.maximum(starts[np.concatenate([[True], apart])], 0)
        ends = np.minimum(ends[np.concatenate([apart, [True]])], self.steps)
        bounds = np.stack([starts, ends], axis=1).ravel()
        first = np.minimum.reduceat(np.append(self.ranks, THRESHOLDS), bounds)[::2]
        return self._below(first) / len(first)
