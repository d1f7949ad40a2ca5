"""A small table of machines, such as users have: unequal lengths, several sensors, holes, a class a series."""

import numpy as np
import pandas as pd


def machines(count=6, rows=60, seed=0, holes=0.0):
    """A measurement a row: `machine`, `timestamp`, `temp`, `vibration`, `state`."""
    rng = np.random.default_rng(seed)
    frames = []
    for machine in range(count):
        n = rows + 3 * machine
        temp = 60 + 5 * np.sin(np.arange(n) / 6 + machine) + rng.normal(0, 1, n)
        frames.append(
            pd.DataFrame(
                {
                    "machine": f"m{machine}",
                    "timestamp": pd.date_range("2024-01-01", periods=n, freq="h"),
                    "temp": temp.round(3),
                    "vibration": (0.02 * temp * (1 + machine % 2) + rng.normal(0, 0.1, n)).round(4),
                    "state": "worn, badly" if machine % 2 else "good",
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    if holes:
        frame.loc[rng.random(len(frame)) < holes, "temp"] = np.nan
        frame.loc[rng.random(len(frame)) < holes, "vibration"] = np.nan
    return frame


def waves(rows=300, period=12):
    """A series as NAB's are: `timestamp`, `value`, `anomaly`."""
    frame = pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=rows, freq="h")})
    frame["value"] = np.sin(2 * np.pi * np.arange(rows) / period).round(4)
    return frame.assign(anomaly=(np.arange(rows) // 10 == 25).astype(int))
