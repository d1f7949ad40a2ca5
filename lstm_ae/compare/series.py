"""What the page draws of a ranking: labels and colours of combinations, effects, learning curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.compare.effects import effects
from lstm_ae.compare.ranking import Ranking
from lstm_ae.compare.reading import read_history
from lstm_ae.compare.table import in_order, plain, short_names, spans_decades, text

MAX_COLOURS = 7  # the first combinations get a colour of page.css and a legend entry each; the rest are grey
MISSING = "-"
MAX_LABEL_SETTINGS = 8  # settings in a combination's label
MAX_VALUES = 24  # of a setting in a heat map; with more, the cells are too small to read

Curve = tuple[np.ndarray, np.ndarray]  # epochs and values


@dataclass(frozen=True)
class Comparison:
    """What is drawn of a ranking.

    Attributes:
        ranking: The ranking.
        effects: A row for each value of each setting.
        findings: The same in sentences.
        keys: The settings that differ, those whose means differ most first.
        names: The short name of each of them, and of the metric.
        labels: The settings that distinguish each combination, in the order of the ranking.
        colours: A number below `MAX_COLOURS` for the first combinations that have a learning curve, None for the rest.
        curve_metric: The column of history.csv that is drawn; there is none for the test part.
        curves: The learning curve of each run that has one.
        problems: A line for each history that could not be read.
    """

    ranking: Ranking
    effects: pd.DataFrame
    findings: list[str]
    keys: list[str]
    names: Mapping[str, str]
    labels: list[str]
    colours: list[int | None]
    curve_metric: str
    curves: Mapping[int, Curve]
    problems: list[str]

    @property
    def scores(self) -> np.ndarray:
        """The score of each run; the worst there is if it diverged, NaN if it has none."""
        return self.ranking.scores.to_numpy()

    @property
    def grid_keys(self) -> list[str]:
        """The two settings of the heat map, the one with fewer values first; fewer keys if there are not two."""
        keys = [key for key in self.keys if key != "source" and 2 <= len(self.levels(key)) <= MAX_VALUES][:2]
        return sorted(keys, key=lambda key: len(self.levels(key)))

    @property
    def log_means(self) -> dict[str, bool]:
        """Whether the means of a source's scores are geometric, as its effects are."""
        by = self.ranking.scores.groupby(self.ranking.frame["source"], sort=False)
        return {str(source): spans_decades(own) for source, own in by}

    def levels(self, key: str) -> list[Any]:
        """Returns a setting's values in runs with a score: numbers, then text, then None where it is missing."""
        return sorted(
            {plain(v) for v, score in zip(self.ranking.frame[key], self.scores, strict=True) if score == score},
            key=in_order,
        )


@np.errstate(all="ignore")  # a file may hold any number
def compare(ranking: Ranking) -> Comparison:
    """Reads the learning curves, and finds the effects."""
    found, findings = effects(ranking)
    spread = found.groupby("setting")["mean"].agg(lambda means: means.max() - means.min()).fillna(0)
    keys = sorted((key for key in ranking.keys if key != "source"), key=lambda key: -float(spread.get(key, 0)))
    keys += ["source"] if "source" in ranking.keys else []
    names = short_names([*keys, ranking.metric])
    column = f"validation.{ranking.metric.rsplit('.', 1)[-1]}"
    problems: list[str] = []
    histories = {row: read_history(run, problems) for row, run in enumerate(ranking.frame["run"])}
    curves = {
        row: (np.array(history["epoch"]), np.array(history[column]))
        for row, history in histories.items() if history.get(column) and "epoch" in history
    }  # fmt: skip
    drawn = {ranking.labels[row] for row in curves}
    first = sorted(range(len(ranking.table)), key=lambda place: place not in drawn)
    colours = dict(zip(first, range(MAX_COLOURS), strict=False))
    labels = [_label(row, keys, names) for _, row in ranking.table.iterrows()]
    return Comparison(
        ranking, found, findings, keys, names, labels, [colours.get(place) for place in range(len(labels))], column,
        curves, problems,
    )  # fmt: skip


def _label(row: pd.Series, keys: list[str], names: Mapping[str, str]) -> str:
    words = [
        shown(key, row[key]) if key == "source" else f"{names[key]} {shown(key, row[key])}"
        for key in keys if plain(row[key]) is not None
    ]  # fmt: skip
    return ", ".join(words if len(words) <= MAX_LABEL_SETTINGS else [*words[:MAX_LABEL_SETTINGS], "..."]) or "all runs"


def shown(key: str, value: Any) -> str:
    """Returns a value as short text: only the last part of a dotted class name."""
    return text(value, key) or MISSING
