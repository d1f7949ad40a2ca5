"""What a task is, what it must beat, and what it reports on."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from lstm_ae.types.batch import Batch
from lstm_ae.types.output import Metric, Output, Report, Score
from lstm_ae.types.sequences import PreparedSubset, Sequences, Subset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
