"""Tests of differences between groups of runs, and the effect of each setting on the score."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_ae.compare.table import REPEATS, comparable, groups, higher_is_better, plain, scores, settings

LEVEL = 0.05  # family-wise significance level of the tests of a table
MAX_FOLDS = 10_000  # a larger `n_splits` is taken for a mistake
MAX_EXPONENT = 700.0  # exp overflows beyond it
EFFECTS = ["setting", "value", "mean", "low", "high", "n", "diverged", "explained", "best", "source"]


def paired_p(differences: np.ndarray, overlap: float = 0.0) -> float:
    """Returns the two-sided p value of a paired t-test, NaN for fewer than two pairs.

    Folds share most of their training data, so their scores are not independent, and a plain test is significant too
    often. Nadeau and Bengio (2003, https://doi.org/10.1023/A:1024068626366) increase the variance of the mean from
    1/n to 1/n + n_test/n_train.

    Args:
        differences: The difference of each pair.
        overlap: n_test / n_train of the folds; 0 for independent pairs, such as seeds.

    Example:
        >>> round(paired_p(np.array([1.0, 2.0, 3.0])), 4), round(paired_p(np.array([1.0, 2.0, 3.0]), 0.25), 4)
        (0.0742, 0.1201)
    """
    from scipy.special import stdtr

    n = len(differences)
    if n < 2:
        return math.nan
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / (spread * math.sqrt(1 / n + overlap))))


def holm_against_best(values: Sequence[float]) -> np.ndarray:
    """Returns p values adjusted for multiple tests (Holm 1979, https://www.jstor.org/stable/4615733); NaN stays NaN.

    The tests compare each of k others with the best. Because the same scores chose the best, they count as k of all
    k (k + 1) / 2 pairwise tests. Counted as k tests, twenty equal groups of ten seeds gave a false `worse` in 18 % of
    trials.

    Example:
        >>> holm_against_best([0.01, 0.04, 0.03]).round(3).tolist()
        [0.06, 0.16, 0.15]
    """
    given = np.asarray(values, dtype=float)
    adjusted = np.full(len(given), math.nan)
    order = np.argsort(given)[: np.isfinite(given).sum()]
    steps = given[order] * (len(order) * (len(order) + 1) / 2 - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def overlap(frame: pd.DataFrame) -> float:
    """Returns n_test / n_train of the folds of the runs, and 0 if they have fewer than two folds.

    With k folds it is 1 / (k - 1). In walk-forward validation, fold i trains on i blocks: the mean of 1 / i.
    """
    columns = frame.reindex(columns=["fold", "split.n_splits", "split._target_"])
    folds = pd.to_numeric(columns["fold"], errors="coerce")
    if folds.nunique() < 2:
        return 0.0
    n_splits = pd.to_numeric(columns["split.n_splits"], errors="coerce").max()
    k = int(n_splits) if 2 <= n_splits <= MAX_FOLDS else folds.nunique()
    if columns["split._target_"].astype(str).str.endswith("WalkForward").any():
        return sum(1 / i for i in range(1, k + 1)) / k
    return 1 / (k - 1)


def verdicts(
    frame: pd.DataFrame, metric: str, labels: pd.Series, best: int, repeats: Sequence[str] = REPEATS
) -> pd.Series:
    """Returns a verdict on each group: is it worse than the best, by a paired test over shared folds and seeds?

    The verdicts are `best`, `worse`, `not significant`, `too few pairs`, and `diverged` if one of its runs diverged.
    The level is 5 % for all groups together (Holm).

    Args:
        frame: The runs.
        metric: The metric to compare.
        labels: The group of each run.
        best: The group with the best mean.
        repeats: Settings that define a pair: those over which the mean of a group was taken.
    """
    repeat = groups(frame, [key for key in repeats if key in frame.columns])
    score = scores(frame, metric)
    shared = repeat.isin(repeat[(labels == best) & score.notna()])
    table = score[shared].groupby([repeat[shared], labels[shared]]).mean().unstack().reindex(columns=labels.unique())
    worse_by = table.sub(table[best], axis=0) * (-1 if higher_is_better(frame, metric) else 1)
    worse_by = worse_by.where(np.isfinite)
    tests = {group: worse_by[group].dropna().to_numpy() for group in worse_by if group != best}
    ratio = overlap(frame[shared]) if "fold" in repeats else 0.0
    adjusted = dict(zip(tests, holm_against_best([paired_p(pairs, ratio) for pairs in tests.values()]), strict=True))
    found = {group: _verdict(pairs, adjusted[group]) for group, pairs in tests.items()} | {best: "best"}
    mean = score.groupby(labels).mean()
    found |= dict.fromkeys(mean.index[np.isinf(mean)], "diverged")
    return pd.Series(found).reindex(mean.index).where(mean.notna(), "")


def _verdict(pairs: np.ndarray, p: float) -> str:
    if len(pairs) < 2:
        return "too few pairs"
    return "worse" if p < LEVEL and pairs.mean() > 0 else "not significant"


def effects(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns the effect of each setting on the score, one row per value, separately for published runs and ours.

    The columns are `setting`, `value`, `mean` with its 95 % interval `low` to `high` (in which runs that differ only in
    a setting without effect count once), `n` (runs in the mean), `diverged` (runs left out of it), `explained` (the
    share of the variation due to the setting's main effect: the sum of squares between its values over the total; NaN
    if no value was run twice), `best` (whether this value has the best mean; False for all if they are equal) and
    `source`. With `on_log_scale`, everything is computed on the logarithms of the scores, and `mean` is the geometric
    mean.

    Args:
        frame: The result of `load`.
        metric: One of its columns.
    """
    rows: list[dict[str, object]] = []
    for source, part in comparable(frame, metric).groupby("source"):
        without_effect = settings_without_effect(part, metric)
        for key in varied(part):
            rows += [row | {"source": source} for row in _effect(part, metric, key, without_effect)]
    return pd.DataFrame(rows, columns=EFFECTS)


def varied(frame: pd.DataFrame) -> list[str]:
    """Returns the settings that differ, without seed and fold."""
    return [key for key in settings(frame) if key not in (*REPEATS, "source")]


def on_log_scale(frame: pd.DataFrame, metric: str) -> bool:
    """Returns whether effects use a log scale: all scores are positive and span more than a factor of ten."""
    return spans_decades(scores(frame, metric).to_numpy())


def spans_decades(values: np.ndarray) -> bool:
    """Returns whether all finite values are positive and span more than a factor of ten."""
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())


def converged(frame: pd.DataFrame, metric: str) -> pd.Series:
    """Returns the scores of runs that did not diverge, or their logarithms if `on_log_scale`."""
    score = scores(frame, metric).where(np.isfinite)
    return score.map(math.log, na_action="ignore") if on_log_scale(frame, metric) else score


def cells(frame: pd.DataFrame, metric: str, key: str, without_effect: Sequence[str] = ()) -> pd.Series:
    """Returns the mean score by seed and fold, by combination of the other settings, and by value of a setting.

    These are the three levels of the index. Runs that differ only in settings without effect are copies and count once.
    """
    others = [other for other in varied(frame) if other != key and other not in without_effect]
    repeats = [other for other in REPEATS if other in frame.columns]
    by = [groups(frame, repeats), groups(frame, [*others, *repeats]), frame[key]]
    return converged(frame, metric).groupby(by, sort=False).mean().dropna()


def pairs(frame: pd.DataFrame, metric: str, key: str, without_effect: Sequence[str] = ()) -> pd.DataFrame:
    """Returns `cells` as a table with a column per value, for the combinations that were run with several values."""
    found = cells(frame, metric, key, without_effect)
    several = found.groupby(level=1).transform("size") > 1
    return found[several].unstack()


def settings_without_effect(frame: pd.DataFrame, metric: str) -> list[str]:
    """Returns the settings for which more than half of the pairs have identical scores: such runs are copies."""
    tables = {key: pairs(frame, metric, key) for key in varied(frame)}
    return [key for key, table in tables.items() if (table.max(axis=1) == table.min(axis=1)).mean() > 0.5]


def _effect(part: pd.DataFrame, metric: str, key: str, without_effect: Sequence[str]) -> list[dict[str, object]]:
    """Returns the rows of `effects` for one setting."""
    values = part[key].dropna()
    score = converged(part, metric)[values.index]
    by = score.groupby(values, sort=False)
    mean, n = by.mean(), by.count()
    total = ((score - score.mean()) ** 2).sum()
    explained = round((n * (mean - score.mean()) ** 2).sum() / total, 12) if total > 0 and n.max() > 1 else math.nan
    half = _half_width(cells(part, metric, key, without_effect), overlap(part)).reindex(mean.index)
    shown = pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half})
    shown = shown.map(lambda value: math.exp(min(value, MAX_EXPONENT))) if on_log_scale(part, metric) else shown
    best = (
        None
        if mean.isna().all() or explained == 0
        else mean.idxmax()
        if higher_is_better(part, metric)
        else mean.idxmin()
    )
    diverged = np.isinf(scores(part, metric))[values.index].groupby(values, sort=False).sum()
    return [
        {"setting": key, "value": plain(value), **shown.loc[value], "n": int(n[value]),
         "diverged": int(diverged[value]), "explained": explained, "best": value == best}
        for value in sorted(mean.index, key=in_order)
    ]  # fmt: skip


def _half_width(found: pd.Series, ratio: float) -> pd.Series:
    """Returns half the width of the 95 % interval of the mean at each value (Student's t, with `overlap`'s ratio)."""
    from scipy.special import stdtrit

    by = found.groupby(level=2, sort=False)
    count = by.count()
    return by.std() * stdtrit((count - 1).clip(lower=1), 0.975) * np.sqrt(1 / count + ratio)


def in_order(value: object) -> tuple[int, float, str]:
    """Sort key: numbers by size, then text, then missing values."""
    if value is None or value != value:
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))
