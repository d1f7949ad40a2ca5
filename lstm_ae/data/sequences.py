"""What a dataset is: one long table of time steps, and sequences that are stretches of it.

Windows that overlap share the table's memory, and whether two sequences overlap can be read off their starts.
"""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Real, Shaped
from torch import Tensor
from torch.nn import functional as F

from lstm_ae import checks
from lstm_ae.data.missing import MISSING
from lstm_ae.data.scaling import FittedScaling, Scaling
from lstm_ae.types import Batch

if TYPE_CHECKING:
    import pandas as pd


SHOWN = 6  # features that `repr` names


@dataclass(frozen=True)
class SequenceData:
    """Every sequence of a dataset, unscaled, with what splits, scalers and figures need to know of it.

    Attributes:
        values: The table, a row a time step; NaN is a missing value.
        starts: The row at which each sequence begins.
        lengths: Time steps of every sequence, or of each.
        test: Which sequences are the test subset.
        scaling: How batches are scaled, see `lstm_ae.data.scaling`.
        labels: The class of each sequence.
        classes: The names of the classes.
        label_of_step: A flag for each row of the table, such as "abnormal".
        series_of_step: The index in `series_names` of what each row belongs to (a company, a machine).
        series_names: The names of the series.
        time_of_step: The position of each row in `times`, the time axis that all series share; without `times`, the
            step itself.
        times: The times at which any series has a row, in order: dates, or numbers.
        feature_names: The names of the features.
        unit: The unit of the values, as it is printed.
        image_shape: Rows and columns of what a sequence is, read row by row, where it is an image.
        missing: `error`: a missing value is refused; else batches say which values were observed. Values that were
            filled in (`interpolate`, `forward`, see `lstm_ae.data.missing`) count as observed.
        layout: Which columns of the user's table these are, as `from_frame` was told, for new rows of the same table.
        notes: What was left out or mended while reading, for the log.

    Raises:
        ValueError: some of these do not fit each other; the text names the argument, the rule and the value.

    Example:
        >>> data = SequenceData.from_arrays(np.random.default_rng(0).random((10, 50, 2)), scaling="minmax")
        >>> len(data), data.length, data.features
        (10, 50, 2)
    """

    values: Real[Tensor, "steps features"]
    starts: Int64[Tensor, " sequences"]
    lengths: int | Int[np.ndarray, " _"]
    test: Bool[np.ndarray, " _"]
    scaling: Scaling = field(default_factory=Scaling)
    labels: Int64[Tensor, " _"] | None = None
    classes: tuple[str, ...] = ()
    label_of_step: Bool[np.ndarray, " _"] | None = None
    series_of_step: Int[np.ndarray, " _"] | None = None
    series_names: tuple[str, ...] = ()
    time_of_step: Int[np.ndarray, " _"] | None = None
    times: Shaped[np.ndarray, " times"] | None = None
    feature_names: tuple[str, ...] = ()
    unit: str = "value"
    image_shape: tuple[int, int] | None = None
    missing: str = "error"
    layout: Mapping[str, Any] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.values.contiguous())  # read as rows of one block of memory
        if not self.feature_names:
            names = (f"feature {n}" for n in range(self.features)) if self.features > 1 else (self.unit,)
            object.__setattr__(self, "feature_names", tuple(names))
        if isinstance(self.lengths, np.ndarray) and len(self.lengths) and (self.lengths == self.lengths[0]).all():
            object.__setattr__(self, "lengths", int(self.lengths[0]))
        self._check()

    @staticmethod
    def from_frame(frame: "pd.DataFrame", **options: Any) -> "SequenceData":
        """Returns the sequences of a table, see `lstm_ae.data.frames.from_frame`."""
        from lstm_ae.data import frames

        return frames.from_frame(frame, **options)

    @staticmethod
    def from_arrays(x: Any, y: Sequence[Any] | np.ndarray | None = None, **options: Any) -> "SequenceData":
        """Returns the sequences of an array, or of a list of arrays, see `lstm_ae.data.frames.from_arrays`."""
        from lstm_ae.data import frames

        return frames.from_arrays(x, y, **options)

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        steps = f"{self.shortest} to {self.length}" if self.is_ragged else self.length
        names = ", ".join(self.feature_names[:SHOWN]) + (", ..." if self.features > SHOWN else "")
        return (
            f"SequenceData({len(self)} sequences, {int(self.test.sum())} of them test, of {steps} steps with "
            f"{self.features} features: {names})"
        )

    @property
    def features(self) -> int:
        """Values a time step."""
        return self.values.shape[1]

    @property
    def length(self) -> int:
        """Time steps of the longest sequence."""
        return self.lengths if isinstance(self.lengths, int) else int(self.lengths.max())

    @property
    def shortest(self) -> int:
        """Time steps of the shortest sequence."""
        return self.lengths if isinstance(self.lengths, int) else int(self.lengths.min())

    @property
    def is_ragged(self) -> bool:
        """Whether the sequences differ in length."""
        return not isinstance(self.lengths, int)

    @property
    def window(self) -> int | None:
        """Time steps of every sequence, where they are windows of longer series."""
        given: int | None = self.layout.get("window")
        return given if given or self.is_ragged or self.spans is None else self.length

    @property
    def has_holes(self) -> bool:
        """Whether values are missing."""
        return self.values.is_floating_point() and bool(self.values.isnan().any())

    @property
    def ends(self) -> Int[np.ndarray, " sequences"]:
        """The row after the last of each sequence."""
        return self.starts.numpy() + self.lengths

    @property
    def series(self) -> Int[np.ndarray, " sequences"] | None:
        """The series of each sequence."""
        return None if self.series_of_step is None else self.series_of_step[self.starts.numpy()]

    @property
    def spans(self) -> Int[np.ndarray, "sequences 2"] | None:
        """The first and the last time of each sequence; None where none comes after another of the same series."""
        if self.time_of_step is None:
            return None
        of_series = np.zeros(len(self), dtype=np.int64) if self.series is None else self.series
        if np.bincount(of_series).max() < 2:
            return None
        return np.stack([self.time_of_step[self.starts.numpy()], self.time_of_step[self.ends - 1]], axis=1)

    def steps_of(self, index: np.ndarray) -> Bool[np.ndarray, " steps"]:
        """Returns which rows of the table the sequences at `index` cover."""
        change = np.zeros(len(self.values) + 1, dtype=np.int64)
        np.add.at(change, self.starts.numpy()[index], 1)
        np.add.at(change, self.ends[index], -1)
        return np.cumsum(change[:-1]) > 0

    def fit_scaling(self, index: np.ndarray) -> FittedScaling:
        """Returns the scalers of all sequences, fitted on the steps that the sequences at `index` cover."""
        lengths = np.broadcast_to(self.lengths, len(self))
        seen = self.steps_of(index)
        return self.scaling.fit(self.values, self.starts, lengths, self.series_of_step, seen, self.place)

    def place(self, row: int) -> str:
        """Returns what errors call a row of `values`: with its series and its time, where it has them."""
        series = None if self.series_of_step is None else self.series_names[self.series_of_step[row]]
        time = None if self.time_of_step is None or self.times is None else self.times[self.time_of_step[row]]
        known = ", ".join(str(one) for one in (series, time) if one is not None)
        return f"row {row}" + (f" ({known})" if known else "")

    def sharing_steps(self, index: np.ndarray, others: np.ndarray) -> Bool[np.ndarray, " batch"]:
        """Returns which of the sequences at `index` have a time step in common with one of `others`."""
        # Covered rows before each row: a sequence shares one exactly where that count grows between its two ends.
        covered = np.concatenate([[0], np.cumsum(self.steps_of(others))])
        shared: np.ndarray = covered[self.ends[index]] > covered[self.starts.numpy()[index]]
        return shared

    def fingerprint(self) -> str:
        """Returns a hash of the values, the sequences, the labels, the times and the test subset."""
        digest = hashlib.blake2b(digest_size=16)
        labels = None if self.labels is None else self.labels.numpy()
        lengths = None if isinstance(self.lengths, int) else self.lengths
        arrays = (self.values.numpy(), self.starts.numpy(), lengths, self.test, labels, self.label_of_step,
                  self.series_of_step, self.time_of_step)  # fmt: skip
        for array in arrays:
            digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        digest.update(b"-" if self.times is None else np.ascontiguousarray(self.times).view(np.uint8).data)
        rest = (self.length, self.classes, self.series_names, self.feature_names, self.image_shape, self.scaling)
        digest.update(repr(rest).encode())
        return digest.hexdigest()

    def digest(self, index: np.ndarray) -> str:
        """Returns a short hash of the sequences at `index`, in any order: of their places and unscaled values."""
        ordered = np.sort(np.asarray(index, dtype=np.int64))
        digest = hashlib.sha256(ordered.tobytes())
        digest.update(np.ascontiguousarray(self.values[torch.from_numpy(self.steps_of(ordered))].numpy()).data)
        return digest.hexdigest()[:12]

    def _check(self) -> None:
        steps, count = len(self.values), len(self.starts)
        _require(count > 0, "starts", "name at least one sequence", count, "Use more data, or shorter sequences")
        checks.one_of("missing", self.missing, MISSING)
        if isinstance(self.lengths, np.ndarray):
            _require(len(self.lengths) == count, "lengths", f"have {count} values", len(self.lengths), "Mend lengths")
        checks.at_least("lengths", self.shortest, 1, cure="Leave out sequences without a step.")
        outside = bool(self.starts.min() < 0) or int(self.ends.max()) > steps
        _require(not outside, "starts", f"lie within the {steps} rows of `values`", "one beyond", "Mend starts")
        for name, wanted in (("test", count), ("labels", count), ("label_of_step", steps), ("series_of_step", steps),
                             ("time_of_step", steps)):  # fmt: skip
            value = getattr(self, name)
            each = "one a sequence" if wanted == count else "one a row"
            if value is not None:
                _require(len(value) == wanted, name, f"have {wanted} values, {each}", len(value), "Give one for each")
        _require_index("labels", self.labels, "classes", len(self.classes))
        _require_index("series_of_step", self.series_of_step, "series_names", len(self.series_names))
        if self.times is not None:
            _require_index("time_of_step", self.time_of_step, "times", len(self.times))
        names = self.feature_names
        _require(len(names) == self.features, "feature_names", f"have {self.features} names", len(names), "Name each")
        if self.image_shape is not None:
            area = self.length * self.features
            fits = not self.is_ragged and area == self.image_shape[0] * self.image_shape[1]
            _require(fits, "image_shape", f"hold the {area} values of a sequence", self.image_shape, "Use null")
        self._check_values()

    def _check_values(self) -> None:
        if not self.values.is_floating_point() or bool(self.values.isfinite().all()):
            return
        infinite = self.values.isinf()
        wrong, what = (infinite, "infinite") if infinite.any() else (self.values.isnan(), "missing (NaN)")
        if what == "infinite" or self.missing == "error":
            row, feature = (int(one) for one in wrong.nonzero()[0])
            cure = "Mend the data" if what == "infinite" else "Use dataset.missing=mask, or mend the data"
            raise ValueError(
                f"`values` must be finite, and {self.place(row)} of feature {self.feature_names[feature]!r} is {what} "
                f"({int(wrong.sum())} values are). {cure}."
            )
        void = self.values.isnan().all(dim=0)
        if void.any():
            name = self.feature_names[int(void.nonzero()[0])]
            raise ValueError(
                f"`values` must hold something of each feature, and {name!r} is all missing. Leave it out."
            )


def _require(fits: bool, name: str, rule: str, value: object, cure: str) -> None:
    if not fits:
        raise ValueError(f"`{name}` must {rule}, got {value}. {cure}.")


def _require_index(name: str, index: Any, of: str, count: int) -> None:
    """Refuses indices that have no name."""
    if index is not None and len(index) and (int(index.min()) < 0 or int(index.max()) >= count):
        low, high = int(index.min()), int(index.max())
        raise ValueError(f"`{name}` must lie in 0..{count - 1}, the places of `{of}`, got {low}..{high}. Mend {of}.")


class SequenceSubset:
    """Some sequences of a dataset, from which scaled batches are taken without a copy of the whole.

    Sequences of equal length without holes are gathered from a view of the table and pay nothing for masks. Others are
    padded with zeros to the dataset's longest, and come with `lengths`, `observed` and `target_observed`.

    Args:
        data: The dataset.
        index: Which of its sequences, in any order.
        scaling: The scalers of all its sequences, fitted on the training subset.

    Example:
        >>> from lstm_ae.data.toy import load_toy
        >>> data = load_toy(sequences=10, length=50, seed=0, test_share=0.2)
        >>> test = SequenceSubset(data, np.flatnonzero(data.test), data.fit_scaling(np.flatnonzero(~data.test)))
        >>> test.batch(torch.tensor([0, 1])).inputs.shape
        torch.Size([2, 50, 1])
    """

    def __init__(self, data: SequenceData, index: np.ndarray, scaling: FittedScaling) -> None:
        rows = torch.from_numpy(np.asarray(index, dtype=np.int64))
        self.data, self.index, self.scaling = data, index, scaling
        self._values, self._rows, self._starts = data.values, rows, data.starts[rows]
        lengths = data.lengths
        self._lengths = None if isinstance(lengths, int) else torch.from_numpy(lengths[index].astype(np.int64))
        self._labels = None if data.labels is None else data.labels[rows]
        self._shift, self._scale, self._row = scaling.shift, scaling.scale, scaling.row[rows]
        self._holes = data.has_holes
        self._windows = _windows(data.values, data.shortest)

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, positions: Int[Tensor, " batch"]) -> Batch:
        """Returns the scaled sequences at these positions."""
        positions = positions.to(self._starts.device)
        row, starts = self._row.index_select(0, positions), self._starts.index_select(0, positions)
        shift, scale = self._shift.index_select(0, row), self._scale.index_select(0, row)  # (batch, features)
        known = {
            "scale": scale,
            "labels": None if self._labels is None else self._labels.index_select(0, positions),
            "index": self._rows.index_select(0, positions),
            "starts": starts,
        }
        if self._lengths is None and not self._holes:
            raw = self._windows.index_select(0, starts).float()  # a copy: scaled in place
            return Batch(raw.sub_(shift.unsqueeze(1)).div_(scale.unsqueeze(1)), **known)
        return self._masked(positions, starts, shift, scale, known)

    def _masked(
        self, positions: Tensor, starts: Tensor, shift: Tensor, scale: Tensor, known: dict[str, Tensor | None]
    ) -> Batch:
        time = torch.arange(self.data.length, device=starts.device)
        lengths = None if self._lengths is None else self._lengths.index_select(0, positions)
        inside = torch.ones(len(starts), len(time), dtype=torch.bool, device=starts.device)
        if lengths is not None:
            inside = time < lengths.unsqueeze(1)
        steps = (starts.unsqueeze(1) + time).clamp(max=len(self._values) - 1)  # (batch, time)
        raw = self._values[steps].float()
        counts = inside.unsqueeze(2) & ~raw.isnan()
        scaled = torch.where(counts, (raw - shift.unsqueeze(1)) / scale.unsqueeze(1), 0.0)
        observed = counts if self._holes else None
        return Batch(scaled, observed=observed, target_observed=counts, lengths=lengths, **known)

    def unscaled(
        self, values: Float[Tensor, "batch any_time features"], positions: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch any_time features"]:
        """Returns values of the sequences at `positions`, back in the data's own unit."""
        row = self._row[positions]
        return values * self._scale[row].unsqueeze(1) + self._shift[row].unsqueeze(1)

    def windows_between(self, begin: int, end: int) -> "SequenceSubset":
        """Returns every window of the rows from `begin` to before `end`, of one series, scaled as this subset is.

        Raises:
            ValueError: the sequences are no windows.
        """
        data = self.data
        if data.window is None:
            raise ValueError("`dataset` must cut windows of one length, got whole series. Use dataset.window=48.")
        starts = torch.arange(begin, max(begin, end - data.window + 1))
        cut = dataclasses.replace(
            data, starts=starts, lengths=data.window, test=np.zeros(len(starts), dtype=bool), labels=None, classes=()
        )
        return SequenceSubset(cut, np.arange(len(starts)), self.scaling.of(data.values, starts, data.series_of_step))

    def to(self, device: str) -> "SequenceSubset":
        """Returns this subset with its data on `device`; on the device where they are already, itself."""
        if self._starts.device == torch.device(device):
            return self
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "_windows":  # that view, moved, would be copied window by window
                setattr(moved, name, value.to(device))
        moved._windows = _windows(moved._values, self.data.shortest)
        return moved


def coarser(subset: SequenceSubset, factor: int) -> SequenceSubset:
    """Returns the same images with each square of factor x factor pixels averaged into one.

    Raises:
        ValueError: the sequences are no images of single pixels, or `factor` does not divide their sides.
    """
    data = subset.data
    if data.image_shape is None or data.features != 1 or any(side % factor for side in data.image_shape):
        raise ValueError(
            f"`curriculum` needs images a pixel a step whose sides are multiples of {factor}, got sequences of "
            f"{data.length} steps with {data.features} values. Use curriculum=null, or dataset=mnist_pixels."
        )
    images = data.values.view(-1, 1, *data.image_shape)
    pooled = torch.cat([F.avg_pool2d(some.float(), factor) for some in torch.split(images, 10_000)])
    length = data.length // factor**2
    rows, columns = (side // factor for side in data.image_shape)
    starts = torch.arange(len(data)) * length
    values = pooled.reshape(-1, 1)
    smaller = dataclasses.replace(data, values=values, starts=starts, lengths=length, image_shape=(rows, columns))
    return SequenceSubset(smaller, subset.index, subset.scaling)


def _windows(values: Tensor, length: int) -> Tensor:
    """Returns a view (steps - length + 1, length, features): the stretch that begins at each row."""
    steps, features = values.shape
    return values.as_strided((steps - length + 1, length, features), (features, features, 1))
