"""Tests of differences between pairs, and the adjustment of p values for there being many."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_BLOCKS = 3  # with two, discrete scores agree by chance too often
SAME = 1e-12  # relative: differences of rounding
ROUNDING = 1 / 12  # variance of rounding to whole numbers


@dataclass(frozen=True)
class PairedTest:
    """A mean difference with its 95 % interval and two-sided p value; NaN, and `reason` says why, where untested."""

    difference: float
    low: float
    high: float
    p: float
    reason: str = ""


def paired_test(differences: ArrayLike, overlap: float = 0.0, resolution: float | None = None) -> PairedTest:
    """Returns Student's paired test, for blocks that may share training data and scores that may be discrete.

    Differences without any spread are not significant, however large: nothing is known of their noise. Where the
    resolution is known, their variance is at least that of rounding both scores.

    Assumes roughly normal differences, one per block.

    Args:
        differences: (blocks,) of two scores; NaN is left out.
        overlap: n_validation / n_train, see `lstm_ae.statistics.overlap`.
        resolution: The smallest step of a score: 1/n for an accuracy over n sequences. None: continuous.

    Example:
        >>> round(paired_test([1.0, 2.0, 3.0]).p, 4), round(paired_test([1.0, 2.0, 3.0], overlap=0.25).p, 4)
        (0.0742, 0.1201)
        >>> paired_test([0.01, 0.01, 0.01]).p, round(paired_test([0.01, 0.01, 0.01], resolution=0.01).p, 3)
        (1.0, 0.051)
    """
    from scipy.special import stdtr, stdtrit

    given = np.asarray(differences, dtype=float)
    given = given[np.isfinite(given)]
    n = len(given)
    mean = float(given.mean()) if n else math.nan
    if n < FEWEST_BLOCKS:
        return PairedTest(mean, math.nan, math.nan, math.nan, too_few(n))
    variance = max(float(given.var(ddof=1)), 2 * ROUNDING * (resolution or 0.0) ** 2)
    if variance <= (SAME * float(np.abs(given).max())) ** 2:
        return PairedTest(mean, math.nan, math.nan, 1.0, "the differences have no spread")
    error = math.sqrt(variance * (1 / n + overlap))
    half = float(stdtrit(n - 1, 0.975)) * error
    return PairedTest(mean, mean - half, mean + half, float(2 * stdtr(n - 1, -abs(mean) / error)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Returns p values adjusted for there being many (Holm 1979, https://www.jstor.org/stable/4615733); NaN stays NaN.

    Assumes nothing about how the tests depend on one another.

    Args:
        p_values: (tests,), of all that is asked together.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(given), math.nan)
    order = np.argsort(given)[: int(np.isfinite(given).sum())]
    steps = given[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def too_few(blocks: int) -> str:
    """Returns the reason for which fewer blocks than `FEWEST_BLOCKS` are not tested.

    Example:
        >>> too_few(2)
        '2 blocks (seeds or folds) are too few for a test: 1 more is needed'
    """
    more = FEWEST_BLOCKS - blocks
    have = "1 block (seed or fold) is" if blocks == 1 else f"{blocks} blocks (seeds or folds) are"
    return f"{have} too few for a test: {more} more {'is' if more == 1 else 'are'} needed"
