"""Tables as text: aligned, CSV, Markdown or JSON; whatever a directory holds, no control character passes."""

import csv
import io
import json
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.compare.selection import CompareError
from lstm_ae.compare.table import short_names, text

WIDEST = 48  # of a cell on a terminal
NARROWEST = 24  # to which the widest texts may be cut before a column is left out


def render(table: pd.DataFrame, kind: str, width: int | None = None, keep: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Returns a table as text, and the names of columns left out because they did not fit.

    Args:
        table: What to show.
        kind: `table`, `csv`, `markdown` or `json`; in `csv` and `json` columns have full names and numbers all digits.
        width: Of the terminal, or None where there is no limit.
        keep: The columns that are left out last.
    """
    if kind == "csv":
        return _csv(table), []
    if kind == "json":
        rows = [{key: _json(value) for key, value in row.items()} for row in table.to_dict("records")]
        return json.dumps(rows, indent=2) + "\n", []
    names = short_names([str(column) for column in table.columns])
    headings = [neutral(names[column]) for column in table.columns]
    columns = [[neutral(text(value, str(column))) for value in table[column]] for column in table.columns]
    if kind == "markdown":
        return _markdown(headings, columns), []
    right = [_numeric(table[column]) for column in table.columns]
    last = {i for i, column in enumerate(table.columns) if column in keep}
    return _aligned(headings, columns, right, width, last)


def folded(lines: Sequence[str], width: int | None) -> list[str]:
    """Returns the lines, those too long for a terminal folded between words."""
    if width is None:
        return list(lines)
    return [part for line in lines for part in textwrap.wrap(line, max(width, 20), subsequent_indent="    ")]


def neutral(value: object) -> str:
    r"""Returns a text with every control character written out, so that it cannot steer a terminal.

    Example:
        >>> neutral("a\x1b[31m")
        'a\\x1b[31m'
    """
    shown = str(value)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _numeric(values: pd.Series) -> bool:
    """Says whether a column is one of numbers, be some of them missing or null."""
    if pd.api.types.is_numeric_dtype(values):
        return True
    return all(value == "null" or isinstance(value, int | float) for value in values)


def _csv(table: pd.DataFrame) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([neutral(column) for column in table.columns])
    for row in table.itertuples(index=False, name=None):
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def _json(value: Any) -> Any:
    """Returns what JSON can hold: null for a number that is none or infinite."""
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value if isinstance(value, str | int | bool | None) else value.item()


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
    left_out: list[str] = []
    if width is not None:
        widths, kept = _fit(widths, [cell_len(heading) for heading in headings], width, last)
        left_out = [heading for i, heading in enumerate(headings) if i not in kept]
    else:
        kept = list(range(len(headings)))
    lines = []
    for cells in zip(*([heading, *column] for heading, column in zip(headings, columns, strict=True)), strict=True):
        shown = []
        for i in kept:
            cell = cells[i] if cell_len(cells[i]) <= widths[i] else set_cell_size(cells[i], widths[i] - 1) + "…"
            pad = " " * (widths[i] - cell_len(cell))
            shown.append(pad + cell if right[i] else cell + pad)
        lines.append("  ".join(shown).rstrip() + "\n")
    return "".join(lines), left_out


def _fit(widths: list[int], headings: list[int], limit: int, last: set[int]) -> tuple[list[int], list[int]]:
    """Returns the widths and the columns that fit: the widest are cut first, then columns left out from the right."""
    widths = [min(width, max(WIDEST, heading)) for width, heading in zip(widths, headings, strict=True)]
    kept = list(range(len(widths)))

    def over() -> int:
        return sum(widths[i] + 2 for i in kept) - 2 - limit

    while over() > 0:
        widest = max(kept, key=lambda i: widths[i])
        least = max(NARROWEST, headings[widest])
        if widths[widest] > least:
            widths[widest] = max(least, widths[widest] - over())
        elif len(kept) > 1:
            kept.remove(([i for i in kept if i not in last] or kept[1:])[-1])
        else:
            widths[kept[0]] = max(limit, 1)
    return widths, kept


def show(content: str) -> int:
    """Writes to stdout, and returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(content, end="", flush=True)
    except OSError as error:
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def write(path: Path, content: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        CompareError: the path is not one that a file can be written to.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise CompareError(
            f"`--output` must be a file, and {path} is {'a directory' if target.is_dir() else 'none'}. Name a file."
        )
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content.encode("utf-8", "backslashreplace"))
        temporary.replace(target)
    except OSError as error:
        raise CompareError(
            f"`--output` must be a file that can be written, and {path} cannot: {error.strerror}."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
