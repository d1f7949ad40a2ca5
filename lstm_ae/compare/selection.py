"""Selects runs, metric and columns of the table of runs, as named on the command line."""

import difflib
import math
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from lstm_ae.compare.reading import read_history
from lstm_ae.compare.table import SCORED, in_order, is_metric, recorded, text

DEFAULT = "validation.loss"
OPERATORS = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip


class CompareError(ValueError):
    """The request cannot be met; the text says what is available."""


def column(name: str, columns: Sequence[str], argument: str, first: Sequence[str] = ()) -> str:
    """Returns the column with this name, or the only one with this ending; a group's name is its `_target_`.

    Args:
        name: Such as `optimizer.lr` or `lr`.
        columns: The existing columns.
        argument: The name of the argument, for the error.
        first: Columns that an ending refers to first.

    Raises:
        CompareError: no column or several match; the text names the closest.

    Example:
        >>> column("lr", ["optimizer.lr", "model._target_"], "--where")
        'optimizer.lr'
        >>> column("model", ["optimizer.lr", "model._target_"], "--where")
        'model._target_'
    """
    if name in columns:
        return name
    found = [key for key in columns if f".{key.removesuffix('._target_')}".endswith(f".{name}")]
    found = [key for key in found if key in first] or found
    if len(found) > 1:
        raise CompareError(
            f"`{argument}` must name one column, but `{name}` matches {_listed(found)}. Use one of these."
        )
    if not found:
        raise CompareError(f"`{argument}` must name a column, but no run has `{name}`.{suggestion(name, columns)}")
    return found[0]


def suggestion(name: str, columns: Sequence[str]) -> str:
    """Returns a sentence that names the closest match, or all columns."""
    endings = {key.rsplit(".", 1)[-1]: key for key in columns}
    close = difflib.get_close_matches(name, columns, 1) or [
        endings[ending] for ending in difflib.get_close_matches(name.rsplit(".", 1)[-1], endings, 1)
    ]
    return f" Did you mean `{close[0]}`?" if close else f" Available: {_listed(columns)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Returns the runs that meet a condition, such as `model.hidden_size=16`, `lr<0.1` or `fold!=null`.

    A run that does not record the setting meets only `!=`.

    Raises:
        CompareError: the condition cannot be parsed, or names no setting or metric.
    """
    parts = re.fullmatch(r"\s*([^=!<>]+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", condition)
    if not parts:
        raise CompareError(f"`--where` must be SETTING=VALUE (or !=, <, >, <=, >=), got {condition!r}.")
    name, sign, value = parts.groups()
    known = [*recorded(frame), *(key for key in frame.columns if is_metric(key)), "state", "run"]
    cells = frame[column(name, known, "--where")]
    if is_metric(str(cells.name)):
        cells = cells.where(frame["state"].isin(SCORED))  # what a failed run left is no score
    number = float(pd.to_numeric(pd.Series([value]), errors="coerce")[0])
    if sign in ("=", "==", "!="):
        same = cells.map(lambda cell: _same(cell, value, number) or value == text(cell, str(cells.name)))
        return frame[~same if sign == "!=" else same]
    if math.isnan(number):
        raise CompareError(f"`--where` must have a number after {sign}, got {condition!r}. Use = or != for text.")
    met: pd.Series = OPERATORS[sign](pd.to_numeric(cells, errors="coerce"), number)
    return frame[met]


def _same(cell: object, value: str, number: float) -> bool:
    if isinstance(cell, int | float) and not math.isnan(number):
        return bool(cell == number)
    return value == str(cell)


def metrics(frame: pd.DataFrame) -> list[str]:
    """Returns the metrics that some run with a score has."""
    scored = frame["state"].isin(SCORED)
    return [key for key in frame.columns if is_metric(key) and frame.loc[scored, key].notna().any()]


def choose_metric(frame: pd.DataFrame, asked: str | None, remarks: list[str]) -> str:
    """Returns the metric to rank by: the requested one, else the runs' own `objective`, else `validation.loss`.

    Args:
        frame: The runs, at least one of which has a metric.
        asked: The metric named on the command line.
        remarks: Gets a line if no run has the default metric.

    Raises:
        CompareError: no run has the requested metric; the text lists the metrics and names the closest.
    """
    available = metrics(frame)
    if asked is not None:
        try:
            return column(asked, available, "--metric")
        except CompareError as error:
            known = ", ".join(key for key in available if not key.startswith(("baseline.", "skill")))
            raise CompareError(f"{error} Available: {known}." if "Did you mean" in str(error) else str(error)) from None
    objectives: Any = frame["objective"].dropna().unique() if "objective" in frame.columns else []
    default = f"validation.{objectives[0]}" if len(objectives) == 1 else DEFAULT
    if default in available:
        return default
    first = {"validation": 2, "train": 0}  # the test part is for the end
    metric = max(available, key=lambda key: (first.get(key.split(".")[0], 1), frame[key].count()))
    remarks.append(f"No run has {default}: ranked by {metric}. Choose another with --metric.")
    return metric


def at_epoch(frame: pd.DataFrame, epoch: int, problems: list[str]) -> pd.DataFrame:
    """Returns the runs with their metrics at one epoch, from history.csv, in place of the final metrics.

    A run that reached the epoch has the state `reached`, even if it failed later; the others have no score.

    Raises:
        CompareError: no run reached the epoch.
    """
    rows: list[dict[str, float]] = [_epoch(read_history(run, problems), epoch) for run in frame["run"]]
    if not any(rows):
        raise CompareError(
            f"`--epoch` must be an epoch in some history.csv, but none has epoch {epoch}. Use a lower one."
        )
    kept = frame[[key for key in frame.columns if not is_metric(key)]].copy()
    reached = pd.Series([bool(row) for row in rows], index=frame.index)
    later = frame["state"] + " later" + frame["error"].map(lambda error: f": {error}" if isinstance(error, str) else "")
    ended = frame["error"].where(frame["error"].notna(), f"has no epoch {epoch}")
    kept["error"] = later.where(~frame["state"].eq("finished"), None).where(reached, ended)
    kept["state"] = frame["state"].mask(reached, "reached")
    names = dict.fromkeys(key for row in rows for key in row if is_metric(key))
    return kept.assign(**{name: [row.get(name, math.nan) for row in rows] for name in names})


def _epoch(history: dict[str, list[float]], epoch: int) -> dict[str, float]:
    epochs = history.get("epoch", [])
    if epoch not in epochs:
        return {}
    return {name: values[epochs.index(epoch)] for name, values in history.items()}


def filtered(frame: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Returns the runs that meet all conditions.

    Raises:
        CompareError: no run is left; the text lists the values that remained before the failing condition.
    """
    for condition in conditions:
        remaining = where(frame, condition)
        if not len(remaining):
            raise CompareError(
                f"`--where` must match a run, but none of {len(frame)} has {condition}.{_values(frame, condition)}"
            )
        frame = remaining
    return frame


def _values(frame: pd.DataFrame, condition: str) -> str:
    name = re.split(r"[=!<>]", condition, maxsplit=1)[0].strip()
    found = frame[column(name, list(frame.columns), "--where")].dropna().unique()
    return f" Available: {_listed(sorted({text(value) for value in found}))}."


def sort(shown: pd.DataFrame, by: str, first: Sequence[str]) -> pd.DataFrame:
    """Returns the rows sorted by a column, in descending order after a `-`; missing values come last.

    Args:
        shown: The table.
        by: Name of a column.
        first: Columns that an ending refers to first.

    Raises:
        CompareError: there is no such column.
    """
    key = column(by.removeprefix("-"), list(shown.columns), "--sort", first)
    order = [in_order(value) for value in shown[key]]
    present = [i for i in range(len(shown)) if order[i][0] != 2]
    present.sort(key=lambda i: order[i], reverse=by.startswith("-"))
    return shown.iloc[present + [i for i in range(len(shown)) if order[i][0] == 2]]


def columns(names: str, first: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the named columns.

    Args:
        names: Comma-separated names.
        first: Columns that an ending refers to first.
        known: All columns.

    Raises:
        CompareError: there is no such column.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    if not given:
        raise CompareError("`--columns` must be comma-separated names of columns, got none. Use --columns=lr,loss.")
    return list(dict.fromkeys(column(name, known, "--columns", first) for name in given))


def effects_shown(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows and columns of the effects that say something: means, and what is not the same everywhere."""
    rows = found[found["mean"].notna()].assign(best=found["best"].map({True: "best", False: ""}))
    constant = [key for key, plain in (("diverged", 0), ("source", "ours")) if (rows[key] == plain).all()]
    empty = [key for key in ("p", "detectable", "omega_squared", "low", "high") if rows[key].isna().all()]
    return rows.drop(columns=["difference", *constant, *empty])
