"""What each setting of a grid does to the score, with blocks and not runs as the independent unit."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae.statistics.grid import Labels, arranged, block_means, omega_squared, pair_p
from lstm_ae.statistics.intervals import Interval, mean_interval
from lstm_ae.statistics.verdicts import FEWEST_BLOCKS, LEVEL, found_difference, too_few


@dataclass(frozen=True)
class ValueEffect:
    """One value of a setting; means are over runs that differ in nothing else.

    Attributes:
        value: The value.
        runs: Its runs that have a score.
        diverged: Its runs that diverged.
        mean: The marginal mean with its 95 % interval over blocks.
        geometric: The same of the geometric mean; NaN unless all scores are positive.
        difference: Its mean less the best value's, of logarithms where these were tested.
        p: Of the difference, adjusted for all pairs of values of all settings (Holm); NaN of the best value itself.
    """

    value: Hashable
    runs: int
    diverged: int
    mean: Interval
    geometric: Interval
    difference: float = math.nan
    p: float = math.nan


@dataclass(frozen=True)
class Effect:
    """The effect of one setting.

    Attributes:
        values: One for each value, in order of first appearance.
        best: The value with the best mean on the scale that was tested, None where there is none.
        best_by_mean: The value with the best arithmetic mean.
        best_by_geometric: The value with the best geometric mean; None unless all scores are positive.
        omega_squared: The share of the variance of all scores that is due to the setting, less what chance gives, and
            at least 0. To be shown where `significant`.
        blocks: The number of blocks.
        balanced: Whether all values were run with the same other settings in the same blocks. If not, means are over
            what they share.
        reason: Why nothing was tested, where it was not.
        detectable: The smallest difference of two values' means, of logarithms where these were tested, that would
            have been found with a probability of 0.8 if nothing else differed; NaN where nothing was tested.
        pair_p: The unadjusted p value of each pair of values, by their positions.
        error: The standard error of a typical pair's difference.
        degrees: Its degrees of freedom.
    """

    values: tuple[ValueEffect, ...]
    best: Hashable | None = None
    best_by_mean: Hashable | None = None
    best_by_geometric: Hashable | None = None
    omega_squared: float = math.nan
    blocks: int = 0
    balanced: bool = False
    reason: str = ""
    detectable: float = math.nan
    pair_p: Mapping[tuple[int, int], float] = field(default_factory=dict)
    error: float = math.inf
    degrees: int = 0

    @property
    def significant(self) -> bool:
        """Whether the best value differs from some other one, at the 5 % level of all settings together."""
        return any(value.p < LEVEL for value in self.values)


def effects(
    scores: ArrayLike,
    settings: Mapping[str, Labels],
    blocks: Labels,
    *,
    higher_is_better: bool,
    overlap: float = 0.0,
    resolution: float | None = None,
    log: bool = False,
) -> dict[str, Effect]:
    """Returns the effect of each setting of a grid of runs; p values hold for all pairs of values of all settings.

    Scores are averaged over all other settings within each block, which leaves a table of values x blocks. Intervals
    and tests come from this table: runs that share a seed or a fold do not differ independently, however many there
    are. Pairs of values are tested with the standard errors of `verdicts`; adjusting for all pairs (Holm) allows for
    the best value having been chosen by the same scores.

    Omega squared (Olejnik and Algina 2003, https://doi.org/10.1037/1082-989X.8.4.434) is eta squared less what chance
    gives: of a setting without effect it is 0 on average, before it is cut at 0.

    Assumes what `verdicts` does. Values that have less than half of the largest number of runs are left out; runs are
    then compared only where all other values have a score with the same other settings in the same block.

    Args:
        scores: (runs,); NaN where a run has none, infinite where it diverged.
        settings: For each setting that differs, its value in each run.
        blocks: The seed, the fold or both, of each run.
        higher_is_better: The direction of the score.
        overlap: n_validation / n_train, see `lstm_ae.statistics.overlap`.
        resolution: The smallest step of a score, None for a continuous one.
        log: Whether to test the logarithms of the scores, which must then be positive.

    Raises:
        ValueError: labels do not match the scores, or `log` is asked of scores that are not positive.

    Example:
        >>> scores = [1.0, 1.3, 2.1, 2.2, 1.1, 1.2, 2.3, 1.9, 1.1, 0.9, 2.0, 2.1]
        >>> settings = {"rate": [0.1, 0.1, 1.0, 1.0] * 3, "size": [8, 16] * 6}
        >>> found = effects(scores, settings, [0] * 4 + [1] * 4 + [2] * 4, higher_is_better=False)
        >>> found["rate"].best, found["rate"].significant, round(found["rate"].omega_squared, 2)
        (0.1, True, 0.94)
        >>> found["size"].best, found["size"].significant
        (8, False)
    """
    found = {}
    for name, values in settings.items():
        others = [labels for other, labels in settings.items() if other != name]
        found[name] = _unadjusted(scores, values, blocks, others, higher_is_better, overlap, resolution, log)
    return _adjusted(found)


def _unadjusted(
    scores: ArrayLike,
    values: Labels,
    blocks: Labels,
    others: Sequence[Labels],
    higher_is_better: bool,
    overlap: float,
    resolution: float | None,
    log: bool,
) -> Effect:
    """Returns the effect of one setting with raw p values, in `pair_p` only."""
    score, names, value_of, grid = arranged(scores, values, blocks, others)
    positive = bool((score[np.isfinite(score)] > 0).all())
    if log and not positive:
        raise ValueError(f"`log` takes positive scores, got {score[np.isfinite(score)].min():g}. Use log=False.")
    there = np.isfinite(grid)
    counts = there.sum(axis=(1, 2))
    kept = np.flatnonzero((counts > 0) & (counts >= counts.max() / 2))
    cells: NDArray[np.bool_] = np.asarray(there[kept].all(axis=0) & (len(kept) > 0))  # (blocks, combinations)
    arithmetic = block_means(grid[kept], cells)  # (values, blocks)
    geometric = block_means(np.log(grid[kept]), cells) if positive else np.full_like(arithmetic, math.nan)
    table = geometric if log else arithmetic
    n_blocks = table.shape[1]
    rows = [_value(name, score[value_of == i]) for i, name in enumerate(names)]
    if n_blocks == 0:
        return Effect(tuple(rows), reason="no run has the same other settings for all values")

    sign = -1 if higher_is_better else 1
    best, by_mean, by_geometric = (int(kept[(sign * t.mean(axis=1)).argmin()]) for t in (table, arithmetic, geometric))
    means = dict(zip(kept.tolist(), table.mean(axis=1).tolist(), strict=True))
    for i, own, logs in zip(kept.tolist(), arithmetic, geometric, strict=True):
        of_logs = _exponential(mean_interval(logs, overlap))
        rows[i] = replace(
            rows[i], mean=mean_interval(own, overlap), geometric=of_logs, difference=means[i] - means[best]
        )
    reason = too_few(n_blocks) if n_blocks < FEWEST_BLOCKS else "only one value has runs" if len(kept) < 2 else ""
    step = None if resolution is None or log else resolution / math.sqrt(cells.sum() / n_blocks)
    compared = np.log(grid[kept]) if log else grid[kept]
    p_values, error, degrees = ({}, math.inf, 0) if reason else pair_p(table, kept, overlap, step)
    return Effect(
        tuple(rows),
        best=names[best],
        best_by_mean=names[by_mean],
        best_by_geometric=names[by_geometric] if positive else None,
        omega_squared=math.nan if reason else omega_squared(compared, cells, table, overlap),
        blocks=n_blocks,
        balanced=len(kept) == len(names) and bool((there == cells).all()),
        reason=reason,
        pair_p=p_values,
        error=error,
        degrees=degrees,
    )


def _value(name: Hashable, scores: NDArray[np.float64]) -> ValueEffect:
    """Returns a value with its runs counted, and no means yet."""
    nothing = Interval(math.nan, math.nan, math.nan, "too few runs that compare have a score")
    return ValueEffect(name, int(np.isfinite(scores).sum()), int(np.isinf(scores).sum()), nothing, nothing)


def _adjusted(found: Mapping[str, Effect]) -> dict[str, Effect]:
    """Returns the effects with p values adjusted for all pairs of all of them."""
    keys = [(name, pair) for name, one in found.items() for pair in one.pair_p]
    p_values = dict(zip(keys, holm([found[name].pair_p[pair] for name, pair in keys]).tolist(), strict=True))
    made = {}
    for name, one in found.items():
        best = [row.value for row in one.values].index(one.best) if one.pair_p else 0
        pairs = [(name, (min(i, best), max(i, best))) for i in range(len(one.values))]
        rows = [replace(row, p=p_values.get(pair, math.nan)) for row, pair in zip(one.values, pairs, strict=True)]
        made[name] = replace(one, values=tuple(rows), detectable=_detectable(one, len(keys)))
    return made


def _detectable(one: Effect, pairs: int) -> float:
    """Returns what Holm's first step, at the level of one of so many pairs, finds with a probability of 0.8."""
    from scipy.special import stdtrit

    if not math.isfinite(one.error):
        return math.nan
    critical = float(stdtrit(one.degrees, 1 - LEVEL / (2 * pairs)))
    return one.error * found_difference(critical, one.degrees)


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


def _exponential(interval: Interval) -> Interval:
    with np.errstate(over="ignore"):
        ends = [float(np.exp(end)) for end in (interval.estimate, interval.low, interval.high)]
    return Interval(ends[0], ends[1], ends[2], interval.reason)
