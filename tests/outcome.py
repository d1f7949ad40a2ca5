"""What a run or a sweep leaves, less times, hosts and paths: two are compared byte for byte."""

import csv
import io
import json
import os
from pathlib import Path

TIMES = ("seconds",)  # columns and keys that differ between two runs
VARIES = ("environment.json", "checkpoint.pt", "multirun.yaml")  # in times, hosts and paths
NO_RESULT = {".lock", "run.log", ".submitit"}


def outcome(folder: Path) -> dict[str, object]:
    """Returns what every file of a directory holds, by its path."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        if path.is_file() and not NO_RESULT & set(path.parts):
            found[str(path.relative_to(folder))] = content(path)
    return found


def content(path: Path) -> object:
    """Returns what a file holds, less times, hosts and paths."""
    found = path.read_bytes()
    if path.name == "status.json":
        return json.loads(found)["state"]
    if path.name in VARIES or path.parent.name == ".hydra":
        return "written" if found else "empty"
    if path.suffix == ".json":
        return {key: value for key, value in json.loads(found).items() if key not in TIMES}
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(found.decode()))
        return [_less_paths({key: value for key, value in row.items() if key not in TIMES}, path) for row in rows]
    return found


def _less_paths(row: dict[str, str], table: Path) -> dict[str, str]:
    """Returns a row whose run is named by its place below the folder of its table."""
    return row | {"run": os.path.relpath(row["run"], table.parent)} if "run" in row else row
