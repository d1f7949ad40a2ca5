"""Baselines: what each task must beat. Each is fitted on the training part and then called as a model is."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.types import Output, Part

Baseline = Callable[[Tensor], Output]


class Pca:
    """Principal components: the best linear code of its size, for sequences laid out as one row of values.

    Where the code is as long as the sequence, nothing is lost.

    Args:
        inputs: The training part.
        components: The size of the code.
    """

    def __init__(self, inputs: Float[Tensor, "sequences time features"], components: int) -> None:
        from sklearn.decomposition import PCA

        rows = inputs.flatten(1).double().numpy()  # (sequences, time * features)
        self._pca = PCA(min(components, *rows.shape), svd_solver="covariance_eigh").fit(rows)

    def __call__(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns each sequence projected onto the components and back."""
        rows = inputs.flatten(1).double().numpy()
        projected = self._pca.inverse_transform(self._pca.transform(rows))
        return Output(reconstruction=torch.from_numpy(projected).float().view_as(inputs))


def fit_baselines(train: Part, code_size: int) -> dict[str, Baseline]:
    """Returns the baselines of reconstruction by name, fitted on the training part.

    Args:
        train: The training part.
        code_size: The number of values in the model's code.
    """
    inputs = train.batch(torch.arange(len(train))).inputs
    return {"pca": Pca(inputs, code_size)}


def skill(error: float, baseline_error: float) -> float | None:
    """Returns 1 - error / baseline error: 1 is perfect, 0 is no better than the baseline; None where that has no error.

    Example:
        >>> skill(0.01, 0.04)
        0.75
    """
    return None if baseline_error < 1e-12 else 1 - error / baseline_error
