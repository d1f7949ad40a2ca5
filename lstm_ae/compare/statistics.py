"""Whether a difference between groups of runs is more than chance, and what each setting does to the score."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_ae.compare.table import REPEATS, comparable, groups, higher_is_better, plain, scores, settings

LEVEL = 0.05  # of all tests of one table together
MOST_FOLDS = 10_000  # more is no number of folds
MOST_EXPONENT = 700.0  # beyond it exp is infinite
EFFECTS = ["setting", "value", "mean", "low", "high", "n", "diverged", "explained", "best", "source"]


def paired_p(differences: np.ndarray, overlap: float = 0.0) -> float:
    """Returns the two-sided p value of a paired t-test, NaN for fewer than two pairs.

    Folds share most of their training data, so that their scores are not independent, and a plain test finds
    differences where there are none. Nadeau and Bengio (2003, https://doi.org/10.1023/A:1024068626366) widen the
    variance of the mean from 1/n to 1/n + n_test/n_train.

    Args:
        differences: Of each pair.
        overlap: n_test / n_train of the folds; 0 where the pairs are independent, as over seeds.

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


def beside_best(values: Sequence[float]) -> np.ndarray:
    """Returns p values adjusted for there being many (Holm 1979, https://www.jstor.org/stable/4615733); NaN stays NaN.

    They are of tests of each of k others beside the best, which the same scores chose: so they are k of the
    k (k + 1) / 2 tests of any two. As k tests, twenty equal groups of ten seeds gave a false `worse` in 18 % of trials.

    Example:
        >>> beside_best([0.01, 0.04, 0.03]).round(3).tolist()
        [0.06, 0.16, 0.15]
    """
    given = np.asarray(values, dtype=float)
    adjusted = np.full(len(given), math.nan)
    order = np.argsort(given)[: np.isfinite(given).sum()]
    steps = given[order] * (len(order) * (len(order) + 1) / 2 - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def overlap(frame: pd.DataFrame) -> float:
    """Returns n_test / n_train of the folds that the runs were made on, and 0 where they were not made on several.

    With k folds that is 1 / (k - 1). Walking forward, fold i trains on i stretches of days: the mean of 1 / i.
    """
    columns = frame.reindex(columns=["fold", "split.n_splits", "split._target_"])
    folds = pd.to_numeric(columns["fold"], errors="coerce")
    if folds.nunique() < 2:
        return 0.0
    told = pd.to_numeric(columns["split.n_splits"], errors="coerce").max()
    k = int(told) if 2 <= told <= MOST_FOLDS else folds.nunique()
    if columns["split._target_"].astype(str).str.endswith("WalkForward").any():
        return sum(1 / i for i in range(1, k + 1)) / k
    return 1 / (k - 1)


def verdicts(
    frame: pd.DataFrame, metric: str, labels: pd.Series, best: int, repeats: Sequence[str] = REPEATS
) -> pd.Series:
    """Returns a plain word for each group: is it worse than the best, by a test over the folds and seeds they share?

    The words are `best`, `worse`, `not told apart`, `too few pairs`, and `diverged` where one of its runs did. They
    hold for all groups together, at the 5 % level (Holm).

    Args:
        frame: The runs.
        metric: By which they are compared.
        labels: The group of each run.
        best: The group with the best mean.
        repeats: What makes a pair: settings over which the mean of a group was taken.
    """
    repeat = groups(frame, [key for key in repeats if key in frame.columns])
    score = scores(frame, metric)
    shared = repeat.isin(repeat[(labels == best) & score.notna()])
    table = score[shared].groupby([repeat[shared], labels[shared]]).mean().unstack().reindex(columns=labels.unique())
    worse_by = table.sub(table[best], axis=0) * (-1 if higher_is_better(metric) else 1)
    worse_by = worse_by.where(np.isfinite)
    tests = {group: worse_by[group].dropna().to_numpy() for group in worse_by if group != best}
    ratio = overlap(frame[shared]) if "fold" in repeats else 0.0
    adjusted = dict(zip(tests, beside_best([paired_p(pairs, ratio) for pairs in tests.values()]), strict=True))
    words = {group: _word(pairs, adjusted[group]) for group, pairs in tests.items()} | {best: "best"}
    mean = score.groupby(labels).mean()
    words |= dict.fromkeys(mean.index[np.isinf(mean)], "diverged")
    return pd.Series(words).reindex(mean.index).where(mean.notna(), "")


def _word(pairs: np.ndarray, p: float) -> str:
    if len(pairs) < 2:
        return "too few pairs"
    return "worse" if p < LEVEL and pairs.mean() > 0 else "not told apart"


def effects(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns what each setting that differs does to the score, a row a value, published runs and ours apart.

    The columns are `setting`, `value`, `mean` with its 95 % interval `low` to `high` (for which runs that differ in a
    setting that changed nothing are one), `n` (runs in the mean),
    `diverged` (runs that are not), `explained` (the share of the variation that is the setting's main effect: the sum
    of squares between its values over that of all scores; NaN where no value was tried twice), `best` (whether this
    value's mean is the best; none where all are the same) and `source`. Where `on_log_scale`, all of it is of the
    scores' logarithms, and `mean` is the geometric one.

    Args:
        frame: What `load` returned.
        metric: A column of it.
    """
    rows: list[dict[str, object]] = []
    for source, part in comparable(frame, metric).groupby("source"):
        idle = inert(part, metric)
        for key in varied(part):
            rows += [row | {"source": source} for row in _effect(part, metric, key, idle)]
    return pd.DataFrame(rows, columns=EFFECTS)


def varied(frame: pd.DataFrame) -> list[str]:
    """Returns the settings whose effect can be asked for: those that differ, less what repeats a run."""
    return [key for key in settings(frame) if key not in (*REPEATS, "source")]


def on_log_scale(frame: pd.DataFrame, metric: str) -> bool:
    """Says whether effects are taken on a log scale: scores are all positive and span more than a factor of ten."""
    return spans_decades(scores(frame, metric).to_numpy())


def spans_decades(values: np.ndarray) -> bool:
    """Says whether values are better seen on a log scale: all positive and spanning more than a factor of ten."""
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())


def converged(frame: pd.DataFrame, metric: str) -> pd.Series:
    """Returns the scores of runs that did not diverge, their logarithms where `on_log_scale`."""
    score = scores(frame, metric).where(np.isfinite)
    return score.map(math.log, na_action="ignore") if on_log_scale(frame, metric) else score


def cells(frame: pd.DataFrame, metric: str, key: str, idle: Sequence[str] = ()) -> pd.Series:
    """Returns the mean score for each seed and fold, each combination of all else, and each value of a setting.

    These are the index's three levels. Runs that differ in idle settings alone are copies of one another, and count as
    one.
    """
    others = [other for other in varied(frame) if other != key and other not in idle]
    repeats = [other for other in REPEATS if other in frame.columns]
    by = [groups(frame, repeats), groups(frame, [*others, *repeats]), frame[key]]
    return converged(frame, metric).groupby(by, sort=False).mean().dropna()


def pairs(frame: pd.DataFrame, metric: str, key: str, idle: Sequence[str] = ()) -> pd.DataFrame:
    """Returns `cells` as a table, a column a value, of the combinations that were run with several values."""
    found = cells(frame, metric, key, idle)
    several = found.groupby(level=1).transform("size") > 1
    return found[several].unstack()


def inert(frame: pd.DataFrame, metric: str) -> list[str]:
    """Returns the settings that left most scores the same to the last digit: runs along them are copies."""
    tables = {key: pairs(frame, metric, key) for key in varied(frame)}
    return [key for key, table in tables.items() if (table.max(axis=1) == table.min(axis=1)).mean() > 0.5]


def _effect(part: pd.DataFrame, metric: str, key: str, idle: Sequence[str]) -> list[dict[str, object]]:
    """Returns the rows of one setting."""
    values = part[key].dropna()
    score = converged(part, metric)[values.index]
    by = score.groupby(values, sort=False)
    mean, n = by.mean(), by.count()
    total = ((score - score.mean()) ** 2).sum()
    explained = round((n * (mean - score.mean()) ** 2).sum() / total, 12) if total > 0 and n.max() > 1 else math.nan
    half = _half_width(cells(part, metric, key, idle), overlap(part)).reindex(mean.index)
    shown = pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half})
    shown = shown.map(lambda value: math.exp(min(value, MOST_EXPONENT))) if on_log_scale(part, metric) else shown
    best = None if mean.isna().all() or explained == 0 else mean.idxmax() if higher_is_better(metric) else mean.idxmin()
    lost = np.isinf(scores(part, metric))[values.index].groupby(values, sort=False).sum()
    return [
        {"setting": key, "value": plain(value), **shown.loc[value], "n": int(n[value]),
         "diverged": int(lost[value]), "explained": explained, "best": value == best}
        for value in sorted(mean.index, key=in_order)
    ]  # fmt: skip


def _half_width(found: pd.Series, ratio: float) -> pd.Series:
    """Returns half the width of the 95 % interval of the mean at each value, by Student's t; `ratio` is `overlap`'s."""
    from scipy.special import stdtrit

    by = found.groupby(level=2, sort=False)
    count = by.count()
    return by.std() * stdtrit((count - 1).clip(lower=1), 0.975) * np.sqrt(1 / count + ratio)


def in_order(value: object) -> tuple[int, float, str]:
    """Puts numbers first, by size, then texts, then what is missing."""
    if value is None or value != value:
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))
