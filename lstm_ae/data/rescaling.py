"""Scaling of sequences that training did not see: by the scalers that it fitted."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lstm_ae.data.scaling import fitted_on
from lstm_ae.types import Batch, present

POOLED = -1  # the scaler of a series that training did not see


@dataclass(frozen=True)
class Scaled:
    """A batch as a model reads it, and the way back to the data's own units.

    Attributes:
        batch: Scaled values.
        shift: What was subtracted from them, (batch, features).
    """

    batch: Batch
    shift: Tensor

    def unscaled(self, values: Float[Tensor, "batch any_time features"]) -> Float[Tensor, "batch any_time features"]:
        """Returns what a model gave back, in the data's own units."""
        return values * present(self.batch.scale, "scales").unsqueeze(1) + self.shift.unsqueeze(1)


@dataclass(frozen=True)
class Rescaling:
    """The scalers of a training.

    Attributes:
        stored: What scaler.npz holds, see `lstm_ae.data.scaling.Scaling.fit`.
        series_names: Of the series that have a scaler of their own, where `stored` holds any.
        own: The shift and the scale of each series that training did not see and that is scaled by its own first rows.
    """

    stored: Mapping[str, np.ndarray]
    series_names: tuple[str, ...] = ()
    own: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """How values are scaled: `standard`, `relative` and so on."""
        return str(self.stored["method"])

    def see(self, series: str, values: Float[Tensor, "steps features"]) -> None:
        """Fits a scaler to the first rows of a series that training did not see, where the dataset is scaled so.

        A feature that these rows lack has the pooled scaler.
        """
        if "first_rows" in self.stored and series not in self.series_names:
            found = fitted_on(values[: int(self.stored["first_rows"])].numpy(), self.method)
            shift, scale = (torch.from_numpy(one.astype(np.float32)) for one in found)
            there = ~shift.isnan()
            self.own[series] = (
                torch.where(there, shift, self._pooled("shift")),
                torch.where(there, scale, self._pooled("scale")),
            )

    def batch(
        self,
        raw: Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
        series: Sequence[str] | str | None = None,
        labels: Tensor | None = None,
    ) -> Scaled:
        """Returns values as the model reads them.

        `index` and `starts` are 0: what a task draws, and so a score, does not depend on a sequence's place.

        Args:
            raw: In their own units; NaN is a missing value or padding.
            lengths: Steps of each sequence, where they differ.
            series: The series of each, or of all.
            labels: The class of each.
        """
        shift, scale = self._scalers(raw, series)
        if not torch.onnx.is_in_onnx_export():  # there it would take eighteen nodes, and values are spread in any case
            shift, scale = (one.expand(raw.shape[0], -1) for one in (shift, scale))
        scaled = raw.sub(shift.unsqueeze(1)).div_(scale.unsqueeze(1))
        zeros = torch.zeros(raw.shape[0], dtype=torch.int64)
        batch = Batch(scaled, lengths=lengths, labels=labels, scale=scale, index=zeros, starts=zeros)
        counts = ~raw.isnan()
        if lengths is not None or not bool(counts.all()):
            scaled = torch.where(counts, scaled, 0.0)
            batch = dataclasses.replace(batch, inputs=scaled, target_observed=counts)
            inside = torch.ones_like(counts) if lengths is None else present(batch.there, "steps")
            if not bool((inside == counts).all()):
                batch = dataclasses.replace(batch, observed=counts)
        return Scaled(batch, shift)

    def windows(self, rows: Float[Tensor, "steps features"], window: int | None, series: str | None = None) -> Scaled:
        """Returns all windows of consecutive rows as the model reads them: as `batch`, scaled before they are cut."""
        windows = rows.unfold(0, window or len(rows), 1).transpose(1, 2)
        if self.method == "relative" or bool(rows.isnan().any()):
            return self.batch(windows, series=series)
        shift, scale = self._scalers(windows[:1], series)
        cut = rows.sub(shift).div_(scale).unfold(0, windows.shape[1], 1).transpose(1, 2)
        zeros = torch.zeros(len(cut), dtype=torch.int64)
        scale = scale.expand(len(cut), -1)
        return Scaled(Batch(cut, scale=scale, index=zeros, starts=zeros), shift.expand(len(cut), -1))

    def _scalers(self, raw: Tensor, series: Sequence[str] | str | None) -> tuple[Tensor, Tensor]:
        """Returns shifts and scales, (batch, features), or (1, features) where all have the same."""
        shift, scale = (self._pooled(name).view(1, -1) for name in ("shift", "scale"))
        if self.method == "relative":
            known = (~raw.isnan()).int().argmax(dim=1, keepdim=True)  # the first step that is not missing
            first = raw.gather(1, known).squeeze(1).nan_to_num(1.0)
            if (first == 0).any():
                raise ValueError("The model was trained with scaling=relative: no sequence may begin with 0.")
            return first, first * scale
        if series is not None and "series_shift" in self.stored:
            known_names = {name: place for place, name in enumerate(self.series_names)}
            names = [series] if isinstance(series, str) else series
            rows = [known_names.get(name, POOLED) for name in names]
            both = ((name, pooled) for name, pooled in (("series_shift", shift), ("series_scale", scale)))
            shift, scale = (torch.cat([torch.from_numpy(self.stored[name]), pooled])[rows] for name, pooled in both)
            for row, name in enumerate(names):
                if name in self.own:
                    shift[row], scale[row] = self.own[name]
        return shift, scale

    def _pooled(self, name: str) -> Tensor:
        return torch.from_numpy(self.stored[name]).float()
