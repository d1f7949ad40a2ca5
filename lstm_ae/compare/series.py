"""Shared by the figures and the page: groups of runs, their learning curves, and the formatting of values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.compare import statistics, table
from lstm_ae.compare.output import escape_control
from lstm_ae.compare.reading import read_history

#: Okabe and Ito's palette for colour-blind readers (https://jfly.uni-koeln.de/color/), without its yellow, which is
#: hard to see on white. The first groups get a colour and a legend entry each; the rest are grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4c9a")
GREY, DIVERGED = "#b3b3b3", "#b2182b"
WIDTH = 9.0  # of a figure, inches
MISSING = "-"
MAX_LABEL_SETTINGS = 8  # settings in a group's label
MAX_VALUES = 24  # of a setting in a heat map; with more, the cells are too small to read


@dataclass(frozen=True)
class Group:
    """Runs that differ only in seed or fold.

    Attributes:
        label: The settings that distinguish it from the other groups.
        rows: The positions of its runs in the frame.
        mean: Mean score; infinite if a run diverged, NaN if no run has a score.
        std: Standard deviation of the scores, NaN for fewer than two.
        n: Number of runs with a score.
        colour: One of `COLOURS` for the first groups that have a learning curve, None for the rest.
    """

    label: str
    rows: tuple[int, ...]
    mean: float
    std: float
    n: int
    colour: str | None = None


@dataclass(frozen=True)
class Curve:
    """A metric over the epochs of one run."""

    epochs: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs by one metric.

    Attributes:
        frame: The result of `table.load`, with the index 0, 1, ...
        metric: The ranking metric.
        scores: The score of each run; infinitely bad if it diverged, NaN if it has none.
        keys: The settings that differ, those that explain most first.
        names: The short name of each of them, and of the metric.
        groups: The groups of runs, the best first.
        effects: A row for each value of each setting.
        curves: The learning curve of each run, None if it has none.
        problems: A line for each history that could not be read.
    """

    frame: pd.DataFrame
    metric: str
    scores: np.ndarray
    keys: list[str]
    names: Mapping[str, str]
    groups: list[Group]
    effects: pd.DataFrame
    curves: list[Curve | None]
    problems: list[str]

    @property
    def higher(self) -> bool:
        """Whether a higher value of the metric is better."""
        return table.higher_is_better(self.frame, self.metric)

    @property
    def grid_keys(self) -> list[str]:
        """The two settings of the heat map, the one with fewer values first; fewer keys if there are not two."""
        keys = [key for key in self.keys if key != "source" and 2 <= len(self.levels(key)) <= MAX_VALUES][:2]
        return sorted(keys, key=lambda key: len(self.levels(key)))

    @property
    def log_means(self) -> dict[str, bool]:
        """Whether the means of a source's scores are geometric, as its effects are."""
        by = self.frame.groupby("source", sort=False)
        return {str(source): statistics.on_log_scale(part, self.metric) for source, part in by}

    @property
    def curve_metric(self) -> str:
        """The column of history.csv that is drawn; there is none for the test part."""
        return f"validation.{self.metric.rsplit('.', 1)[-1]}"

    def levels(self, key: str) -> list[Any]:
        """Returns a setting's values in runs with a score: numbers, then text, then None where it is missing."""
        scored = ~np.isnan(self.scores)
        return sorted(
            {value for value, has_score in zip(self.values(key), scored, strict=True) if has_score},
            key=statistics.in_order,
        )

    def values(self, key: str) -> list[Any]:
        """Returns a setting's value in each run, None where it is missing; 1 and 1.0 are the same value."""
        return [plain(value) for value in self.frame[key]]


def compare(frame: pd.DataFrame, metric: str, effects: pd.DataFrame | None = None) -> Comparison:
    """Builds the comparison of runs.

    Args:
        frame: The result of `table.load`.
        metric: One of its columns, such as `validation.loss`.
        effects: The result of `statistics.effects`; None computes it.

    Raises:
        ValueError: there is no run.
    """
    if frame.empty:
        raise ValueError("`frame` must have a run, got none. Name a directory that contains runs.")
    frame = frame.reset_index(drop=True)
    effects = statistics.effects(frame, metric) if effects is None else effects
    explained = effects.groupby("setting", sort=False)["explained"].max().fillna(0) if len(effects) else pd.Series()
    keys = [key for key in table.settings(table.comparable(frame, metric)) if key not in (*table.REPEATS, "source")]
    keys = sorted(keys, key=lambda key: -float(explained.get(key, 0)))
    if "source" in frame and frame["source"].nunique() > 1:
        keys.append("source")
    names = table.short_names([*keys, metric])
    scores = table.scores(frame, metric).to_numpy()
    higher = table.higher_is_better(frame, metric)
    curves, problems = _curves(frame["run"], f"validation.{metric.rsplit('.', 1)[-1]}")
    groups = _coloured(_groups(frame, keys, names, scores, higher), curves)
    return Comparison(frame, metric, scores, keys, names, groups, effects, curves, problems)


def _groups(
    frame: pd.DataFrame, keys: Sequence[str], names: Mapping[str, str], scores: np.ndarray, higher: bool
) -> list[Group]:
    rows: dict[tuple[Any, ...], list[int]] = {}
    columns = [[plain(value) for value in frame[key]] for key in keys]
    for row in range(len(frame)):
        rows.setdefault(tuple(column[row] for column in columns), []).append(row)
    groups = []
    for values, members in rows.items():
        words = [
            shown(key, value) if key == "source" else f"{names[key]} {shown(key, value)}"
            for key, value in zip(keys, values, strict=True)
            if value is not None
        ]
        label = ", ".join(words if len(words) <= MAX_LABEL_SETTINGS else [*words[:MAX_LABEL_SETTINGS], "..."])
        own = scores[members]
        own = own[~np.isnan(own)]
        mean = float(own.mean()) if own.size else math.nan
        std = float(own.std(ddof=1)) if own.size > 1 and math.isfinite(mean) else math.nan
        groups.append(Group(label or "all runs", tuple(members), mean, std, own.size))
    return sorted(groups, key=lambda group: (math.isnan(group.mean), -group.mean if higher else group.mean))


def _coloured(groups: list[Group], curves: Sequence[Curve | None]) -> list[Group]:
    """Gives a colour to as many groups as there are colours; those with a curve come first."""
    first = sorted(range(len(groups)), key=lambda place: not any(curves[row] for row in groups[place].rows))
    colours = dict(zip(first, COLOURS, strict=False))
    return [replace(group, colour=colours.get(place)) for place, group in enumerate(groups)]


def _curves(runs: Iterable[str], column: str) -> tuple[list[Curve | None], list[str]]:
    """Returns each run's curve (None if it has none), and a line for each file that could not be read."""
    curves: list[Curve | None] = []
    problems: list[str] = []
    for run in runs:
        history = read_history(run, problems)
        known = bool(history.get(column)) and "epoch" in history
        curves.append(Curve(np.array(history["epoch"]), np.array(history[column])) if known else None)
    return curves, problems


def plain(value: Any) -> Any:
    """Returns a value as a plain Python scalar: None for NaN, 1 for 1.0."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, str | int | float | bool) or (isinstance(value, float) and math.isnan(value)):
        return None if value is None or isinstance(value, float) or value is pd.NA else str(value)
    return table.plain(value)


def shown(key: str, value: Any) -> str:
    """Returns a value as short text: only the last part of a dotted class name."""
    return table.text(value, key) or MISSING


def fit_text(text: str, width: int) -> str:
    """Returns text shortened to `width`, with the dollar signs escaped that matplotlib would parse as mathematics."""
    text = escape_control(text)
    text = shorten(text, width, placeholder=" …") if " " in text else text
    return (text if len(text) <= width else text[: width - 1] + "…").replace("$", r"\$")
