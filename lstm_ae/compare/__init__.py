"""Compares run directories. Reads files only and does not import torch."""

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def load(*dirs: str | Path) -> Any:
    """Returns a pandas DataFrame with a row for each run in or below the directories.

    The columns are `run` (its directory), `state`, `error`, `source` (`ours` or `published`), the settings by their
    dotted keys (`null`, `true` and `false` as text, NaN where a run does not record one), and the metrics as `train.*`,
    `validation.*`, `test.*`, `skill.*`, `parameters`, `epochs` and `seconds`. Unreadable files are logged.

    Args:
        dirs: Runs, sweeps, folders of sweeps, each by itself: `load("first", "second")`.

    Raises:
        ValueError: one of them does not exist.
    """
    for one in dirs:
        if not Path(one).exists():
            raise ValueError(f"`dirs` must be runs or folders of runs, and {one} does not exist. Name another.")
    from lstm_ae.compare import table  # importing pandas takes half a second, which `--help` should not pay

    problems: list[str] = []
    frame = table.read(dirs, problems)
    for problem in problems:
        log.warning("%s", problem)
    return frame
