"""What the effects of settings come to, in sentences."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_ae.compare.statistics import (
    LEVEL,
    beside_best,
    cells,
    effects,
    inert,
    on_log_scale,
    overlap,
    paired_p,
    pairs,
    varied,
)
from lstm_ae.compare.table import comparable, higher_is_better, scores, text

MOST_VALUES = 6  # of a setting that one sentence compares


def conclusions(frame: pd.DataFrame, metric: str) -> list[str]:
    """Returns in sentences what each setting explains, and whether its best value is better than the others.

    Two values are compared by a paired test over the runs that differ in nothing else: where there are several seeds or
    folds, over the mean difference on each of them, since runs that share a seed or a fold do not differ independently;
    where there is one, over the pairs. With Nadeau and Bengio's correction where they were made on folds, and Holm's
    for the values of one setting.

    Args:
        frame: What `load` returned.
        metric: A column of it.
    """
    found = effects(frame, metric)
    lines = []
    for source, part in comparable(frame, metric).groupby("source"):
        lines.append(_heading(str(source), part, metric))
        own, idle = found[found["source"] == source], inert(part, metric)
        lines += ["  " + _conclusion(part, metric, own[own["setting"] == key], idle) for key in varied(part)]
    return lines


def _heading(source: str, part: pd.DataFrame, metric: str) -> str:
    score = scores(part, metric)
    seeds = part.reindex(columns=["seed"])["seed"].nunique()
    said = [f"{source}: {int(score.notna().sum())} runs"]
    said += [f"{seeds} seed{'' if seeds == 1 else 's'}"] if seeds else []
    lost = int(np.isinf(score).sum())
    said += [f"{lost} that diverged are in no mean and no pair"] if lost else []
    said += ["scores span more than a factor of ten: all is on a log scale"] if on_log_scale(part, metric) else []
    return f"{'; '.join(said)}."


def _conclusion(part: pd.DataFrame, metric: str, rows: pd.DataFrame, idle: Sequence[str]) -> str:
    """Returns the sentence of one setting, from its rows of `effects`."""
    key, explained = rows["setting"].iloc[0], rows["explained"].iloc[0]
    if not rows["n"].any():
        return f"{key}: every run diverged."
    if rows["n"].max() == 1:
        return f"{key}: no value was tried twice, so that nothing can be said of its effect."
    if math.isnan(explained):
        return f"{key}: every run has the same score."
    said = [f"{key} explains {text(round(100 * explained, 1))} % of the variation"]
    best = (rows[rows["best"]] if rows["best"].any() else rows[rows["n"] > 0]).iloc[0]
    interval = f", 95 % interval {best['low']:.3g} to {best['high']:.3g}" if math.isfinite(best["low"]) else ""
    where = f", of the runs that did not diverge ({best['diverged']} did)" if best["diverged"] else ""
    at = f"best at {text(best['value'], key)}" if best["best"] else "no value is better"
    said.append(f"{at}{where} (mean {best['mean']:.3g}{interval})")
    others = rows[(rows["value"] != best["value"]) & (rows["n"] > 0)].sort_values(
        "mean", ascending=not higher_is_better(metric)
    )
    table = pairs(part, metric, key, idle)
    gaps = [_gaps(table, best["value"], value, metric) for value in others["value"]]
    means = [_independent(own) for own in gaps]
    adjusted = beside_best([paired_p(own.to_numpy(), overlap(part)) for own in means])
    for value, own, mean, p in list(zip(others["value"], gaps, means, adjusted, strict=True))[:MOST_VALUES]:
        over = _counted(len(own), "pair") + (f" over {len(mean)} {_repeated(part)}" if mean is not own else "")
        said.append(_compared(text(best["value"], key), text(value, key), own, float(p), over))
    if cells(part, metric, key, idle).unstack().isna().any(axis=None):
        said.append("not every value has a score with all the same other settings, so that means may mislead")
    more = len(gaps) - MOST_VALUES
    said += [f"{_counted(more, 'other value')} with a mean further off"] if more > 0 else []
    lost = [
        f"{count} at {text(value, key)}" for value, count in zip(rows["value"], rows["diverged"], strict=True) if count
    ]
    said += [f"diverged: {', '.join(lost)}"] if lost else []
    return f"{'; '.join(said)}."


def _gaps(table: pd.DataFrame, best: object, other: object, metric: str) -> pd.Series:
    """Returns by how much the other value is worse, for each pair; the index's first level is its seed and fold."""
    if best not in table or other not in table:
        return pd.Series(dtype=float)
    gaps = (table[other] - table[best]).dropna()
    return -gaps if higher_is_better(metric) else gaps


def _independent(gaps: pd.Series) -> pd.Series:
    """Returns the mean of the pairs on each seed and fold where there are several of these, else the pairs."""
    if not len(gaps):
        return gaps
    mean = gaps.groupby(level=0).mean()
    return mean if 1 < len(mean) < len(gaps) else gaps


def _repeated(part: pd.DataFrame) -> str:
    vary = [key for key in ("seed", "fold") if key in part and part[key].nunique() > 1]
    return " and ".join(f"{key}s" for key in vary) or "splits"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _compared(best: str, other: str, gaps: pd.Series, p: float, over: str) -> str:
    if len(gaps) == 0:
        return f"{best} and {other} were never run with all else equal"
    if not gaps.any():
        return f"{best} and {other} cannot be told apart (identical in {over})"
    if len(gaps) == 1:
        return f"{best} and {other} cannot be told apart by one pair"
    said = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    if p >= LEVEL:
        return f"{best} and {other} cannot be told apart ({said}, {over})"
    first, second = (best, other) if gaps.mean() > 0 else (other, best)
    return f"{first} is better than {second} ({said}, {over})"
