"""Sequences that training did not see: columns are found by name, rows are ordered and cut as in training."""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lstm_ae.data.columns import numbers
from lstm_ae.data.missing import filled
from lstm_ae.data.rescaling import Rescaling, Scaled
from lstm_ae.data.rows import in_order
from lstm_ae.data.times import Place, TimeReader
from lstm_ae.data.wide import cells, long_form, require_once

BATCH = 1024  # sequences: as many as the trainer evaluates at once


@dataclass(frozen=True)
class Sequences:
    """Sequences of one's own, in their own units.

    Attributes:
        values: Of each, (time, features); NaN is a missing value.
        names: What each is called in messages.
        is_array: Whether they were given as one array, and results are one too.
        series: The name of each one's series, where the table has a column of them.
        rows: Where the steps of each stand in the table.
        labels: The class of each.
    """

    values: list[Tensor]
    names: list[str]
    is_array: bool
    series: list[str] | None = None
    rows: list[np.ndarray] = field(default_factory=list)
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def only(self, places: Sequence[int]) -> "Sequences":
        """Returns the sequences at these places, without where their steps stand in the table."""
        return Sequences(
            [self.values[place] for place in places],
            [self.names[place] for place in places],
            self.is_array,
            None if self.series is None else [self.series[place] for place in places],
            labels=None if self.labels is None else self.labels[places],
        )

    def require(self, steps: int) -> None:
        """Refuses sequences that are shorter than those of training.

        Raises:
            ValueError: one has fewer than so many steps.
        """
        for name, values in zip(self.names, self.values, strict=True):
            if len(values) < steps:
                raise ValueError(
                    f"A sequence must have at least {steps} steps, as those of training, and {name} has {len(values)}. "
                    "Leave it out."
                )


@dataclass(frozen=True)
class Schema:
    """What a trained model knows of its data.

    Attributes:
        feature_names: In the model's order.
        unit: Of the values.
        classes: Names of the classes.
        missing: As in training, see `lstm_ae.data.missing`.
        length: Steps of the longest sequence of training.
        window: Steps of the windows that it was trained on; None: whole sequences.
        layout: The columns `series`, `time` and `label` of its table, the `stride` of its windows, and in a wide table
            the columns of each feature's `steps`, and whether its rows are `numbered`: they have no name of their own.
        scaler: How its values were scaled.
    """

    feature_names: tuple[str, ...]
    unit: str
    classes: tuple[str, ...]
    missing: str
    length: int
    window: int | None
    layout: Mapping[str, Any]
    scaler: Rescaling

    @property
    def needs_whole_series(self) -> bool:
        """Whether a chunk of a series is not enough: it is one sequence, interpolated, or scaled by its first rows."""
        return self.window is None or self.missing == "interpolate" or "first_rows" in self.scaler.stored

    def read(self, x: Any, y: Sequence[Any] | np.ndarray | None = None) -> Sequences:
        """Returns sequences from an array, a list of arrays, or a table in the training layout.

        Args:
            x: (sequences, time, features); or a list of (time, features); without a last axis they have one feature.
                Or a DataFrame: rows of a series are put in the order of time, and cut into windows as in training.
                Or what was read before.
            y: The class of each sequence; None: the table's label column, where there is one.

        Raises:
            ValueError: a column is missing, the number of features is another, or a value cannot be used.
        """
        if isinstance(x, pd.DataFrame):
            x = self.long(x)
            x = self.labelled(self.windows(self.series_of(x)), x)
        found = x if isinstance(x, Sequences) else self._arrays(x)
        if y is not None:
            if len(y) != len(found):
                raise ValueError(f"`y` must hold a class for each of the {len(found)} sequences, got {len(y)}.")
            found = dataclasses.replace(found, labels=self._codes(pd.Series(np.asarray(y)), "y"))
        return found

    def long(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Returns a table with a measurement a row: a wide one's rows keep their index, which then repeats.

        Where the rows have no names, the index names them.
        """
        steps = self.layout.get("steps")
        if steps is None:
            return frame
        series, label, numbered = (self.layout[name] for name in ("series", "label", "numbered"))
        kept = [name for name in (None if numbered else series, label) if name in frame]
        columns = _columns(frame, [*(name for group in steps.values() for name in group), None if numbered else series])
        place = _place(frame)
        read = {name: numbers(frame[columns[name]], name, place) for group in steps.values() for name in group}
        found, of_row = long_form(cells(read, steps), list(steps), place)
        for name in kept:
            found[name] = frame[name].array[of_row]
        if not numbered:
            require_once(frame[series], place)
        else:
            found[series] = frame.index.astype(str).to_numpy()[of_row]
        return found.set_index(frame.index[of_row])

    def series_of(self, frame: pd.DataFrame) -> Sequences:
        """Returns the whole series of a table with a measurement a row, without labels."""
        series, time = self.layout.get("series"), self.layout.get("time")
        columns = _columns(frame, [*self.feature_names, series, time])
        series, time = (None if name is None else columns[name] for name in (series, time))
        table = in_order(frame, series, time, [columns[name] for name in self.feature_names], _place(frame))
        values = filled(table.values, table.begins, self.missing, table.clock)
        order = np.arange(len(values)) if table.order is None else table.order
        called = ["x" if series is None else table.series_names[table.series_of_step[begin]] for begin in table.begins]
        tensors = [
            self.checked(torch.from_numpy(part), name)
            for part, name in zip(np.split(values, table.begins[1:]), called, strict=True)
        ]
        if series is not None:
            for name, one in zip(called, tensors, strict=True):
                self.scaler.see(name, one)
        parts = np.split(order, table.begins[1:])
        return Sequences(tensors, called, False, None if series is None else called, parts)

    def clock(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Returns the times of a table's rows; None where it has no column of them."""
        time = self.layout.get("time")
        return None if time is None else TimeReader(time).read(frame[time], _place(frame))

    def windows(self, whole: Sequences) -> Sequences:
        """Returns windows of series, as in training; the series themselves where it knew none."""
        if self.window is None:
            return whole
        whole.require(self.window)
        stride = int(self.layout.get("stride") or 1)
        places = [
            (place, start)
            for place in range(len(whole))
            for start in range(0, len(whole.values[place]) - self.window + 1, stride)
        ]
        return Sequences(
            [whole.values[place][start : start + self.window] for place, start in places],
            [f"{whole.names[place]}, window {start}" for place, start in places],
            True,
            None if whole.series is None else [whole.series[place] for place, _ in places],
            [whole.rows[place][start : start + self.window] for place, start in places],
        )

    def labelled(self, found: Sequences, frame: pd.DataFrame) -> Sequences:
        """Returns sequences of a table with the classes of its label column; as they are where it has none.

        Raises:
            ValueError: a label is no class of training.
        """
        label = self.layout.get("label")
        if label is None or not self.classes or str(label) not in {str(name) for name in frame.columns}:
            return found
        codes = self._codes(frame[label].iloc[[rows[0] for rows in found.rows]], str(label))
        return dataclasses.replace(found, labels=codes)

    def batches(self, found: Sequences, takes_lengths: bool) -> Iterator[tuple[np.ndarray, Scaled]]:
        """Yields batches with the places of their sequences, the short ones first.

        Args:
            found: What was read.
            takes_lengths: Whether the model reads padded batches; else a batch holds sequences of one length.
        """
        lengths = np.array([len(one) for one in found.values])
        order = np.argsort(lengths, kind="stable")
        cuts = set(range(0, len(order), BATCH))
        if not takes_lengths:
            cuts |= set((np.flatnonzero(np.diff(lengths[order])) + 1).tolist())
        for places in np.split(order, sorted(cuts - {0})):
            own = torch.from_numpy(lengths[places])
            raw = pad_sequence([found.values[place] for place in places], True, torch.nan)
            named = None if found.series is None else [found.series[place] for place in places]
            labels = None if found.labels is None else found.labels[places]
            is_ragged = bool((own != own[0]).any())
            yield places, self.scaler.batch(raw, own if is_ragged else None, named, labels)

    def _arrays(self, x: Any) -> Sequences:
        is_array = not isinstance(x, list | tuple)
        count = len(self.feature_names)
        parts = [np.asarray(one, dtype=np.float32) for one in x]
        parts = [one[:, None] if one.ndim == 1 and count == 1 else one for one in parts]
        if not parts:
            raise ValueError("`x` must hold at least one sequence, got none.")
        for place, one in enumerate(parts):
            if one.ndim != 2 or one.shape[1] != count or not len(one):
                names = ", ".join(self.feature_names)
                raise ValueError(
                    f"`x` must hold sequences of the shape (time, {count}), the features being {names}, and x[{place}] "
                    f"has the shape {one.shape}. A single sequence is passed as [sequence]."
                )
        parts = [filled(one, np.zeros(1, dtype=np.int64), self.missing) for one in parts]
        called = [f"x[{place}]" for place in range(len(parts))]
        values = [self.checked(torch.from_numpy(np.require(one, np.float32, ["C", "W"])), name)
                  for one, name in zip(parts, called, strict=True)]  # fmt: skip
        return Sequences(values, called, is_array)

    def checked(self, values: Tensor, name: str) -> Tensor:
        """Returns the values, where the model can read them."""
        if bool(values.isfinite().all()):
            return values
        wrong, what = (values.isinf(), "infinite") if values.isinf().any() else (values.isnan(), "missing")
        if what == "infinite" or self.missing == "error":
            step, feature = (int(one) for one in wrong.nonzero()[0])
            cure = "Mend the data." if what == "infinite" else "Train with missing=mask, or fill it in."
            raise ValueError(
                f"Step {step} of {name} must be a number, and {self.feature_names[feature]!r} is {what}. {cure}"
            )
        return values

    def _codes(self, labels: pd.Series, called: str) -> Tensor:
        known = {name: place for place, name in enumerate(self.classes)}
        for label in labels.unique().tolist():
            if str(label) not in known:
                raise ValueError(
                    f"`{called}` must hold classes of training, got {label!r}. They were: {', '.join(self.classes)}."
                )
        return torch.tensor([known[str(label)] for label in labels], dtype=torch.int64)


def _columns(frame: pd.DataFrame, wanted: Sequence[str | None]) -> dict[str, Any]:
    """Returns the columns of a table by their names as text.

    Raises:
        ValueError: it lacks one, or has no rows.
    """
    columns = {str(name): name for name in frame.columns}
    for name in wanted:
        if name is not None and name not in columns:
            near = difflib.get_close_matches(name, list(columns), n=1)
            cure = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(columns)}."
            raise ValueError(f"The table must have the column {name!r}, as the one of training had. {cure}")
    if not len(frame):
        raise ValueError("The table must have rows, got none. Name a table that holds some.")
    return columns


def _place(frame: pd.DataFrame) -> Place:
    return lambda row: f"row {frame.index[row]}"
