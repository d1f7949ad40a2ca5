"""The memory that reading a large table for training takes.

python -m tests.benchmarks.table ROWS STRIDE      100 series of two features, windows of 48 rows
"""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lstm_ae.data.table import load_table

SERIES = 100


def write(path: Path, rows: int) -> None:
    """A series after the other, so that the writer takes no memory to speak of."""
    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=rows // SERIES, freq="min")
    for number in range(SERIES):
        heat, flow = rng.normal((60, 3), (5, 1), (len(times), 2)).round(3).T
        frame = pd.DataFrame({"machine": f"m{number:03}", "time": times, "heat": heat, "flow": flow})
        frame.to_csv(path, mode="a", header=number == 0, index=False)


def peak() -> float:
    """GB that this process took at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main(rows: int, stride: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write(path, rows)
        before = peak()
        data = load_table(str(path), window=48, stride=stride)
        size = path.stat().st_size / 1e6
    print(f"{rows:,} rows, {size:.0f} MB, {len(data):,} sequences: {peak():.2f} GB, {before:.2f} before it was read")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
