"""Errors of new sequences, as sums that are exact, and of a signal's steps as they come in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.data.missing import filled
from lstm_ae.data.unseen import BATCH, Schema
from lstm_ae.tasks.overlapping import MeanOverWindows

MANTISSA = 52  # bits of a double
RESOLUTION = 24  # bits below a typical error: those of the float32 numbers that models compute in

#: From rows to the errors of their windows (batch, target time, features), and the step at which targets begin.
WindowErrors = Callable[[Tensor], tuple[Tensor, int]]


@dataclass(frozen=True)
class Scores:
    """Errors of sequences: the task's own, such as squared errors of scaled values, 0 where nothing counts.

    `values.sum()`, `steps.sum()` and `features.sum()` of a sequence are its score, to the last bit and in any order.
    An array where the sequences were given as one, else a list.

    Attributes:
        sequences: The score of each, (sequences,).
        steps: Of each time step, (sequences, time); None where the task has one error a sequence.
        features: Of each feature, (sequences, features).
        values: Of each step and feature, (sequences, time, features).
        own: The errors of the steps themselves, where the values are made of those of windows as well; as `values`.
        names: What each sequence is called: its series, or its place.
    """

    sequences: np.ndarray
    steps: Any = None
    features: np.ndarray | None = None
    values: Any = None
    own: Any = None
    names: tuple[str, ...] = ()


def grid(typical: float) -> float:
    """Returns the power of two to whose multiples errors are rounded, so that sums of them are exact."""
    return float(2.0 ** (np.floor(np.log2(typical)) - RESOLUTION))


def rounded(values: Float[np.ndarray, "..."], step: float) -> Float[np.ndarray, "..."]:
    """Returns values rounded to multiples of `step`, a power of two.

    Sums of such values are exact in double precision, in any order, up to 2^52 steps.
    """
    return np.round(values / step) * step


def summed(values: Float[np.ndarray, "time features"], step: float) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Returns a sequence's score, and those of its steps, features and values, which add up exactly.

    Args:
        values: Errors.
        step: They are rounded to multiples of it; of a coarser power of two where a score beyond 2^52 steps needs it.
    """
    total = float(values.sum())
    if np.isfinite(total) and total > step * 2.0**MANTISSA:
        step = float(2.0 ** (np.ceil(np.log2(total)) - MANTISSA))
    exact = rounded(values, step)
    steps = exact.sum(axis=1)
    return float(steps.sum()), steps, exact.sum(axis=0), exact


@dataclass(frozen=True)
class StepScores:
    """Errors of consecutive time steps.

    Attributes:
        first: The first of them, counted from 0.
        values: (steps, features).
        own: (steps, features), of the steps themselves, where the values are made of the errors of windows as well.
    """

    first: int
    values: np.ndarray
    own: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """The score of each step."""
        scores: np.ndarray = self.values.sum(axis=1)
        return scores


class Stream:
    """Scores a signal's time steps as its rows come in, as `Trained.score_samples` scores the whole signal.

    A step's error is the mean over all windows whose targets contain it, so that its score is known when the last of
    these is complete: `window - 1` rows later, and at once where a window's last step is its only target. It does not
    depend on how the rows are cut into chunks, nor on what came before the `window - 1` rows before it. Where training
    filled in missing values with the value before, so does the stream.

    Args:
        schema: What the model knows of its data.
        errors: From rows to the errors of their windows.
        window: Rows of each.
        step: Errors are rounded to multiples of it.
        called: The name of the signal in messages.
        combined: From the mean errors of steps to the parts of their scores, of a task that scores steps; those near
            the signal's ends then have 0, the lowest, else the mean of the windows that there are.
    """

    def __init__(
        self,
        schema: Schema,
        errors: WindowErrors,
        window: int,
        step: float,
        called: str,
        combined: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.window = window
        self._combined = combined
        self._schema, self._errors, self._step, self._called = schema, errors, step, called
        self._held: Tensor
        self._last: Tensor
        self._means: MeanOverWindows
        self._none: np.ndarray
        self._begin()

    def update(self, row: Any) -> tuple[int, float] | None:
        """Takes in one row, and returns the latest time step that is known with its score; None before the first.

        Args:
            row: A value for each feature, in the model's order; or by name, as a mapping or a `pandas.Series`.
        """
        if hasattr(row, "keys"):
            row = self._by_name(row)
        found = self.extend(np.asarray(row, dtype=np.float32).reshape(1, -1))
        return (self._means.known - 1, float(found.steps[-1])) if len(found.values) else None

    def extend(self, rows: Any) -> StepScores:
        """Takes in rows (rows, features), and returns the errors of all steps that are then known."""
        values = torch.from_numpy(np.require(rows, np.float32, ["C", "W"]))
        count = len(self._schema.feature_names)
        if values.ndim != 2 or values.shape[1] != count:
            names = ", ".join(self._schema.feature_names)
            raise ValueError(f"A row must hold {count} values ({names}), got rows of the shape {tuple(values.shape)}.")
        values = self._schema.checked(self._filled(values), self._called)
        held = torch.cat([self._held, values])
        self._last = torch.cat([self._last, values])[-1:]
        first, complete = self._means.known, len(held) - self.window + 1
        found = [
            self._means.add(*self._errors(held[begin : min(begin + BATCH, complete) + self.window - 1]))
            for begin in range(0, complete, BATCH)
        ]
        self._held = held[max(0, complete) :].clone()
        return self._scores(first, np.concatenate([self._none, *found]))

    def finish(self) -> StepScores:
        """Returns the errors of the signal's last steps, of the windows that there are, and begins anew."""
        found = self._scores(self._means.known, self._means.finish(len(self._held)))
        self._begin()
        return found

    def require(self, rows: int) -> None:
        """Refuses a signal of which no step has a score, as none lies in all the windows that it is the mean over.

        Args:
            rows: Of the signal, of which those that make a window have been taken in.

        Raises:
            ValueError: it is too short.
        """
        least = self.window + (0 if self._combined is None else self._means.targets - 1)
        if rows < least:
            full = f"so that a step lies in all its windows of {self.window}"
            why = "the window of training" if least == self.window else full
            raise ValueError(f"A series must have {least} rows, {why}, and {self._called} has {rows}. Leave it out.")

    def _begin(self) -> None:
        features = len(self._schema.feature_names)
        self._held = torch.empty(0, features)  # rows of windows that are not complete
        self._last = torch.full((1, features), torch.nan)  # the last row, filled in
        errors = features * (1 if self._combined is None else 2)
        self._means = MeanOverWindows(self.window, errors, partial=self._combined is None)
        self._none = np.empty((0, errors))

    def _scores(self, first: int, errors: np.ndarray) -> StepScores:
        parts = errors if self._combined is None else self._combined(errors)
        return StepScores(first, rounded(parts, self._step), errors[:, : parts.shape[1]])

    def _filled(self, values: Tensor) -> Tensor:
        """Returns rows whose holes have the value before, where training filled in so."""
        if self._schema.missing != "forward" or not bool(values.isnan().any()):
            return values
        known = torch.cat([self._last, values]).numpy()
        return torch.from_numpy(filled(known, np.zeros(1, dtype=np.int64), "forward")[1:])

    def _by_name(self, row: Any) -> list[float]:
        missing = [name for name in self._schema.feature_names if name not in row.keys()]  # noqa: SIM118  # of pandas
        if missing:
            raise ValueError(f"A row must hold {', '.join(self._schema.feature_names)}, and {missing[0]!r} is missing.")
        return [float(row[name]) for name in self._schema.feature_names]
