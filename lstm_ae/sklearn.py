"""A trained encoder as a transformer of scikit-learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from lstm_ae.trained import Trained, load_run

POOLING = {
    "last": lambda states: states[-1],
    "mean": lambda states: states.mean(0),
    "max": lambda states: states.max(0),
}


class Encoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Latents of sequences, by the model of a finished run: fitted already, so that `fit` learns nothing.

    `X` is what `Trained.encode` takes: an array (sequences, time, features) or (sequences, time) of one feature, a list
    of arrays, or a DataFrame in the training layout, which gives a row a sequence.

    Args:
        run_dir: The directory of the run, or `latest`.
        pooling: What stands for a sequence where the model has a latent at every step: the `last`, or the `mean` or
            `max` over time.
        allow: Modules of your own that may be imported, see `lstm_ae.load_run`.
    """

    def __init__(self, run_dir: str | Path = "latest", pooling: str = "last", allow: Sequence[str] = ()) -> None:
        self.run_dir = run_dir
        self.pooling = pooling
        self.allow = allow

    def fit(self, X: Any, y: Any = None) -> "Encoder":  # noqa: N803  # scikit-learn's name
        """Checks that the run can be loaded and reads `X`."""
        self.transform(X)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Returns the latents, (sequences, latent)."""
        if self.pooling not in POOLING:
            raise ValueError(f"`pooling` must be one of {', '.join(POOLING)}, got {self.pooling!r}. Use pooling=last.")
        latents = self._trained().encode(X)
        return np.stack([one if np.ndim(one) == 1 else POOLING[self.pooling](one) for one in latents])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Returns the names of the latent values."""
        schema = self._trained().schema
        width = self.transform([np.ones((schema.length, len(schema.feature_names)))]).shape[1]
        return np.array([f"latent_{place}" for place in range(width)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _trained(self) -> Trained:
        return load_run(self.run_dir, allow=self.allow)
