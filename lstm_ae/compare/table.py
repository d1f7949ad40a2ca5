"""Run directories as a table with a row per run, and combinations of settings ranked by mean score."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.compare.reading import COSTS, FIXED, PARTS, find, read_run
from lstm_ae.run_dir import NOT_SIGNED

log = logging.getLogger(__name__)

#: Settings to average over: runs that differ in nothing else are repeats.
REPEATS = ("seed", "fold", "split.random_state")
#: Runs in these states have a score; for `unknown`, the metrics are used as they are.
SCORED = ("finished", "diverged", "unknown", "reached")
KIND = ("dataset._target_", "task._target_")
#: Settings that cannot change a validation score. A two-stage sweep sets `evaluate_test` only for its last training.
CANNOT_CHANGE_SCORE = NOT_SIGNED | {"evaluate_test"}


def load(*paths: str | Path) -> pd.DataFrame:
    """Returns a row for each run in or below the paths; see `lstm_ae.compare.load`."""
    problems: list[str] = []
    frame = read(paths, problems)
    for problem in problems:
        log.warning("%s", problem)
    return frame


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
    return [key for key in frame.columns if key not in FIXED and not is_metric(key)]


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
    """Returns the score of each run: NaN if it has none, infinitely bad if it diverged."""
    values = frame.reindex(columns=[metric])[metric].astype(float)
    values = values.mask(frame["state"] == "diverged", -math.inf if higher_is_better(frame, metric) else math.inf)
    return values.where(frame["state"].isin(SCORED))


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


def rank(frame: pd.DataFrame, metric: str, repeats: Sequence[str] = REPEATS) -> pd.DataFrame:
    """Returns a row for each combination of settings, the best mean first: mean, std, `n` scores `of` runs.

    A diverged run counts as infinitely bad. Combinations with missing scores come after the complete ones, as their
    mean may lack the hardest fold; combinations without any score come last.

    Args:
        frame: The result of `load`.
        metric: One of its columns, such as `validation.loss`.
        repeats: Settings to average over.
    """
    keys = [key for key in settings(frame) if key not in repeats]
    table = means(frame, metric, keys, groups(frame, keys))
    incomplete = (table["n"] < table["of"]).astype(int) + (table["n"] == 0)
    return table.iloc[incomplete.argsort(kind="stable")].reset_index(drop=True)


def means(frame: pd.DataFrame, metric: str, keys: list[str], labels: pd.Series) -> pd.DataFrame:
    """Returns the rows of `rank` for given groups, sorted by the mean; the index holds the labels of the groups.

    Args:
        frame: The runs.
        metric: One of its columns.
        keys: The settings on which the runs of a group agree.
        labels: The group of each run.
    """
    by = scores(frame, metric).groupby(labels)
    table = frame[keys].astype(object)[~labels.duplicated()].set_axis(labels.unique()).map(plain)
    table = table.assign(**{metric: by.mean(), "std": by.std(), "n": by.count(), "of": by.size()})
    return table.sort_values(metric, ascending=not higher_is_better(frame, metric), na_position="last", kind="stable")


def plain(value: Any) -> Any:
    """Returns an integral float as an int: pandas stores the integers of a column with gaps as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def text(value: Any, column: str = "") -> str:
    """Formats a value: numbers to four digits, empty text for a missing value, a `_target_` by its last part.

    Example:
        >>> text(0.000166666), text(16.0), text(math.nan), text("torch.optim.Adam", "optimizer._target_")
        ('0.0001667', '16', '', 'Adam')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value).rsplit(".", 1)[-1] if column.endswith("_target_") else str(value)
