"""Tables on disk: CSV or Parquet, one file or a folder of them, read in stretches of rows and column by column."""

import bisect
import csv
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.data import columns
from lstm_ae.data.times import TimeReader

ROWS = 250_000  # read at once
SAMPLE = 1000  # rows from which the kinds of columns are guessed
SEPARATORS = ",;\t|"
ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")
#: What an empty cell of numbers or times may say; a name (of a series, a class) may be NA.
EMPTY = ["", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None", "none", "<NA>", "#N/A"]
UNNAMED = "Unnamed: "  # how pandas calls a column without a name, such as an index that was written with a table
FILE = "file"  # the column that names the series of a folder's rows


@dataclass
class Places:
    """Where the rows of a table stand in its files.

    Attributes:
        paths: The files.
        begins: The first row of each.
        notes: On their times, for the log.
        rows: The row of the files that each row of the table comes from; None: the same.
    """

    paths: list[Path] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = None

    def __call__(self, row: int) -> str:
        """Returns what errors call a row: the header of a CSV is line 1."""
        row = row if self.rows is None else int(self.rows[row])
        file = bisect.bisect_right(self.begins, row) - 1
        path, within = self.paths[file], row - self.begins[file]
        return f"row {within} of {path.name}" if _is_parquet(path) else f"line {within + 2} of {path.name}"


def find(path: str | None) -> list[Path]:
    """Returns the files of a table.

    Raises:
        ValueError: there is none.
    """
    if path is None:
        raise ValueError(
            "`path` must name a CSV or Parquet file, or a folder of such files. Use dataset.path=FILE.csv."
        )
    found = Path(path).expanduser()
    if found.is_dir():
        files = sorted(one for one in found.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())
        if not files:
            raise ValueError(f"`path` must hold files, and the folder {found} has no {' or '.join(ENDINGS)} file.")
        return files
    if not found.is_file():
        near = difflib.get_close_matches(found.name, _names(found.parent), n=1)
        cure = f"Did you mean {found.parent / near[0]}?" if near else "Use dataset.path=FILE.csv."
        raise ValueError(f"`path` must name a file or a folder, and there is none at {found}. {cure}")
    return [found]


def header(path: Path) -> list[str]:
    """Returns the names of a file's columns.

    Raises:
        ValueError: it has none, or one of them twice.
    """
    if _is_parquet(path):
        names = [str(name) for name in _parquet(path).schema_arrow.names]
    else:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                line = next(csv.reader(file, delimiter=_separator(path)), [])
                names = [name or f"{UNNAMED}{place}" for place, name in enumerate(line)]
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise _unreadable(path, error) from error
    if not names:
        raise ValueError(f"`path` must name a file with rows, and {path} is empty.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"`path` must name each column once, and {path} has {twice[0]!r} several times. Rename one.")
    return names


def sample(path: Path) -> pd.DataFrame:
    """Returns the first rows of a file.

    Raises:
        ValueError: it has none.
    """
    found = next(stretches(path, header(path), [], SAMPLE), None)
    if found is None or found.empty:
        raise ValueError(f"`path` must name a file with rows, and {path} has only a header.")
    return found


def read(
    paths: Sequence[Path],
    texts: Sequence[str],
    time: str | None,
    features: Sequence[str],
    file_column: str | None = None,
) -> tuple[pd.DataFrame, Places]:
    """Returns the columns that are asked for, of all files, and where each row stands, with notes on its times.

    Files are read in stretches of `ROWS` rows, whose texts become codes, times dates, and numbers float32.

    Args:
        paths: The files.
        texts: Columns of names: of series, classes, parts.
        time: The column of the time.
        features: Columns of numbers.
        file_column: The column of the files' names that is added; None: none is.

    Raises:
        ValueError: a file lacks a column, has no rows, or a row that cannot be read.
    """
    places, rows = Places(), 0
    found: dict[str, np.ndarray | None] = dict.fromkeys([*texts, *([time] if time else []), *features])
    known: dict[str, dict[Any, int]] = {name: {} for name in texts}
    reader = None if time is None else TimeReader(time)
    for path in paths:
        _require_columns(path, paths[0], list(found))
        places.paths.append(path)
        places.begins.append(rows)
        for chunk in stretches(path, list(found), texts, ROWS):
            begin = rows

            def place(row: int, begin: int = begin) -> str:
                return places(begin + row)

            for name in texts:
                found[name] = _appended(found[name], _coded(chunk[name], known[name]))
            if reader is not None and time is not None:
                found[time] = _appended(found[time], reader.read(chunk[time], place))
            for name in features:
                found[name] = _appended(found[name], columns.numbers(chunk[name], name, place))
            rows += len(chunk)
        if rows == places.begins[-1]:
            raise ValueError(f"`path` must name files with rows, and {path} has only a header. Leave it out.")
    places.notes = () if reader is None else reader.notes
    made: dict[str, Any] = dict(found)
    for name in texts:
        made[name] = named(made[name], list(known[name]))
    if file_column is not None:
        lengths = np.diff([*places.begins, rows])
        made[file_column] = named(np.repeat(np.arange(len(paths)), lengths), _stems(paths))
    return pd.DataFrame(made, copy=False), places


def named(codes: np.ndarray, names: Sequence[Any]) -> pd.Categorical:
    """Returns a column of names from the place of each row's name among them, -1 where it has none."""
    return pd.Categorical.from_codes(codes.astype(np.int32), pd.Index(names, dtype=object))


def _appended(column: np.ndarray | None, piece: np.ndarray) -> np.ndarray:
    """Returns a column with a piece added in place: a list of all pieces would take as much memory again."""
    dtype = piece.dtype if column is None else np.result_type(column, piece)
    grown = np.empty(0, dtype) if column is None else column.astype(dtype, copy=False)
    rows = len(grown)
    grown.resize(rows + len(piece), refcheck=False)
    grown[rows:] = piece
    return grown


def _coded(column: pd.Series, known: dict[Any, int]) -> np.ndarray:
    """Returns the place of each name among those known, -1 where there is none; new ones are added."""
    codes, values = pd.factorize(column)
    places = np.array([known.setdefault(value, len(known)) for value in values] + [-1], dtype=np.int32)
    return places[codes]


def _require_columns(path: Path, first: Path, wanted: Sequence[str]) -> None:
    names = header(path)
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            cure = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(names)}."
            other = "" if path == first else f", as {first.name} has it"
            raise ValueError(f"`path`: {path} must have the column {name!r}{other}, and has none. {cure}")


def require_same_columns(paths: Sequence[Path]) -> None:
    """Refuses files whose columns differ.

    Raises:
        ValueError: one has a column that another has not; the text names both.
    """
    first = header(paths[0])
    for path in paths[1:]:
        differing = set(header(path)) ^ set(first)
        if differing:
            raise ValueError(
                f"`path`: the files of a folder must have the same columns, and {path.name} and {paths[0].name} "
                f"differ in {', '.join(sorted(differing))}. Mend them, or name those to use: dataset.features=[...]."
            )


def stretches(path: Path, names: Sequence[str], texts: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """Yields a file's columns, so many rows at once; those named in `texts` as texts."""
    if _is_parquet(path):
        for batch in _parquet(path).iter_batches(rows, columns=list(names)):
            frame = batch.to_pandas()
            for name in texts:
                frame[name] = frame[name].map(str, na_action="ignore")
            yield frame
        return
    empty = {name: [""] if name in texts else EMPTY for name in names}
    chosen = None if set(names) == set(header(path)) else list(names)  # None: rows with too many cells are refused
    try:
        with pd.read_csv(
            path, sep=_separator(path), usecols=chosen, dtype=dict.fromkeys(texts, str), na_values=empty,
            keep_default_na=False, chunksize=rows, low_memory=False, encoding="utf-8-sig",
        ) as reader:  # fmt: skip
            for chunk in reader:
                if not pd.api.types.is_integer_dtype(chunk.index) or chunk.index.nlevels > 1:
                    raise pd.errors.ParserError(f"its rows have more cells than the header's {len(header(path))} names")
                yield chunk.reset_index(drop=True)
    except pd.errors.EmptyDataError:
        return
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise _unreadable(path, error) from error


def _separator(path: Path) -> str:
    """Returns the separator that the first line has most of."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline()
    return max(SEPARATORS, key=line.count)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ValueError(
            f"`path`: reading {path.name} needs pyarrow. Use pip install 'lstm_ae[parquet]', or write the table as CSV."
        ) from None
    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"`path` must name a table, and {path} cannot be read as one: {str(error).strip()}. Mend the file."
    )


def _names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()] if folder.is_dir() else []


def _stems(paths: Sequence[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [path.name for path in paths]
