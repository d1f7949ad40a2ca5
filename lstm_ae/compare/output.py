"""Tables as text: aligned, CSV, Markdown or JSON. Escapes control characters."""

import io
import json
import math
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.compare.selection import CompareError
from lstm_ae.compare.table import plain, short_names, text
from lstm_ae.printable import printable
from lstm_ae.run_dir import RunDir

FORMULA = ("=", "+", "-", "@")  # what begins so is one in a spreadsheet
MIN_CUT_WIDTH = 24  # wide columns are cut down to this before a column is left out


def render(table: pd.DataFrame, kind: str, width: int | None = None, keep: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Returns a table as text, and the names of columns left out because they did not fit.

    Args:
        table: The table.
        kind: `table`, `csv`, `markdown` or `json`; `csv` and `json` have full column names and all digits.
        width: Width of the terminal, or None for no limit.
        keep: Columns that are left out last.
    """
    if kind == "csv":
        cells = {_cell(name): pd.Series(map(_cell, table[name]), dtype=object) for name in table}
        return pd.DataFrame(cells).to_csv(index=False, lineterminator="\n"), []
    if kind == "json":
        rows = [{key: strict(value) for key, value in row.items()} for row in table.to_dict("records")]
        return json.dumps(rows, indent=2) + "\n", []
    names = short_names([str(column) for column in table.columns])
    headings = [printable(names[column]) for column in table.columns]
    columns = [[printable(text(value, str(column))) for value in table[column]] for column in table.columns]
    if kind == "markdown":
        return _markdown(headings, columns), []
    right = [_numeric(table[column]) for column in table.columns]
    last = {i for i, column in enumerate(table.columns) if column in keep}
    return _aligned(headings, columns, right, width, last)


def wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    """Returns the lines, wrapped between words to the width of the terminal."""
    if width is None:
        return list(lines)
    return [part for line in lines for part in textwrap.wrap(line, max(width, 20), subsequent_indent="    ")]


def _numeric(values: pd.Series) -> bool:
    """Returns whether a column holds numbers; some may be missing or null."""
    if pd.api.types.is_numeric_dtype(values):
        return True
    return all(value == "null" or isinstance(value, int | float) for value in values)


def strict(value: Any) -> Any:
    """Returns a value that JSON can represent: null for NaN and infinity."""
    value = plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> Any:
    """Returns a value as it stands in a CSV file, with all its digits; a text that would be a formula is marked."""
    if not isinstance(value, str):
        return plain(value)
    shown = printable(value)
    return f"'{shown}" if shown.startswith(FORMULA) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _markdown(headings: list[str], columns: list[list[str]]) -> str:
    rows = [headings, ["---"] * len(headings), *(list(row) for row in zip(*columns, strict=True))]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row) + " |\n" for row in rows
    )


def _aligned(
    headings: list[str], columns: list[list[str]], right: list[bool], width: int | None, last: set[int]
) -> tuple[str, list[str]]:
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, (heading, *cells))) for heading, cells in zip(headings, columns, strict=True)]
    kept = list(range(len(widths)))
    if width is not None:
        widths, kept = _fit(widths, [cell_len(heading) for heading in headings], width, last)
    lines = []
    for cells in zip(*([heading, *column] for heading, column in zip(headings, columns, strict=True)), strict=True):
        shown = []
        for i in kept:
            cell = cells[i] if cell_len(cells[i]) <= widths[i] else set_cell_size(cells[i], widths[i] - 1) + "…"
            pad = " " * (widths[i] - cell_len(cell))
            shown.append(pad + cell if right[i] else cell + pad)
        lines.append("  ".join(shown).rstrip() + "\n")
    return "".join(lines), [heading for i, heading in enumerate(headings) if i not in kept]


def _fit(widths: list[int], headings: list[int], limit: int, last: set[int]) -> tuple[list[int], list[int]]:
    """Returns the widths and the columns that fit: wide columns are cut first, then columns left out from the right."""
    least = [max(heading, min(width, MIN_CUT_WIDTH)) for width, heading in zip(widths, headings, strict=True)]
    kept = list(range(len(widths)))
    while (spare := limit + 2 - sum(least[i] + 2 for i in kept)) < 0 and len(kept) > 1:
        kept.remove(([i for i in kept if i not in last] or kept[1:])[-1])
    for i in sorted(kept, key=lambda i: widths[i]):  # what is left over goes to the narrowest first
        gain = min(widths[i] - least[i], spare)
        least[i] = max(1, least[i] + gain)
        spare -= gain
    return least, kept


def show(content: str) -> int:
    """Writes to stdout and returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(content, end="", flush=True)
    except OSError as error:
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def write(path: Path, content: str) -> None:
    """Writes a file atomically.

    Raises:
        CompareError: the file cannot be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        what = "a directory" if target.is_dir() else "not a regular file"
        raise CompareError(f"`--output` must be a file, but {path} is {what}. Name a file.")
    try:
        RunDir(target.parent).write_bytes(target.name, content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CompareError(
            f"`--output` must be a writable file, got {path}: {error.strerror}. Name another file."
        ) from None
