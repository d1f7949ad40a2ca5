"""How noisy the scores of a table are, and so how far two groups' means may differ by chance."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME = 1e-12  # relative: differences of rounding
ROUNDING = 1 / 12  # variance of rounding to whole numbers
#: A pair's standard error is at least this share of the one from its own differences: the least that keeps the error
#: rate of 20 groups below 0.06 under heavy tails (docs/statistics.md), at a loss of power of up to 0.04.
OWN_SHARE = 0.7
#: Where blocks share training data, the variance grows with the logarithm of the residuals' kurtosis, by the first over
#: the squared number of blocks but at least by the second, from so many standard errors above the one of a normal
#: sample: the least that keeps the error rate of heavy-tailed scores below 0.06 up to an overlap of 1/3
#: (docs/statistics.md).
TAIL_GROWTH, LEAST_GROWTH, TAIL_BEGINS = 200.0, 2.0, 0.25
#: A group is set apart whose standard deviation is so many times that of the middle group: the first over the root of
#: the blocks less one, but at least the second. Heavy tails alone rarely do it. With half of that, a group is uneven.
NOISY, LEAST_NOISY = 16.0, 3.0

Table = NDArray[np.float64]  # (groups, blocks)


@dataclass(frozen=True)
class Errors:
    """Standard errors of each group's difference from one of them, infinite where the scores have no spread.

    Attributes:
        errors: (..., groups).
        degrees: (..., groups), of freedom.
        typical: (...,), the standard error of a typical pair of the reference.
        widening: (...,), by how much heavy tails made the errors larger; 1 where they did not.
        noisy: (..., groups), which groups were set apart.
        uneven: (..., groups), which others are noisy enough that they may hide differences.
    """

    errors: NDArray[np.float64]
    degrees: NDArray[np.intp]
    typical: NDArray[np.float64]
    widening: NDArray[np.float64]
    noisy: NDArray[np.bool_]
    uneven: NDArray[np.bool_]


def standard_errors(table: Table, reference: ArrayLike, overlap: float, resolution: float | None) -> Errors:
    """Returns the standard errors on which verdicts rest; the simulations call this with many tables at once.

    Args:
        table: (..., groups, blocks), without gaps.
        reference: (...,), the group from which differences are taken.
        overlap: n_validation / n_train.
        resolution: The smallest step of a score, None for a continuous one.
    """
    blocks = table.shape[-1]
    rounding = math.sqrt(ROUNDING) * (resolution or 0.0)
    noisiness = _noisiness(table, rounding)
    noisy = (noisiness > 1) & (table.shape[-2] > 3)
    calm = (~noisy).sum(axis=-1, keepdims=True)  # (..., 1)
    degrees = (calm - 1) * (blocks - 1)
    residuals = np.where(noisy[..., None], 0.0, table - table.mean(axis=-1, keepdims=True))
    of_block = residuals.sum(axis=-2, keepdims=True) / calm[..., None]
    residuals = np.where(noisy[..., None], 0.0, residuals - of_block)
    pooled = np.maximum((residuals**2).sum(axis=(-2, -1))[..., None] / degrees, rounding**2)
    largest = np.abs(table).max(axis=(-2, -1))[..., None]
    pooled = np.where(pooled > (SAME * largest) ** 2, pooled, math.inf)
    at = np.asarray(reference)[..., None]
    of_reference = np.take_along_axis(table, at[..., None], axis=-2)  # (..., 1, blocks)
    own = (table - of_reference).var(axis=-1, ddof=1) / 2
    apart = noisy | np.take_along_axis(noisy, at, axis=-1)
    variance = np.maximum(pooled, np.where(apart, 1.0, OWN_SHARE**2) * own)
    tails = _tail_factor(residuals, calm, degrees) if overlap > 0 else np.ones(calm.shape)
    of_pair = 2 * (1 / blocks + overlap) * tails
    errors = np.sqrt(variance * of_pair)
    typical = np.where(apart.all(axis=-1), np.median(errors, axis=-1), np.sqrt(pooled * of_pair)[..., 0])
    of_freedom, uneven = np.where(apart, blocks - 1, degrees), ~noisy & (noisiness > 1 / 2)
    return Errors(errors, of_freedom, typical, np.asarray(np.sqrt(tails[..., 0])), noisy, uneven)


def _noisiness(table: Table, rounding: float) -> NDArray[np.float64]:
    """Returns by how much each group scatters more than the middle one, block effects apart; above 1 it is too much.

    Of two groups neither is the middle one: 0.
    """
    centred = table - table.mean(axis=-1, keepdims=True)
    spread = (centred - np.median(centred, axis=-2, keepdims=True)).std(axis=-1)
    middle = np.median(spread, axis=-1, keepdims=True)
    limit = max(LEAST_NOISY, NOISY / math.sqrt(table.shape[-1] - 1)) * np.maximum(middle, rounding)
    known = (middle > 0) & (table.shape[-2] > 2)
    return np.where(known, spread / np.where(known, limit, 1.0), 0.0)


def _tail_factor(residuals: Table, groups: NDArray[np.intp], degrees: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns 1, and more where the kurtosis of the residuals of so many groups is above a normal sample's."""
    blocks = residuals.shape[-1]
    square, fourth = ((residuals**power).sum(axis=(-2, -1))[..., None] / (groups * blocks) for power in (2, 4))
    normal = 3 * degrees / (degrees + 2)  # the expected kurtosis of so many degrees of freedom
    excess = np.log(np.where(square > 0, fourth / np.where(square > 0, square, 1.0) ** 2 / normal, 1.0))
    error = np.sqrt(24 / degrees) / 3
    growth = max(LEAST_GROWTH, TAIL_GROWTH / blocks**2)
    return np.asarray(1 + growth * np.maximum(0, excess - TAIL_BEGINS * error))
