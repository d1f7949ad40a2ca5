"""The effects of settings, in sentences."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_ae.compare.statistics import (
    LEVEL,
    cells,
    effects,
    holm_against_best,
    on_log_scale,
    overlap,
    paired_p,
    pairs,
    settings_without_effect,
    varied,
)
from lstm_ae.compare.table import comparable, higher_is_better, scores, text

MAX_VALUES = 6  # of a setting, compared in one sentence


def conclusions(frame: pd.DataFrame, metric: str) -> list[str]:
    """Returns sentences: what each setting explains, and whether its best value is better than the others.

    Two values are compared by a paired test over runs that agree in all other settings. With several seeds or folds,
    the test uses the mean difference on each seed or fold, because runs that share one are not independent; otherwise
    it uses the pairs. Nadeau and Bengio's correction is applied over folds, and Holm's over the values of a setting.

    Args:
        frame: The result of `load`.
        metric: One of its columns.
    """
    found = effects(frame, metric)
    lines = []
    for source, part in comparable(frame, metric).groupby("source"):
        lines.append(_heading(str(source), part, metric))
        own, without_effect = found[found["source"] == source], settings_without_effect(part, metric)
        lines += ["  " + _conclusion(part, metric, own[own["setting"] == key], without_effect) for key in varied(part)]
    return lines


def _heading(source: str, part: pd.DataFrame, metric: str) -> str:
    score = scores(part, metric)
    seeds = part.reindex(columns=["seed"])["seed"].nunique()
    parts = [f"{source}: {int(score.notna().sum())} runs"]
    parts += [f"{seeds} seed{'' if seeds == 1 else 's'}"] if seeds else []
    diverged = int(np.isinf(score).sum())
    parts += [f"{diverged} diverged, excluded from means and pairs"] if diverged else []
    parts += ["log scale, as scores span more than a factor of ten"] if on_log_scale(part, metric) else []
    return f"{'; '.join(parts)}."


def _conclusion(part: pd.DataFrame, metric: str, rows: pd.DataFrame, without_effect: Sequence[str]) -> str:
    """Returns the sentence on one setting, from its rows of `effects`."""
    key, explained = rows["setting"].iloc[0], rows["explained"].iloc[0]
    if not rows["n"].any():
        return f"{key}: every run diverged."
    if rows["n"].max() == 1:
        return f"{key}: no value was run twice, so its effect cannot be estimated."
    if math.isnan(explained):
        return f"{key}: every run has the same score."
    parts = [f"{key} explains {text(round(100 * explained, 1))} % of the variation"]
    best = (rows[rows["best"]] if rows["best"].any() else rows[rows["n"] > 0]).iloc[0]
    interval = f", 95 % interval {best['low']:.3g} to {best['high']:.3g}" if math.isfinite(best["low"]) else ""
    where = f", over the runs that did not diverge ({best['diverged']} did)" if best["diverged"] else ""
    at = f"best at {text(best['value'], key)}" if best["best"] else "no value is better"
    parts.append(f"{at}{where} (mean {best['mean']:.3g}{interval})")
    others = rows[(rows["value"] != best["value"]) & (rows["n"] > 0)].sort_values(
        "mean", ascending=not higher_is_better(part, metric)
    )
    table = pairs(part, metric, key, without_effect)
    higher = higher_is_better(part, metric)
    gaps = [_gaps(table, best["value"], value, higher) for value in others["value"]]
    means = [_independent(own) for own in gaps]
    adjusted = holm_against_best([paired_p(own.to_numpy(), overlap(part)) for own in means])
    for value, own, mean, p in list(zip(others["value"], gaps, means, adjusted, strict=True))[:MAX_VALUES]:
        over = _counted(len(own), "pair") + (f" over {len(mean)} {_repeated(part)}" if mean is not own else "")
        parts.append(_compared(text(best["value"], key), text(value, key), own, float(p), over))
    if cells(part, metric, key, without_effect).unstack().isna().any(axis=None):
        parts.append("unbalanced: means may not be comparable")
    more = len(gaps) - MAX_VALUES
    parts += [f"{_counted(more, 'other value')} with a worse mean"] if more > 0 else []
    diverged = [
        f"{count} at {text(value, key)}" for value, count in zip(rows["value"], rows["diverged"], strict=True) if count
    ]
    parts += [f"diverged: {', '.join(diverged)}"] if diverged else []
    return f"{'; '.join(parts)}."


def _gaps(table: pd.DataFrame, best: object, other: object, higher: bool) -> pd.Series:
    """Returns how much worse the other value is in each pair; the index's first level is the pair's seed and fold."""
    if best not in table or other not in table:
        return pd.Series(dtype=float)
    gaps = (table[other] - table[best]).dropna()
    return -gaps if higher else gaps


def _independent(gaps: pd.Series) -> pd.Series:
    """Returns the mean over the pairs of each seed and fold if there are several of these, else the pairs."""
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
        return f"{best} and {other} were never run with all other settings equal"
    if not gaps.any():
        return f"{best} and {other} do not differ (identical in {over})"
    if len(gaps) == 1:
        return f"{best} and {other} cannot be compared on one pair"
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    if p >= LEVEL:
        return f"{best} and {other} do not differ significantly ({shown}, {over})"
    first, second = (best, other) if gaps.mean() > 0 else (other, best)
    return f"{first} is better than {second} ({shown}, {over})"
