"""What the effects of settings come to, in sentences."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_ae.compare.statistics import LEVEL, effects, holm, inert, on_log_scale, overlap, paired_p, pairs, varied
from lstm_ae.compare.table import comparable, higher_is_better, scores, text

MOST_VALUES = 6  # of a setting that one sentence compares


def conclusions(frame: pd.DataFrame, metric: str) -> list[str]:
    """Returns in sentences what each setting explains, and whether its best value is better than the others.

    Two values are compared by a paired test over the runs that differ in nothing else, seeds and folds included, with
    Nadeau and Bengio's correction where they were made on folds, and Holm's for the values of one setting.

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
    if not rows["best"].any():
        return f"{key}: every run diverged."
    if rows["n"].max() == 1:
        return f"{key}: no value was tried twice, so that nothing can be said of its effect."
    if math.isnan(explained):
        return f"{key}: every run has the same score."
    said = [f"{key} explains {text(round(100 * explained, 1))} % of the variation"]
    best = rows[rows["best"]].iloc[0]
    interval = f", 95 % interval {best['low']:.3g} to {best['high']:.3g}" if math.isfinite(best["low"]) else ""
    said.append(f"best at {text(best['value'], key)} (mean {best['mean']:.3g}{interval})")
    others = rows[~rows["best"] & (rows["n"] > 0)].sort_values("mean", ascending=not higher_is_better(metric))
    table = pairs(part, metric, key, idle)
    gaps = {value: _gaps(table, best["value"], value, metric) for value in others["value"].head(MOST_VALUES)}
    adjusted = holm([paired_p(gap, overlap(part)) for gap in gaps.values()])
    for (value, gap), p in zip(gaps.items(), adjusted, strict=True):
        said.append(_compared(text(best["value"], key), text(value, key), gap, float(p)))
    lost = [
        f"{count} at {text(value, key)}" for value, count in zip(rows["value"], rows["diverged"], strict=True) if count
    ]
    said += [f"diverged: {', '.join(lost)}"] if lost else []
    return f"{'; '.join(said)}."


def _gaps(table: pd.DataFrame, best: object, other: object, metric: str) -> np.ndarray:
    """Returns by how much the other value is worse, for each pair."""
    if best not in table or other not in table:
        return np.array([])
    gaps = (table[other] - table[best]).dropna().to_numpy()
    return -gaps if higher_is_better(metric) else gaps


def _compared(best: str, other: str, gaps: np.ndarray, p: float) -> str:
    count = f"{len(gaps)} pair{'' if len(gaps) == 1 else 's'}"
    if len(gaps) == 0:
        return f"{best} and {other} were never run with all else equal"
    if not gaps.any():
        return f"{best} and {other} cannot be told apart (identical in {count})"
    if len(gaps) == 1:
        return f"{best} and {other} cannot be told apart by one pair"
    said = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    if p >= LEVEL:
        return f"{best} and {other} cannot be told apart ({said}, {count})"
    first, second = (best, other) if gaps.mean() > 0 else (other, best)
    return f"{first} is better than {second} ({said}, {count})"
