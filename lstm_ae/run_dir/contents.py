"""From the content of a file to its values and back. What is damaged raises a DamagedError that names the file."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_ae import files
from lstm_ae.files import DamagedError
from lstm_ae.run_dir.names import CONFIG, METRICS, STATUS

_REPEAT = f"Restore it from a copy, or remove {STATUS} to have the same command train the run again."
#: What helps where one of these files is damaged.
CURES = {
    CONFIG: "Restore it from a copy, or remove it if the directory holds the run of this command.",
    METRICS: _REPEAT,
    STATUS: "Remove it to have the same command go on from the checkpoint, or train the run again.",
}


def damaged(path: Path, reason: str) -> DamagedError:
    """Returns the error of a damaged file of a run."""
    return DamagedError(path, reason, CURES.get(path.name, ""))


def check_listed(path: Path, content: bytes, status: Mapping[str, Any]) -> None:
    """Checks a file against the list in status.json.

    Raises:
        DamagedError: it has another size or digest.
    """
    listed = status.get("files")
    entry = listed.get(path.name) if isinstance(listed, Mapping) else None
    if entry is not None and entry != [len(content), files.digest(content)]:
        raise DamagedError(path, f"is not the file that the run wrote: {STATUS} lists another size or digest", _REPEAT)


def json_object(path: Path, content: bytes) -> dict[str, Any]:
    """Returns the object in a JSON file."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise damaged(path, f"must hold a JSON object, not a {type(value).__name__}")
    if path.name == STATUS and not isinstance(value.get("state"), str):
        raise damaged(path, "must hold `state`, a text")
    return value


def json_text(value: Any) -> str:
    """Returns a value as JSON; NaN and infinity become null, as JSON does not have them."""
    return json.dumps(_finite(value), indent=2) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def opened_zip(path: Path, content: bytes, limit: int) -> tuple[io.BytesIO, str | None]:
    """Returns a file of PyTorch or NumPy, opened, and the signature in its seal (None: it has none).

    Args:
        path: Its path, for errors.
        content: Its content.
        limit: How many bytes it may have unpacked.
    """
    run = files.sealed_run(path, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            bad = archive.testzip() if run is None and size <= limit else None
    except Exception as error:  # the module raises anything on what is no zip
        raise damaged(path, f"is damaged: {error}") from None
    if size > limit:
        raise damaged(path, f"unpacks to {size} bytes, and no run writes so much")
    if bad:
        raise damaged(path, f"is damaged: the checksum of {bad} in it is wrong")
    return io.BytesIO(content), run


def arrays(path: Path, content: bytes) -> dict[str, Any]:
    """Returns the arrays of an .npz file by name."""
    import numpy as np  # the comparison of many runs reads none

    try:
        with np.load(opened_zip(path, content, files.ARRAY_BYTES)[0], allow_pickle=False) as file:
            return dict(file)
    except DamagedError:
        raise
    except Exception as error:  # NumPy raises anything on what is no array
        raise damaged(path, f"cannot be read as arrays: {error}") from None


def table(path: Path, content: bytes) -> dict[str, list[str]]:
    """Returns the columns of a CSV file as text."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, f"cannot be read as CSV: {error}") from None
    if any(None in row or None in row.values() for row in rows):
        raise damaged(path, "has rows of different lengths")
    return {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns rows as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
