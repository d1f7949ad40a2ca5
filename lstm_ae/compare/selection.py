"""Which runs, which metric, which columns: what the command line names, found in the table of runs."""

import difflib
import math
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from lstm_ae.compare.reading import read_history
from lstm_ae.compare.table import SCORED, is_metric, recorded, text

DEFAULT = "validation.loss"
OPERATORS = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
UNENDED = ("failed", "interrupted", "running", "diverged")


class CompareError(ValueError):
    """What was asked for cannot be compared; the text says what can."""


def column(name: str, columns: Sequence[str], argument: str) -> str:
    """Returns the column that a name means: itself, or the only one that ends so; a group's name is its constructor.

    Args:
        name: Such as `optimizer.lr` or `lr`.
        columns: Those there are.
        argument: What to call it in an error.

    Raises:
        CompareError: there is none, or several; the text names the nearest.

    Example:
        >>> column("lr", ["optimizer.lr", "model._target_"], "--where")
        'optimizer.lr'
        >>> column("model", ["optimizer.lr", "model._target_"], "--where")
        'model._target_'
    """
    if name in columns:
        return name
    found = [key for key in columns if f".{key.removesuffix('._target_')}".endswith(f".{name}")]
    if len(found) > 1:
        raise CompareError(
            f"`{argument}` must name one column, and `{name}` may be {_listed(found)}. Write one of these."
        )
    if not found:
        raise CompareError(f"`{argument}` must name a column, and no run has `{name}`.{nearest(name, columns)}")
    return found[0]


def nearest(name: str, columns: Sequence[str]) -> str:
    """Returns a sentence that names what comes nearest."""
    endings = {key.rsplit(".", 1)[-1]: key for key in columns}
    close = difflib.get_close_matches(name, columns, 1) or [
        endings[ending] for ending in difflib.get_close_matches(name.rsplit(".", 1)[-1], endings, 1)
    ]
    return f" The nearest is `{close[0]}`." if close else f" There are {_listed(columns)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Returns the runs of which a condition holds, such as `model.hidden_size=16`, `lr<0.1` or `fold!=null`.

    A run that does not record the setting meets `!=` alone.

    Raises:
        CompareError: the condition cannot be read, or names no setting or metric.
    """
    parts = re.fullmatch(r"\s*([^=!<>]+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", condition)
    if not parts:
        raise CompareError(f"`--where` must be SETTING=VALUE, or with !=, <, >, <= or >=; got {condition!r}.")
    name, sign, value = parts.groups()
    known = [*recorded(frame), *(key for key in frame.columns if is_metric(key)), "state", "run"]
    cells = frame[column(name, known, "--where")]
    number = float(pd.to_numeric(pd.Series([value]), errors="coerce")[0])
    if sign in ("=", "==", "!="):
        same = cells.map(lambda cell: _same(cell, value, number) or value == text(cell, str(cells.name)))
        return frame[~same if sign == "!=" else same]
    if math.isnan(number):
        raise CompareError(f"`--where` must set a number beside {sign}, got {condition!r}. Use = or != for text.")
    return frame[OPERATORS[sign](pd.to_numeric(cells, errors="coerce"), number)]


def _same(cell: object, value: str, number: float) -> bool:
    if isinstance(cell, int | float) and not math.isnan(number):
        return bool(cell == number)
    return value == str(cell)


def metrics(frame: pd.DataFrame) -> list[str]:
    """Returns the metrics that some run has that counts."""
    counts = frame["state"].isin(SCORED)
    return [key for key in frame.columns if is_metric(key) and frame.loc[counts, key].notna().any()]


def choose_metric(frame: pd.DataFrame, asked: str | None, remarks: list[str]) -> str:
    """Returns the metric to rank by: the one asked for, or the runs' own `objective`, or `validation.loss`.

    Args:
        frame: The runs, of which one at least has a metric.
        asked: What the command line named.
        remarks: Takes a line where no run has the one that was due.

    Raises:
        CompareError: no run has it; the text says which exist, and the nearest.
    """
    there = metrics(frame)
    if asked is not None:
        try:
            return column(asked, there, "--metric")
        except CompareError as error:
            known = ", ".join(key for key in there if not key.startswith(("baseline.", "skill")))
            raise CompareError(f"{error} There are {known}." if "nearest" in str(error) else str(error)) from None
    told: Any = frame["objective"].dropna().unique() if "objective" in frame.columns else []
    due = f"validation.{told[0]}" if len(told) == 1 else DEFAULT
    if due in there:
        return due
    metric = max((key for key in there), key=lambda key: (not key.startswith("train"), frame[key].count()))
    remarks.append(f"No run has {due}: ranked by {metric}. Choose another with --metric.")
    return metric


def at_epoch(frame: pd.DataFrame, epoch: int, problems: list[str]) -> pd.DataFrame:
    """Returns the runs with the metrics that history.csv gives at one epoch, in place of the final ones.

    A run that got there has the state `reached`, whatever came of it later; of the others nothing counts.

    Raises:
        CompareError: no run got there.
    """
    told: list[dict[str, float]] = [_epoch(read_history(run, problems), epoch) for run in frame["run"]]
    if not any(told):
        raise CompareError(f"`--epoch` must be one that a run reached and recorded, and none has epoch {epoch}.")
    kept = frame[[key for key in frame.columns if not is_metric(key)]].copy()
    reached = pd.Series([bool(row) for row in told], index=frame.index)
    later = frame["state"] + " later" + frame["error"].map(lambda error: f": {error}" if isinstance(error, str) else "")
    ended = frame["error"].where(frame["error"].notna(), f"has no epoch {epoch}")
    kept["error"] = later.where(~frame["state"].eq("finished"), None).where(reached, ended)
    kept["state"] = frame["state"].mask(reached, "reached")
    names = dict.fromkeys(key for row in told for key in row if is_metric(key))
    return kept.assign(**{name: [row.get(name, math.nan) for row in told] for name in names})


def _epoch(history: dict[str, list[float]], epoch: int) -> dict[str, float]:
    epochs = history.get("epoch", [])
    if epoch not in epochs:
        return {}
    return {name: values[epochs.index(epoch)] for name, values in history.items()}


def hide_failed(frame: pd.DataFrame, remarks: list[str]) -> pd.DataFrame:
    """Returns the runs that ended well, and says how many others there were."""
    hidden = frame["state"].isin(UNENDED)
    if hidden.any():
        count = frame.loc[hidden, "state"].value_counts()
        remarks.append(f"Hidden: {', '.join(f'{n} {state}' for state, n in count.items())}.")
    return frame[~hidden]


def filtered(frame: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Returns the runs of which all conditions hold.

    Raises:
        CompareError: there is none; the text says what the last condition found no more.
    """
    for condition in conditions:
        left = where(frame, condition)
        if not len(left):
            raise CompareError(
                f"`--where` must leave a run, and none of {len(frame)} has {condition}.{_values(frame, condition)}"
            )
        frame = left
    return frame


def _values(frame: pd.DataFrame, condition: str) -> str:
    name = re.split(r"[=!<>]", condition, maxsplit=1)[0].strip()
    found = frame[column(name, list(frame.columns), "--where")].dropna().unique()
    return f" There are {_listed(sorted({text(value) for value in found}))}."
