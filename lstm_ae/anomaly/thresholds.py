"""Thresholds of an anomaly score: by a false-alarm rate, by a quantile, or by labels.

Neighbouring errors are correlated, so that one excursion of the score is many steps above a threshold but one alarm.
`false_alarms` therefore counts alarms, not steps, and takes from the counts of blocks how much more they scatter than
independent events would; where alarms are too few to tell, from those of a lower threshold. Its bound is that of
Poisson counts (Clopper and Pearson's, for a rare event), with both the count and the length divided by that scatter
(as in quasi-Poisson regression).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_ae import checks
from lstm_ae.anomaly.events import alarms
from lstm_ae.anomaly.labels import checked, highest_f1, scores_of

CONFIDENCE = 0.9
BLOCKS = 20  # of all calibration data; their counts of alarms give the scatter
ENOUGH = 2 * BLOCKS  # alarms that the scatter is taken from


@dataclass(frozen=True)
class Threshold:
    """A threshold with what is known about its false alarms; a step is in alarm strictly above `value`."""

    value: float
    rule: str
    rate: float | None  # alarms a step that were asked for
    upper_bound: float | None  # alarms a step that the true rate stays below, with `confidence`
    steps: int  # of the calibration data that have a score
    alarms: int  # in the calibration data
    confidence: float = CONFIDENCE
    scatter: float = 1.0  # variance over mean of the alarms of blocks, at least 1

    def expected(self, steps: int, confidence: float = 0.95) -> int:
        """Returns the most false alarms to expect in a new normal stretch of `steps` steps, with `confidence`.

        A prediction bound: it allows for the chance in the calibration data and for the chance in the new stretch.

        Raises:
            ValueError: The threshold comes from labels, or an argument is out of range.
        """
        from scipy.stats import nbinom

        if self.upper_bound is None:
            raise ValueError(f"`expected` needs a threshold of normal data, got one by {self.rule}. Use false_alarms.")
        checks.at_least("steps", steps, 1)
        checks.check("confidence", confidence, checks.Share)
        shape, share = self.alarms / self.scatter + 1, self.steps / (self.steps + steps)
        return math.ceil(self.scatter * nbinom.ppf(confidence, shape, share))

    def describe(self) -> str:
        """Returns what the threshold promises, in plain words."""
        if self.upper_bound is None:
            return (
                f"Threshold {self.value:.6g}: the best F1 on {self.steps} labelled steps. It was chosen with "
                "labels, so that results on the same labels flatter it."
            )
        asked = "" if self.rate is None else f" {_often(self.rate)} was asked for;"
        return (
            f"Threshold {self.value:.6g} by {self.rule}:{asked} {self.alarms} alarms in {self.steps} steps of normal "
            f"data, so that with {self.confidence:.0%} confidence there is no more than {_often(self.upper_bound)} "
            "as long as normal data stay as they were."
        )


def false_alarms(
    score_stretches: Sequence[ArrayLike], rate: float, *, confidence: float = CONFIDENCE, **rules: Any
) -> Threshold:
    """Finds the lowest threshold whose rate of false alarms is below `rate` with `confidence`.

    Args:
        score_stretches: Scores of held-out normal data, each (steps,); not of data the model was fitted on, whose
            errors are smaller. NaN stands for a step without a score, which counts for nothing.
        rate: Alarms a step.
        confidence: That the true rate is no higher, over draws of the calibration data.
        **rules: `minimum_length`, `merge_within` and `cool_down` of `lstm_ae.anomaly.events.Alarms`.

    Raises:
        ValueError: The data are too short for the rate; the text names the length that would do.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"`rate` must be above 0 and at most 1 alarm a step, got {rate}. Use a rate such as 1/1000.")
    data = _Calibration(score_stretches, confidence, rules)

    def keeps(exceedances: int) -> bool:
        bound = data.threshold(data.ordered[exceedances], "", rate).upper_bound
        return bound is not None and bound <= rate

    if not keeps(0):
        least = _bound(0, 1, data.scatter, confidence)
        raise ValueError(
            f"At {confidence:.0%} confidence, a rate of {_often(rate)} takes {math.ceil(least / rate)} steps of "
            f"held-out normal data, got {data.steps}. Pass more normal data, or lower `confidence`, or allow "
            f"{_often(least / data.steps)}."
        )
    # From the highest score down, in steps that double: far below, alarms merge and their count falls again.
    kept, broken = 0, 1
    while broken < data.steps and keeps(broken):
        kept, broken = broken, 2 * broken
    broken = min(broken, data.steps)
    while broken - kept > 1:
        middle = (kept + broken) // 2
        kept, broken = (middle, broken) if keeps(middle) else (kept, middle)
    return data.threshold(data.ordered[kept], "false_alarms", rate)


def quantile(
    score_stretches: Sequence[ArrayLike], share: float, *, confidence: float = CONFIDENCE, **rules: Any
) -> Threshold:
    """Returns the threshold that a share of the steps of normal data do not exceed, with the rate of alarms it has.

    Args:
        score_stretches: Scores of held-out normal data, each (steps,).
        share: Of steps, for instance 0.999.
        confidence: Of the bound on the rate.
        **rules: As in `false_alarms`.

    Raises:
        ValueError: `share` is not between 0 and 1, or there are no scores.
    """
    checks.check("share", share, checks.Share)
    data = _Calibration(score_stretches, confidence, rules)
    return data.threshold(np.quantile(data.ordered, share, method="inverted_cdf"), f"quantile {share:g}", None)


def best_f1(score: ArrayLike, label: ArrayLike) -> Threshold:
    """Returns the threshold with the highest F1 over steps, chosen with labels and saying so.

    Args:
        score: (steps,).
        label: (steps,), 0 or 1.

    Raises:
        ValueError: Scores or labels cannot be used.
    """
    scores, flags = checked(score, label)
    _, lowest = highest_f1(scores, flags)
    value = float(np.nextafter(lowest, -np.inf))
    return Threshold(value, "labels", None, None, int(np.isfinite(scores).sum()), len(alarms(scores, value)))


SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def parse_rate(text: str | float, step_seconds: float | None = None) -> float:
    """Reads a rate of alarms.

    Args:
        text: Alarms a step as a number or as "1/1000", or alarms a time as "1/day" (second, minute, hour, day, week).
        step_seconds: The median duration of a step, in seconds; a rate per time needs it.

    Returns:
        Alarms a step.

    Raises:
        ValueError: The text is no such rate, or the duration is missing.

    >>> parse_rate("1/1000"), parse_rate("2/day", step_seconds=300) == 2 / 288
    (0.001, True)
    """
    above, _, below = str(text).partition("/")
    unit = below.strip().lower()
    try:
        if unit in SECONDS:
            rate = float(above) / _steps_in(unit, step_seconds)
        else:
            rate = float(above) / (float(below) if below else 1.0)
    except ZeroDivisionError:
        rate = math.inf
    except ValueError as error:
        if "step_seconds" in str(error):
            raise
        rate = math.nan
    if not 0 < rate <= 1:
        raise ValueError(
            f"A rate of alarms must be above 0 and at most 1 a step, got {text!r}. "
            f"Write alarms per steps, such as 1/1000, or per time, such as 1/day ({', '.join(SECONDS)})."
        )
    return rate


def _steps_in(unit: str, step_seconds: float | None) -> float:
    if step_seconds is None:
        raise ValueError(
            f"A rate per {unit} needs `step_seconds`, got none: the data have no times. Write 1/1000, alarms per steps."
        )
    checks.above("step_seconds", step_seconds, 0, "Pass the median seconds between two steps.")
    return SECONDS[unit] / step_seconds


def _often(rate: float) -> str:
    """Writes a rate as one alarm in so many steps, rounded so that it promises no less than it is."""
    steps = math.floor(1 / rate + 1e-9)
    return f"one alarm in {steps} steps" if steps > 1 else "an alarm at every step"


def _bound(count: float, steps: int, scatter: float, confidence: float) -> float:
    """Returns the upper confidence bound of a rate of events from their count."""
    from scipy.special import gammaincinv

    return float(gammaincinv(count / scatter + 1, confidence)) * scatter / steps


class _Calibration:
    """Normal data, and what the alarms of a threshold on them say about its rate."""

    def __init__(self, score_stretches: Sequence[ArrayLike], confidence: float, rules: dict[str, Any]) -> None:
        checks.check("confidence", confidence, checks.Share)
        self.confidence, self.rules = confidence, rules
        apart = np.full(max(rules.get("merge_within", 0), rules.get("cool_down", 0)) + 1, -np.inf)
        # Steps without a score between the stretches, so many that no rule reaches from one into the next.
        self.joined = np.concatenate([apart, *(part for one in score_stretches for part in (scores_of(one), apart))])
        scored = np.isfinite(self.joined)
        self.ordered = -np.sort(-self.joined[scored])
        self.steps = len(self.ordered)
        if not self.steps:
            raise ValueError("`score_stretches` must have scores of normal data, got none. Hold some normal data out.")
        self.blocks = (np.cumsum(scored) - 1) * BLOCKS // self.steps
        exceedances = ENOUGH
        while exceedances < self.steps // 2 and self._alarms(self.ordered[exceedances])[0] < ENOUGH:
            exceedances *= 2
        self.scatter = self._alarms(self.ordered[min(exceedances, self.steps - 1)])[1]

    def threshold(self, value: float, rule: str, rate: float | None) -> Threshold:
        """Returns a threshold with its bound."""
        count, scatter = self._alarms(value)
        scatter = max(self.scatter, scatter if count >= ENOUGH else 1.0)
        bound = _bound(count, self.steps, scatter, self.confidence)
        return Threshold(float(value), rule, rate, bound, self.steps, count, self.confidence, scatter)

    def _alarms(self, value: float) -> tuple[int, float]:
        """Returns the number of alarms, and the variance over the mean of their number in blocks, at least 1."""
        found = self.blocks[alarms(self.joined, value, **self.rules)[:, 0]]
        counts = np.bincount(found, minlength=BLOCKS)
        return len(found), max(1.0, float(counts.var(ddof=1) / counts.mean())) if len(found) else 1.0
