"""Errors and directions of predictions with intervals over time.

What is gathered is one row for each sequence and step that counts: its `time`, and sums over its features: `moved`
values, and by the name of an answer `error.NAME`, `right.NAME` directions and `directed.NAME`, values said to move.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from lstm_ae import statistics
from lstm_ae.statistics import Interval

if TYPE_CHECKING:
    import pandas as pd


def number(value: float) -> float | None:
    """Returns a number, or None where there is none."""
    return value if math.isfinite(value) else None


def skill(found: "pd.DataFrame", block: int, baseline: str) -> Interval:
    """Returns the model's skill over a baseline, with its interval."""
    return statistics.interval_over_time(_sums(found, "error.model", f"error.{baseline}"), statistics.skill, block)


def directions(found: "pd.DataFrame", block: int, name: str, less: str | None = None) -> Interval:
    """Returns the direction accuracy of an answer, or what it gains over another's, with its interval.

    Args:
        found: What was gathered.
        block: The number of times over which neighbours depend on each other.
        name: The answer.
        less: The other answer, whose accuracy is subtracted.
    """
    for one in (name, less):
        if one is not None and not found[f"directed.{one}"].any():
            return Interval(math.nan, math.nan, math.nan, f"{one} predicts no movement")
    if less is None:
        sums = _sums(found, f"right.{name}", "moved")
        return statistics.interval_over_time(sums, statistics.ratio, block, bounds=(0, 1))
    sums = _sums(found, f"right.{name}", f"right.{less}", "moved")
    return statistics.interval_over_time(sums, lambda sums: float((sums[0] - sums[1]) / sums[2]), block, bounds=(-1, 1))


def _sums(found: "pd.DataFrame", *names: str) -> np.ndarray:
    """Returns the sums (names, times) of all that belongs to a time, the times in order."""
    return found.groupby("time")[list(names)].sum().to_numpy().T
