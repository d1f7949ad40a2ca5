"""Finds run directories and reads them, in any state.

Directories are untrusted data: nothing in them is instantiated, unpickled or run. An unreadable file gives a line on
stderr and does not stop the comparison.
"""

import csv
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lstm_ae.files import TEXT_BYTES, DamagedError, MissingError, read
from lstm_ae.run_dir import CONFIG, ENDED, ENVIRONMENT, HISTORY, METRICS, STATUS, check_listed, flat

STATES = ENDED | {"running", "failed", "interrupted"}
#: Columns that are neither settings nor metrics; `SUBSETS` is the first word of more of them.
FIXED = ("run", "state", "error", "higher_is_better", "proportions")
SUBSETS = "subsets"  # how many sequences each subset holds, and a digest of which: see `lstm_ae.compare.blocks`
PARTS = ("train", "validation", "test", "skill", "baseline", "interval")
COSTS = ("parameters", "epochs", "best_epoch", "seconds")
FACTS = {"sequences": int, "digest": str}  # of each subset
RESERVED = (*FIXED, *COSTS, "source", "reason", "std", "n", "of", "verdict")  # a setting cannot have these names
EXACT = 2**53  # integers below it are exact as floats


def find(paths: Iterable[str | Path], problems: list[str]) -> Iterator[tuple[str, set[str]]]:
    """Yields every run directory at or below the paths once, with the names of the files to read in it.

    Args:
        paths: Runs, sweeps, folders of sweeps.
        problems: Gets a line for each path without a run.
    """
    seen = set()
    for root in (str(path) for path in paths):
        if not os.path.isdir(root):  # noqa: PTH112  # a Path for each of 10,000 directories costs a second
            what = "is a file. Name its folder" if Path(root).exists() else "does not exist"
            problems.append(f"{root}: must be a run or a folder of runs, but {what}.")
            continue
        count, before = 0, len(problems)
        for identity, folder, files in _walk(root, problems):
            count += 1
            if identity not in seen:
                seen.add(identity)
                yield folder, files
        if not count and len(problems) == before:
            problems.append(f"{root}: contains no run (no {STATUS} in it or below it).")


def _walk(root: str, problems: list[str]) -> Iterator[tuple[tuple[int, int], str, set[str]]]:
    """Yields each run below `root` with its identity on the disk; does not search inside a run."""

    def refuse(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read: {error.strerror}.")

    visited = set()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        stat = os.stat(folder)  # noqa: PTH116
        identity = stat.st_dev, stat.st_ino
        found = {STATUS, CONFIG, METRICS}.intersection([*below, *files])
        is_run = bool({STATUS, CONFIG} & found) or ".hydra" in below
        if is_run and identity not in visited:
            yield identity, folder, found
        # A link may lead to a folder seen before, such as the one that it is in.
        searched = not is_run and identity not in visited
        below[:] = sorted((name for name in below if searched and not name.startswith(".")), key=_in_order)
        visited.add(identity)


def _in_order(name: str) -> tuple[int, str]:
    """Sort key that orders a sweep's jobs by number."""
    return (int(name) if name.isdecimal() else -1), name


def read_run(folder: str, files: set[str], problems: list[str]) -> dict[str, Any]:
    """Returns a run as one row: `run`, `state`, `error`, `source`, its settings by dotted keys, its metrics.

    The settings null, true and false are text. A setting that the run does not record is missing.

    Args:
        folder: The run directory.
        files: Which of status.json, config.json and metrics.json it contains.
        problems: Gets a line for each thing that cannot be read.
    """
    status = _json(folder, STATUS, problems) if STATUS in files else {}
    listed = {name: status.get(f"files.{name}") for name in (CONFIG, METRICS)}
    config = _json(folder, CONFIG, problems, listed) if CONFIG in files else {}
    metrics = _json(folder, METRICS, problems, listed) if METRICS in files else {}
    for name, what in ((STATUS, "an older layout, or not a run of lstm_ae"), (CONFIG, "its settings are unknown")):
        problems += [f"{folder}: has no {name}: {what}."] if name not in files else []
    state, error = _state(folder, status, problems)
    if state == "finished" and METRICS not in files:
        problems.append(f"{folder}: is finished but has no {METRICS}.")
    source = "published" if status.get("published") is True else "ours"
    row: dict[str, Any] = {"run": folder, "state": state, "error": error, "source": source}
    row["higher_is_better"], row["proportions"] = (_named(metrics, key) for key in ("higher_is_better", "proportion"))
    for key, value in config.items():
        reserved = key in RESERVED or key.split(".", 1)[0] in (*PARTS, SUBSETS)
        row[f"config.{key}" if reserved else key] = _setting(value)
    known = {f"{SUBSETS}.{part}.{name}": is_a for part in PARTS for name, is_a in FACTS.items()}
    row |= {key: metrics[key] for key, is_a in known.items() if type(metrics.get(key)) is is_a}
    return row | _numbers(f"{folder}/{METRICS}", metrics, problems)


def _named(metrics: dict[str, Any], what: str) -> str:
    """Returns the names of the metrics of which something is true, with commas between them."""
    true = (key.split(".") for key, value in metrics.items() if value is True)
    return ",".join(".".join(key[1:-1]) for key in true if key[0] == "metrics" and key[-1] == what)


def read_environment(folder: str, problems: list[str]) -> dict[str, Any]:
    """Returns a run's environment by dotted keys: commit, versions, machine; empty if it is not recorded.

    Args:
        folder: The run directory.
        problems: Gets a line if it cannot be read.
    """
    return _json(folder, ENVIRONMENT, problems) if Path(f"{folder}/{ENVIRONMENT}").exists() else {}


def _state(folder: str, status: dict[str, Any], problems: list[str]) -> tuple[str, str | None]:
    state, error = status.get("state"), status.get("error")
    if not isinstance(state, str) or state not in STATES:
        if status:
            known = ", ".join(sorted(STATES))
            problems.append(f"{folder}/{STATUS}: `state` must be one of {known}, got {state!r}.")
        return "unknown", None
    if state == "running" and _is_gone(status.get("host"), status.get("pid")):
        error = f"its process {status['pid']} no longer exists"
    return state, None if error is None else str(error)


def _is_gone(host: Any, pid: Any) -> bool:
    """Returns whether a process of this machine has ended; False for a process of another machine."""
    if os.name != "posix" or host != socket.gethostname() or type(pid) is not int or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)  # else it exists, and belongs to another user
    return False


def _json(folder: str, name: str, problems: list[str], listed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the object in a JSON file by dotted keys, empty if it cannot be read or is not as listed."""
    path = f"{folder}/{name}"
    try:
        text = read(Path(path), TEXT_BYTES)
        check_listed(Path(path), text, {"files": listed})
        content = json.loads(text)
        if isinstance(content, dict):
            return flat(content)
        problems.append(f"{path}: must hold an object, got {_short(repr(content))}.")
    except DamagedError as error:
        problems.append(_short(error))
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: cannot be read as JSON: {_short(error)}.")
    return {}


def _setting(value: Any) -> Any:
    """Returns a setting as a scalar: null, true and false as text, a list as JSON, an integral float as an int."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, int) and abs(value) >= EXACT:
        return str(value)
    return value if isinstance(value, str | int | float) else json.dumps(value, default=str)


def _numbers(path: str, metrics: dict[str, Any], problems: list[str]) -> dict[str, float]:
    numbers = {}
    for key, value in metrics.items():
        if key not in COSTS and key.split(".", 1)[0] not in PARTS:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[key] = value if abs(value) < EXACT else float(str(value))  # of any size
        elif value is not None and not ("interval" in key and isinstance(value, list | str)):
            problems.append(f"{path}: `{key}` must be a number, got {_short(repr(value))}.")
    return numbers


def read_history(folder: str, problems: list[str]) -> dict[str, list[float]]:
    """Returns the columns of a run's history.csv up to the first unreadable line; empty if there is no file.

    Args:
        folder: The run directory.
        problems: Gets a line if it cannot be read to the end.
    """
    path = f"{folder}/{HISTORY}"
    rows: list[list[float]] = []
    header: list[str] = []
    try:
        lines = csv.reader(read(Path(path), TEXT_BYTES).decode().splitlines())
        header = next(lines, [])
        for line in lines:
            if len(line) != len(header):
                raise ValueError(f"line {lines.line_num} has {len(line)} values but the header has {len(header)}")
            rows.append([float(value or "nan") for value in line])
    except MissingError:
        return {}
    except (ValueError, csv.Error) as error:
        kept = f"; the {len(rows)} epochs before it are used" if rows else ""
        problems.append(f"{path}: cannot be read as CSV: {_short(error)}{kept}.")
    return {name: [row[column] for row in rows] for column, name in enumerate(header)}


def _short(error: object) -> str:
    """Returns an error's message in one line of bounded length."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
