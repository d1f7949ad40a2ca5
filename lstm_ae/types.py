"""The values that cross module borders, the protocols between the parts, and the names of the axes.

Axes, the same in every signature: `batch` (sequences in one batch), `time` (steps of a sequence), `target_time` (steps
of what is to be answered), `features` (values a step), `hidden` (units of an LSTM), `sequences` (all sequences of a
dataset), `steps` (rows of its table).
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A mean, and what it weighs when the means of batches are pooled; or tensors (batch, ...) of a metric that is a
#: function of all sequences together.
Measured = tuple[Tensor, int | Tensor] | tuple[Tensor, ...]


@dataclass(frozen=True)
class Batch:
    """What models and baselines read, and what a task compares their outputs with.

    Padding and missing values are 0 in `inputs` and `target`. The shapes of `target` and `target_observed` are those of
    the inputs unless a task has prepared the batch.

    Attributes:
        inputs: Scaled values.
        observed: Which inputs were measured; None: all.
        target: What is to be answered; None: the inputs themselves.
        target_observed: Which values of the target count: those measured, and not padding; None: all.
        lengths: Steps of each sequence's inputs; None: all are as long as the batch.
        labels: The class of each sequence, where the dataset has classes.
        scale: What one unit of the scaled values is in the data's own unit; None: 1.
        index: Which sequences of the dataset these are.
        starts: The row of the dataset's table at which the inputs of each sequence begin.
        target_starts: The same of the targets; None: as `starts`.
    """

    inputs: Float[Tensor, "batch time features"]
    observed: Bool[Tensor, "batch time features"] | None = None
    target: Float[Tensor, "batch target_time features"] | None = None
    target_observed: Bool[Tensor, "batch target_time features"] | None = None
    lengths: Int[Tensor, " batch"] | None = None
    labels: Int[Tensor, " batch"] | None = None
    scale: Float[Tensor, "batch features"] | None = None
    index: Int[Tensor, " batch"] | None = None
    starts: Int[Tensor, " batch"] | None = None
    target_starts: Int[Tensor, " batch"] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def targets(self) -> Float[Tensor, "batch target_time features"]:
        """The target, or the inputs where there is none of its own."""
        return self.inputs if self.target is None else self.target

    @property
    def there(self) -> Bool[Tensor, "batch time features"] | None:
        """Which inputs were measured and are no padding; None: all."""
        if self.lengths is None:
            return self.observed
        steps = torch.arange(self.inputs.shape[1], device=self.inputs.device)
        inside = (steps < self.lengths.unsqueeze(1)).unsqueeze(2).expand_as(self.inputs)
        return inside if self.observed is None else inside & self.observed

    def shifted(self, steps: int) -> "Batch":
        """Returns all steps but the last `steps` as inputs, and for each of them the one `steps` later as its target.

        Raises:
            ValueError: a sequence is too short.
        """
        self._require(steps)
        inputs, observed = self.inputs[:, :-steps], None if self.observed is None else self.observed[:, :-steps]
        if self.lengths is not None:  # what is cut off becomes padding
            time = torch.arange(inputs.shape[1], device=inputs.device)
            inside = (time < (self.lengths - steps).unsqueeze(1)).unsqueeze(2)
            inputs, observed = inputs * inside, None if observed is None else observed & inside
        return dataclasses.replace(
            self,
            inputs=inputs,
            observed=observed,
            target=self.inputs[:, steps:],
            target_observed=None if self.target_observed is None else self.target_observed[:, steps:],
            lengths=None if self.lengths is None else self.lengths - steps,
            target_starts=None if self.starts is None else self.starts + steps,
        )

    def divided(self, horizon: int) -> "Batch":
        """Returns all steps but each sequence's last `horizon` as inputs, and these last as its target.

        Raises:
            ValueError: a sequence is too short.
        """
        self._require(horizon)
        kept = self.inputs.shape[1] - horizon
        if self.lengths is None:
            return dataclasses.replace(
                self,
                inputs=self.inputs[:, :kept],
                observed=None if self.observed is None else self.observed[:, :kept],
                target=self.inputs[:, kept:],
                target_observed=None if self.target_observed is None else self.target_observed[:, kept:],
                target_starts=None if self.starts is None else self.starts + kept,
            )
        lengths = self.lengths - horizon
        ends = lengths.unsqueeze(1) + torch.arange(horizon, device=lengths.device)  # (batch, horizon)
        rows = ends.unsqueeze(2).expand(-1, -1, self.inputs.shape[2])
        there = (torch.arange(kept, device=lengths.device) < lengths.unsqueeze(1)).unsqueeze(2)  # (batch, time, 1)
        return dataclasses.replace(
            self,
            inputs=self.inputs[:, :kept] * there,
            observed=None if self.observed is None else self.observed[:, :kept] & there,
            target=self.inputs.gather(1, rows),
            target_observed=None if self.target_observed is None else self.target_observed.gather(1, rows),
            lengths=lengths,
            target_starts=None if self.starts is None else self.starts + lengths,
        )

    def to(self, device: str) -> "Batch":
        """Returns this batch on a device; on the one where it is already, itself."""
        if self.inputs.device == torch.device(device):
            return self
        values = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(self, **values)

    def _require(self, steps: int) -> None:
        shortest = self.inputs.shape[1] if self.lengths is None else int(self.lengths.min())
        if not 0 < steps < shortest:
            raise ValueError(
                f"A target of {steps} steps needs sequences of at least {steps + 1}, got one of {shortest}. "
                "Use longer sequences (a larger dataset.window)."
            )


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

    def without_latent(self, device: str = "cpu") -> "Output":
        """Returns the outputs that are kept of a whole subset, on a device."""
        kept = (self.reconstruction, self.prediction)
        reconstruction, prediction = (None if part is None else part.to(device) for part in kept)
        return Output(reconstruction, prediction)


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


@runtime_checkable
class Sequences(Protocol):
    """What splits and tasks need to know of a dataset; `lstm_ae.data.sequences.SequenceData` documents each."""

    def __len__(self) -> int: ...

    @property
    def length(self) -> int: ...  # noqa: D102

    @property
    def shortest(self) -> int: ...  # noqa: D102

    @property
    def features(self) -> int: ...  # noqa: D102

    @property
    def test(self) -> np.ndarray: ...  # noqa: D102

    @property
    def labels(self) -> Tensor | None: ...  # noqa: D102

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def series(self) -> np.ndarray | None: ...  # noqa: D102

    @property
    def series_names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def spans(self) -> np.ndarray | None: ...  # noqa: D102

    @property
    def time_of_step(self) -> np.ndarray | None: ...  # noqa: D102

    @property
    def image_shape(self) -> tuple[int, int] | None: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def feature_names(self) -> tuple[str, ...]: ...  # noqa: D102

    def sharing_steps(self, index: np.ndarray, others: np.ndarray) -> np.ndarray: ...  # noqa: D102


@runtime_checkable
class Subset(Protocol):
    """Some sequences of a dataset (training, validation or test), from which batches are taken."""

    @property
    def index(self) -> np.ndarray:
        """Which sequences of the dataset these are."""
        ...

    @property
    def data(self) -> Sequences:
        """The dataset."""
        ...

    def __len__(self) -> int:
        """Returns the number of sequences."""
        ...

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the whole sequences at these positions, each in 0..len - 1."""
        ...

    def unscaled(
        self, values: Float[Tensor, "batch any_time features"], positions: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch any_time features"]:
        """Returns values of the sequences at these positions, back in the data's own unit."""
        ...

    def to(self, device: str) -> "Subset":
        """Returns this subset with its data on another device."""
        ...


@runtime_checkable
class PreparedSubset(Protocol):
    """A subset whose batches a task has prepared; what baselines are fitted on."""

    def __len__(self) -> int:
        """Returns the number of sequences."""
        ...

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the prepared sequences at these positions."""
        ...


@runtime_checkable
class Baseline(Protocol):
    """What a model must beat. Its constructor may name `latent` (the shape of a sequence's latent), `time` (input
    steps), `features` and `classes`, and is given those that it names.
    """  # noqa: D205

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns from prepared subsets."""
        ...

    def __call__(self, batch: Batch) -> Output:
        """Answers a prepared batch."""
        ...


@runtime_checkable
class EvaluatedSubset(Protocol):
    """A subset with the outputs of the model and of the baselines.

    Attributes:
        subset: The sequences, for their names and units.
        answers: From a prepared batch to an `Output`, by name: "model" and the baselines; for further passes.
        metrics: The metrics of each of them, by the same names.
    """

    subset: Subset
    answers: Mapping[str, Callable[[Batch], Output]]

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102

    def batches(self) -> Iterator[tuple[Batch, Mapping[str, Output]]]:
        """Yields each prepared batch with the outputs by name; computed once, in the order of the subset."""
        ...


@runtime_checkable
class Evaluated(Protocol):
    """A trained model's outputs on each subset, computed on first use.

    Attributes:
        judged: The name of the subset that is judged: "test", or "validation" where test is left alone.
        trial: Whether this is the try before training, on a few sequences: nothing then refuses for size.
    """

    judged: str
    trial: bool

    def __getitem__(self, subset: str) -> EvaluatedSubset:
        """Returns `train`, `validation` or `test`."""
        ...


Baselines = Mapping[str, Callable[..., Baseline]]
Figures = Mapping[str, Callable[[Any], "Figure | None"]]  # of a run directory, see `lstm_ae.drawing.read`


@runtime_checkable
class Task(Protocol):
    """A question: what the target is, what an output is worth, and what is reported. Subclass it for the defaults.

    Attributes:
        metrics: The metrics that `score` returns.
        primary_metric: The one by which a model is compared with its baselines.
        reported: The metrics that only `report` returns, so that their units and directions are recorded.
        factors: What each term of the loss is multiplied by.
        accepts: What a model may produce beyond a reconstruction (`classes`, `next_step`, `next_sequence`, `horizon`,
            or a word of your own): it fits where this is empty or the two intersect.
        baselines: What a model must beat, by name: classes, or `functools.partial`s of them.
        figures: How each figure is drawn from a run directory, by name; None where the run has nothing to draw.
    """

    metrics: tuple[Metric, ...]
    primary_metric: str
    reported: tuple[Metric, ...] = ()
    factors: Mapping[str, float]
    accepts: frozenset[str] = frozenset()
    baselines: Baselines = {}
    figures: Figures = {}

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses a dataset that the question does not fit, with a ValueError that names sizes and the cure."""

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns the batch that model and baselines see: with its target, and inputs with noise or hidden values.

        Args:
            batch: Whole sequences.
            training: Whether it is trained on: what is drawn then comes from torch's generator, which each epoch
                seeds. Else it must depend on the task's seed and `batch.index` only, see `lstm_ae.tasks.draws`.
        """
        return batch

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms of the loss and the metrics of one prepared batch."""
        ...

    def errors(
        self, batch: Batch, output: Output
    ) -> Float[Tensor, "batch target_time features"] | Float[Tensor, " batch"]:
        """Returns the error of each value, or of each sequence; 0 where a value does not count."""
        ...

    def report(self, evaluated: Evaluated) -> Report:
        """Returns tables, intervals and what the figures draw, from outputs that are computed already."""
        return Report()


def present(value: Tensor | None, what: str) -> Tensor:
    """Returns a value that a batch or an output may lack.

    Raises:
        ValueError: it does.
    """
    if value is None:
        raise ValueError(f"The {what} are missing: the dataset or the model has none. Use a task that needs none.")
    return value


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
