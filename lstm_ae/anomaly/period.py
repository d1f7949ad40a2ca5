"""The period of a signal, by its autocorrelation."""

import numpy as np
from numpy.typing import ArrayLike

LAGS = 400  # that are looked at
ROWS = 20_000  # of the signal
FIRST = 3  # lag
LONGEST = 300  # above FIRST
DEFAULT = 125
WINDOW, LONGEST_WINDOW = 64, 128
LEAST_WINDOWS = 10  # that normal rows must hold, one after the other


def period(values: ArrayLike) -> int:
    """Returns the lag with the highest local maximum of the autocorrelation, from 6 to 303; 125 where there is none.

    Source: `find_length_rank` of TSB-AD (Liu and Paparrizos 2024), the length that its measures take.

    Args:
        values: (steps,), one signal.

    >>> period(np.sin(2 * np.pi * np.arange(500) / 40))
    40
    """
    signal = np.asarray(values, dtype=np.float64)[:ROWS]
    signal = np.where(np.isfinite(signal), signal, np.nanmean(signal))
    signal = signal - signal.mean()
    power = np.abs(np.fft.rfft(signal, 2 * len(signal))) ** 2
    correlation = np.fft.irfft(power)[: min(LAGS + 1, len(signal))][FIRST:]
    inner = correlation[1:-1]
    peaks = np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:])) + 1
    if not len(peaks):
        return DEFAULT
    best = int(peaks[np.argmax(correlation[peaks])])
    return best + FIRST if FIRST <= best <= LONGEST else DEFAULT


def window_of(values: ArrayLike) -> int:
    """Returns the rows of a model's windows: as many periods as make 64 rows, at most 128 and a tenth of the rows.

    Args:
        values: (steps,), normal rows of one signal.
    """
    rows = np.asarray(values)
    length = period(rows)
    periods = -(-WINDOW // length)  # rounded up
    return max(2, min(periods * length, LONGEST_WINDOW, len(rows) // LEAST_WINDOWS))
