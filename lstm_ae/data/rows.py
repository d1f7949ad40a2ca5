"""The rows of a table, series by series, each in the order of time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.data import columns, times
from lstm_ae.data.times import Place


@dataclass(frozen=True)
class Rows:
    """Rows in order, as arrays.

    Attributes:
        values: (rows, features).
        series_of_step: The place of each row's series among `series_names`.
        series_names: One empty name where the table has no series.
        clock: The times, where there are any.
        begins: The first row of each series.
        ends: The row after its last.
        order: Where each row stands in the table; None: there.
        place: Names a row of the table in errors.
        notes: For the log.
    """

    values: np.ndarray
    series_of_step: np.ndarray
    series_names: tuple[str, ...]
    clock: np.ndarray | None
    begins: np.ndarray
    ends: np.ndarray
    order: np.ndarray | None
    place: Place
    notes: tuple[str, ...]

    def of(self, column: pd.Series) -> pd.Series:
        """Returns a column of the table in the order of these rows."""
        return column if self.order is None else column.iloc[self.order]

    def named(self, row: int) -> str:
        """Returns what errors call a row."""
        return self.place(row if self.order is None else int(self.order[row]))


def in_order(frame: pd.DataFrame, series: str | None, time: str | None, names: list[Any], place: Place) -> Rows:
    """Returns the rows, series by series, each in the order of time."""
    reader = None if time is None else times.TimeReader(time)
    clock = None if reader is None or time is None else reader.read(frame[time], place)
    of_step, series_names = np.zeros(len(frame), dtype=np.int32), tuple[str, ...]([""])
    if series is not None:
        of_step, series_names = columns.codes(frame[series], "series", place)
    values = np.empty((len(frame), len(names)), dtype=np.float32)
    for feature, name in enumerate(names):
        values[:, feature] = columns.numbers(frame[name], name, place)
    same = of_step[1:] == of_step[:-1]
    in_order = bool((of_step[1:] >= of_step[:-1]).all())
    if in_order and clock is not None:
        in_order = bool((~same | (clock[1:] >= clock[:-1])).all())
    order = None
    if not in_order:
        order = np.lexsort([of_step] if clock is None else [clock, of_step])  # the last key first
        values, of_step, clock = values[order], of_step[order], None if clock is None else clock[order]
    begins = np.flatnonzero(np.diff(of_step, prepend=-1))
    ends = np.append(begins[1:], len(of_step))
    notes = () if reader is None or clock is None else reader.notes + times.irregular(clock, begins, ends, series_names)
    return Rows(values, of_step, series_names, clock, begins, ends, order, place, notes)


def time_axis(table: Rows, frame: pd.DataFrame, time: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the place of each row on the time axis, and the axis; without a time, the row's place in its series."""
    if table.clock is None or time is None:
        lengths = table.ends - table.begins
        return np.arange(len(table.values)) - np.repeat(table.begins, lengths), None
    again = (table.clock[1:] == table.clock[:-1]) & (table.series_of_step[1:] == table.series_of_step[:-1])
    if again.any():
        row = int(np.flatnonzero(again)[0]) + 1
        raise ValueError(
            f"`time` must differ within a series, and {table.named(row)} repeats {table.of(frame[time]).iloc[row]} in "
            f"{time!r}, after {table.named(row - 1)}. Keep one row, or name the column of the series."
        )
    codes, known = pd.factorize(table.clock)  # less memory than np.unique where many series share the times
    order = np.argsort(known, kind="stable")
    return np.argsort(order).astype(np.int32)[codes], np.asarray(known)[order]
