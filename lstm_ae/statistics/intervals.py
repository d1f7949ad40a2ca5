"""Confidence intervals of a proportion, of a mean over blocks, and of a statistic of a time series."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
FEWEST_TIME_BLOCKS = 20
#: Of the variance over time. Fewer give wider intervals, more miss correlation across blocks (docs/statistics.md).
FEWEST_COSINES, BLOCKS_PER_COSINE = 8, 4


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; the ends are NaN, and `reason` says why, where there is none."""

    estimate: float
    low: float
    high: float
    reason: str = ""


def proportion_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns Wilson's interval of a proportion (1927, https://doi.org/10.1080/01621459.1927.10502953).

    Assumes independent trials. Predictions of the same day, or of windows that overlap, are not: use
    `interval_over_time` for these.

    Args:
        successes: For instance sequences classified correctly.
        trials: All sequences.
        confidence: Of the interval.

    Raises:
        ValueError: there are more successes than trials.

    Example:
        >>> found = proportion_interval(60, 100)
        >>> round(found.low, 3), round(found.high, 3)
        (0.502, 0.691)
    """
    from scipy.special import ndtri

    if not 0 <= successes <= trials:
        raise ValueError(f"`successes` must lie in 0..{trials} (`trials`), got {successes}. Pass counts, not shares.")
    if trials == 0:
        return Interval(math.nan, math.nan, math.nan, "no trials")
    z = float(ndtri((1 + confidence) / 2))
    share, weight = successes / trials, z**2 / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def mean_interval(values: ArrayLike, overlap: float = 0.0, confidence: float = CONFIDENCE) -> Interval:
    """Returns Student's interval of a mean over blocks, widened where blocks share training data.

    Assumes roughly normal values, one per block.

    Args:
        values: (blocks,); NaN is left out.
        overlap: n_validation / n_train, see `lstm_ae.statistics.overlap`.
        confidence: Of the interval.

    Example:
        >>> found = mean_interval([1.0, 2.0, 3.0])
        >>> round(found.low, 2), round(found.high, 2)
        (-0.48, 4.48)
    """
    from scipy.special import stdtrit

    given = np.asarray(values, dtype=float)
    given = given[~np.isnan(given)]
    n = len(given)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, "no values")
    mean = float(given.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, "one value has no spread")
    if not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan, "not all values are finite")
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * float(given.std(ddof=1)) * math.sqrt(1 / n + overlap)
    return Interval(mean, mean - half, mean + half)


def skill(sums: NDArray[np.float64]) -> float:
    """Returns 1 - model / baseline, of two sums of errors: a statistic for `interval_over_time`.

    Example:
        >>> skill(np.array([3.0, 4.0]))
        0.25
    """
    return float(1 - sums[0] / sums[1])


def ratio(sums: NDArray[np.float64]) -> float:
    """Returns the first of two sums over the second, such as correct directions over moves.

    Example:
        >>> ratio(np.array([3.0, 4.0]))
        0.75
    """
    return float(sums[0] / sums[1])


def interval_over_time(
    sums: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    block: int,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    confidence: float = CONFIDENCE,
) -> Interval:
    """Returns the interval of a smooth function of sums over time, such as a skill, an accuracy or their difference.

    Everything that belongs to one time is summed first, so it does not matter how strongly companies of one day are
    correlated. What is left is one series: the effect of each time on the statistic (its derivative times the sums
    there). Its long-run variance comes from projections on slow cosines, and Student's t has as many degrees of
    freedom as there are cosines (Lazarus, Lewis, Stock and Watson 2018,
    https://doi.org/10.1080/07350015.2018.1506926). There are blocks/4 cosines, at least eight, which see only
    fluctuations that are slow compared with a block. This covers better than a block bootstrap, whose variance misses
    part of the correlation across the edges of its blocks, and it needs no random draws.

    Assumes that times further apart than a block are nearly independent, and stationarity.

    Args:
        sums: (series, times), times in order: the sum of all that belongs to a time, for each series that the
            statistic reads.
        statistic: From (series,) sums over time to a number; for instance `skill`, `ratio`, or a lambda of several.
        block: The number of times over which neighbours depend on each other: the length of overlapping windows, or
            the horizon.
        bounds: The statistic lies between these; the interval is cut there.
        confidence: Of the interval.

    Raises:
        ValueError: `sums` has not two axes, or `block` is below 1.

    Example:
        >>> days = np.random.default_rng(0).chisquare(5, size=(2, 400)) * [[0.9], [1.0]]
        >>> found = interval_over_time(days, skill, block=10)
        >>> round(found.low, 2), round(found.high, 2)
        (0.06, 0.27)
        >>> interval_over_time(days, skill, block=30).reason
        '400 times make 13 blocks of 30, an interval takes 20 (600 times)'
    """
    from scipy.special import stdtrit

    series = np.asarray(sums, dtype=float)
    if series.ndim != 2:
        raise ValueError(
            f"`sums` must be (series, times), got the shape {series.shape}. Stack one row for each series."
        )
    if block < 1:
        raise ValueError(f"`block` must be at least 1, got {block}. Use the length of a window, or 1 if none overlap.")
    times = series.shape[1]
    with np.errstate(all="ignore"):
        total = series.sum(axis=1)
        estimate = float(statistic(total))
        effects = _gradient(statistic, total, np.abs(series).sum(axis=1)) @ (
            series - series.mean(axis=1, keepdims=True)
        )
    blocks = times // block
    reason = ""
    if blocks < FEWEST_TIME_BLOCKS:
        needed = FEWEST_TIME_BLOCKS * block
        reason = (
            f"{times} times make {blocks} blocks of {block}, an interval takes {FEWEST_TIME_BLOCKS} ({needed} times)"
        )
    elif not (math.isfinite(estimate) and np.isfinite(effects).all()):
        reason = "the statistic is not defined: a sum is zero or not finite"
    elif not effects.any():
        reason = "the statistic is the same at every time"
    if reason:
        return Interval(estimate, math.nan, math.nan, reason)
    cosines = max(FEWEST_COSINES, blocks // BLOCKS_PER_COSINE)
    waves = np.cos(np.pi * np.arange(1, cosines + 1)[:, None] * (np.arange(times) + 0.5) / times)  # (cosines, times)
    error = math.sqrt(2 * float(np.mean((waves @ effects) ** 2)))
    half = float(stdtrit(cosines, (1 + confidence) / 2)) * error
    low, high = np.clip([estimate - half, estimate + half], *bounds)
    return Interval(estimate, float(low), float(high))


def _gradient(
    statistic: Callable[[NDArray[np.float64]], float], total: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the derivative of the statistic by each sum, (series,), from central differences."""
    steps = 1e-5 * np.where(scale > 0, scale, 1.0)
    return np.array([(statistic(total + step) - statistic(total - step)) / (2 * step.sum()) for step in np.diag(steps)])
