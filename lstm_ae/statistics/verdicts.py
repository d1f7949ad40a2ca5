"""Which groups of a ranking are worse than the best, with an error rate that holds for the whole table."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae.statistics.noise import Errors, Table, standard_errors

FEWEST_BLOCKS = 3  # with two, discrete scores agree by chance too often
LEVEL = 0.05  # of all comparisons of a table together
POWER = 0.8


@dataclass(frozen=True)
class Verdict:
    """What can be concluded about one group.

    Attributes:
        word: `best`, `worse`, `not told apart`, `diverged`, `incomplete` or `too few blocks`.
        mean: Over the blocks that count; NaN where it has none of them, infinite where it diverged.
        blocks: The number of blocks that count and that it has.
        difference: Its mean less the best group's, over the blocks both have, of logarithms where these are tested;
            NaN where there is no best.
        error: The standard error of the difference; NaN where it was not tested, infinite where nothing is known.
        degrees: The degrees of freedom of the standard error; 0 where it was not tested.
    """

    word: str
    mean: float
    blocks: int
    difference: float
    error: float
    degrees: int


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of a table.

    Attributes:
        groups: One for each group, in the order given.
        order: The ranking, as positions of groups: complete ones by their mean, then incomplete, then diverged ones.
        best: The position of the best complete group, None where there is none.
        blocks: The number of blocks that were compared.
        counted: Of each block given, whether it was compared.
        sign: -1 where higher scores are better, else 1.
        detectable: The smallest true difference from the best that is found with a probability of at least 0.8, if
            the noise is as it was measured; of logarithms where these are tested, NaN where nothing was.
        widening: By how much heavy tails made the standard errors larger; 1 where they did not.
        noisy: The positions of groups that are much noisier than the others, and were set apart.
        uneven: The positions of others that are noisy enough that they may hide differences.
        reason: Why nothing was tested, where it was not.
    """

    groups: tuple[Verdict, ...]
    order: tuple[int, ...]
    best: int | None
    blocks: int
    counted: tuple[bool, ...]
    sign: int
    detectable: float
    widening: float
    noisy: tuple[int, ...]
    uneven: tuple[int, ...]
    reason: str

    @cached_property
    def p(self) -> tuple[float, ...]:
        """The p value of each group's difference, adjusted for the whole table: below 0.05 where it is `worse`.

        NaN where it was not tested. Computed on first use (about 10 ms for each group).
        """
        from scipy.stats import studentized_range

        ranges = [math.sqrt(2) * max(0.0, self.sign * group.difference) / group.error for group in self.groups]
        tested = sorted((i for i, own in enumerate(ranges) if not math.isnan(own)), key=lambda i: ranges[i])
        calm = [i for i in tested if i not in self.noisy]
        queues = [(calm, max((self.groups[i].degrees for i in tested), default=0)),
                  ([i for i in tested if i in self.noisy], self.blocks - 1)]  # fmt: skip
        found, largest = [math.nan] * len(ranges), 0.0
        for left in range(len(tested) + 1, 1, -1):  # the smallest p value of those that are left, not below the last
            p, own = min((float(studentized_range.sf(ranges[own[-1]], left, n)), own) for own, n in queues if own)
            largest = max(largest, p)
            found[own.pop()] = largest
        return tuple(found)


def verdicts(
    scores: ArrayLike,
    *,
    higher_is_better: bool,
    overlap: float = 0.0,
    resolution: float | None = None,
    log: bool = False,
) -> Verdicts:
    """Compares each group with the best one by Tukey's test in a randomised block design, step by step.

    The noise is estimated from all groups together, after each group's and each block's mean were taken out, so that
    three blocks suffice where there are several groups. The studentized range allows for the best having been chosen
    among the groups (Tukey 1949, https://doi.org/10.2307/3001913). Once some groups are found to be worse, the others
    are a smaller table, which is tested again with the range of fewer groups, until nothing is added (a step-down
    procedure; Hochberg and Tamhane 1987, https://doi.org/10.1002/9780470316672). Three things are added to the
    textbook:

    - Blocks that share training data: the variance of a mean is 1/n + overlap, not 1/n. As the shared part does not
      average out, this is enlarged where the residuals have heavy tails.
    - Heavy tails and unequal variances: the standard error of a pair is at least 0.7 of the one from its own
      differences, so that one bad block makes no verdict. A group that is very much noisier than the others is set
      apart: its pairs are tested by their own differences, and the others without it.
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
        log: Whether to test the logarithms of the scores, which must then be positive: for errors that span decades
            and scatter in proportion to their size. `worse` is then said of the geometric mean; the ranking is by the
            mean all the same.

    Raises:
        ValueError: `scores` has not two axes, `overlap` or `resolution` is negative, or `log` is asked of scores that
            are not positive.

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
    if log and not (table[there] > 0).all():
        raise ValueError(f"`log` takes positive scores, got {table[there].min():g}. Use log=False.")
    complete = there.all(axis=1) & (blocks > 0)
    means = np.where(diverged, sign * math.inf, _means(table, there))
    rank = np.select([complete, there.any(axis=1), diverged], [0, 1, 2], 3)
    order = tuple(np.lexsort((sign * means, rank)).tolist())
    best = order[0] if complete.any() else None
    table = np.log(table, where=there, out=np.full(table.shape, math.nan)) if log else table
    differences = np.full(len(table), math.nan) if best is None else _means(table - table[best], there & there[best])

    errors, degrees = np.full(len(table), math.nan), np.zeros(len(table), dtype=int)
    worse, noisy, uneven = np.zeros((3, len(table)), dtype=bool)
    detectable, widening, reason = math.nan, 1.0, ""
    if blocks < FEWEST_BLOCKS:
        reason = too_few(blocks)
    elif best is None or complete.sum() < 2:
        reason = "fewer than two groups have a score in every block"
    else:
        found = standard_errors(table[complete], int(complete[:best].sum()), overlap, resolution)
        errors[complete], degrees[complete] = found.errors, found.degrees
        noisy[complete], uneven[complete], widening = found.noisy, found.uneven, float(found.widening)
        worse[complete] = told_apart(sign * differences[complete], found)
        errors[best] = math.nan
        if math.isfinite(found.typical):
            of_typical = int(found.degrees.max())
            critical = critical_range(int(complete.sum()), of_typical) / math.sqrt(2)
            detectable = found_difference(critical, of_typical) * float(found.typical)
        else:
            reason = "the scores have no spread: nothing is known of their noise"
    words = np.select(
        [complete & (blocks < FEWEST_BLOCKS), np.arange(len(table)) == best, worse, complete, diverged],
        ["too few blocks", "best", "worse", "not told apart", "diverged"],
        "incomplete",
    ).tolist()
    columns = [column.tolist() for column in (means, there.sum(axis=1), differences, errors, degrees)]
    groups = tuple(Verdict(*row) for row in zip(words, *columns, strict=True))
    return Verdicts(
        groups, order, best, blocks, tuple(counted.tolist()), sign, detectable, widening,
        noisy=tuple(np.flatnonzero(noisy).tolist()), uneven=tuple(np.flatnonzero(uneven).tolist()), reason=reason,
    )  # fmt: skip


def told_apart(differences: ArrayLike, found: Errors) -> NDArray[np.bool_]:
    """Returns which groups are found to be worse than the best, (..., groups), by the steps of `verdicts`.

    Args:
        differences: (..., groups), by how much each is worse than the best group, whose own is 0.
        found: Their standard errors.
    """
    ranges = math.sqrt(2) * np.asarray(differences) / found.errors
    worse = np.zeros(ranges.shape, dtype=bool)
    while True:
        left = np.maximum(2, ranges.shape[-1] - worse.sum(axis=-1, keepdims=True))
        sizes = np.stack([np.broadcast_to(left, ranges.shape), found.degrees], axis=-1)
        critical = np.zeros(ranges.shape)
        for groups, degrees in np.unique(sizes.reshape(-1, 2), axis=0).tolist():
            critical[(sizes == (groups, degrees)).all(axis=-1)] = critical_range(groups, degrees)
        more = worse | (ranges > critical)
        if (more == worse).all():
            return worse
        worse = more


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
