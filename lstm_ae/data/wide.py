"""Tables with a sequence a row, whose columns are its time steps, made into tables with a measurement a row."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lstm_ae.data.times import Place

SEQUENCE = "sequence"  # the column of the rows' names, where the table has none


def long_form(
    values: Float[np.ndarray, "rows steps features"], names: Sequence[str], place: Place
) -> tuple[pd.DataFrame, Int[np.ndarray, " measurements"]]:
    """Returns a measurement a row, and the row of the wide table that each comes from.

    The empty last steps of a row are its end.

    Args:
        values: NaN is an empty cell.
        names: Of the features.
        place: Names a row of the wide table in errors.

    Raises:
        ValueError: a row is empty.
    """
    there = ~np.isnan(values).all(axis=2)
    if not there.any(axis=1).all():
        raise ValueError(f"`features` must hold something, and {place(int(np.argmin(there.any(axis=1))))} has nothing.")
    lengths = values.shape[1] - there[:, ::-1].argmax(axis=1)
    inside = np.arange(values.shape[1]) < lengths[:, None]
    return pd.DataFrame(dict(zip(names, values[inside].T, strict=True))), np.repeat(np.arange(len(values)), lengths)


def cells(columns: Mapping[str, np.ndarray], steps: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Returns (rows, steps, features) from columns of numbers, given the columns of each feature's steps."""
    return np.stack([np.stack([columns[name] for name in group], axis=1) for group in steps.values()], axis=2)


def require_once(names: pd.Series, place: Place) -> None:
    """Refuses names of rows that are not each their own."""
    again = np.flatnonzero(names.duplicated())
    if len(again):
        row = int(again[0])
        raise ValueError(
            f"`series` must name each row's sequence once, and {place(row)} repeats {names.iloc[row]!r}. Name another "
            "column, or leave one row out."
        )
