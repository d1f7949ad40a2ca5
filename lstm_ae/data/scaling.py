"""Scaling: each value less a shift, over a scale. Fitted on the training subset's time steps and on nothing else."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Real
from torch import Tensor

from lstm_ae import checks

METHODS = ("none", "fixed", "minmax", "standard", "relative")


@dataclass(frozen=True)
class FittedScaling:
    """scaled = (value - shift) / scale.

    Attributes:
        shift: A row for each scaler.
        scale: The same.
        row: The row that belongs to each sequence.
        stored: What a new sequence is scaled by: what scaler.npz holds, see `Scaling.fit`.
    """

    shift: Float[Tensor, "scalers features"]
    scale: Float[Tensor, "scalers features"]
    row: Int64[Tensor, " sequences"]
    stored: dict[str, np.ndarray]

    def of(
        self,
        values: Real[Tensor, "steps features"],
        starts: Int64[Tensor, " others"],
        series_of_step: Int[np.ndarray, " steps"] | None,
    ) -> "FittedScaling":
        """Returns the scalers of other sequences of the same table, fitted as these are."""
        if self.stored["method"] == "relative":
            first = values[starts].nan_to_num(1.0).float()
            largest = torch.from_numpy(self.stored["scale"])
            return FittedScaling(first, first * largest, torch.arange(len(starts)), self.stored)
        row = torch.zeros_like(starts)
        if len(self.shift) > 1 and series_of_step is not None:
            row = torch.from_numpy(np.asarray(series_of_step, dtype=np.int64))[starts]
        return FittedScaling(self.shift, self.scale, row, self.stored)


@dataclass(frozen=True)
class Scaling:
    """How the values of a dataset are scaled. Missing values (NaN) are passed over.

    Attributes:
        method: `minmax`: to [0, 1]; `standard`: to mean 0 and deviation 1; `relative`: each sequence over its own first
            step, less one, so that it begins at 0 (a price's change since the window's first day), and over the largest
            such change in training, so that what a decoder bounded by tanh can return is enough; `fixed`: by `shift`
            and `scale` below; `none`.
        per: `pooled`: one scaler for all series; `series`: a scaler a series, of `minmax` and `standard`.
        first_rows: What a series gets, with a scaler a series, of which training shows nothing, be it that the data are
            split by series or by time: a scaler fitted on its own first so many rows; None: the pooled one.
        shift: Subtracted where the method is `fixed`.
        scale: Divided by where the method is `fixed`.
        sees: `training` steps only, or `everything`, which lets the test part leak into the scale.
    """

    method: str = "none"
    per: str = "pooled"
    shift: float = 0.0
    scale: float = 1.0
    sees: str = "training"
    first_rows: int | None = None

    def __post_init__(self) -> None:
        checks.one_of("scaling", self.method, METHODS)
        checks.one_of("scaling_per", self.per, ("pooled", "series"))
        checks.one_of("scaler_sees", self.sees, ("training", "everything"))
        if self.first_rows is not None:
            checks.at_least("unseen", self.first_rows, 2, cure="Use unseen=pooled, or 2 rows or more.")

    def fit(
        self,
        values: Real[Tensor, "steps features"],
        starts: Int64[Tensor, " sequences"],
        lengths: Int[np.ndarray, " sequences"],
        series_of_step: Int[np.ndarray, " steps"] | None,
        seen: Bool[np.ndarray, " steps"],
        place: Callable[[int], str] = "row {}".format,
    ) -> FittedScaling:
        """Returns the scalers of all sequences, fitted on the rows of the table that `seen` marks.

        `stored` holds `method`, the pooled `shift` and `scale` (features,), and with a scaler a series
        `series_shift` and `series_scale` (series, features), and where a new series gets a scaler of its own first
        rows, their number `first_rows`.

        `place` names a row in errors.

        Raises:
            ValueError: nothing was seen, or the first step of a sequence is 0 where the method is `relative`.
        """
        if self.sees == "everything":
            seen = np.ones_like(seen)
        method = {"method": np.array(self.method)}
        if self.method == "relative":
            first, largest = _relative(values.float(), starts, lengths, seen, place)
            stored = method | {"shift": np.zeros_like(largest.numpy()), "scale": largest.numpy()}
            return FittedScaling(first, first * largest, torch.arange(len(starts)), stored)
        if self.method in ("none", "fixed"):
            by = (self.shift, self.scale) if self.method == "fixed" else (0.0, 1.0)
            shift, scale = (np.full((1, values.shape[1]), value, dtype=np.float32) for value in by)
        else:
            series = None if self.per == "pooled" else series_of_step
            shift, scale = _by_series(values.numpy(), series, seen, self.method, self.first_rows or 0)
        stored = method | {"shift": shift[-1], "scale": scale[-1]}
        if len(shift) > 1 and series_of_step is not None:
            stored |= {"series_shift": shift[:-1], "series_scale": scale[:-1]}
            stored |= {"first_rows": np.array(self.first_rows)} if self.first_rows else {}
        fitted = FittedScaling(torch.from_numpy(shift), torch.from_numpy(scale), torch.zeros_like(starts), stored)
        return fitted.of(values, starts, series_of_step)


def _relative(
    values: Tensor, starts: Tensor, lengths: np.ndarray, seen: np.ndarray, place: Callable[[int], str]
) -> tuple[Tensor, Tensor]:
    """Returns the first value of each sequence (its first that is not missing), and the largest change in training."""
    first = values[starts].clone()
    for offset in range(1, int(lengths.max())):
        if not first.isnan().any():
            break
        inside = torch.from_numpy(lengths > offset).unsqueeze(1)
        later = values[(starts + offset).clamp(max=len(values) - 1)]
        first = torch.where(first.isnan() & inside, later, first)
    if (first == 0).any():
        sequence, feature = (int(one) for one in (first == 0).nonzero()[0])
        begins = place(int(starts[sequence]))
        raise ValueError(
            f"`scaling=relative` divides by the first step of a sequence, and that of feature {feature} is 0 in the "
            f"sequence that begins at {begins}. Use minmax, or mend the data."
        )
    first = first.nan_to_num(1.0)  # of a feature that a whole sequence lacks
    unseen_before = np.concatenate([[0], np.cumsum(~seen)])
    begin = starts.numpy()
    trained = unseen_before[begin + lengths] == unseen_before[begin]
    largest = torch.zeros(values.shape[1])
    for offset in range(int(lengths.max())):
        there = torch.from_numpy(trained & (lengths > offset))
        change = (values[starts[there] + offset] / first[there] - 1).abs().nan_to_num(0.0)
        largest = torch.maximum(largest, change.amax(dim=0)) if len(change) else largest
    largest[largest == 0] = 1.0
    return first, largest


def _by_series(
    values: np.ndarray,
    series: np.ndarray | None,
    seen: np.ndarray,
    method: str,
    first_rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (series + 1, features) shifts and scales: of each series where there are several, and last the pooled."""
    if not seen.any():
        raise ValueError("`scaling` has no training values to be fitted on. Use a larger training part.")
    order = np.zeros(0, dtype=np.int64) if series is None else np.argsort(series, kind="stable")
    n_series = 0 if series is None else int(series.max()) + 1
    ends = np.zeros(1, dtype=np.int64) if series is None else np.cumsum(np.bincount(series))
    shift, scale = (np.tile(part, (n_series + 1, 1)).astype(np.float32) for part in fitted_on(values[seen], method))
    for one in range(n_series):
        place = order[ends[one - 1] if one else 0 : ends[one]]
        known = place[seen[place]]
        rows = values[known if len(known) else place[:first_rows]]
        if len(rows):
            own = fitted_on(rows, method)
            known = ~np.isnan(own[0])
            shift[one, known], scale[one, known] = own[0][known], own[1][known]
    return np.nan_to_num(shift, nan=0.0), np.nan_to_num(scale, nan=1.0)


def fitted_on(rows: Real[np.ndarray, "rows features"], method: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shift and the scale of each feature: NaN where the rows have nothing of it.

    Args:
        rows: What is seen; NaN where a value is missing.
        method: `minmax` or `standard`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature of which there is nothing
        if method == "minmax":
            shift = np.nanmin(rows, axis=0)
            scale = np.nanmax(rows, axis=0) - shift
        else:
            shift, scale = np.nanmean(rows, 0, np.float64), np.nanstd(rows, 0, np.float64)
    return shift, np.where(scale == 0, 1, scale)  # a constant series is centred, not divided
