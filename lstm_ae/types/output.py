"""What comes back: outputs of models, scores and reports of tasks."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from lstm_ae.types.batch import Batch

#: A mean, and what it weighs when the means of batches are pooled; or tensors (batch, ...) of a metric that is a
#: function of all sequences together.
Measured = tuple[Tensor, int | Tensor] | tuple[Tensor, ...]


@dataclass(frozen=True)
class Output:
    """What a model or a baseline returns.

    Attributes:
        reconstruction: The target as the model gives it back, on the scaled values.
        prediction: Class scores (batch, classes), or values not yet seen.
        latent: All that the decoder is given: (batch, latent), or (batch, time, latent) where it is given something at
            every step. A model that returns none gets no skill over a baseline that compresses.
        losses: Terms that the model adds to the loss, each a mean over the batch, weighted by its `loss_weights`.
    """

    reconstruction: Float[Tensor, "batch target_time features"] | None = None
    prediction: Float[Tensor, "batch ..."] | None = None
    latent: Float[Tensor, "batch ..."] | None = None
    losses: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)

    def on_cpu(self) -> "Output":
        """Returns the output with all its tensors on the CPU."""
        parts = (self.reconstruction, self.prediction, self.latent)
        reconstruction, prediction, latent = (None if part is None else part.cpu() for part in parts)
        return Output(reconstruction, prediction, latent, {name: value.cpu() for name, value in self.losses.items()})


@dataclass(frozen=True)
class Metric:
    """A number that judges outputs.

    Attributes:
        name: As it is written in history.csv, metrics.json and on the command line.
        unit: What it is measured in.
        higher_is_better: Its direction.
        pool: "mean", or a function from all sequences' tensors to the number (AUC), see `Score`.
        proportion: Whether it is a share of the sequences, and so a multiple of 1/n: tests then know its rounding.
    """

    name: str
    unit: str
    higher_is_better: bool = False
    pool: Literal["mean"] | Callable[..., float] = "mean"
    proportion: bool = False

    @property
    def recorded(self) -> dict[str, str | bool]:
        """What metrics.json holds of it."""
        about: dict[str, str | bool] = {"unit": self.unit, "higher_is_better": self.higher_is_better}
        return about | ({"proportion": True} if self.proportion else {})


@dataclass(frozen=True)
class Score:
    """What one batch contributes to the terms of the loss and to the metrics.

    Attributes:
        terms: By name a mean and its weight: the number of sequences where nothing is masked, else of the values that
            count. The loss is the sum of these means times the task's `factors`.
        metrics: The same by a metric's name, detached; where its `pool` is a function, a tuple of tensors (batch, ...)
            that are concatenated over batches for it. A weight of 0 says that the batch has no such number.
    """

    terms: Mapping[str, tuple[Tensor, int | Tensor]]
    metrics: Mapping[str, Measured] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, Tensor]:
        """The terms without their weights."""
        return {name: mean for name, (mean, _) in self.terms.items()}


@dataclass(frozen=True)
class Report:
    """What a task has to say of a trained model beyond its metrics.

    Attributes:
        metrics: More numbers of the judged subset, those that the task lists as `reported`.
        intervals: 95 % intervals by the name of a metric, or `skill.BASELINE`; a text says why there is none.
        tables: Columns by name for each CSV file, which is named without its ending.
        arrays: What the task's figures draw, for samples.npz.
        fitted: What was fitted at the end (a threshold, scales), for task.npz.
    """

    metrics: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float] | str] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    fitted: Mapping[str, np.ndarray] = field(default_factory=dict)


def answering(model: nn.Module) -> Callable[[Batch], Output]:
    """Returns a model as a function of a batch: `lengths` and `observed` go to a `forward` that names them.

    A module that returns a tensor reconstructs.
    """
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in ("lengths", "observed") if name in parameters]

    def answer(batch: Batch) -> Output:
        made = model(batch.inputs, **{name: getattr(batch, name) for name in names})
        if isinstance(made, Output):
            return made
        if not isinstance(made, Tensor):
            raise ValueError(f"`forward` must return a tensor or an Output, got {type(made).__name__}. Mend the model.")
        return Output(reconstruction=made)

    return answer


def total(
    terms: Mapping[str, Any], factors: Mapping[str, float], losses: Mapping[str, Any], loss_weights: Mapping[str, float]
) -> Any:
    """Returns the loss: the task's terms times its factors, and the model's losses times their weights.

    Terms that are missing are left out. The values are tensors of a batch, or pooled numbers.
    """
    parts = [factor * terms[name] for name, factor in factors.items() if name in terms]
    parts += [loss_weights.get(name, 1.0) * value for name, value in losses.items()]
    return sum(parts[1:], start=parts[0]) if parts else math.nan
