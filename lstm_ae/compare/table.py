"""Run directories as a table: a row a run, and runs of equal settings ranked by their mean score."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_ae.metrics import HIGHER_IS_BETTER
from lstm_ae.run_dir import CONFIG, METRICS, NOT_SIGNED, STATUS, flat

#: Settings over which a score is averaged, with what follows them: runs that differ in nothing else repeat one another.
REPEATS = ("seed", "fold", "split.random_state")


def find_runs(*paths: str | Path) -> Iterator[Path]:
    """Yields every run directory at or below the paths, a sweep's jobs in the order of their numbers."""
    for path in map(Path, paths):
        found = [status.parent for status in path.rglob(STATUS)]
        yield from sorted(found, key=lambda run: (run.parent, int(run.name) if run.name.isdigit() else -1, run.name))


def load(*paths: str | Path) -> pd.DataFrame:
    """Returns a row for each run below the paths.

    The columns are `run` (its directory), `state`, `error`, the settings by their dotted keys, and the metrics as
    `train.*`, `validation.*`, `test.*`, `skill.*`, `parameters`, `epochs` and `seconds`.
    """
    return pd.DataFrame([_row(run) for run in find_runs(*paths)])


def _row(run: Path) -> dict[str, Any]:
    status, config, metrics = (_read(run / name) for name in (STATUS, CONFIG, METRICS))
    config = {key: json.dumps(value) if isinstance(value, list) else value for key, value in flat(config).items()}
    numbers = {key: value for key, value in flat(metrics).items() if isinstance(value, int | float)}
    return {"run": str(run), "state": status.get("state"), "error": status.get("error"), **config, **numbers}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def settings(frame: pd.DataFrame) -> list[str]:
    """Returns the columns that hold settings and differ between the runs."""
    known = ("train.", "validation.", "test.", "baseline.", "skill.", "interval.", "skill_interval.")
    other = ("run", "state", "error", "parameters", "epochs", "seconds", "best_epoch")
    keys = [key for key in frame.columns if key not in {*other, *NOT_SIGNED} and not str(key).startswith(known)]
    return [key for key in keys if frame[key].astype(str).nunique() > 1]


def rank(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns a row for each combination of settings, the best mean first: mean, standard deviation, n of all.

    A run that diverged counts as infinitely bad. Combinations of which no run has the metric come last.

    Args:
        frame: What `load` returned.
        metric: A column of it, such as `validation.loss`.
    """
    keys = [key for key in settings(frame) if key not in REPEATS]
    higher = metric.rsplit(".", 1)[-1] in HIGHER_IS_BETTER
    scores = frame.reindex(columns=[metric])[metric].astype(float)
    scores = scores.mask(frame["state"] == "diverged", -math.inf if higher else math.inf)
    scores = scores.where(frame["state"].isin(["finished", "diverged"]))
    by = [frame[key].astype(object).where(frame[key].notna(), None).map(_plain) for key in keys]
    by = by or [scores.map(lambda _: "all").rename("runs")]
    grouped = pd.DataFrame({"score": scores}).groupby(by, dropna=False, sort=False)["score"]
    table = pd.DataFrame({metric: grouped.mean(), "std": grouped.std(), "n": grouped.count(), "of": grouped.size()})
    table = table.sort_values(metric, ascending=not higher, na_position="last").reset_index()
    return table if keys else table.drop(columns=table.columns[0])


def _plain(value: Any) -> Any:
    return "null" if value is None else int(value) if isinstance(value, float) and value.is_integer() else value


def short_names(columns: list[str]) -> Mapping[str, str]:
    """Returns each column's shortest ending that no other column shares.

    Example:
        >>> dict(short_names(["optimizer.lr", "model.hidden_size", "validation.loss", "test.loss"]))["optimizer.lr"]
        'lr'
    """
    names = {}
    for column in columns:
        parts = column.split(".")
        for length in range(1, len(parts) + 1):
            ending = parts[-length:]
            if sum(other.split(".")[-length:] == ending for other in columns) == 1 or length == len(parts):
                names[column] = ".".join(ending)
                break
    return names
