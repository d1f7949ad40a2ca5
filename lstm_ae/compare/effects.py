"""What each setting does to the score: a table with a row for each value, and sentences."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lstm_ae import statistics
from lstm_ae.compare.ranking import Ranking
from lstm_ae.compare.table import in_order, plain, settings, text
from lstm_ae.statistics import Effect, Interval, ValueEffect

COLUMNS = ["setting", "value", "mean", "low", "high", "n", "diverged", "difference", "p", "detectable",
           "omega_squared", "best", "source"]  # fmt: skip
MAX_VALUES = 6  # of a setting, compared in one sentence


@np.errstate(all="ignore")  # a file may hold any number
def effects(ranking: Ranking) -> tuple[pd.DataFrame, list[str]]:
    """Returns the effects of settings as a table and as sentences, separately for our runs and published ones.

    The columns are `setting`, `value`, `mean` over blocks with its 95 % interval `low` to `high`, `n` (runs with a
    score), `diverged`, `difference` from the best value and its `p` (Holm's, for all settings and values together),
    `detectable` (the difference that would have been found with a probability of 0.8), `omega_squared` (where some
    value is worse than the best), `best` and `source`. Where errors span more than a factor of ten and scatter in
    proportion, means are geometric, and differences are factors.

    Args:
        ranking: The runs, with their blocks.
    """
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for source, blocks in ranking.blocks.items():
        runs, score = ranking.frame.loc[blocks.labels.index], ranking.scores[blocks.labels.index]
        keys = [key for key in settings(runs) if key in ranking.keys and key != "source"]
        values = {key: [plain(value) for value in runs[key]] for key in keys}
        found = statistics.effects(
            score, values, blocks.labels.to_numpy(), higher_is_better=ranking.higher, overlap=blocks.overlap,
            resolution=blocks.resolution, log=blocks.log,
        )  # fmt: skip
        n_blocks = blocks.labels.nunique()
        counts = f"{score.notna().sum()} runs" + (f" in {n_blocks} {blocks.unit}" if n_blocks > 1 else "")
        scale = "; means are geometric, as errors span more than a factor of ten" if blocks.log else ""
        reasons = {one.reason for one in found.values()}
        common = f"Nothing was tested: {reasons.pop()}. " if len(reasons) == 1 and "" not in reasons else ""
        lines.append(f"{source}: {counts}{scale}. {common}{blocks.note}".strip())
        lines += [] if found else ["  no setting differs between rows: there is nothing to compare."]
        for key, one in found.items():
            if blocks.resolution is not None:
                one = replace(one, values=tuple(_within_proportions(value) for value in one.values))
            rows += [row | {"setting": key, "source": source} for row in _rows(one, blocks.log)]
            said = _findings(key, one, blocks.log, blocks.resolution is not None, said=bool(common))
            said = said or ["no two of its values share their other settings"]
            lines.append(f"  {key}: {'; '.join(said)}.")
    return pd.DataFrame(rows, columns=COLUMNS), lines


def _differs(one: Effect) -> bool:
    return any(value.difference for value in one.values if not math.isnan(value.difference))


def _rows(one: Effect, log: bool) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    scale = np.exp if log else float
    for value in sorted(one.values, key=lambda value: in_order(value.value)):
        mean = _mean(value, log)
        made.append({
            "value": value.value, "mean": mean.estimate, "low": mean.low, "high": mean.high, "n": value.runs,
            "diverged": value.diverged, "difference": scale(value.difference), "p": value.p,
            "detectable": scale(one.detectable),
            "omega_squared": one.omega_squared if one.significant else math.nan,
            "best": value.value == one.best and _differs(one),
        })  # fmt: skip
    return made


def _mean(value: ValueEffect, log: bool) -> Interval:
    return value.geometric if log else value.mean


def _within_proportions(value: ValueEffect) -> ValueEffect:
    """Returns a value with the intervals of its means cut to between 0 and 1."""
    mean, geometric = (
        replace(one, low=max(one.low, 0.0), high=min(one.high, 1.0)) for one in (value.mean, value.geometric)
    )
    return replace(value, mean=mean, geometric=geometric)


def _findings(key: str, one: Effect, log: bool, proportion: bool, said: bool) -> list[str]:
    """Returns what was found of one setting, or why nothing was tested unless that was said."""
    named = {value.value: value for value in one.values}
    parts = [f"nothing was tested: {one.reason}"] if one.reason and not said else []
    if one.best is not None:
        mean = _mean(named[one.best], log)
        interval = f", 95 % interval {text(mean.low)} to {text(mean.high)}" if math.isfinite(mean.low) else ""
        best = f"{'best' if one.significant else 'best mean'} at {text(one.best, key)}"
        parts.append(f"{best if _differs(one) else 'all means are equal'} ({text(mean.estimate)}{interval})")
        tested = [value for value in one.values if not math.isnan(value.p)]
        parts += _compared(key, sorted(tested, key=lambda value: abs(value.difference))) if _differs(one) else []
        if math.isfinite(one.detectable):
            size = f"factor of {text(np.exp(one.detectable))}" if log else f"difference of {text(one.detectable)}"
            parts.append(f"a {size} between two values is found with a probability of {statistics.POWER:g}")
        if one.significant:
            parts.append(f"it explains {text(round(100 * one.omega_squared, 1))} % of the variance (omega squared)")
        if one.best_by_geometric not in (None, one.best_by_mean) and not proportion:
            parts.append(_both_means(key, named[one.best_by_mean], named[one.best_by_geometric]))
        parts += ["unbalanced: means are only over what all values share"] if not one.balanced else []
    diverged = [f"{value.diverged} at {text(value.value, key)}" for value in one.values if value.diverged]
    return [*parts, *([f"diverged and left out: {', '.join(diverged)}"] if diverged else [])]


def _compared(key: str, others: Sequence[ValueEffect]) -> list[str]:
    """Returns which values are worse than the best, and which are not told apart from it."""
    parts = []
    for word, own in (
        ("not told apart", [value for value in others if value.p >= statistics.LEVEL]),
        ("worse", [value for value in others if value.p < statistics.LEVEL]),
    ):
        shown = [f"{text(value.value, key)} ({_p(value.p)})" for value in own[:MAX_VALUES]]
        more = [f"{len(own) - MAX_VALUES} more"] if len(own) > MAX_VALUES else []
        parts += [f"{word}: {', '.join(shown + more)}"] if own else []
    return parts


def _both_means(key: str, by_mean: ValueEffect, by_geometric: ValueEffect) -> str:
    arithmetic = f"{text(by_mean.value, key)} ({text(by_mean.mean.estimate)})"
    geometric = f"{text(by_geometric.value, key)} ({text(by_geometric.geometric.estimate)})"
    return f"the best arithmetic mean is at {arithmetic}, the best geometric mean at {geometric}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {text(float(f'{p:.2g}'))}"
