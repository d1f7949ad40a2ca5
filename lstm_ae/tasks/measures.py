"""What several tasks measure: mean errors that pass over padding and missing values."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lstm_ae.statistics import Interval
from lstm_ae.types import Batch, Metric, Output, Score

RECONSTRUCTION_MSE = Metric("reconstruction_mse", "squared scaled value")

Mean = tuple[Tensor, int | Tensor]


def mean(values: Float[Tensor, "batch ..."], counted: Bool[Tensor, "batch ..."] | None) -> Mean:
    """Returns the mean of the values that count, and its weight: the number of sequences, or of values where masked."""
    if counted is None:
        return values.mean(), len(values)
    weight = counted.sum()
    return torch.where(counted, values, 0.0).sum() / weight.clamp(min=1), weight


def mse(made: Tensor, target: Tensor, counted: Tensor | None, what: str) -> Mean:
    """Returns the mean squared error, and its weight.

    Raises:
        ValueError: the shapes differ.
    """
    same_shape(made, target, what)
    if counted is None:
        return F.mse_loss(made, target), len(target)
    return mean((made - target).square(), counted)


def same_shape(made: Tensor, target: Tensor, what: str) -> None:
    """Refuses an output that only broadcasting would fit to its target."""
    if made.shape != target.shape:
        raise ValueError(
            f"`{what}` must have the target's shape {tuple(target.shape)}, and the model returns {tuple(made.shape)}. "
            "Mend the model's forward."
        )


def reconstruction(output: Output, target: Tensor, counted: Tensor | None) -> dict[str, Mean]:
    """Returns the term of the loss for what the output reconstructs; nothing where it does not."""
    if output.reconstruction is None:
        return {}
    return {"reconstruction": mse(output.reconstruction, target, counted, "reconstruction")}


def reconstruction_score(batch: Batch, output: Output) -> Score:
    """Returns the score of a task whose only question is the reconstruction."""
    terms = reconstruction(output, batch.targets, batch.target_observed)
    return Score(terms, {f"{name}_mse": detached(term) for name, term in terms.items()})


def squared_errors(made: Tensor | None, target: Tensor, counted: Tensor | None) -> Tensor:
    """Returns the squared error of each value, 0 where it does not count."""
    errors = torch.zeros_like(target) if made is None else (made - target).square()
    return errors if counted is None else torch.where(counted, errors, 0.0)


def ends(interval: Interval) -> tuple[float, float] | str:
    """Returns an interval as a report holds it: its ends, or why there are none."""
    return interval.reason or (interval.low, interval.high)


def detached(measured: Mean) -> Mean:
    """Returns a term as a metric, without its gradient."""
    return measured[0].detach(), measured[1]
