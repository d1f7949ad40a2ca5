"""Run directories as a table: a row a run, and runs of equal settings ranked by their mean score."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.compare.reading import COSTS, FIXED, PARTS, find, read_run
from lstm_ae.metrics import HIGHER_IS_BETTER
from lstm_ae.run_dir import NOT_SIGNED

log = logging.getLogger(__name__)

#: Settings over which a score is averaged, with what follows them: runs that differ in nothing else repeat one another.
REPEATS = ("seed", "fold", "split.random_state")
#: Runs in these states have a score: of an unknown one the metrics are taken as they stand.
SCORED = ("finished", "diverged", "unknown", "reached")
KIND = ("dataset._target_", "task._target_")
#: Settings that change no score: whether the test part is looked at, as a sweep in two stages does once, is one too.
IDLE = NOT_SIGNED | {"evaluate_test"}


def load(*paths: str | Path) -> pd.DataFrame:
    """Returns a row for each run in or below the paths; see `lstm_ae.compare.load`. What cannot be read is logged."""
    problems: list[str] = []
    frame = read(paths, problems)
    for problem in problems:
        log.warning("%s", problem)
    return frame


def read(paths: Iterable[str | Path], problems: list[str]) -> pd.DataFrame:
    """Returns a row for each run in or below the paths.

    Args:
        paths: Runs, sweeps, folders of sweeps.
        problems: Takes a line for each thing that cannot be read.
    """
    rows = [read_run(folder, files, problems) for folder, files in find(paths, problems)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numbers = [column for column in columns if is_metric(column)]
    columns = [column for column in columns if not is_metric(column)] + numbers
    return pd.DataFrame({c: [row.get(c, math.nan) for row in rows] for c in columns or [*FIXED, "source"]})


def is_metric(column: str) -> bool:
    """Says whether a column holds a metric or a cost, by its name."""
    return column in COSTS or column.split(".", 1)[0] in PARTS


def recorded(frame: pd.DataFrame) -> list[str]:
    """Returns the columns that hold settings."""
    return [key for key in frame.columns if key not in FIXED and not is_metric(key)]


def settings(frame: pd.DataFrame) -> list[str]:
    """Returns the settings that differ between the runs and can change a result.

    One that some runs do not record, and on which all that record it agree, does not differ.
    """
    return [key for key in recorded(frame) if key not in IDLE and frame[key].nunique() > 1]


def higher_is_better(metric: str) -> bool:
    """Says whether more of a metric is better."""
    return metric.rsplit(".", 1)[-1] in HIGHER_IS_BETTER or metric.startswith("skill.")


def scores(frame: pd.DataFrame, metric: str) -> pd.Series:
    """Returns each run's score: NaN for one that has none, infinitely bad for one that diverged."""
    values = frame.reindex(columns=[metric])[metric].astype(float)
    values = values.mask(frame["state"] == "diverged", -math.inf if higher_is_better(metric) else math.inf)
    return values.where(frame["state"].isin(SCORED))


def comparable(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns the runs that have the metric, and those of the same dataset and task that did not get to it."""
    measured = frame.reindex(columns=[metric])[metric].notna() & scores(frame, metric).notna()
    told = frame.reindex(columns=KIND).astype(object)
    kind = told.where(told.notna(), "").astype(str).agg("|".join, axis=1)
    return frame[kind.isin(set(kind[measured]))]


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Returns a number for each run, the same for runs that agree on all keys."""
    if not keys:
        return pd.Series(0, index=frame.index)
    return frame.groupby(list(keys), dropna=False, sort=False).ngroup()


def rank(frame: pd.DataFrame, metric: str, repeats: Sequence[str] = REPEATS) -> pd.DataFrame:
    """Returns a row for each combination of settings, the best mean first: mean, standard deviation, n of all.

    A run that diverged counts as infinitely bad. Combinations of which some run has no score come after the others, as
    their mean may lack the hardest fold; those of which none has one come last.

    Args:
        frame: What `load` returned.
        metric: A column of it, such as `validation.loss`.
        repeats: Settings over which the mean is taken.
    """
    keys = [key for key in settings(frame) if key not in repeats]
    table = means(frame, metric, keys, groups(frame, keys))
    lacking = (table["n"] < table["of"]).astype(int) + (table["n"] == 0)
    return table.iloc[lacking.argsort(kind="stable")].reset_index(drop=True)


def means(frame: pd.DataFrame, metric: str, keys: list[str], labels: pd.Series) -> pd.DataFrame:
    """Returns what `rank` does, for runs that are grouped already; the index holds the groups' labels.

    Args:
        frame: The runs.
        metric: A column of it.
        keys: The settings on which the runs of a group agree.
        labels: The group of each run.
    """
    by = scores(frame, metric).groupby(labels)
    table = frame[keys].astype(object)[~labels.duplicated()].set_axis(labels.unique()).map(plain)
    table = table.assign(**{metric: by.mean(), "std": by.std(), "n": by.count(), "of": by.size()})
    return table.sort_values(metric, ascending=not higher_is_better(metric), na_position="last", kind="stable")


def plain(value: Any) -> Any:
    """Returns a value as it was written: a column with gaps holds its whole numbers as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def short_names(columns: list[str]) -> Mapping[str, str]:
    """Returns each column's shortest ending that no other column shares; a constructor goes by its group's name.

    A skill keeps its whole name: its ending is a baseline's, and says nothing alone.

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
    """Returns a value as it is shown: numbers to four digits, nothing for none, a constructor by its last part.

    Example:
        >>> text(0.000166666), text(16.0), text(math.nan), text("torch.optim.Adam", "optimizer._target_")
        ('0.0001667', '16', '', 'Adam')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value).rsplit(".", 1)[-1] if column.endswith("_target_") else str(value)
