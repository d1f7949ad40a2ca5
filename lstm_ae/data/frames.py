"""Sequences from what people have: a pandas table with a measurement a row, an array, or a list of arrays."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from lstm_ae import checks
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData

TEST_SEED = 0  # of the draw of a test subset, the same for every run of every seed
PARTS = ("train", "test")


def from_frame(
    frame: pd.DataFrame,
    *,
    series: str | None = None,
    time: str | None = None,
    features: Sequence[str] | None = None,
    label: str | None = None,
    part: str | None = None,
    window: int | None = None,
    stride: int = 1,
    missing: str = "error",
    scaling: str = "standard",
    test_share: float = 0.2,
    unit: str = "value",
) -> SequenceData:
    """Returns the sequences of a table with a measurement a row.

    With a `window`, every stretch of so many consecutive rows of one series is a sequence, and the test subset is the
    latest share of the times; windows that reach from before it into it belong to no subset. Without, each series is
    one sequence, of any length, and the test subset is drawn among them.

    Args:
        frame: The table. Rows of a series are put in the order of `time`, else they stay as they are.
        series: The column that names what a row belongs to (a machine, a company); None: all rows are one series.
        time: The column of the time: dates or numbers.
        features: The columns of values; None: every numeric column that nothing else names.
        label: The column of the class of a series; or, where it varies within a series, of a flag a row (0 or 1).
        part: The column that says `train` or `test`, the same in all rows of a sequence.
        window: Rows a sequence; None: whole series.
        stride: Rows from the start of one window to the next.
        missing: `error`: a missing value is refused; `mask`: it is passed over.
        scaling: `none`, `standard`, `minmax` or `relative`; one scaler for all series.
        test_share: The share of the times, or of the series, that is the test subset, where `part` is None.
        unit: Of the values, as it is printed.

    Raises:
        ValueError: a column is not there or has values that cannot be used; the text names row, column and cure.

    Example:
        >>> table = pd.DataFrame({"machine": ["a"] * 4 + ["b"] * 3, "heat": [1.0, 2, 3, 4, 9, 8, 7]})
        >>> from_frame(table, series="machine", window=2, test_share=0.4).series_names
        ('a', 'b')
        >>> from_frame(table, series="machine").lengths
        array([4, 3])
    """
    checks.at_least("stride", stride, 1)
    checks.share("test_share", test_share)
    if window is not None:
        checks.at_least("window", window, 1)
    for name, given in (("series", series), ("time", time), ("label", label), ("part", part)):
        _require_column(frame, name, given)
    names = _features(frame, features, {series, time, label, part})
    if series is not None and frame[series].isna().any():
        row = frame.index[frame[series].isna()][0]
        raise ValueError(f"`series` must name the series of every row, and row {row} has none. Mend {series!r}.")
    if not len(frame):
        raise ValueError("`frame` must have rows, got none. Name a table that holds some.")
    clock = None if time is None else _parsed(frame, time)
    rows = _in_order(frame, series, clock)
    tidy, clock = frame.iloc[rows], None if clock is None else clock[rows]
    keys = np.zeros(len(tidy), dtype=str) if series is None else tidy[series].astype(str).to_numpy()
    series_names, of_step = np.unique(keys, return_inverse=True)
    begins = np.flatnonzero(np.diff(of_step, prepend=-1))
    ends = np.append(begins[1:], len(tidy))
    time_of_step, times = _times(tidy, time, clock, begins, ends)
    if window is None:
        starts, lengths = begins, ends - begins
    else:
        starts = np.concatenate([np.arange(b, e - window + 1, stride) for b, e in zip(begins, ends, strict=True)])
        lengths = np.full(len(starts), window)
        if not len(starts):
            longest = int((ends - begins).max())
            raise ValueError(f"`window` must fit into a series, got {window}, and the longest has {longest} rows.")
    if part is not None:
        starts, lengths, test = _parts(tidy[part], starts, lengths)
    elif window is None:
        test = _drawn(len(starts), test_share)
    else:
        starts, lengths, test = _latest(time_of_step, starts, lengths, test_share)
    labels, classes, flags = _labels(tidy, label, starts, lengths)
    return SequenceData(
        values=torch.from_numpy(np.array(tidy[names].to_numpy(dtype=np.float32, na_value=np.nan), order="C")),
        starts=torch.from_numpy(starts.astype(np.int64)),
        lengths=lengths.astype(np.int64),
        test=test,
        scaling=Scaling(scaling),
        labels=labels,
        classes=classes,
        label_of_step=flags,
        series_of_step=None if series is None else of_step.astype(np.int64),
        series_names=() if series is None else tuple(series_names.tolist()),
        time_of_step=time_of_step,
        times=times,
        feature_names=tuple(str(name) for name in names),
        unit=unit,
        missing=missing,
        layout={"series": series, "time": time, "label": label, "window": window, "stride": stride},
        notes=_left_out(series_names, ends - begins, window),
    )


def from_arrays(
    x: np.ndarray | Sequence[np.ndarray],
    y: Sequence[Any] | np.ndarray | None = None,
    *,
    test: Sequence[bool] | np.ndarray | None = None,
    missing: str = "error",
    scaling: str = "standard",
    test_share: float = 0.2,
    feature_names: Sequence[str] = (),
    unit: str = "value",
) -> SequenceData:
    """Returns the sequences of an array (sequences, time, features), or of a list of arrays (time, features).

    Args:
        x: The values; without a last axis they have one feature. The arrays of a list may differ in length.
        y: The class of each sequence, numbers or names.
        test: Which sequences are the test subset; None: `test_share` of them, drawn.
        missing: `error`: a missing value (NaN) is refused; `mask`: it is passed over.
        scaling: `none`, `standard`, `minmax` or `relative`; one scaler for all sequences.
        test_share: See `test`.
        feature_names: The names of the features.
        unit: Of the values, as it is printed.

    Raises:
        ValueError: shapes do not fit; the text names them.

    Example:
        >>> from_arrays([np.ones((3, 2)), np.ones((5, 2))], y=["up", "down"], test=np.array([False, True])).classes
        ('down', 'up')
    """
    checks.share("test_share", test_share)
    parts = [np.asarray(one, dtype=np.float32) for one in x]
    parts = [one[:, None] if one.ndim == 1 else one for one in parts]
    widths = {one.shape[1:] for one in parts}
    if len(widths) != 1 or len(next(iter(widths))) != 1:
        found = sorted({one.shape for one in parts})[:5]
        raise ValueError(f"`x` must hold sequences (time, features) of equally many features, got shapes {found}.")
    if y is not None and len(y) != len(parts):
        raise ValueError(f"`y` must hold a class for each sequence, got {len(y)} for {len(parts)}. Give one for each.")
    lengths = np.array([len(one) for one in parts], dtype=np.int64)
    classes, labels = ((), None) if y is None else _classes(np.asarray(y))
    return SequenceData(
        values=torch.from_numpy(np.ascontiguousarray(np.concatenate(parts))),
        starts=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)),
        lengths=lengths,
        test=_drawn(len(parts), test_share) if test is None else np.asarray(test, dtype=bool),
        scaling=Scaling(scaling),
        labels=labels,
        classes=classes,
        feature_names=tuple(feature_names),
        unit=unit,
        missing=missing,
    )


def _require_column(frame: pd.DataFrame, argument: str, column: str | None) -> None:
    if column is not None and column not in frame.columns:
        near = difflib.get_close_matches(column, map(str, frame.columns), n=1)
        cure = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(map(str, frame.columns))}."
        raise ValueError(f"`{argument}` must name a column of the table, got {column!r}. {cure}")


def _features(frame: pd.DataFrame, features: Sequence[Any] | None, taken: set[Any]) -> list[Any]:
    if features is None:
        found = [name for name in frame.select_dtypes("number").columns if name not in taken]
        if not found:
            raise ValueError("`features` must name numeric columns, and the table has none to spare. Name some.")
        return found
    for name in features:
        _require_column(frame, "features", name)
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            wrong = pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()
            row = frame.index[wrong][0] if wrong.any() else frame.index[0]
            raise ValueError(
                f"`features` must name columns of numbers, and row {row} of {name!r} holds {frame[name][row]!r}. "
                "Leave the column out, or mend it."
            )
    return list(features)


def _parsed(frame: pd.DataFrame, time: str) -> np.ndarray:
    """Returns the times as numbers, or as dates without a zone (in UTC where they have one)."""
    column = frame[time]
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    elif not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_any_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        column = numbers if numbers.notna().all() else pd.to_datetime(column, errors="coerce", utc=True)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if column.isna().any():
        row = frame.index[column.isna()][0]
        raise ValueError(f"`time` must be a date or a number in every row, and row {row} has {frame[time][row]!r}.")
    return np.asarray(column.to_numpy())


def _in_order(frame: pd.DataFrame, series: str | None, clock: np.ndarray | None) -> np.ndarray:
    """Returns the places of the rows, series by series, each in the order of time."""
    keys = [] if clock is None else [clock]  # np.lexsort sorts by the last key first
    keys += [] if series is None else [frame[series].astype(str).to_numpy()]
    return np.lexsort(keys) if keys else np.arange(len(frame))


def _times(
    tidy: pd.DataFrame, time: str | None, clock: np.ndarray | None, begins: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the place of each row on the time axis, and the axis; without a time, the row's place in its series."""
    if clock is None or time is None:
        return np.concatenate([np.arange(e - b) for b, e in zip(begins, ends, strict=True)]), None
    times, place = np.unique(clock, return_inverse=True)
    same = np.flatnonzero(place[1:] == place[:-1])
    same = same[~np.isin(same + 1, begins)]
    if len(same):
        row = tidy.index[same[0] + 1]
        raise ValueError(f"`time` must differ within a series, and row {row} repeats {tidy[time][row]}. Keep one row.")
    return place, times


def _parts(column: pd.Series, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the sequences that lie in one part, and which of them are the test subset."""
    values = column.astype(str).str.lower().to_numpy()
    wrong = ~np.isin(values, PARTS)
    if wrong.any():
        row = column.index[wrong][0]
        raise ValueError(
            f"`part` must hold {' or '.join(PARTS)}, and row {row} holds {column[row]!r}. Mend the column."
        )
    test_before = np.concatenate([[0], np.cumsum(values == "test")])
    of_test = test_before[starts + lengths] - test_before[starts]
    kept = (of_test == 0) | (of_test == lengths)
    return starts[kept], lengths[kept], of_test[kept] > 0


def _drawn(count: int, share: float) -> np.ndarray:
    test = np.zeros(count, dtype=bool)
    test[np.random.default_rng(TEST_SEED).permutation(count)[: max(1, round(share * count))]] = True
    return test


def _latest(
    time_of_step: np.ndarray, starts: np.ndarray, lengths: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the windows that lie on one side of the boundary, and which lie after it."""
    last_time = int(time_of_step.max())
    boundary = round((last_time + 1) * (1 - share))
    first, last = time_of_step[starts], time_of_step[starts + lengths - 1]
    kept = (last < boundary) | (first >= boundary)
    return starts[kept], lengths[kept], first[kept] >= boundary


def _labels(
    tidy: pd.DataFrame, label: str | None, starts: np.ndarray, lengths: np.ndarray
) -> tuple[torch.Tensor | None, tuple[str, ...], np.ndarray | None]:
    """Returns the class of each sequence and the classes' names, or a flag a row where the column varies."""
    if label is None:
        return None, (), None
    column = tidy[label]
    if column.isna().any():
        row = tidy.index[column.isna()][0]
        raise ValueError(f"`label` must be given in every row, and row {row} has none. Mend {label!r}.")
    codes, names = pd.factorize(column, sort=True)
    changes = np.concatenate([[0], np.cumsum(np.diff(codes) != 0)])  # before each row
    if (changes[starts + lengths - 1] == changes[starts]).all():
        classes = tuple(str(name) for name in names)
        return torch.from_numpy(codes[starts].astype(np.int64)), classes, None
    if set(names) <= {0, 1}:
        return None, (), column.to_numpy().astype(bool)
    raise ValueError(
        f"`label` must be one class a sequence, or a flag of 0 and 1 a row, and {label!r} holds {list(names)[:5]} that "
        "vary within a sequence. Use another column."
    )


def _classes(y: np.ndarray) -> tuple[tuple[str, ...], torch.Tensor]:
    names, codes = np.unique(y, return_inverse=True)
    return tuple(str(name) for name in names.tolist()), torch.from_numpy(codes.astype(np.int64))


def _left_out(names: Iterable[str], lengths: np.ndarray, window: int | None) -> tuple[str, ...]:
    short: Mapping[str, int] = dict(zip(names, lengths.tolist(), strict=True)) if window else {}
    return tuple(
        f"{name} is left out: its {rows} rows hold no window of {window}."
        for name, rows in short.items()
        if window and rows < window
    )
