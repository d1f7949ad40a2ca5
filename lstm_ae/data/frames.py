"""Sequences from what people have: a pandas table with a measurement a row, an array, or a list of arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from lstm_ae import checks
from lstm_ae.checks import Count, Share
from lstm_ae.data import columns
from lstm_ae.data.cutting import cut, drawn, left_out, on_one_side, tested_rows
from lstm_ae.data.missing import MISSING, filled
from lstm_ae.data.normal import Normal, divide, without_abnormal
from lstm_ae.data.rows import in_order, time_axis
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData
from lstm_ae.data.times import Place

FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def from_frame(
    frame: pd.DataFrame,
    *,
    series: str | None = None,
    time: str | None = None,
    features: Sequence[str] | str | None = None,
    label: str | None = None,
    part: str | None = None,
    normal: Normal = None,
    window: int | None = None,
    stride: int = 1,
    short_series: str = "error",
    missing: str = "error",
    scaling: str = "standard",
    scaling_per: str = "pooled",
    unseen: int | Literal["pooled"] = "pooled",
    test_share: float = 0.2,
    test_by: str | None = None,
    unit: str = "value",
    place: Place | None = None,
) -> SequenceData:
    """Returns the sequences of a table with a measurement a row.

    With a `window`, every stretch of so many consecutive rows of one series is a sequence, and the test subset is the
    latest share of the times; windows that reach from before it into it belong to no subset. Without, each series is
    one sequence, of any length, and the test subset is drawn among them, the same share of each class.

    Args:
        frame: The table. Rows of a series are put in the order of `time`, else they stay as they are.
        series: The column that names what a row belongs to (a machine, a company); None: all rows are one series.
        time: The column of the time: dates or numbers.
        features: The columns of values, names or patterns such as 'sensor_*'; None: every numeric column that nothing
            else names.
        label: The column of the class of a series; or, where it varies within a series, of a flag a row (0 or 1).
        part: The column that says `train` or `test`, the same in all rows of a sequence.
        normal: What may train and validate: values of the label that mean normal; or the first so many rows of each
            series, or a share below 1 of them, all later rows then being the test subset; None: all that is not tested.
        window: Rows a sequence; None: whole series.
        stride: Rows from the start of one window to the next.
        short_series: A series shorter than the window is an `error`, or it is left out (`drop`).
        missing: What becomes of missing values: `error`, `mask`, `interpolate` or `forward`, see
            `lstm_ae.data.missing`. Nothing is filled in across the border of the test subset.
        scaling: `none`, `standard`, `minmax` or `relative`.
        scaling_per: `pooled`: one scaler for all series; `series`: one a series, fitted on its training rows.
        unseen: What a series gets, with a scaler a series, of which training shows nothing: the `pooled` scaler, or one
            fitted on its own first so many rows.
        test_share: The share of the times, or of the series, that is the test subset, where `part` is None.
        test_by: `time` or `series`; None: time where there are windows.
        unit: Of the values, as it is printed.
        place: Names a row, from its position, in errors; None: by the index of the table.

    Raises:
        ValueError: a column is not there or has values that cannot be used; the text names row, column and cure.

    Example:
        >>> table = pd.DataFrame({"machine": ["a"] * 4 + ["b"] * 3, "heat": [1.0, 2, 3, 4, 9, 8, 7]})
        >>> from_frame(table, series="machine", window=2, test_share=0.4).series_names
        ('a', 'b')
        >>> from_frame(table, series="machine").lengths
        array([4, 3])
    """
    _check(window, stride, short_series, missing, test_share, test_by)
    for argument, name in (("series", series), ("time", time), ("label", label), ("part", part)):
        if name is not None:
            columns.require(frame.columns, argument, name)
    if not len(frame):
        raise ValueError("`frame` must have rows, got none. Name a table that holds some.")
    place = place or (lambda row: f"row {frame.index[row]}")
    names = _features(frame, features, {series, time, label, part})
    table = in_order(frame, series, time, names, place)
    columns.check_filled(table.values, names, table.named, missing)
    time_of_step, axis = time_axis(table, frame, time)
    starts, lengths = cut(table, window, stride, short_series)
    labels = None if label is None else columns.codes(table.of(frame[label]), "label", table.named)
    later, abnormal = divide(normal, table, label, labels)
    by = test_by or ("series" if window is None else "time")
    tested = (
        later
        if later is not None
        else tested_rows(
            table,
            None if part is None else frame[part],
            by,
            test_share,
            time_of_step,
            None if labels is None else labels[0],
        )
    )
    stretches = np.union1d(table.begins, np.flatnonzero(np.diff(tested, prepend=tested[:1])))
    values = filled(table.values, stretches, missing, table.clock)
    starts, lengths, test = on_one_side(tested, starts, lengths)
    if not len(starts):
        name = "normal" if later is not None else "test_share" if part is None else "part"
        raise ValueError(
            f"`{name}` must leave sequences that lie on one side of the test subset, and all cross its border. "
            f"Use a smaller window (dataset.window), or another {name}."
        )
    classes, classes_names, flags = _labels(labels if abnormal is None else None, label, starts, lengths)
    if abnormal is not None:
        starts, lengths, test = without_abnormal(abnormal, starts, lengths, test)
        flags = abnormal
    first_rows = None if unseen == "pooled" else unseen
    return SequenceData(
        values=torch.from_numpy(values),
        starts=torch.from_numpy(starts.astype(np.int64, copy=False)),
        lengths=lengths.astype(np.int64, copy=False),
        test=test,
        scaling=Scaling(scaling, per=scaling_per, first_rows=first_rows),
        labels=classes,
        classes=classes_names,
        label_of_step=flags,
        series_of_step=None if series is None else table.series_of_step,
        series_names=() if series is None else table.series_names,
        time_of_step=time_of_step,
        times=axis,
        feature_names=tuple(str(name) for name in names),
        unit=unit,
        missing=missing,
        layout={"series": series, "time": time, "label": label, "window": window, "stride": stride},
        notes=(*table.notes, *left_out(table, window), *columns.coarse(values, names)),
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
        missing: What becomes of missing values (NaN), see `from_frame`.
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
    checks.check("test_share", test_share, Share)
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
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    return SequenceData(
        values=torch.from_numpy(filled(np.concatenate(parts), starts, missing)),
        starts=torch.from_numpy(starts),
        lengths=lengths,
        test=drawn(len(parts), test_share) if test is None else np.asarray(test, dtype=bool),
        scaling=Scaling(scaling),
        labels=labels,
        classes=classes,
        feature_names=tuple(feature_names),
        unit=unit,
        missing=missing,
    )


def _check(
    window: int | None, stride: int, short_series: str, missing: str, test_share: float, test_by: str | None
) -> None:
    checks.check("stride", stride, Count)
    checks.check("test_share", test_share, Share)
    checks.one_of("missing", missing, MISSING)
    checks.one_of("short_series", short_series, ("error", "drop"))
    if window is not None:
        checks.check("window", window, Count)
    if test_by is not None:
        checks.one_of("test_by", test_by, ("time", "series"))


def _features(frame: pd.DataFrame, features: Sequence[Any] | str | None, taken: set[Any]) -> list[Any]:
    if features is not None:
        return columns.matching(frame.columns, features, taken)
    found = [name for name in frame.select_dtypes("number").columns if name not in taken]
    if not found:
        raise ValueError("`features` must name numeric columns, and the table has none to spare. Name some.")
    return found


def _labels(
    labels: tuple[np.ndarray, tuple[str, ...]] | None, column: str | None, starts: np.ndarray, lengths: np.ndarray
) -> tuple[torch.Tensor | None, tuple[str, ...], np.ndarray | None]:
    """Returns the class of each sequence and the classes' names, or a flag a row where the column varies."""
    if labels is None:
        return None, (), None
    codes, names = labels
    changes = np.concatenate([[0], np.cumsum(np.diff(codes) != 0)])  # before each row
    if (changes[starts + lengths - 1] == changes[starts]).all():
        return torch.from_numpy(codes[starts].astype(np.int64)), names, None
    if all(name.lower() in FLAGS for name in names):
        return None, (), np.array([FLAGS[name.lower()] for name in names])[codes]
    raise ValueError(
        f"`label` must be one class a sequence, or a flag of 0 and 1 a row, and {column!r} holds {list(names)[:5]} "
        "that vary within a sequence. Use another column."
    )


def _classes(y: np.ndarray) -> tuple[tuple[str, ...], torch.Tensor]:
    names, codes = np.unique(y, return_inverse=True)
    return tuple(str(name) for name in names.tolist()), torch.from_numpy(codes.astype(np.int64))
