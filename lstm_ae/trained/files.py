"""Tables in and out for the commands: read in chunks, written whole or not at all, errors in one line."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd
import torch

from lstm_ae.data import files
from lstm_ae.data.unseen import Schema
from lstm_ae.files import replacing
from lstm_ae.printable import one_line
from lstm_ae.trained.loading import load_run
from lstm_ae.trained.model import Trained

ROWS = 50_000  # of a chunk


def parser(program: str, description: str | None, file: bool = True) -> argparse.ArgumentParser:
    """Returns an argument parser with what the commands share."""
    made = argparse.ArgumentParser(
        f"python -m {program}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("run", metavar="RUN", help="the directory of a finished run, or `latest`")
    if file:
        made.add_argument("file", metavar="FILE", type=Path, help="CSV, or Parquet by its ending, as in training")
    made.add_argument("--allow", action="append", default=[], metavar="MODULE", help="a module with your own model")
    made.add_argument("--threads", type=int, default=1, help="of the processor")
    return made


def loaded(options: argparse.Namespace) -> Trained:
    """Returns the run that the command line names."""
    torch.set_num_threads(max(1, options.threads))
    return load_run(options.run, allow=options.allow)


def reported(body: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None) -> int:
    """Returns the exit code: 1 where something went wrong, which is said in one line on standard error."""
    try:
        body(arguments)
    except (ValueError, OSError) as error:
        print(f"Error: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Nothing was written.", file=sys.stderr)
        return 130
    return 0


def chunks(path: Path, schema: Schema) -> Iterator[pd.DataFrame]:
    """Yields a table in chunks with a measurement a row, numbered by the rows of the file, the first being 0.

    Raises:
        ValueError: the file cannot be read as a table, or has no rows.
    """
    if not path.is_file():
        raise ValueError(f"`FILE` must name a CSV or Parquet file, and there is none at {path}.")
    count, texts = 0, {schema.layout.get("series"), schema.layout.get("label")}
    try:
        names = files.header(path)
        for chunk in files.stretches(path, names, [name for name in names if name in texts], ROWS):
            chunk.index = pd.RangeIndex(count, count + len(chunk))
            count += len(chunk)
            if len(chunk):
                yield schema.long(chunk)
    except ValueError as error:
        raise ValueError(str(error).replace("`path`", "`FILE`")) from error
    if not count:
        raise ValueError(f"`FILE` must hold rows, and {path} has none.")


def whole_series(frames: Iterable[pd.DataFrame], schema: Schema) -> Iterator[pd.DataFrame]:
    """Yields rows of complete series: memory holds a chunk and the longest series.

    Raises:
        ValueError: a series' rows are not consecutive.
    """
    series = schema.layout.get("series")
    if series is None:
        yield pd.concat(list(frames))
        return
    if schema.layout.get("steps") is not None:  # of a wide table, where each row is complete
        yield from frames
        return
    held: pd.DataFrame | None = None
    done: set[str] = set()
    for chunk in frames:
        together = chunk if held is None else pd.concat([held, chunk])
        if series not in together:
            raise ValueError(f"The table must have the column {series!r}, as the one of training had.")
        keys = together[series].astype(str)
        last = keys.iloc[-1]
        complete = together[keys != last]
        again = keys[keys.isin(done)]
        if len(again) or (keys == last).idxmax() <= complete.index.max():
            row, name = (again.index[0], again.iloc[0]) if len(again) else ((keys == last).idxmax(), last)
            raise ValueError(f"Rows of a series must be consecutive, and row {row} belongs to {name!r}. Sort the file.")
        done |= set(keys[keys != last])
        held = together[keys == last]
        if len(complete):
            yield complete
    if held is not None:
        yield held


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Yields a text file that appears under its name when all is written, and not before."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        yield file


def located(path: Path, error: ValueError) -> ValueError:
    """Returns an error that names the file."""
    return ValueError(f"{path}: {error}")
