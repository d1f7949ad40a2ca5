"""What models and baselines read."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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


def present(value: Tensor | None, what: str) -> Tensor:
    """Returns a value that a batch or an output may lack.

    Raises:
        ValueError: it does.
    """
    if value is None:
        raise ValueError(f"The {what} are missing: the dataset or the model has none. Use a task that needs none.")
    return value
