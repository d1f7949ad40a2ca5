"""Times of any resolution: numbers, dates, dates with a zone; and how regular they are."""

import re
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

Place = Callable[[int], str]  # how an error names a row, from its position

OFFSET = re.compile(r"\d(Z|[+-]\d\d:?\d\d)\s*$")
DAYLIGHT_SAVING = 60  # minutes
FEW = 100  # rows that are tried first: to find no number among many texts takes long


class TimeReader:
    """Reads a column of times, as a whole or one stretch of rows after the other: numbers, or dates in UTC.

    Dates must all have a time zone or all have none. Their offsets may differ by daylight saving, not by more.

    Args:
        name: The column.

    Example:
        >>> TimeReader("at").read(pd.Series(["2024-01-01T12:00+02:00"]), str)
        array(['2024-01-01T10:00:00.000000'], dtype='datetime64[us]')
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._format: str | None = None
        self._number: bool | None = None
        self._offsets: dict[int | None, str] = {}  # in minutes, None without a zone; and the row that has it first

    def read(self, column: pd.Series, place: Place) -> np.ndarray:
        """Returns the times of some rows.

        Raises:
            ValueError: a row has no time, or one that cannot be read, or one of another zone.
        """
        if isinstance(column.dtype, pd.PeriodDtype):
            column = column.dt.to_timestamp()
        found = self._numbers(column)
        if self._number is None:
            self._number = found is not None
        if self._number:
            found = pd.to_numeric(column, errors="coerce") if found is None else found
            self._refuse(column, found.isna(), place)
            return np.asarray(found.to_numpy())
        return self._dates(column, place)

    @property
    def notes(self) -> tuple[str, ...]:
        """How dates were read, and what became of time zones, for the log."""
        notes = []
        if self._format is not None and "%d" in self._format and "%m" in self._format:
            notes.append(f"The dates of {self.name!r} are read as {self._format}; write 2024-12-31 if that is wrong.")
        offsets = sorted(offset for offset in self._offsets if offset is not None)
        if offsets and offsets != [0]:
            written = " and ".join(_offset(one) for one in offsets)
            what = f"{written}, one zone with daylight saving" if len(offsets) > 1 else written
            notes.append(f"The times of {self.name!r} are kept in UTC (written with {what}).")
        return tuple(notes)

    def _numbers(self, column: pd.Series) -> pd.Series | None:
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_bool_dtype(column):
            return None
        if pd.api.types.is_numeric_dtype(column):
            return column
        if self._number is False or pd.to_numeric(column.head(FEW), errors="coerce").isna().all():
            return None
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers if numbers.notna().all() else None

    def _dates(self, column: pd.Series, place: Place) -> np.ndarray:
        dates = column
        if not pd.api.types.is_datetime64_any_dtype(column):
            dates = self._parsed(column, place)
        elif isinstance(column.dtype, pd.DatetimeTZDtype):
            self._see(_minutes(column.dtype.tz), place(0))
        else:
            self._see(None, place(0))
        self._refuse(column, dates.isna(), place)
        if isinstance(dates.dtype, pd.DatetimeTZDtype):
            dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
        return np.asarray(dates.to_numpy())

    def _parsed(self, column: pd.Series, place: Place) -> pd.Series:
        """Returns texts as dates, by the format of the first rows; NaT for what cannot be read."""
        text = column.astype("str") if column.dtype == object else column
        text = text.where(column.notna())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a day that might be a month
            if self._format is None:
                candidates = [*_formats(text), "mixed"]
                self._format = next((one for one in candidates if _reads(text, one)), candidates[0])
            try:
                dates = pd.to_datetime(text, format=self._format)
                zone = dates.dtype.tz if isinstance(dates.dtype, pd.DatetimeTZDtype) else None
                self._see(None if zone is None else _minutes(zone), place(0))
            except ValueError:  # a text that cannot be read, or several zones: slower, and says which row
                self._see_each(text, place)
                dates = pd.to_datetime(text, format=self._format, errors="coerce", utc=True)
        return dates

    def _see_each(self, text: pd.Series, place: Place) -> None:
        offsets = text.str.extract(OFFSET, expand=False)
        first = offsets.fillna("").reset_index(drop=True).drop_duplicates()
        for row, offset in first.items():
            if text.notna().iloc[int(str(row))]:
                minutes = datetime.strptime(offset, "%z").utcoffset() if offset else None
                self._see(None if minutes is None else int(minutes.total_seconds() // 60), place(int(str(row))))

    def _see(self, offset: int | None, where: str) -> None:
        """Takes note of an offset from UTC, and refuses one that does not go with those before."""
        for known, there in self._offsets.items():
            if (known is None) != (offset is None):
                raise ValueError(
                    f"`time` must have a time zone in every row of {self.name!r} or in none, and {where} has "
                    f"{_offset(offset)} where {there} has {_offset(known)}. Write all times in UTC, or all without."
                )
            if known is not None and offset is not None and abs(known - offset) > DAYLIGHT_SAVING:
                raise ValueError(
                    f"`time` must be in one time zone, and {where} of {self.name!r} has {_offset(offset)} where "
                    f"{there} has {_offset(known)}, which daylight saving does not explain. Write all times in UTC."
                )
        self._offsets.setdefault(offset, where)

    def _refuse(self, column: pd.Series, wrong: "pd.Series[bool]", place: Place) -> None:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"`time` must be a date or a number in every row, and {place(row)} has {column.iloc[row]!r} in "
                f"{self.name!r}. Write days as 2024-12-31, or mend the row."
            )


def is_dates(column: pd.Series) -> bool:
    """Says whether a column of texts, or of dates, holds dates."""
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    texts = column.dropna().head(FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        known = len(texts) > 0 and all(isinstance(one, str) for one in texts)
        return known and any(_reads(texts, form) for form in _formats(texts))


def irregular(clock: np.ndarray, begins: np.ndarray, ends: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Returns a note where the steps of time within a series differ.

    Args:
        clock: Times in the order of the rows.
        begins: The first row of each series.
        ends: The row after its last.
        names: Of the series; one empty name where there is one series.
    """
    several = np.flatnonzero(ends - begins > 2).tolist()
    found = []
    for one in several:
        steps = np.diff(clock[begins[one] : ends[one]])
        shortest, longest = steps.min(), steps.max()
        if longest > shortest and not (steps.dtype.kind == "f" and longest - shortest < 1e-6 * longest):
            found.append((one, shortest, longest))
    if not found:
        return ()
    one, shortest, longest = found[0]
    of = f" of {len(found)} of {len(names)} series" if len(names) > 1 else ""
    called = f"{names[one]}: " if names[one] else ""
    shown = f"{called}{_duration(shortest)} to {_duration(longest)}"
    return (f"The time steps{of} are irregular ({shown}); a window counts rows, whatever lies between them.",)


def _duration(step: np.generic) -> str:
    return str(pd.Timedelta(step)) if isinstance(step, np.timedelta64) else f"{step}"


def _formats(text: pd.Series) -> list[str]:
    """Returns the formats that the first rows may be in, the likeliest first: of 3/4/2024 that of the month first, and
    of 3.4.2024 that of the day first; all rows then decide.
    """  # noqa: D205
    found: list[str | None] = []
    for one in text.dropna().head(20):
        found += ["ISO8601"] if _reads(pd.Series([one]), "ISO8601") else []
        for day_first in (True, False) if re.match(r"\d+\.\d+\.", one) else (False, True):
            found += [guess_datetime_format(one, dayfirst=day_first)]
    return [one for one in dict.fromkeys(found) if one is not None]


def _reads(text: pd.Series, form: str) -> bool:
    try:
        pd.to_datetime(text, format=form, utc=True)
    except ValueError:
        return False
    return True


def _minutes(zone: object) -> int:
    """Returns the offset of a fixed zone; 0 of one whose offset depends on the date, as all its dates are of it."""
    fixed = getattr(zone, "utcoffset", lambda _: None)(None)
    return 0 if fixed is None else int(fixed.total_seconds() // 60)


def _offset(minutes: int | None) -> str:
    if minutes is None:
        return "no time zone"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
