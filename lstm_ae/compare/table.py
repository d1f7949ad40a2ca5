"""Run directories as a table with a row per run: its columns, the scores, and how values are shown."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lstm_ae import run_dir
from lstm_ae.compare.reading import COSTS, FIXED, PARTS, SUBSETS, find, read_run
from lstm_ae.metrics import text as text

pd.set_option("mode.string_storage", "python")  # pyarrow's refuses names of directories that are invalid UTF-8

#: Settings to average over: runs that differ in nothing else are repeats.
REPEATS = ("seed", "fold", "split.random_state")
#: Runs in these states have a score; for `unknown`, the metrics are used as they are.
SCORED = ("finished", "diverged", "unknown", "reached")
KIND = ("dataset._target_", "task._target_")
#: Settings that cannot change a validation score. A two-stage sweep sets `evaluate_test` only for its last training.
CANNOT_CHANGE_SCORE = run_dir.NOT_SIGNED | {"evaluate_test"}


def read(paths: Iterable[str | Path], problems: list[str]) -> pd.DataFrame:
    """Returns a row for each run in or below the paths.

    Args:
        paths: Runs, sweeps, folders of sweeps.
        problems: Gets a line for each thing that cannot be read.
    """
    rows = [read_run(folder, files, problems) for folder, files in find(paths, problems)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numbers = [column for column in columns if is_metric(column)]
    columns = [column for column in columns if not is_metric(column)] + numbers
    return pd.DataFrame({c: [row.get(c, math.nan) for row in rows] for c in columns or [*FIXED, "source"]})


def is_metric(column: str) -> bool:
    """Returns whether a column is a metric or a cost, by its name."""
    return column in COSTS or column.split(".", 1)[0] in PARTS


def recorded(frame: pd.DataFrame) -> list[str]:
    """Returns the columns that are settings."""
    other = (*PARTS, SUBSETS)
    return [key for key in frame.columns if key not in (*FIXED, *COSTS) and key.split(".", 1)[0] not in other]


def settings(frame: pd.DataFrame) -> list[str]:
    """Returns the settings that differ between the runs and can change a result.

    Runs that do not record a setting are ignored in deciding whether it differs.
    """
    return [key for key in recorded(frame) if key not in CANNOT_CHANGE_SCORE and frame[key].nunique() > 1]


def higher_is_better(frame: pd.DataFrame, metric: str) -> bool:
    """Returns whether a higher value of a metric is better, as the runs record it."""
    if metric.startswith("skill."):
        return True
    recorded = frame.reindex(columns=["higher_is_better"])["higher_is_better"].dropna().unique()
    name = metric.rsplit(".", 1)[-1]
    return any(name in str(names).split(",") for names in recorded)


def scores(frame: pd.DataFrame, metric: str) -> pd.Series:
    """Returns the score of each run: NaN if it has none, the worst there is if it diverged."""
    values, higher = frame.reindex(columns=[metric])[metric].astype(float), higher_is_better(frame, metric)
    judged = [run_dir.score(state, value, higher) for state, value in zip(frame["state"], values, strict=True)]
    return pd.Series(judged, frame.index, dtype=float).where(frame["state"].isin(SCORED))


def comparable(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns the runs that have the metric, and runs of the same dataset and task without it."""
    measured = frame.reindex(columns=[metric])[metric].notna() & scores(frame, metric).notna()
    names = frame.reindex(columns=KIND).astype(object)
    kind = names.where(names.notna(), "").astype(str).agg("|".join, axis=1)
    return frame[kind.isin(set(kind[measured]))]


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Returns a group number for each run, the same for runs that agree on all keys."""
    if not keys:
        return pd.Series(0, index=frame.index)
    return frame.groupby(list(keys), dropna=False, sort=False).ngroup()


def plain(value: Any) -> Any:
    """Returns a value as a plain Python scalar: None for NaN, and 1 for 1.0, as a column with gaps stores an int."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float) else str(value)


def in_order(value: object) -> tuple[int, float, str]:
    """Sort key: numbers by size, then text, then missing values."""
    if value is None or value != value:
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def spans_decades(values: ArrayLike) -> bool:
    """Returns whether all finite values are positive and span more than a factor of ten: a logarithmic scale fits."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return bool(numbers.size and numbers.min() > 0 and numbers.max() > 10 * numbers.min())


def short_names(columns: list[str]) -> Mapping[str, str]:
    """Returns each column's shortest unique ending; a `_target_` is named by its group.

    A skill keeps its whole name, because its ending is only the name of a baseline.

    Example:
        >>> dict(short_names(["optimizer.lr", "model._target_", "train.loss", "test.loss"]))
        {'optimizer.lr': 'lr', 'model._target_': 'model', 'train.loss': 'train.loss', 'test.loss': 'test.loss'}
    """
    parts = {column: column.removesuffix("._target_").split(".") for column in columns}
    ends = Counter(".".join(p[-length:]) for p in parts.values() for length in range(1, len(p) + 1))
    names = {}
    for column, p in parts.items():
        shortest = len(p) if column.startswith("skill.") else 1
        unique = (".".join(p[-length:]) for length in range(shortest, len(p)) if ends[".".join(p[-length:])] == 1)
        names[column] = next(unique, ".".join(p))
    return names
