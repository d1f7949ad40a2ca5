"""Which groups of a ranking are worse than the best, with an error rate that holds for the whole table."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_BLOCKS = 3  # with two, discrete scores agree by chance too often
SAME = 1e-12  # relative: differences of rounding
ROUNDING = 1 / 12  # variance of rounding to whole numbers
LEVEL = 0.05  # of all comparisons of a table together
POWER = 0.8
#: A pair's standard error is at least this share of the one from its own differences: the least that keeps the error
#: rate of 20 groups below 0.06 under heavy tails (docs/statistics.md), at a loss of power of up to 0.04.
OWN_SHARE = 0.7
#: Where blocks share training data, the variance grows with the logarithm of the residuals' kurtosis, by this over the
#: blocks, from so many standard errors above the one of a normal sample: what keeps the error rate of heavy-tailed
#: scores nearest to 0.06 at a loss of power of at most 0.05 (docs/statistics.md).
TAIL_GROWTH, TAIL_BEGINS = 20.0, 0.4

Table = NDArray[np.float64]  # (groups, blocks)


@dataclass(frozen=True)
class Verdict:
    """What can be concluded about one group.

    Attributes:
        word: `best`, `worse`, `not told apart`, `diverged`, `incomplete` or `too few blocks`.
        mean: Over the blocks that count; NaN where it has none of them, infinite where it diverged.
        blocks: The number of blocks that count and that it has.
        difference: Its mean less the best group's, over the blocks both have; NaN where there is no best.
        error: The standard error of the difference; NaN where it was not tested, infinite where nothing is known.
        family: The number of groups that were tested, and the degrees of freedom.
    """

    word: str
    mean: float
    blocks: int
    difference: float
    error: float
    family: tuple[int, int]

    @property
    def low(self) -> float:
        """The lower end of the difference's interval; the intervals of a table hold together, at 95 %."""
        return self.difference - _critical(self.family) * self.error

    @property
    def high(self) -> float:
        """The upper end."""
        return self.difference + _critical(self.family) * self.error

    @cached_property
    def p(self) -> float:
        """The p value of the difference, adjusted for all pairs of groups; computed on first use (about 15 ms)."""
        from scipy.stats import studentized_range

        if math.isnan(self.error):
            return math.nan
        return float(studentized_range.sf(math.sqrt(2) * abs(self.difference) / self.error, *self.family))


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of a table.

    Attributes:
        groups: One for each group, in the order given.
        order: The ranking, as positions of groups: complete ones by their mean, then incomplete, then diverged ones.
        best: The position of the best complete group, None where there is none.
        blocks: The number of blocks that were compared.
        counted: Of each block given, whether it was compared.
        detectable: The smallest true difference from the best that a single comparison would have found with a
            probability of 0.8; NaN where nothing was tested.
        reason: Why nothing was tested, where it was not.
    """

    groups: tuple[Verdict, ...]
    order: tuple[int, ...]
    best: int | None
    blocks: int
    counted: tuple[bool, ...]
    detectable: float
    reason: str


def verdicts(
    scores: ArrayLike, *, higher_is_better: bool, overlap: float = 0.0, resolution: float | None = None
) -> Verdicts:
    """Compares each group with the best one by Tukey's test in a randomised block design.

    The noise is estimated from all groups together, after each group's and each block's mean were taken out, so that
    three blocks suffice where there are several groups. The studentized range allows for the best having been chosen
    among the groups (Tukey 1949, https://doi.org/10.2307/3001913). Three things are added to the textbook:

    - Blocks that share training data: the variance of a mean is 1/n + overlap, not 1/n. As the shared part does not
      average out, this is enlarged where the residuals have heavy tails.
    - Heavy tails and unequal variances: the standard error of a pair is at least 0.7 of the one from its own
      differences, so that one bad block makes no verdict.
    - Discrete scores: the variance is at least that of rounding to the resolution, and scores without any spread are
      not told apart.

    A block counts if at least half of the groups that did not diverge have a score there, so that extra seeds of one
    group make no other one incomplete. A group that lacks a block that counts is `incomplete`: it is not tested and
    never best.

    Assumes that groups and blocks act additively, and that noise is independent and about equally large in all groups.

    Args:
        scores: (groups, blocks); NaN where a run is missing, infinite where it diverged.
        higher_is_better: The direction of the score.
        overlap: n_validation / n_train, see `lstm_ae.statistics.overlap`; 0 where all blocks have the same split.
        resolution: The smallest step of a score: 1/n for an accuracy over n sequences. None: continuous.

    Raises:
        ValueError: `scores` has not two axes, or `overlap` or `resolution` is negative.

    Example:
        >>> losses = [[1.0, 1.1, 0.9, 1.0], [1.1, 1.2, 1.1, 0.9], [2.0, 2.2, 1.9, 2.1]]
        >>> found = verdicts(losses, higher_is_better=False)
        >>> [group.word for group in found.groups], round(found.detectable, 2)
        (['best', 'not told apart', 'worse'], 0.26)
        >>> verdicts([[1.0, 1.1], [2.0, 2.1]], higher_is_better=False).reason
        '2 blocks (seeds or folds) are too few for a test: 1 more is needed'
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2:
        raise ValueError(
            f"`scores` must be (groups, blocks), got the shape {table.shape}. Make one row for each group."
        )
    for name, value in (("overlap", overlap), ("resolution", resolution or 0.0)):
        if not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must be a finite number of at least 0, got {value}. Use 0 for none.")
    sign = -1 if higher_is_better else 1
    diverged = np.isinf(table).any(axis=1)
    there = np.isfinite(table) & ~diverged[:, None]
    counted = there.any(axis=0) & (there.sum(axis=0) >= there.any(axis=1).sum() / 2)
    table, there, blocks = table[:, counted], there[:, counted], int(counted.sum())
    complete = there.all(axis=1) & (blocks > 0)
    means = np.where(diverged, sign * math.inf, _means(table, there))
    rank = np.select([complete, there.any(axis=1), diverged], [0, 1, 2], 3)
    order = tuple(np.lexsort((sign * means, rank)).tolist())
    best = order[0] if complete.any() else None
    differences = np.full(len(table), math.nan) if best is None else _means(table - table[best], there & there[best])

    errors, typical, family, reason = np.full(len(table), math.nan), math.inf, (0, 0), ""
    if blocks < FEWEST_BLOCKS:
        reason = too_few(blocks)
    elif best is None or complete.sum() < 2:
        reason = "fewer than two groups have a score in every block"
    else:
        family = (int(complete.sum()), int(complete.sum() - 1) * (blocks - 1))
        reference = int(complete[:best].sum())
        errors[complete], of_pair = standard_errors(table[complete], reference, overlap, resolution)
        typical = float(of_pair)
        errors[best] = math.nan
        reason = "" if math.isfinite(typical) else "the scores have no spread: nothing is known of their noise"
    worse = np.abs(differences) > _critical(family) * errors
    words = np.select(
        [complete & (blocks < FEWEST_BLOCKS), np.arange(len(table)) == best, worse, complete, diverged],
        ["too few blocks", "best", "worse", "not told apart", "diverged"],
        "incomplete",
    ).tolist()
    counts = there.sum(axis=1).tolist()
    columns = (words, means.tolist(), counts, differences.tolist(), errors.tolist())
    groups = tuple(Verdict(*row, family) for row in zip(*columns, strict=True))
    detectable = found_difference(_critical(family), family[1]) * typical if math.isfinite(typical) else math.nan
    return Verdicts(groups, order, best, blocks, tuple(counted.tolist()), detectable, reason)


def standard_errors(
    table: Table, reference: ArrayLike, overlap: float, resolution: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the standard error of each group's difference from one of them, and the one of a typical pair.

    Both are infinite where the scores have no spread. They have the shapes (..., groups) and (...,): the simulations
    call this with many tables at once.

    Args:
        table: (..., groups, blocks), without gaps.
        reference: (...,), the group from which differences are taken.
        overlap: n_validation / n_train.
        resolution: The smallest step of a score, None for a continuous one.
    """
    groups, blocks = table.shape[-2:]
    degrees = (groups - 1) * (blocks - 1)
    residuals = table - table.mean(axis=-1, keepdims=True) - table.mean(axis=-2, keepdims=True)
    residuals += table.mean(axis=(-2, -1), keepdims=True)
    pooled = np.maximum((residuals**2).sum(axis=(-2, -1)) / degrees, ROUNDING * (resolution or 0.0) ** 2)
    pooled = np.where(pooled > (SAME * np.abs(table).max(axis=(-2, -1))) ** 2, pooled, math.inf)
    of_reference = np.take_along_axis(table, np.asarray(reference)[..., None, None], axis=-2)  # (..., 1, blocks)
    own = (table - of_reference).var(axis=-1, ddof=1) / 2
    variance = np.maximum(pooled[..., None], OWN_SHARE**2 * own)
    of_pair = 2 * (1 / blocks + overlap) * np.where(overlap > 0, _tail_factor(residuals, degrees), 1.0)
    return np.sqrt(variance * of_pair[..., None]), np.asarray(np.sqrt(pooled * of_pair))


def _tail_factor(residuals: Table, degrees: int) -> NDArray[np.float64]:
    """Returns 1, and more where the residuals' kurtosis is above a normal sample's."""
    square, fourth = (residuals**2).mean(axis=(-2, -1)), (residuals**4).mean(axis=(-2, -1))
    normal = 3 * degrees / (degrees + 2)  # the expected kurtosis of so many degrees of freedom
    excess = np.log(np.where(square > 0, fourth / np.where(square > 0, square, 1.0) ** 2 / normal, 1.0))
    error = math.sqrt(24 / degrees) / 3
    return np.asarray(1 + TAIL_GROWTH / residuals.shape[-1] * np.maximum(0, excess - TAIL_BEGINS * error))


def _means(table: Table, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the mean of each row over the values that are there, NaN for none."""
    counts = there.sum(axis=1)
    return np.where(counts > 0, np.where(there, table, 0.0).sum(axis=1) / np.maximum(counts, 1), math.nan)


def too_few(blocks: int) -> str:
    """Returns the reason for which fewer blocks than `FEWEST_BLOCKS` are not tested.

    Example:
        >>> too_few(2)
        '2 blocks (seeds or folds) are too few for a test: 1 more is needed'
    """
    more = FEWEST_BLOCKS - blocks
    have = "1 block (seed or fold) is" if blocks == 1 else f"{blocks} blocks (seeds or folds) are"
    return f"{have} too few for a test: {more} more {'is' if more == 1 else 'are'} needed"


def _critical(family: tuple[int, int]) -> float:
    """Returns the number of standard errors that a difference must exceed, NaN where nothing was tested."""
    return critical_range(*family) / math.sqrt(2) if family[0] else math.nan


@lru_cache(maxsize=1024)
def critical_range(groups: int, degrees: int) -> float:
    """Returns the studentized range that equal groups exceed with a probability of 0.05."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, groups, degrees))


@lru_cache(maxsize=1024)
def found_difference(critical: float, degrees: int) -> float:
    """Returns the difference, in standard errors, that exceeds `critical` of them with a probability of 0.8."""
    from scipy.optimize import brentq
    from scipy.stats import nct

    return float(brentq(lambda shift: nct.sf(critical, degrees, shift) - POWER, 0.0, 4 * critical + 10))
