"""Series of the Numenta Anomaly Benchmark, as cloned, or as files with a column of labels."""

import csv
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from lstm_ae import checks
from lstm_ae.anomaly.period import window_of
from lstm_ae.checks import Bounds, Count
from lstm_ae.data.frames import from_frame
from lstm_ae.data.sequences import SequenceData

NORMAL = 0.15  # of a series, which NAB leaves for learning


@checks.checked
def load_nab(
    path: str,
    series: str,
    normal: Annotated[float, Bounds(above=0)] | None = None,
    window: Count | Literal["auto"] = "auto",
    stride: Count = 1,
    scaling: str = "standard",
) -> SequenceData:
    """Returns the windows of a series, with a flag a row; its first rows train and validate, and the rest is tested.

    Args:
        path: NAB's own folder, with `data` and `labels/combined_windows.json`; or one of files NAME.csv with the
            columns `timestamp`, `value` and `anomaly`, and perhaps an `index.csv` with the `train_rows` of each.
        series: The file, without its ending; below `data` where there is that folder.
        normal: So many first rows, or a share of them, are taken to be normal; None: as `index.csv` says, else 0.15.
        window: Rows a sequence; `auto`: by the autocorrelation of the normal rows, see `lstm_ae.anomaly.period`.
        stride: Rows from the start of one window to the next.
        scaling: See `lstm_ae.data.frames.from_frame`.

    Raises:
        ValueError: the folder or the series is not there; the text names those that are.
    """
    root = Path(path).expanduser()
    own = (root / "data").is_dir()
    file = (root / "data" if own else root) / f"{series}.csv"
    if not file.is_file():
        raise ValueError(_missing(root, own, series))
    frame = pd.read_csv(file)
    if own:
        frame["anomaly"] = _flags(root / "labels" / "combined_windows.json", f"{series}.csv", frame["timestamp"])
    if absent := {"timestamp", "value", "anomaly"} - set(frame.columns):
        raise ValueError(f"{file} must have the columns timestamp, value and anomaly, and lacks {sorted(absent)}.")
    frame = frame[~frame["timestamp"].duplicated()].reset_index(drop=True)  # the hour that the clock is put back
    chosen = normal if normal is not None else _train_rows(root / "index.csv", series) or NORMAL
    first = round(chosen * len(frame)) if chosen < 1 else int(chosen)
    rows = window_of(frame["value"].to_numpy()[:first]) if window == "auto" else window
    label = "anomaly" if frame["anomaly"].any() else None
    return from_frame(
        frame, time="timestamp", features=["value"], label=label, normal=first, window=rows, stride=stride,
        scaling=scaling,
    )  # fmt: skip


def _missing(root: Path, own: bool, series: str) -> str:
    folder = root / "data" if own else root
    there = sorted(str(one.relative_to(folder))[:-4] for one in folder.rglob("*.csv")) if root.is_dir() else []
    if not there:
        return (
            f"`path` must be the folder of NAB, and {root} holds no series. Use git clone "
            "https://github.com/numenta/NAB, and dataset.path=NAB or the environment variable LSTM_AE_NAB."
        )
    return f"`series` must be a file of {folder}, got {series!r}. Use one of: {', '.join(there[:60])}."


def _flags(path: Path, key: str, times: pd.Series) -> np.ndarray:
    """Returns which rows lie in one of NAB's labelled windows, their ends included."""
    windows = json.loads(path.read_text())
    if key not in windows:
        raise ValueError(f"{path} must have the windows of {key}, and has none. Clone NAB again.")
    clock = pd.to_datetime(times)
    inside = [clock.between(pd.Timestamp(begin), pd.Timestamp(end)) for begin, end in windows[key]]
    return np.any(inside, axis=0).astype(int) if inside else np.zeros(len(clock), dtype=int)


def _train_rows(index: Path, series: str) -> int | None:
    if not index.is_file():
        return None
    with index.open(newline="") as file:
        found = [int(row["train_rows"]) for row in csv.DictReader(file) if row["series"] == series]
    return found[0] if found else None
