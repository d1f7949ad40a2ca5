"""The data of the page: labels and colours of combinations, axes, effects, learning curves, a record of each run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.compare.effects import effects
from lstm_ae.compare.output import strict
from lstm_ae.compare.ranking import Ranking, short_run_names
from lstm_ae.compare.reading import read_history
from lstm_ae.compare.table import (
    CANNOT_CHANGE_SCORE,
    REPEATS,
    in_order,
    is_metric,
    plain,
    recorded,
    short_names,
    spans_decades,
    text,
)

MAX_COLOURS = 7  # the first combinations get a colour of page.css and a legend entry each; the rest are grey
MISSING = "-"
MAX_LABEL_SETTINGS = 8  # settings in a combination's label
MAX_VALUES = 24  # of a setting in a heat map; with more, the cells are too small to read
COSTS = ("parameters", "seconds")

Curves = Mapping[int, tuple[list[float], list[float]]]  # epochs and values of each run that has some
NO_CURVE: tuple[list[float], list[float]] = [], []


@np.errstate(all="ignore")  # a file may hold any number
def page_data(ranking: Ranking, problems: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns the data of the page, with the runs in order of rank, and the effects of settings in sentences.

    Args:
        ranking: The runs, ranked.
        problems: Gets a line for each history that cannot be read.
    """
    frame = ranking.frame
    found, findings = effects(ranking)
    spread = found.groupby("setting")["mean"].agg(lambda means: means.max() - means.min()).fillna(0)
    keys = sorted(ranking.keys, key=lambda key: (key == "source", -float(spread.get(key, 0))))
    names = short_names([*keys, ranking.metric])
    column = f"validation.{ranking.metric.rsplit('.', 1)[-1]}"  # there is no curve of the test part
    histories = [read_history(run, problems) for run in frame["run"]]
    curves = {
        row: (history["epoch"], history[column])
        for row, history in enumerate(histories) if history.get(column) and "epoch" in history
    }  # fmt: skip
    levels = {key: _levels(ranking, key) for key in keys}
    of_few = [key for key in keys if key != "source" and 2 <= len(levels[key]) <= MAX_VALUES]
    settings, metrics = _columns(ranking, keys)
    columns = {key: [strict(value) for value in frame[key]] for key in (*settings, *metrics)}
    short = short_run_names(list(frame["run"]))
    data = {
        "metric": ranking.metric,
        "higher": ranking.higher,
        "curveMetric": column,
        "logScore": spans_decades(ranking.scores),
        # Whether the means of a source's scores are geometric, as its effects are.
        "logMeans": {source: blocks.log for source, blocks in ranking.blocks.items()},
        "grid": sorted(of_few[:2], key=lambda key: len(levels[key])),  # of the heat map
        "logCurve": spans_decades([value for _, values in curves.values() for value in values]),
        "keys": keys,
        "names": dict(names),
        "repeats": [key for key in REPEATS if key in settings and "." not in key and frame[key].nunique() > 1],
        "settings": settings,
        "metrics": metrics,
        "levels": {key: [shown(key, value) for value in values] for key, values in levels.items()},
        "groups": _groups(ranking, keys, names, curves),
        "effects": [
            {key: strict(item) for key, item in row.items()} | {"place": _place(levels[row["setting"]], row["value"])}
            for row in found.to_dict("records")
        ],
        "runs": [
            _run(ranking, row, levels, curves.get(row, NO_CURVE))
            | {"name": short[row], "values": {key: values[row] for key, values in columns.items()}}
            for row in ranking.order
        ],
    }
    return data, findings


def _levels(ranking: Ranking, key: str) -> list[Any]:
    """Returns a setting's values in runs with a score: numbers, then text, then None where it is missing."""
    return sorted({plain(value) for value in ranking.frame[key][ranking.scores.notna()]}, key=in_order)


def _columns(ranking: Ranking, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the settings that differ, those that explain most first, and the metrics, the ranking metric first."""
    frame, metric = ranking.frame, ranking.metric
    others = [key for key in recorded(frame) if key not in (*keys, *CANNOT_CHANGE_SCORE, "source")]
    settings = [key for key in others if frame[key].astype(str).nunique(dropna=False) > 1]
    metrics = [key for key in frame.columns if is_metric(key) and frame[key].notna().any()]
    first = [metric, f"test.{metric.rsplit('.', 1)[-1]}", *COSTS]
    metrics = sorted(metrics, key=lambda key: first.index(key) if key in first else len(first))
    return [*(key for key in keys if key != "source"), *settings], metrics


def _groups(ranking: Ranking, keys: list[str], names: Mapping[str, str], curves: Curves) -> list[dict[str, Any]]:
    """Returns label, colour, verdict and rank of each combination; the first with a curve get the colours."""
    drawn = {ranking.labels[row] for row in curves}
    first = sorted(range(len(ranking.table)), key=lambda place: place not in drawn)
    colours = dict(zip(first, range(MAX_COLOURS), strict=False))
    words = ranking.table["verdict"].where(pd.Series("verdict" in ranking.columns, ranking.table.index), None)
    return [
        {
            "label": _label(row, keys, names),
            "colour": colours.get(place),  # page.css has a lighter variant for dark mode
            "verdict": strict(word),
            "rank": place + 1 if place < ranking.complete else None,
        }
        for place, ((_, row), word) in enumerate(zip(ranking.table.iterrows(), words, strict=True))
    ]


def _label(row: pd.Series, keys: list[str], names: Mapping[str, str]) -> str:
    words = [
        shown(key, row[key]) if key == "source" else f"{names[key]} {shown(key, row[key])}"
        for key in keys if plain(row[key]) is not None
    ]  # fmt: skip
    return ", ".join(words if len(words) <= MAX_LABEL_SETTINGS else [*words[:MAX_LABEL_SETTINGS], "..."]) or "all runs"


def _place(levels: Sequence[Any], value: Any) -> int | None:
    """Returns the position of a value on its axis, None if no run with a score has it."""
    return levels.index(plain(value)) if plain(value) in levels else None


def _run(
    ranking: Ranking, row: int, levels: Mapping[str, list[Any]], curve: tuple[list[float], list[float]]
) -> dict[str, Any]:
    record = ranking.frame.iloc[row]
    return {
        "id": row,
        "group": int(ranking.labels[row]),
        "run": str(record["run"]),
        "state": strict(record["state"]) or "unknown",
        "error": strict(record["error"]),
        "source": strict(record["source"]),
        "score": strict(ranking.scores[row]),
        "epochs": [strict(value) for value in curve[0]],
        "curve": [strict(value) for value in curve[1]],
        "levels": {key: _place(values, record[key]) for key, values in levels.items()},
        "shown": {key: shown(key, plain(record[key])) for key in levels},
    }


def shown(key: str, value: Any) -> str:
    """Returns a value as short text: only the last part of a dotted class name."""
    return text(value, key) or MISSING
