"""Simple scores that a model must beat.

They give a score a step and know no batch, target or reconstruction, which is why they are not `lstm_ae.baselines`.
Values that are missing (NaN) are taken for the training mean.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_ae import checks

Floats = NDArray[np.float64]
EXPLAINED = 0.9  # of the variance of training windows, by the components that are kept


class Scorer:
    """A baseline; it sees values brought to mean 0 and standard deviation 1 of the training rows."""

    def fit(self, train_values: ArrayLike) -> "Scorer":
        """Takes mean and standard deviation of each feature, and learns what the baseline needs.

        Args:
            train_values: (steps,) or (steps, features).

        Raises:
            ValueError: Infinite values, a feature without a value, or too few rows.
        """
        rows = _rows(train_values)
        if not len(rows) or np.isnan(rows).all(axis=0).any():
            raise ValueError(
                "`train_values` must have a value of each feature, got none for one or all. Leave that feature out."
            )
        self._mean, spread = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._learn(self._standardised(rows))
        return self

    def score(self, values: ArrayLike) -> Floats:
        """Scores each step.

        Args:
            values: (steps,) or (steps, features), the features of `fit`.

        Returns:
            (steps,), higher where less normal; NaN where there is none.

        Raises:
            ValueError: Infinite values or another number of features.
        """
        return self._score(self._standardised(_rows(values)))

    def _standardised(self, rows: Floats) -> Floats:
        if rows.shape[1] != len(self._mean):
            raise ValueError(
                f"`values` must have the {len(self._mean)} features of the training rows, got {rows.shape[1]}. "
                "Pass the same columns."
            )
        return np.asarray(np.nan_to_num((rows - self._mean) / self._spread, nan=0.0))

    def _learn(self, rows: Floats) -> None:
        """Learns from standardised rows, (steps, features)."""

    def _score(self, rows: Floats) -> Floats:
        raise NotImplementedError


class Noise(Scorer):
    """Random numbers: what a measure gives to no knowledge at all."""

    def _score(self, rows: Floats) -> Floats:
        return np.random.default_rng(0).random(len(rows))


class MeanDistance(Scorer):
    """The distance from the training mean, in standard deviations; the root of the mean square of features."""

    def _score(self, rows: Floats) -> Floats:
        return np.asarray(np.sqrt((rows**2).mean(axis=1)))


class MovingVariance(Scorer):
    """The variance of the last `window` steps, as the absolute logarithm of its ratio to the training rows' median.

    Features are averaged. A variance that falls, as of a sensor that freezes, is as unusual as one that rises.
    """

    def __init__(self, window: int) -> None:
        checks.at_least("window", window, 2)
        self.window = window

    def _learn(self, rows: Floats) -> None:
        self._usual = np.median(self._variances(rows), axis=0)

    def _score(self, rows: Floats) -> Floats:
        away = np.abs(np.log((self._variances(rows) + 1e-6) / (self._usual + 1e-6))).mean(axis=1)
        return np.concatenate([np.full(self.window - 1, np.nan), away])

    def _variances(self, rows: Floats) -> Floats:
        return np.asarray(_windows(rows, self.window).var(axis=2))


class _OfWindows(Scorer):
    """A score of windows; that of a step is the mean over the windows it lies in, the last of which ends later."""

    def __init__(self, window: int) -> None:
        checks.at_least("window", window, 2)
        self.window = window

    def _score(self, rows: Floats) -> Floats:
        scores = self._of_windows(_flat(rows, self.window))
        ones = np.ones(self.window)
        return np.asarray(np.convolve(scores, ones) / np.convolve(np.ones_like(scores), ones))

    def _of_windows(self, windows: Floats) -> Floats:
        raise NotImplementedError


class PcaWindows(_OfWindows):
    """The squared error of windows from their principal components, those that explain 90 % of the variance."""

    def _learn(self, rows: Floats) -> None:
        windows = _flat(rows, self.window)
        self._centre = windows.mean(axis=0)
        variances, components = np.linalg.eigh(np.cov(windows.T, bias=True))  # the smallest first
        kept = np.cumsum(variances[::-1]) <= EXPLAINED * variances.sum()
        self._components = components[:, ::-1][:, : int(kept.sum()) + 1]

    def _of_windows(self, windows: Floats) -> Floats:
        centred = windows - self._centre
        return np.asarray(((centred - centred @ self._components @ self._components.T) ** 2).mean(axis=1))


class ForestWindows(_OfWindows):
    """Scikit-learn's IsolationForest on windows (Liu et al., ICDM 2008)."""

    def _learn(self, rows: Floats) -> None:
        from sklearn.ensemble import IsolationForest

        windows = _flat(rows, self.window)
        self._forest = IsolationForest(random_state=0).fit(windows)

    def _of_windows(self, windows: Floats) -> Floats:
        return np.asarray(-self._forest.score_samples(windows))


def baselines(window: int) -> dict[str, Scorer]:
    """Returns all baselines by name, not fitted yet.

    Args:
        window: Steps of those that look at windows.
    """
    return {
        "noise": Noise(),
        "mean_distance": MeanDistance(),
        "moving_variance": MovingVariance(window),
        "pca_windows": PcaWindows(window),
        "isolation_forest": ForestWindows(window),
    }


def _rows(values: ArrayLike) -> Floats:
    """Returns values as (steps, features)."""
    rows = np.asarray(values, dtype=float)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(f"`values` must be (steps,) or (steps, features), got shape {rows.shape}. Pass one series.")
    if np.isinf(rows).any():
        raise ValueError("`values` must be finite, or NaN where missing, got inf. Replace it by NaN.")
    return rows


def _windows(rows: Floats, window: int) -> Floats:
    """Returns all windows, (steps - window + 1, features, window)."""
    if len(rows) < window:
        raise ValueError(
            f"A series must have at least {window} steps, the length of a window, got {len(rows)}. "
            "Pass a longer series or use a shorter window."
        )
    return np.lib.stride_tricks.sliding_window_view(rows, window, axis=0)


def _flat(rows: Floats, window: int) -> Floats:
    """Returns all windows, (steps - window + 1, features * window)."""
    windows = _windows(rows, window)
    return windows.reshape(len(windows), -1)
