"""Scores, alarms and their measures of whole signals, from the windows of a subset."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from lstm_ae.anomaly.events import alarms, events
from lstm_ae.anomaly.measures import vus
from lstm_ae.anomaly.period import period
from lstm_ae.tasks.overlapping import MeanOverWindows
from lstm_ae.types import Evaluated, Metric, Subset, Task, present

METRICS = (
    Metric("vus_pr", "area", higher_is_better=True),
    Metric("vus_roc", "area", higher_is_better=True),
    Metric("alarms", "alarms"),
)
BATCH = 1024  # windows at once
SMALLEST_ERROR = 1e-6  # of scaled values: a feature that never changes is not divided by less
BLAMED = 3  # features of an alarm


class Windowed(Subset, Protocol):
    """A subset of windows that can be cut anew."""

    def windows_between(self, begin: int, end: int) -> Subset: ...  # noqa: D102


def covered(subset: Subset) -> np.ndarray:
    """Returns which rows of the table the sequences of a subset cover."""
    data: Any = subset.data
    rows: np.ndarray = data.steps_of(subset.index)
    return rows


def step_seconds(data: Any) -> float | None:
    """Returns the median time between two steps; None without dates."""
    times = getattr(data, "times", None)
    if times is None or not np.issubdtype(np.asarray(times).dtype, np.datetime64) or len(times) < 2:
        return None
    return float(np.median(np.diff(times) / np.timedelta64(1, "s")))


class Scored:
    """The scores of a run's signals.

    Attributes:
        error_scale: What the error of each feature is divided by: features x its mean on validation data.
        calibration: Scores of each stretch of validation data, in which no window reaches beyond it.
        calibration_labels: Their labels, where there are any.
        signals: First and last row of the series that are reported on: all, or where test is left alone the validation
            stretches.
        contributions: Of each of these, (steps, features): parts of the score.
    """

    def __init__(self, task: Task, evaluated: Evaluated) -> None:
        self.task, self._answer = task, evaluated["validation"].answers["model"]
        self._subset: Any = evaluated["validation"].subset
        self.data: Any = self._subset.data
        self.step_seconds = step_seconds(self.data)
        series = self.data.series_of_step
        same = np.zeros(len(self.data.values), dtype=int) if series is None else series
        borders = np.flatnonzero(np.diff(same, prepend=-1))
        whole = list(zip(borders.tolist(), [*borders[1:].tolist(), len(same)], strict=True))
        inside = events(covered(self._subset)).tolist()
        stretches = [(max(a, c), min(b, d)) for a, b in whole for c, d in inside if max(a, c) < min(b, d)]
        errors = [self._errors(begin, end) for begin, end in stretches]
        usual = np.concatenate(errors).mean(axis=0)
        self.error_scale = len(usual) * np.maximum(usual, SMALLEST_ERROR)
        self.calibration = [(one / self.error_scale).sum(axis=1) for one in errors]
        flags = self.data.label_of_step
        self.calibration_labels = [] if flags is None else [flags[begin:end] for begin, end in stretches]
        tested = evaluated.judged == "test"
        self.signals = whole if tested else stretches
        errors = [self._errors(begin, end) for begin, end in whole] if tested else errors
        self.contributions = [one / self.error_scale for one in errors]

    @torch.no_grad()
    def _errors(self, begin: int, end: int) -> np.ndarray:
        """Returns the errors (steps, features) of rows of one series; minus infinity where no window fits."""
        subset = self._subset.windows_between(begin, end)
        means = MeanOverWindows(self.data.window, self.data.features)
        if not len(subset):
            return np.full((end - begin, self.data.features), -np.inf)
        found = []
        for positions in torch.split(torch.arange(len(subset)), BATCH):
            batch = self.task.prepare(subset.batch(positions), training=False)
            starts = present(batch.starts, "starts")
            offset = 0 if batch.target_starts is None else int((batch.target_starts - starts)[0])
            found.append(means.add(self.task.errors(batch, self._answer(batch)), offset))
        return np.concatenate([*found, means.finish(self.data.window - 1)])


class Found:
    """The alarms of a threshold, and what labels say of them.

    Args:
        scored: The signals.
        threshold: Steps above it are in alarm.
        rules: Of `lstm_ae.anomaly.events.alarms`.
    """

    def __init__(self, scored: Scored, threshold: float, rules: Mapping[str, int]) -> None:
        self.scored, self.data, self.threshold = scored, scored.data, threshold
        self.scores = [one.sum(axis=1) for one in scored.contributions]
        self.alarms = [alarms(one, threshold, **rules) for one in self.scores]

    @functools.cached_property
    def labelled(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Values, score, labels and alarms of each signal whose labels are not all the same."""
        flags = self.data.label_of_step
        if flags is None:
            return []
        signals = zip(self.scored.signals, self.scores, self.alarms, strict=True)
        found = [(self.data.values[b:e].numpy(), score, flags[b:e], made) for (b, e), score, made in signals]
        return [one for one in found if 0 < one[2].sum() < len(one[2])]

    def metrics(self) -> dict[str, float | None]:
        """Returns the measures, each the mean over the signals that have labels."""
        made: dict[str, float | None] = {"alarms": float(sum(len(one) for one in self.alarms))}
        areas = [vus(score, label, period(values[:, 0])) for values, score, label, _ in self.labelled]
        if areas:
            made |= {"vus_roc": float(np.mean([one[0] for one in areas]))}
            made |= {"vus_pr": float(np.mean([one[1] for one in areas]))}
        return made

    def table(self) -> dict[str, list[Any]]:
        """Returns a row an alarm: series, first and last step, that of the highest score, and the features to blame."""
        names = ("series", "start", "end", "peak", "score", "features")
        rows = list(self._rows())
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        data = self.data
        for (first, _), score, parts, made in zip(
            self.scored.signals, self.scores, self.scored.contributions, self.alarms, strict=True
        ):
            name = "" if data.series_of_step is None else data.series_names[data.series_of_step[first]]
            for begin, end in made:
                peak = begin + int(score[begin:end].argmax())
                places = [self._time(first + step) for step in (begin, end - 1, peak)]
                yield (name, *places, float(score[peak]), blamed(parts[begin:end], data.feature_names))

    def _time(self, row: int) -> Any:
        """Returns the time of a row, or its place in its series."""
        of_step, times = self.data.time_of_step, self.data.times
        place = row if of_step is None else int(of_step[row])
        return place if times is None else str(np.datetime_as_string(times[place], unit="s")) if np.issubdtype(
            times.dtype, np.datetime64) else times[place]  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what the figures draw, of the first signal."""
        begin, end = self.scored.signals[0]
        flags = self.data.label_of_step
        drawn = {
            "signal": self.data.values[begin:end].numpy(),
            "signal_score": self.scores[0],
            "signal_alarms": self.alarms[0],
            "signal_threshold": np.array(self.threshold),
            "signal_contributions": self.scored.contributions[0].astype(np.float32),
        }
        return drawn if flags is None else drawn | {"signal_label": flags[begin:end]}


def blamed(parts: np.ndarray, names: Any) -> str:
    """Returns the features that contribute most to the steps of an alarm, with their shares of its score."""
    shares = parts.sum(axis=0) / max(float(parts.sum()), 1e-300)
    return ", ".join(f"{names[one]} {shares[one]:.0%}" for one in np.argsort(-shares)[:BLAMED])
