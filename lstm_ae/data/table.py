"""The user's own table: CSV or Parquet, a measurement a row or a sequence a row, one file or a folder of files."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lstm_ae import checks
from lstm_ae.anomaly.period import window_of
from lstm_ae.checks import Count, Share
from lstm_ae.data import columns, files, times, wide
from lstm_ae.data.frames import from_frame
from lstm_ae.data.normal import Normal
from lstm_ae.data.sequences import SequenceData

Guess = str | Literal[False] | None


@checks.checked
def load_table(
    path: str | None,
    layout: Literal["long", "wide"] = "long",
    series: Guess = None,
    time: Guess = None,
    features: Sequence[str] | str | None = None,
    label: str | None = None,
    part: str | None = None,
    normal: Normal = None,
    window: Count | Literal["auto"] | None = None,
    stride: Count = 1,
    short_series: str = "error",
    missing: str = "error",
    scaling: str = "standard",
    scaling_per: str = "pooled",
    unseen: int | Literal["pooled"] = "pooled",
    test_share: Share = 0.2,
    test_by: str | None = None,
    unit: str = "value",
) -> SequenceData:
    """Returns the sequences of a table on disk; see `lstm_ae.data.frames.from_frame` for the words not named here.

    Args:
        path: A CSV or Parquet file, or a folder of files, each a series named by its file.
        layout: `long`: a measurement a row. `wide`: a sequence a row, whose columns are its time steps; its empty last
            cells are its end.
        series: The column of the series; None: the only column of text, if there is one; False: there is none.
        time: The column of the time; None: the only column of dates, if there is one; False: rows are in order.
        features: Columns, or patterns such as 'sensor_*'; None: every other column of numbers. In a wide table, each
            pattern is a feature, and its columns are the steps.
        label: See `from_frame`.
        part: See `from_frame`.
        normal: See `from_frame`.
        window: See `from_frame`; `auto`: from the autocorrelation of the first feature of the first series, over rows
            that may train, see `lstm_ae.anomaly.period`.
        stride: See `from_frame`.
        short_series: See `from_frame`.
        missing: See `from_frame`.
        scaling: See `from_frame`.
        scaling_per: See `from_frame`.
        unseen: See `from_frame`.
        test_share: See `from_frame`.
        test_by: See `from_frame`.
        unit: See `from_frame`.

    Raises:
        ValueError: the table cannot be used; the text names file, line, column and cure.
    """
    paths = files.find(path)
    first = files.sample(paths[0])
    if features is None:
        files.require_same_columns(paths)
    for argument, name in (("series", series), ("time", time), ("label", label), ("part", part)):
        if isinstance(name, str):
            columns.require(first.columns, argument, name)
    read = _wide if layout == "wide" else _long
    source = read(paths, first, _Roles(series, time, label, part), features, Path(str(path)).expanduser().is_dir())
    if window == "auto":
        window = _window(source, normal, test_share)
    try:
        data = from_frame(
            source.frame, **dataclasses.asdict(source.roles), features=source.features, normal=normal, window=window,
            stride=stride,
            short_series=short_series, missing=missing, scaling=scaling, scaling_per=scaling_per, unseen=unseen,
            test_share=test_share, test_by=test_by, unit=unit, place=source.place,
        )  # fmt: skip
    except ValueError as error:
        guessed = f" ({source.note})" if source.note else ""
        raise ValueError(f"{error}{guessed}") from error
    notes = (*filter(None, [source.note]), *source.place.notes, *data.notes)
    return dataclasses.replace(data, notes=notes, layout={**data.layout, **source.layout})


def _window(source: "_Source", normal: Normal, test_share: float) -> int:
    """Returns the window of the rows of the first series that may train."""
    series = source.roles.series
    frame = (
        source.frame if not isinstance(series, str) else source.frame[source.frame[series] == source.frame[series][0]]
    )
    first = normal if isinstance(normal, int | float) and normal not in (0, 1) else 1 - test_share
    return window_of(frame[source.features[0]].to_numpy()[: int(first if first > 1 else first * len(frame))])


@dataclass(frozen=True)
class _Roles:
    """Which column is what; None: no column, or one that is to be guessed; False: none."""

    series: Guess
    time: Guess
    label: str | None
    part: str | None

    @property
    def named(self) -> list[str]:
        """The columns that are named."""
        return [name for name in dataclasses.asdict(self).values() if isinstance(name, str)]


@dataclass(frozen=True)
class _Source:
    """What was read: a table with a measurement a row, which column is what, what was guessed, a wide one's columns."""

    frame: pd.DataFrame
    roles: _Roles
    features: Sequence[str]
    place: files.Places
    note: str
    layout: Mapping[str, Any] = field(default_factory=dict)


def _long(
    paths: Sequence[Path], first: pd.DataFrame, given: _Roles, features: Sequence[str] | str | None, folder: bool
) -> _Source:
    """Reads a table with a measurement a row."""
    known = set(given.named)
    roles, guessed = given, list[str]()
    if given.time is None:
        roles = dataclasses.replace(roles, time=_only("time", "date", _dates(first, known), guessed))
    if given.series is None and not folder:
        texts = [name for name in _texts(first) if name not in known | set(_dates(first, known))]
        if features is not None:
            texts = [name for name in texts if name not in columns.matching(first.columns, features)]
        roles = dataclasses.replace(roles, series=_only("series", "text", texts, guessed))
    roles = dataclasses.replace(roles, series=roles.series or None, time=roles.time or None)
    chosen = _features(first, features, set(roles.named), guessed)
    file_column = None
    if folder and roles.series is None:
        file_column = files.FILE if files.FILE not in first.columns else "name of the file"
    texts = [name for name in (roles.series, roles.label, roles.part) if isinstance(name, str)]
    time = roles.time if isinstance(roles.time, str) else None
    frame, place = files.read(paths, list(dict.fromkeys(texts)), time, chosen, file_column)
    roles = roles if file_column is None else dataclasses.replace(roles, series=file_column)
    return _Source(frame, roles, chosen, place, _said(guessed))


def _wide(
    paths: Sequence[Path], first: pd.DataFrame, given: _Roles, features: Sequence[str] | str | None, folder: bool
) -> _Source:
    """Reads a table with a sequence a row, and returns it with a measurement a row."""
    if isinstance(given.time, str):
        raise ValueError("`time` must be null in a table with a sequence a row: its columns are the steps.")
    guessed: list[str] = []
    chosen = _features(first, features, set(given.named), guessed)
    patterns = [features] if isinstance(features, str) else list(features or [])
    each = len(patterns) > 1 and all(any(sign in one for sign in columns.WILDCARDS) for one in patterns)
    groups = [columns.matching(first.columns, one, given.named) for one in patterns] if each else [chosen]
    if len({len(group) for group in groups}) > 1:
        counts = ", ".join(f"{name!r}: {len(group)}" for name, group in zip(patterns, groups, strict=True))
        raise ValueError(f"`features` must match equally many columns, a step each, got {counts}. Mend the patterns.")
    texts = [name for name in (given.series, given.label, given.part) if isinstance(name, str)]
    table, place = files.read(paths, list(dict.fromkeys(texts)), None, chosen)
    names = [one.strip("*?_- ") for one in patterns] if each else ["value"]
    steps = dict(zip(names, groups, strict=True))
    frame, of_row = wide.long_form(wide.cells({name: table[name].to_numpy() for name in chosen}, steps), names, place)
    for name in texts:
        frame[name] = table[name].array[of_row]
    series = given.series or wide.SEQUENCE
    if not given.series:
        frame[series] = files.named(of_row, [str(row) for row in range(len(table))])
    else:
        wide.require_once(table[series], place)
    roles = dataclasses.replace(given, series=series, time=None)
    layout = {"steps": steps, "numbered": not given.series}
    return _Source(frame, roles, names, dataclasses.replace(place, rows=of_row), _said(guessed), layout)


def _features(
    first: pd.DataFrame, features: Sequence[str] | str | None, taken: set[str], guessed: list[str]
) -> list[str]:
    """Returns the columns of values; those that were guessed are added to `guessed`."""
    if features is not None:
        return columns.matching(first.columns, features, taken)
    found = [name for name in first.columns if name not in taken and _is_number(first[name])]
    found = [name for name in found if not name.startswith(files.UNNAMED)]
    if not found:
        raise ValueError(
            f"`features` must name columns of numbers, and the table has none to spare among "
            f"{', '.join(first.columns)}. Use dataset.features=[COLUMN,...]."
        )
    guessed.append(f"dataset.features=[{','.join(found)}]")
    return found


def _only(argument: str, kind: str, found: Sequence[str], guessed: list[str]) -> str | None:
    """Returns the only column of a kind, which is added to `guessed`; None where there is none.

    Raises:
        ValueError: there are several.
    """
    if len(found) > 1:
        raise ValueError(
            f"`{argument}` must be named where the table has several {kind} columns: {', '.join(found)}. "
            f"Use dataset.{argument}={found[0]}, or dataset.{argument}=false for none."
        )
    guessed += [f"dataset.{argument}={name}" for name in found]
    return found[0] if found else None


def _is_number(column: pd.Series) -> bool:
    """Says whether most of what a column holds are numbers; a text among them is refused later, with its line."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    known = column.dropna()
    return bool(pd.to_numeric(known.astype(object), errors="coerce").notna().mean() > 0.5)


def _texts(first: pd.DataFrame) -> list[str]:
    return [
        name for name in first.columns if not _is_number(first[name]) and not pd.api.types.is_bool_dtype(first[name])
    ]


def _dates(first: pd.DataFrame, known: set[str]) -> list[str]:
    return [name for name in _texts(first) if name not in known and times.is_dates(first[name])]


def _said(guessed: Sequence[str]) -> str:
    return f"Guessed from the columns: {' '.join(guessed)}" if guessed else ""
