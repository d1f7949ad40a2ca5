"""Tasks: what an output is worth. From a `Batch` and an `Output` to a `Score`."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lstm_ae import checks
from lstm_ae.types import Batch, Output, Score, present


class Reconstruction:
    """Give back the sequence that was read: mean squared error over all values, on the scaled values.

    Example:
        >>> ones = torch.ones(2, 5, 1)
        >>> score = Reconstruction().score(Batch(ones, scale=torch.ones(2, 1)), Output(reconstruction=0.5 * ones))
        >>> score.loss.item()
        0.25
    """

    name = "reconstruction"
    primary_metric = "reconstruction_mse"
    horizon = 0
    accepts = ("nothing",)

    def without_reconstruction(self) -> "Reconstruction":
        """Returns itself: a baseline of it reconstructs."""
        return self

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch.

        Raises:
            ValueError: the model reconstructs nothing.
        """
        loss = _reconstruction_mse(batch, output)
        return Score(loss, {"reconstruction_mse": loss.detach()})


class Classification:
    """Reconstruct, and name the class: d * reconstruction + (1 - d) * cross-entropy.

    Args:
        reconstruction_dominance: d, in [0, 1].

    Example:
        >>> batch = Batch(torch.zeros(2, 5, 1), scale=torch.ones(2, 1), labels=torch.tensor([0, 1]))
        >>> output = Output(torch.zeros(2, 5, 1), prediction=torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
        >>> Classification(reconstruction_dominance=0.5).score(batch, output).metrics["accuracy"].item()
        0.5
    """

    name = "classification"
    primary_metric = "accuracy"
    horizon = 0
    accepts = ("classes",)

    def __init__(self, reconstruction_dominance: float = 0.5) -> None:
        _check_dominance(reconstruction_dominance)
        self.reconstruction_dominance = reconstruction_dominance

    def without_reconstruction(self) -> "Classification":
        """Returns the same task with d = 0."""
        return Classification(reconstruction_dominance=0)

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch.

        Raises:
            ValueError: the model reconstructs nothing although that counts.
        """
        scores, labels = present(output.prediction, "classes' scores"), present(batch.labels, "labels")
        classification_loss = F.cross_entropy(scores, labels)
        correct = (scores.argmax(dim=1) == labels).float().mean()
        metrics = {"classification_loss": classification_loss.detach(), "accuracy": correct}
        return _mixed(self.reconstruction_dominance, batch, output, classification_loss, metrics)


class Prediction:
    """Reconstruct, and predict the next step: d * reconstruction + (1 - d) * prediction, both mean squared errors.

    A window of T steps gives T - 1 inputs, and as targets the T - 1 steps that follow each.

    `direction_accuracy` is the share of the steps that moved whose direction was predicted.

    Args:
        reconstruction_dominance: d, in [0, 1].
        days: `all` predictions count, or the `last`, of the one step that no input has shown.
        multi_step: Whether the second half of a window is to be predicted from its first half, after training.
        unit: Of the data; in dollars, the mean absolute error is given in dollars too.
    """

    name = "prediction"
    primary_metric = "prediction_mse"
    horizon = 1

    def __init__(
        self,
        reconstruction_dominance: float = 0.5,
        days: Literal["all", "last"] = "all",
        multi_step: bool = False,
        unit: str = "value",
    ) -> None:
        _check_dominance(reconstruction_dominance)
        checks.one_of("days", days, ("all", "last"))
        self.reconstruction_dominance = reconstruction_dominance
        self.days = days
        self.multi_step = multi_step
        self.accepts = ("sequence", "step") if days == "last" and not multi_step else ("sequence",)
        self.unit = unit

    def without_reconstruction(self) -> "Prediction":
        """Returns the same task with d = 0."""
        return Prediction(0, self.days, self.multi_step, self.unit)

    def compared(self, batch: Batch, output: Output) -> tuple[Tensor, Tensor, Tensor]:
        """Returns predictions, targets and the steps before them, (batch, steps that count, features) each."""
        predicted, target = present(output.prediction, "predictions"), present(batch.target, "targets")
        before = batch.inputs
        if self.days == "last":
            predicted, target, before = (values[:, -1:] for values in (predicted, target, before))
        return predicted, target, before

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch.

        Raises:
            ValueError: the model reconstructs nothing although that counts.
        """
        predicted, target, before = self.compared(batch, output)
        loss = F.mse_loss(predicted, target)
        error = (predicted - target).detach()
        moved = target != before
        right = (torch.sign(predicted - before) == torch.sign(target - before)) & moved
        metrics = {
            "prediction_mse": loss.detach(),
            "prediction_mae": error.abs().mean(),
            "direction_accuracy": right.sum() / moved.sum().clamp(min=1),
        }
        if self.unit == "USD":
            metrics["prediction_mae_usd"] = (error.abs() * batch.scale.abs().unsqueeze(1)).mean()
        return _mixed(self.reconstruction_dominance, batch, output, loss, metrics)


def roll_out(model: Callable[[Tensor], Output], known: Tensor, steps: int) -> Tensor:
    """Returns the `steps` values (batch, steps, features) that follow `known`, each predicted from those before it.

    The window slides: each prediction is appended, and the oldest value dropped.
    """
    made = []
    with torch.no_grad():
        for _ in range(steps):
            made.append(present(model(known).prediction, "predictions")[:, -1:])
            known = torch.cat([known[:, 1:], made[-1]], dim=1)
    return torch.cat(made, dim=1)


def _check_dominance(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(
            f"`reconstruction_dominance` must lie in [0, 1], got {value}. "
            "Use task.reconstruction_dominance=0.5 for equal weights."
        )


def _mixed(dominance: float, batch: Batch, output: Output, other: Tensor, metrics: dict[str, Tensor]) -> Score:
    """Returns the score of a loss of two parts; what does not count is not asked for."""
    if dominance == 0 and output.reconstruction is None:
        return Score(other, metrics)
    reconstruction = _reconstruction_mse(batch, output)
    loss = dominance * reconstruction + (1 - dominance) * other
    return Score(loss, {"reconstruction_mse": reconstruction.detach(), **metrics})


def _reconstruction_mse(batch: Batch, output: Output) -> Tensor:
    if output.reconstruction is None:
        raise ValueError(
            "`task.reconstruction_dominance` must be 0 with a model that does not reconstruct. "
            "Use task.reconstruction_dominance=0, or model.reconstruct=true."
        )
    return F.mse_loss(output.reconstruction, batch.inputs)
