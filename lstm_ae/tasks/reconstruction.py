"""Give back the sequence that was read."""

from collections.abc import Mapping

from torch import Tensor

from lstm_ae import drawing
from lstm_ae.baselines import Pca
from lstm_ae.tasks import measures
from lstm_ae.types import Baselines, Batch, Figures, Output, Score, Task


class Reconstructing(Task):
    """A task whose only question is the reconstruction of its target; abstract: `prepare` and baselines differ."""

    metrics = (measures.RECONSTRUCTION_MSE,)
    primary_metric = "reconstruction_mse"
    factors: Mapping[str, float] = {"reconstruction": 1.0}
    figures: Figures = {"reconstruction": drawing.reconstruction}

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the term and the metric of one batch, of the values that count."""
        return measures.reconstruction_score(batch, output)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each value, 0 for those that do not count."""
        return measures.squared_errors(output.reconstruction, batch.targets, batch.target_observed)


class Reconstruction(Reconstructing):
    """Give back the sequence that was read: mean squared error over all values, on the scaled values.

    Args:
        baselines: What a model must beat, by name; None: principal components of the model's own budget.

    Example:
        >>> import torch
        >>> ones = torch.ones(2, 5, 1)
        >>> score = Reconstruction().score(Batch(ones), Output(reconstruction=0.5 * ones))
        >>> score.terms["reconstruction"]
        (tensor(0.2500), 2)
    """

    baselines: Baselines = {"pca": Pca}

    def __init__(self, baselines: Baselines | None = None) -> None:
        self.baselines = self.baselines if baselines is None else baselines
