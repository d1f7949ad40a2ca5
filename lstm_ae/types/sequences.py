"""What a dataset is to the other parts."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from lstm_ae.types.batch import Batch


@runtime_checkable
class Sequences(Protocol):
    """What splits and tasks need to know of a dataset; `lstm_ae.data.sequences.SequenceData` documents each."""

    def __len__(self) -> int: ...

    @property
    def length(self) -> int: ...  # noqa: D102

    @property
    def shortest(self) -> int: ...  # noqa: D102

    @property
    def window(self) -> int | None: ...  # noqa: D102

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
class PreparedSubset(Protocol):
    """A subset whose batches a task has prepared; what baselines are fitted on."""

    def __len__(self) -> int:
        """Returns the number of sequences."""
        ...

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the sequences at these positions, each in 0..len - 1."""
        ...


@runtime_checkable
class Subset(PreparedSubset, Protocol):
    """Some sequences of a dataset (training, validation or test), from which batches of whole sequences are taken."""

    @property
    def index(self) -> np.ndarray:
        """Which sequences of the dataset these are."""
        ...

    @property
    def data(self) -> Sequences:
        """The dataset."""
        ...

    def unscaled(
        self, values: Float[Tensor, "batch any_time features"], positions: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch any_time features"]:
        """Returns values of the sequences at these positions, back in the data's own unit."""
        ...

    def to(self, device: str) -> "Subset":
        """Returns this subset with its data on another device."""
        ...
