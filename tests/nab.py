"""The series of the Numenta Anomaly Benchmark, where `LSTM_AE_NAB` names their folder."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = os.environ.get("LSTM_AE_NAB")
needed = pytest.mark.skipif(FOLDER is None, reason="needs NAB's series: set LSTM_AE_NAB to their folder")


def table(name: str) -> pd.DataFrame:
    assert FOLDER is not None
    return pd.read_csv(Path(FOLDER) / f"{name}.csv")


def scores(values: np.ndarray, train_rows: int) -> dict[str, np.ndarray]:
    """The three scores of the reference file, by the name that the file gives them."""
    return {
        "|v - mean of the first train_rows values|": np.abs(values - values[:train_rows].mean()),
        "|v_t - v_(t-1)|, 0 at the first": np.abs(np.diff(values, prepend=values[0])),
        "numpy default_rng(0).random(n)": np.random.default_rng(0).random(len(values)),
    }
