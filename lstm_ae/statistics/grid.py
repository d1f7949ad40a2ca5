"""A grid of runs as a table: its cells, the means of blocks, and how much of the variance a setting explains."""

import math
from collections.abc import Hashable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae.statistics.noise import standard_errors

Labels = Sequence[Hashable] | NDArray[np.generic]


def arranged(
    scores: ArrayLike, values: Labels, blocks: Labels, others: Sequence[Labels]
) -> tuple[NDArray[np.float64], list[Hashable], NDArray[np.intp], NDArray[np.float64]]:
    """Returns the scores, the distinct values, the position of each run's value, and (values, blocks, combinations)."""
    score = np.asarray(scores, dtype=float)
    for labels in (values, blocks, *others):
        if len(labels) != len(score):
            raise ValueError(
                f"labels must be given for each of {len(score)} `scores`, got {len(labels)}. Pass one for each run."
            )
    names, value_of = _codes(values)
    _, block_of = _codes(blocks)
    _, combination_of = _codes(list(zip(*others, strict=True)) if others else [()] * len(score))
    return score, names, value_of, _cell_means(score, value_of, block_of, combination_of)


def _codes(labels: Sequence[Hashable] | NDArray[np.generic]) -> tuple[list[Hashable], NDArray[np.intp]]:
    """Returns the distinct labels in order of appearance, and each label's position among them; NaN is one label."""
    seen: dict[Hashable, int] = {}
    codes = [seen.setdefault(label if label == label else None, len(seen)) for label in labels]
    return list(seen), np.array(codes, dtype=np.intp)


def _cell_means(score: NDArray[np.float64], *codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns the mean score of each cell, NaN where it has no run or one that diverged."""
    shape = tuple(int(code.max(initial=-1)) + 1 for code in codes)
    sums, counts = np.zeros(shape), np.zeros(shape)
    given = ~np.isnan(score)
    where = tuple(code[given] for code in codes)
    np.add.at(sums, where, np.where(np.isfinite(score), score, math.nan)[given])
    np.add.at(counts, where, 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)


def block_means(grid: NDArray[np.float64], cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns (values, blocks): means over the combinations that are compared, for blocks that have some."""
    some = cells.any(axis=1)
    sums = np.where(cells, grid, 0.0).sum(axis=2)
    return np.asarray(sums[:, some] / cells.sum(axis=1)[some], dtype=float)


def pair_p(
    table: NDArray[np.float64], kept: NDArray[np.intp], overlap: float, resolution: float | None
) -> tuple[dict[tuple[int, int], float], float, int]:
    """Returns the p value of Student's test of each pair of rows, by the positions in `kept`.

    With it, the standard error of a typical pair's difference, and its degrees of freedom.
    """
    from scipy.special import stdtr

    mean = table.mean(axis=1)
    found = [standard_errors(table, i, overlap, resolution) for i in range(len(table))]
    p_values = {
        (int(kept[i]), int(kept[j])): float(
            2 * stdtr(found[i].degrees[j], -abs(mean[i] - mean[j]) / found[i].errors[j])
        )
        for i, j in combinations(range(len(table)), 2)
    }
    return p_values, float(min(one.typical for one in found)), int(max(one.degrees.max() for one in found))


def omega_squared(
    grid: NDArray[np.float64], cells: NDArray[np.bool_], table: NDArray[np.float64], overlap: float
) -> float:
    """Returns omega squared, at least 0; the setting's interaction with the blocks is the error.

    Args:
        grid: (values, blocks, combinations).
        cells: (blocks, combinations), those compared.
        table: (values, blocks), their means.
        overlap: By which chance makes the means of values differ more than the error within blocks says.
    """
    scores = grid[:, cells]  # (values, cells)
    n_values, n_blocks = table.shape
    per_block = cells.sum(axis=1)[cells.any(axis=1)]
    value = scores.mean(axis=1, keepdims=True)
    error = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    mean_square = float((per_block * error**2).sum()) / ((n_values - 1) * (n_blocks - 1))
    total = float(((scores - scores.mean()) ** 2).sum())
    between = scores.shape[1] * float(((value - scores.mean()) ** 2).sum())
    by_chance = (n_values - 1) * mean_square * (1 + n_blocks * overlap)
    return max(0.0, (between - by_chance) / (total + mean_square)) if total > 0 else 0.0
