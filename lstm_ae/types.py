"""The values that cross module borders, and the names of the axes.

Axes, the same in every signature: `batch` (sequences in one batch), `time` (steps of a sequence), `features`
(values a step), `hidden` (units of an LSTM), `sequences` (all sequences of a dataset), `steps` (rows of its table).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

#: Metrics of which more is better. Of every other one less is.
HIGHER_IS_BETTER = frozenset({"accuracy", "direction_accuracy"})


@dataclass(frozen=True)
class Batch:
    """What a model reads and what a task compares its output with.

    Attributes:
        inputs: Scaled values.
        scale: What one unit of the scaled values is in the data's own unit, by sequence and feature.
        labels: The class of each sequence, where the dataset has classes.
    """

    inputs: Float[Tensor, "batch time features"]
    scale: Float[Tensor, "batch features"]
    labels: Int[Tensor, " batch"] | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Output:
    """What a model returns.

    Attributes:
        reconstruction: The inputs as the model gives them back, on the scaled values.
        prediction: What a classifier or predictor says beyond that: class scores, or values yet unseen.
    """

    reconstruction: Float[Tensor, "batch time features"] | None = None
    prediction: Float[Tensor, "batch ..."] | None = None


@dataclass(frozen=True)
class Score:
    """How good an output is, each a mean over the sequences of the batch.

    Attributes:
        loss: What training minimises.
        metrics: What is reported beside it, by name.
    """

    loss: Float[Tensor, ""]
    metrics: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


@runtime_checkable
class Part(Protocol):
    """A part of a dataset (training, validation or test) from which batches are taken."""

    def __len__(self) -> int:
        """Returns the number of sequences."""
        ...

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the sequences at these positions, each in 0..len - 1."""
        ...

    def to(self, device: str) -> "Part":
        """Returns this part with its data on another device."""
        ...


@runtime_checkable
class Task(Protocol):
    """A question: what an output is worth."""

    name: str
    #: The metric by which a model is set against its baselines; an error, less is better.
    error: str

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch."""
        ...
