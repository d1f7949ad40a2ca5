"""Differences between two runs: settings, environment, metrics, and the first epoch at which their curves differ."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.compare.reading import FIXED, find, read_environment, read_history, read_run
from lstm_ae.compare.selection import CompareError
from lstm_ae.compare.table import is_metric

COLUMNS = ["section", "key", "first", "second", "difference"]
MISSING = "(not recorded)"
ROUNDING = 1e-9  # relative; summing the same values in another order can differ by as much


def difference(first: str | Path, second: str | Path, problems: list[str]) -> pd.DataFrame:
    """Returns the differences between two runs, one row per key, and all their metrics.

    The columns are `section` (run, settings, environment, metrics, history), `key`, `first`, `second` and `difference`
    (second minus first, where both are numbers). A key that a run does not record is `(not recorded)`. The last row is
    the first epoch at which a curve that both have differs by more than rounding.

    Args:
        first: A run directory.
        second: Another one.
        problems: Gets a line for each thing that cannot be read.

    Raises:
        CompareError: one of the two is not a run.
    """
    runs = [_read_one(path, problems) for path in (first, second)]
    about = (*FIXED, "source")
    rows = _rows("run", [{key: run[key] for key in about} for run in runs])
    rows += _rows("settings", [{k: v for k, v in run.items() if k not in about and not is_metric(k)} for run in runs])
    rows += _rows("environment", [read_environment(run["run"], problems) for run in runs])
    rows += _rows("metrics", [{k: v for k, v in run.items() if is_metric(k)} for run in runs], equal=True)
    rows += _first_difference(*[read_history(run["run"], problems) for run in runs])
    return pd.DataFrame(rows, columns=COLUMNS)


def _read_one(path: str | Path, problems: list[str]) -> dict[str, Any]:
    errors: list[str] = []
    found = list(find([path], errors))
    if len(found) != 1:
        why = errors[0] if errors else f"{path}: must be one run, but contains {len(found)}. Name one of them."
        raise CompareError(f"`--diff` needs two run directories. {why}")
    return read_run(*found[0], problems)


def _rows(section: str, pair: Sequence[dict[str, Any]], equal: bool = False) -> list[dict[str, Any]]:
    """Returns a row for each key on which the two differ, and with `equal` for the other keys too."""
    first, second = pair
    rows = []
    for key in dict.fromkeys([*first, *second]):
        values = first.get(key, MISSING), second.get(key, MISSING)
        if equal or values[0] != values[1]:
            rows.append(dict(zip(COLUMNS, (section, key, *values, _subtract(*values)), strict=True)))
    return rows


def _subtract(first: Any, second: Any) -> float | None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second))
    return second - first if numbers else None


def _first_difference(first: dict[str, list[float]], second: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Returns a row with the first epoch at which the curves differ; no row if there are no common curves."""
    common = [key for key in first if key in second and key not in ("epoch", "seconds", "lr")]
    length = min(len(first.get("epoch", ())), len(second.get("epoch", ())))
    if not common or not length:
        return []
    for i in range(length):
        for key in common:
            a, b = first[key][i], second[key][i]
            if not (math.isclose(a, b, rel_tol=ROUNDING) or (math.isnan(a) and math.isnan(b))):
                epoch = int(first["epoch"][i])
                return [dict(zip(COLUMNS, ("history", f"differs from epoch {epoch}: {key}", a, b, b - a), strict=True))]
    return [dict(zip(COLUMNS, ("history", f"identical for {length} epochs", "", "", None), strict=True))]
