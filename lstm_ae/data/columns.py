"""The columns of a table: which are meant, and what they hold. Errors name row, column and cure."""

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.data.times import Place

WILDCARDS = "*?["


def require(columns: Iterable[Any], argument: str, name: Any) -> None:
    """Refuses a name that is no column, with the nearest that is one."""
    known = list(columns)
    if name not in known:
        near = difflib.get_close_matches(str(name), map(str, known), n=1)
        cure = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(map(str, known))}."
        raise ValueError(f"`{argument}` must name a column of the table, got {name!r}. {cure}")


def matching(columns: Iterable[Any], features: Sequence[Any] | str, taken: Iterable[Any] = ()) -> list[Any]:
    """Returns the columns that names or patterns such as 'sensor_*' mean, without those that are taken.

    Raises:
        ValueError: a name is no column, or a pattern matches none.
    """
    known, found = list(columns), []
    for name in [features] if isinstance(features, str) else features:
        if isinstance(name, str) and name not in known and any(sign in name for sign in WILDCARDS):
            hits = [one for one in known if fnmatch.fnmatchcase(str(one), name) and one not in set(taken)]
            if not hits:
                raise ValueError(
                    f"`features` must match columns, and none is like {name!r}. "
                    f"There are: {', '.join(map(str, known))}."
                )
            found += hits
        else:
            require(known, "features", name)
            found.append(name)
    if not found:
        raise ValueError(f"`features` must name a column, got none. There are: {', '.join(map(str, known))}.")
    return list(dict.fromkeys(found))


@np.errstate(over="ignore")  # what is too large for float32 becomes infinite, and is refused
def numbers(column: pd.Series, name: Any, place: Place) -> np.ndarray:
    """Returns a column of numbers as float32, NaN where it is empty.

    Raises:
        ValueError: a row holds a text, or no finite number.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        found = column.to_numpy(dtype=np.float32, na_value=np.nan)
    else:
        texts = column.astype(object)
        found = np.asarray(pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float32))
        wrong = np.isnan(found) & texts.notna().to_numpy()
        wrong |= np.array([isinstance(one, bool) for one in texts], dtype=bool)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"`features` must name columns of numbers, and {place(row)} of {name!r} holds {texts.iloc[row]!r}. "
                "Leave the column out, or mend it."
            )
    infinite = np.isinf(found)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        raise ValueError(
            f"`features` must hold finite numbers, and {place(row)} of {name!r} is infinite ({int(infinite.sum())} "
            "rows are). Mend the data, or leave these cells empty (of a table: missing=mask)."
        )
    return found


def codes(column: pd.Series, argument: str, place: Place) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the place of each row's name among the names, and the names in order: of numbers, or of the alphabet.

    Raises:
        ValueError: a row has none.
    """
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        what = {"series": "must name the series of every row", "part": "must name the part of every row"}
        rule = what.get(argument, "must be given in every row")
        raise ValueError(f"`{argument}` {rule}, and {place(row)} has none. Mend {column.name!r}.")
    found, values = pd.factorize(column)
    texts = np.array([str(value) for value in values])
    as_numbers = pd.to_numeric(pd.Series(texts), errors="coerce")
    names, rank = np.unique(texts, return_inverse=True)
    if as_numbers.notna().all():
        first = np.unique(texts, return_index=True)[1]
        order = np.argsort(as_numbers.to_numpy()[first], kind="stable")
        names, rank = names[order], np.argsort(order)[rank]
    return rank.astype(np.int32)[found], tuple(names.tolist())


def check_filled(values: np.ndarray, names: Sequence[Any], place: Place, missing: str) -> None:
    """Refuses features that say nothing, and missing values where these are not wanted."""
    for column, name in enumerate(names):
        known = values[:, column]
        holes = np.isnan(known)
        if holes.all():
            raise ValueError(
                f"`features` must hold something, and {name!r} is all missing, from {place(0)} to "
                f"{place(len(values) - 1)}. Leave it out."
            )
        if missing == "error" and holes.any():
            row = int(np.flatnonzero(holes)[0])
            raise ValueError(
                f"`features` must be there in every row, and {name!r} has no value at {place(row)} "
                f"({int(holes.sum())} rows). Use dataset.missing=mask, interpolate or forward, or mend the data."
            )
        lowest = np.nanmin(known)
        if len(known) > 1 and lowest == np.nanmax(known):
            raise ValueError(
                f"`features` must vary, and {name!r} is {lowest:g} in single precision from {place(0)} to "
                f"{place(len(values) - 1)}. Leave it out, or subtract a constant from it."
            )


def coarse(values: np.ndarray, names: Sequence[Any]) -> tuple[str, ...]:
    """Returns a note on each feature of which float32 keeps too few digits: large numbers that hardly vary."""
    notes = []
    for column, name in enumerate(names):
        largest = np.nanmax(np.abs(values[:, column]))
        kept, spread = float(np.spacing(largest)), float(np.nanstd(values[:, column], dtype=np.float64))
        if kept > 0.01 * spread:
            notes.append(
                f"{name!r} varies by {spread:.3g} around {largest:.3g}, and single precision keeps steps of {kept:.3g}:"
                " subtract a constant from it."
            )
    return tuple(notes)
