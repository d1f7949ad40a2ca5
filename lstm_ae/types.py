"""The values that cross module borders, and the names of the axes.

Axes, the same in every signature: `batch` (sequences in one batch), `time` (steps of a sequence), `features`
(values a step), `hidden` (units of an LSTM), `sequences` (all sequences of a dataset), `steps` (rows of its table).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a model reads and what a task compares its output with.

    Attributes:
        inputs: Scaled values.
        scale: What one unit of the scaled values is in the data's own unit, by sequence and feature.
        labels: The class of each sequence, where the dataset has classes.
        target: Where a task looks ahead, the values that follow each step of the inputs.
    """

    inputs: Float[Tensor, "batch time features"]
    scale: Float[Tensor, "batch features"]
    labels: Int[Tensor, " batch"] | None = None
    target: Float[Tensor, "batch time features"] | None = None

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


def present(value: Tensor | None, what: str) -> Tensor:
    """Returns a value that a batch or an output may lack.

    Raises:
        ValueError: it does.
    """
    if value is None:
        raise ValueError(f"The {what} are missing: the dataset or the model has none. Use a task that needs none.")
    return value


@runtime_checkable
class Subset(Protocol):
    """A part of a dataset (training, validation or test) from which batches are taken."""

    def __len__(self) -> int:
        """Returns the number of sequences."""
        ...

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the sequences at these positions, each in 0..len - 1."""
        ...

    def to(self, device: str) -> "Subset":
        """Returns this part with its data on another device."""
        ...

    def coarser(self, factor: int) -> "Subset":
        """Returns the same images with each square of factor x factor pixels averaged into one."""
        ...


@runtime_checkable
class Task(Protocol):
    """A question: what an output is worth.

    Attributes:
        name: What it is called.
        primary_metric: The metric by which a model is set against its baselines.
        horizon: How many steps the targets lie ahead of the inputs; 0 where there are none.
        takes: What a model may answer beside the reconstruction, see `lstm_ae.models`.
    """

    name: str
    primary_metric: str
    horizon: int
    accepts: tuple[str, ...]

    def without_reconstruction(self) -> "Task":
        """Returns the task by which a baseline is scored, which answers but does not reconstruct."""
        ...

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch."""
        ...
