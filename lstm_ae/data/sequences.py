"""What a dataset is: one long table of time steps, and sequences that are stretches of it.

Windows that overlap share the table's memory, and whether two sequences overlap can be read off their starts.
"""

import copy
import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, Real, Shaped
from torch import Tensor
from torch.nn import functional as F

from lstm_ae.data.scaling import FittedScaling, Scaling
from lstm_ae.types import Batch


@dataclass(frozen=True)
class SequenceData:
    """Every sequence of a dataset, unscaled, with what splits, scalers and figures need to know of it.

    Attributes:
        values: The table, a row a time step.
        starts: The row at which each sequence begins.
        length: Time steps a sequence.
        test: Which sequences are the test part.
        scaling: How batches are scaled, see `lstm_ae.data.scaling`.
        labels: The class of each sequence.
        classes: The names of the classes.
        group_of_step: The index in `group_names` of what each row of the table belongs to (a company).
        group_names: The names of the groups.
        day_of_step: The position of each row in `dates`, the time axis that all groups share.
        dates: The days (datetime64) on which any group has a row, in order.
        unit: The unit of the values, as it is printed.
        kind: How a sequence is drawn.
        image_shape: Rows and columns of what a sequence is, read row by row, where it is an image.
        notes: What was left out or mended while reading, for the log.
    """

    values: Real[Tensor, "steps features"]
    starts: Int64[Tensor, " sequences"]
    length: int
    test: Bool[np.ndarray, " sequences"]
    scaling: Scaling
    labels: Int64[Tensor, " sequences"] | None = None
    classes: tuple[str, ...] = ()
    group_of_step: Int[np.ndarray, " steps"] | None = None
    group_names: tuple[str, ...] = ()
    day_of_step: Int[np.ndarray, " steps"] | None = None
    dates: Shaped[np.ndarray, " days"] | None = None
    unit: str = "value"
    kind: Literal["signal", "image", "price"] = "signal"
    image_shape: tuple[int, int] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def features(self) -> int:
        """Values a time step."""
        return self.values.shape[1]

    @property
    def groups(self) -> Int[np.ndarray, " sequences"] | None:
        """The group of each sequence."""
        return None if self.group_of_step is None else self.group_of_step[self.starts.numpy()]

    @property
    def days(self) -> Int[np.ndarray, "sequences 2"] | None:
        """The first and the last day of each sequence, as positions in `dates`."""
        if self.day_of_step is None:
            return None
        first = self.starts.numpy()
        return np.stack([self.day_of_step[first], self.day_of_step[first + self.length - 1]], axis=1)

    def windows(self) -> Tensor:
        """Returns a view (steps - length + 1, length, features): the stretch that begins at each row."""
        return _windows(self.values, self.length)

    def steps_of(self, index: np.ndarray) -> Bool[np.ndarray, " steps"]:
        """Returns which rows of the table the sequences at `index` cover."""
        change = np.zeros(len(self.values) + 1, dtype=np.int64)
        starts = self.starts.numpy()[index]
        np.add.at(change, starts, 1)
        np.add.at(change, starts + self.length, -1)
        return np.cumsum(change[:-1]) > 0

    def coarser(self, factor: int) -> "SequenceData":
        """Returns the same images with each square of factor x factor pixels averaged into one.

        Raises:
            ValueError: the sequences are no images of single pixels, or `factor` does not divide their sides.
        """
        if self.image_shape is None or self.features != 1 or any(side % factor for side in self.image_shape):
            raise ValueError(
                f"`curriculum` needs images a pixel a step whose sides are multiples of {factor}, got sequences of "
                f"{self.length} steps with {self.features} values. Use curriculum=null, or dataset=mnist_pixels."
            )
        images = self.values.view(-1, 1, *self.image_shape)
        pooled = torch.cat([F.avg_pool2d(some.float(), factor) for some in images.split(10_000)])
        length = self.length // factor**2
        rows, columns = (side // factor for side in self.image_shape)
        return dataclasses.replace(
            self,
            values=pooled.reshape(-1, 1),
            starts=torch.arange(len(self)) * length,
            length=length,
            image_shape=(rows, columns),
        )

    def fit_scaling(self, index: np.ndarray) -> FittedScaling:
        """Returns the scalers of all sequences, fitted on the steps that the sequences at `index` cover."""
        return self.scaling.fit(self.values, self.starts, self.length, self.group_of_step, self.steps_of(index))

    def sharing_steps(self, index: np.ndarray, others: np.ndarray) -> Bool[np.ndarray, " batch"]:
        """Returns which of the sequences at `index` have a time step in common with one of `others`."""
        # Covered rows before each row: a sequence shares one exactly where that count grows between its two ends.
        covered = np.concatenate([[0], np.cumsum(self.steps_of(others))])
        starts = self.starts.numpy()[index]
        return covered[starts + self.length] > covered[starts]

    def fingerprint(self) -> str:
        """Returns a hash of the values, the sequences, the labels and the test part."""
        digest = hashlib.blake2b(digest_size=16)
        labels = None if self.labels is None else self.labels.numpy()
        arrays = (self.values.numpy(), self.starts.numpy(), self.test, labels, self.group_of_step, self.day_of_step)
        for array in arrays:
            digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        digest.update(repr((self.length, self.classes, self.group_names)).encode())
        return digest.hexdigest()


class SequenceSubset:
    """A part of a dataset, from which scaled batches are taken without a copy of the whole.

    Args:
        data: The dataset.
        index: Which of its sequences belong to this part.
        scaling: The scalers of all its sequences, fitted on the training part.
        horizon: How many steps the targets lie ahead of the inputs; 0 for no targets and whole sequences as inputs.

    Example:
        >>> from lstm_ae.data.toy import load_toy
        >>> data = load_toy(sequences=10, length=50, seed=0, test_share=0.2)
        >>> part = SequenceSubset(data, np.flatnonzero(data.test), data.fit_scaling(np.flatnonzero(~data.test)))
        >>> part.batch(torch.tensor([0, 1])).inputs.shape
        torch.Size([2, 50, 1])
    """

    def __init__(self, data: SequenceData, index: np.ndarray, scaling: FittedScaling, horizon: int = 0) -> None:
        rows = torch.from_numpy(np.asarray(index, dtype=np.int64))
        self._values, self._length = data.values, data.length
        self._windows = data.windows()
        self._starts = data.starts[rows]
        self._labels = None if data.labels is None else data.labels[rows]
        self._shift, self._scale = scaling.shift, scaling.scale
        self._row = scaling.row[rows]
        self.index = index
        self.horizon = horizon
        self._data, self._scaling = data, scaling

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the scaled sequences at these positions of the part."""
        positions = positions.to(self._starts.device)
        row = self._row.index_select(0, positions)
        shift, scale = self._shift.index_select(0, row), self._scale.index_select(0, row)  # (batch, features)
        raw = self._windows.index_select(0, self._starts.index_select(0, positions)).float()  # a copy: scaled in place
        scaled = raw.sub_(shift.unsqueeze(1)).div_(scale.unsqueeze(1))
        labels = None if self._labels is None else self._labels[positions]
        if self.horizon:
            return Batch(scaled[:, : -self.horizon], scale, labels, target=scaled[:, self.horizon :])
        return Batch(scaled, scale, labels)

    def unscaled(self, values: Tensor, positions: Tensor) -> Tensor:
        """Returns values (batch, time, features) of the sequences at `positions`, back in the data's own unit."""
        row = self._row[positions]
        return values * self._scale[row].unsqueeze(1) + self._shift[row].unsqueeze(1)

    def coarser(self, factor: int) -> "SequenceSubset":
        """Returns the same images with each square of factor x factor pixels averaged into one."""
        return SequenceSubset(self._data.coarser(factor), self.index, self._scaling, self.horizon)

    def to(self, device: str) -> "SequenceSubset":
        """Returns this part with its data on `device`; on the device where they are already, itself."""
        if self._starts.device == torch.device(device):
            return self
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "_windows":  # that view, moved, would be copied window by window
                setattr(moved, name, value.to(device))
        moved._windows = _windows(moved._values, self._length)
        return moved


def _windows(values: Tensor, length: int) -> Tensor:
    steps, features = values.shape
    return values.as_strided((steps - length + 1, length, features), (features, features, 1))
