"""Compares run directories. Reads files only and does not import torch."""

from pathlib import Path
from typing import Any


def load(*dirs: str | Path) -> Any:
    """Returns a pandas DataFrame with a row for each run in or below the directories.

    The columns are `run` (its directory), `state`, `error`, `source` (`ours` or `published`), the settings by their
    dotted keys (`null`, `true` and `false` as text, NaN where a run does not record one), and the metrics as `train.*`,
    `validation.*`, `test.*`, `skill.*`, `parameters`, `epochs` and `seconds`. Unreadable files are logged.

    Args:
        dirs: Runs, sweeps, folders of sweeps.
    """
    from lstm_ae.compare import table  # importing pandas takes half a second, which `--help` should not pay

    return table.load(*dirs)
