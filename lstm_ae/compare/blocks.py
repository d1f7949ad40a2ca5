"""What the blocks of a comparison are: seeds, folds or folds of seeds; and how much training data they share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstm_ae.compare.reading import SUBSETS
from lstm_ae.compare.table import groups, higher_is_better, scores, spans_decades, text
from lstm_ae.statistics import fold_overlap, holdout_overlap, walk_forward_overlap

SIZES = [f"{SUBSETS}.validation.sequences", f"{SUBSETS}.train.sequences"]
DIGESTS = [f"{SUBSETS}.validation.digest", f"{SUBSETS}.train.digest"]
DRAW = ["split.random_state", "fold"]  # what draws a split, where a run does not record its sequences
MAX_FOLDS = 10_000  # a larger `n_splits` is taken for a mistake
VALIDATION = 0.25  # the share that validates where nothing is recorded: the default of `Holdout`


@dataclass(frozen=True)
class Blocks:
    """The blocks of some runs.

    Attributes:
        labels: The block of each run; runs of one combination in one block are averaged.
        unit: What a block is, in the plural.
        due: How many there should be, as far as the configuration says; 0 if it does not.
        overlap: n_validation / n_train where blocks share training data, see `lstm_ae.statistics.overlap`.
        resolution: The smallest step of a block's score, None if it is continuous or unknown.
        log: Whether logarithms are compared: of errors that span more than a factor of ten and scatter in proportion.
        note: What the verdict holds for, as a sentence; empty if there is one block.
    """

    labels: pd.Series
    unit: str
    due: int
    overlap: float
    resolution: float | None
    log: bool
    note: str


def blocks_of(runs: pd.DataFrame, metric: str, combinations: pd.Series, repeats: Sequence[str]) -> Blocks:
    """Works out which settings make the blocks.

    A block is a split: where seeds or folds change which sequences train and validate, every split is one block, and
    runs on the same split are averaged. So with several seeds on the same folds, the folds are the blocks; where each
    seed draws its own folds, each fold of each seed is one (Bouckaert and Frank 2004,
    https://doi.org/10.1007/978-3-540-24775-3_3). Where all runs have one split, the seeds are the blocks, and a verdict
    holds for this split only.

    Folds of whole series that run over the same times (prices of one market) share these times: they are averaged and
    make no blocks.

    Args:
        runs: Runs of one source.
        metric: The ranking metric.
        combinations: The number of each run's combination of settings.
        repeats: The settings that a combination averages over.
    """
    varying = [key for key in repeats if runs[key].nunique(dropna=False) > 1]
    recorded = runs.reindex(columns=DIGESTS)
    split = groups(recorded, DIGESTS) if recorded.notna().all(axis=None) else groups(runs.reindex(columns=DRAW), DRAW)
    if "fold" in varying and _share_times(runs):
        keys = drawn = [key for key in varying if key != "fold"]
        overlap = 0.0
        note = "Folds of series over the same times are not independent: they are averaged, and a verdict holds for these times only. split=walk_forward has folds that are."  # noqa: E501
    else:
        drawn = [key for key in varying if _draws(key, varying, split, runs, combinations)]
        keys, overlap = drawn or varying, _overlap(runs, drawn) if drawn else 0.0
        averaged = " and ".join(f"{key}s" for key in varying if key not in keys)
        note = f"Blocks are {_unit(keys)}{f', each averaged over its {averaged}' if averaged else ''}. "
        note += (
            f"They share training data, which the test allows for (n_validation / n_train = {text(overlap)})."
            if drawn
            else "All have the same split: a verdict holds for this split only."
        )
    labels = groups(runs, keys)
    n_splits = _number(runs, "split.n_splits")
    due = int(n_splits) if keys == ["fold"] and 0 < n_splits <= MAX_FOLDS else 0
    averaged_runs = int(labels.groupby([combinations, labels]).size().min())
    step = _resolution(runs, metric)
    resolution = None if step is None else step / math.sqrt(averaged_runs)
    errors = step is None and not higher_is_better(runs, metric)
    log = errors and in_proportion(scores(runs, metric), combinations)
    return Blocks(labels, _unit(keys), due, overlap, resolution, log, note if varying else "")


def in_proportion(score: pd.Series, combinations: pd.Series) -> bool:
    """Returns whether scores span more than a factor of ten, and scatter the more the larger a combination's mean is.

    The slope of the logarithm of the spread over that of the mean says which scale has equal noise: near 0 the scores',
    near 1 that of their logarithms (the spread-level plot of Tukey 1977). Where no spread is known, as of one seed, it
    is taken for 1.
    """
    if not spans_decades(score):
        return False
    each = score[np.isfinite(score)].groupby(combinations)
    mean, spread = each.mean(), each.std()
    known = spread > 0
    level = np.log(mean[known]) - np.log(mean[known]).mean()
    weight = float((level**2).sum())
    return weight == 0 or float((level * np.log(spread[known])).sum()) / weight > 1 / 2


def _unit(keys: Sequence[str]) -> str:
    return {("seed",): "seeds", ("fold",): "folds", ("seed", "fold"): "folds of seeds"}.get(
        tuple(keys), f"values of {' and '.join(keys)}" if keys else "blocks"
    )


def _draws(key: str, varying: Sequence[str], split: pd.Series, runs: pd.DataFrame, combinations: pd.Series) -> bool:
    """Returns whether runs that differ in nothing else have different splits."""
    others = [runs[other] for other in varying if other != key]
    return bool(split.groupby([combinations, *others], dropna=False).nunique().max() > 1)


def _share_times(runs: pd.DataFrame) -> bool:
    """Returns whether folds are whole series (a splitter by groups) of data that has a time axis."""
    by_series = runs.reindex(columns=["split._target_"])["split._target_"].astype(str).str.contains("Group").any()
    timed = runs.reindex(columns=["dataset.window", "dataset.time"])
    return bool(by_series and (timed.notna() & (timed != "null")).any(axis=None))


def _overlap(runs: pd.DataFrame, drawn: Sequence[str]) -> float:
    """Returns n_validation / n_train, from the sizes that the runs record or else from the split's settings."""
    sizes = runs.reindex(columns=SIZES).drop_duplicates()
    if (sizes >= 1).all(axis=None):
        return float(np.mean([holdout_overlap(*map(int, pair)) for pair in sizes.itertuples(index=False)]))
    n_splits = _number(runs, "split.n_splits")
    known = 2 <= n_splits <= MAX_FOLDS
    if "fold" in drawn or (known and _number(runs, "fold") >= 0):
        k = int(n_splits) if known else max(2, runs["fold"].nunique())
        by_time = runs.reindex(columns=["split._target_"])["split._target_"].astype(str).str.endswith("WalkForward")
        return (walk_forward_overlap if by_time.any() else fold_overlap)(k)
    share = _number(runs, "split.validation")
    share = share if 0 < share < 1 else VALIDATION
    return share / (1 - share)


def _resolution(runs: pd.DataFrame, metric: str) -> float | None:
    """Returns 1/n of a score that is a share of n sequences, None for another."""
    part, _, name = metric.partition(".")
    proportion = any(name in str(names).split(",") for names in runs["proportions"].dropna().unique())
    sequences = _number(runs, f"{SUBSETS}.{part}.sequences", smallest=True)
    return 1 / sequences if proportion and sequences >= 1 else None


def _number(runs: pd.DataFrame, column: str, smallest: bool = False) -> float:
    """Returns the largest (or smallest) number in a column, NaN if it has none."""
    numbers = pd.to_numeric(runs.reindex(columns=[column])[column], errors="coerce")
    return float(numbers.min() if smallest else numbers.max())
