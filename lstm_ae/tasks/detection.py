"""Scores, alarms and their measures of whole signals, from the windows of a subset."""

import logging
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from lstm_ae.anomaly import thresholds
from lstm_ae.anomaly.events import events
from lstm_ae.tasks.overlapping import MeanOverWindows, offset, over_usual, spread
from lstm_ae.types import Evaluated, Sequences, Subset, Task, present

log = logging.getLogger("lstm_ae")

RULES = ("minimum_length", "merge_within", "cool_down")  # of alarms
BATCH = 1024  # windows at once
SMALLEST_ERROR = 1e-6  # of scaled values: a feature that never changes is not divided by less
ROUNDING = 1e-5  # a threshold is above the calibration score that it was taken from, however a model is computed
DAY = 86_400  # seconds
USUAL = 0.99  # of the validation steps are below what is usual: for onsets, and to compare scores of steps and windows
LOOK_BACK = 4  # windows before an alarm, in which its onset is sought
NORMAL_VALUES, NORMAL_WINDOWS = 500_000, 200  # at most, that are kept for comparison


def covered(subset: Subset) -> np.ndarray:
    """Returns which rows of the table the sequences of a subset cover."""
    data: Any = subset.data
    rows: np.ndarray = data.steps_of(subset.index)
    return rows


def stretches(subset: Subset) -> list[tuple[int, int]]:
    """Returns first and last row (exclusive) of each stretch of one series that a subset's windows cover."""
    data: Any = subset.data
    inside = covered(subset)
    if data.series_of_step is not None:  # a border between series ends a stretch
        borders = np.flatnonzero(np.diff(data.series_of_step)) + 1
    else:
        borders = np.empty(0, dtype=int)
    found = [part + begin for begin, part in zip([0, *borders], map(events, np.split(inside, borders)), strict=True)]
    return [(begin, end) for begin, end in np.concatenate(found).tolist() if end - begin >= data.window]


def calibrating(subset: Subset, lost: int) -> int:
    """Returns how many steps of a subset get a score, where `lost` steps of each stretch get none."""
    return sum(max(0, end - begin - lost) for begin, end in stretches(subset))


def warn_of_labelled(data: Sequences, subsets: Mapping[str, Subset]) -> None:
    """Warns where what the model learns from, or is calibrated on, holds labelled anomalies."""
    flags = getattr(data, "label_of_step", None)
    for name in ("train", "validation") if flags is not None else ():
        inside = flags & covered(subsets[name])
        rows, count = int(inside.sum()), len(events(inside))
        if rows:
            log.warning(
                "The %s data contain %d labelled anomalous rows, in %d events. dataset.normal=0 leaves out "
                "windows with flagged rows; task.trimmed=0.05 makes the loss robust.", name, rows, count,
            )  # fmt: skip


def step_seconds(data: Any) -> float | None:
    """Returns the median time between two steps; None without dates."""
    times = getattr(data, "times", None)
    if times is None or not np.issubdtype(np.asarray(times).dtype, np.datetime64) or len(times) < 2:
        return None
    return float(np.median(np.diff(times) / np.timedelta64(1, "s")))


def rules(fitted: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Returns the rules of alarms that a run was given."""
    return dict(zip(RULES, fitted["alarm_rules"].tolist(), strict=True))


def threshold(fitted: Mapping[str, np.ndarray], rate: str | float | None = None) -> float:
    """Returns the threshold that a run fitted, or one of another rate of false alarms on its validation data.

    Args:
        fitted: What task.npz holds.
        rate: False alarms a step, or a time.

    Raises:
        ValueError: there is no threshold, or the validation data are too short for the rate.
    """
    if "threshold" not in fitted:
        raise ValueError("The run must have fitted a threshold, and has none. Train with task=anomaly.")
    if rate is None:
        return float(fitted["threshold"]) * (1 + ROUNDING)
    stretches = np.split(fitted["calibration"], np.cumsum(fitted["calibration_lengths"])[:-1])
    wanted = thresholds.parse_rate(rate, float(fitted["step_seconds"]) or None)
    return thresholds.false_alarms(stretches, wanted, **rules(fitted)).value * (1 + ROUNDING)


def _scale(errors: np.ndarray, usual: np.ndarray, combined: str) -> np.ndarray:
    """Returns what the errors of steps and of windows are divided by, (2, features)."""
    if combined != "both":
        nothing = np.full_like(usual, np.inf)
        return np.stack([usual, nothing] if combined == "step" else [nothing, usual])
    known = errors[np.isfinite(errors).all(axis=1)].reshape(-1, 2, len(usual)) / usual
    of_steps, of_windows = np.quantile(known.sum(axis=2), USUAL, axis=0)
    return np.stack([usual * of_steps / of_windows, usual])


class Scored:
    """The scores of a run's signals.

    Attributes:
        error_scale: What the errors of steps, and the means of windows, are divided by, (2, features), see
            `lstm_ae.tasks.overlapping.over_usual`: features x their mean on validation data.
        trained: The rows that the model was trained on.
        calibration: Scores of each stretch of validation data, in which no window reaches beyond it.
        calibration_labels: Their labels, where there are any.
        signals: First and last row of each series in the report; without test data, of each validation stretch.
        contributions: Of each of these, (steps, features): parts of the score.
        errors: Of each of these, (steps, features): the errors of the steps themselves.
        usual_errors: (features,), what those of validation steps seldom exceed.
        reach: Steps before an alarm in which its onset is sought.
        normal_windows: Some windows of training data, (windows, window, features), in their own units.
    """

    def __init__(self, task: Task, evaluated: Evaluated, combined: str = "step") -> None:
        self.task, self._answer = task, evaluated["validation"].answers["model"]
        self._subset = cast("Any", evaluated["validation"].subset)
        self.data = self._subset.data
        self.step_seconds = step_seconds(self.data)
        self.trained = self.data.values[covered(evaluated["train"].subset)].numpy()
        calibrated = stretches(self._subset)
        errors, of_windows = zip(*(self._errors(begin, end) for begin, end in calibrated), strict=True)
        usual = np.concatenate(of_windows).mean(axis=0)  # of all windows: those at the ends of stretches count as well
        self.error_scale = _scale(np.concatenate(errors), len(usual) * np.maximum(usual, SMALLEST_ERROR), combined)
        self.calibration = [self._parts(one).sum(axis=1) for one in errors]
        flags = self.data.label_of_step
        self.calibration_labels = [] if flags is None else [flags[begin:end] for begin, end in calibrated]
        tested = evaluated.judged == "test"
        self.signals = self._whole() if tested else calibrated
        known = np.concatenate(errors)[:, : len(usual)]
        self.usual_errors = np.quantile(known[np.isfinite(known).all(axis=1)], USUAL, axis=0)
        self.reach = LOOK_BACK * self.data.window
        self.normal_windows = self._normal_windows(evaluated["train"].subset)
        judged = [self._errors(*one)[0] for one in self.signals] if tested else errors
        self.contributions = [self._parts(one) for one in judged]
        self.errors = [one[:, : len(usual)] for one in judged]

    def _parts(self, errors: np.ndarray) -> np.ndarray:
        """Returns the parts of the scores of steps, (steps, features); minus infinity where these have none."""
        without = np.asarray(np.isneginf(errors).all(axis=1))
        known = torch.from_numpy(np.where(without[:, None], 0.0, errors))
        parts: np.ndarray = over_usual(known, torch.from_numpy(self.error_scale)).numpy()
        parts[without] = -np.inf
        return parts

    def _whole(self) -> list[tuple[int, int]]:
        """Returns first and last row (exclusive) of each series."""
        series = self.data.series_of_step
        same = np.zeros(len(self.data.values), dtype=int) if series is None else series
        borders = np.flatnonzero(np.diff(same, prepend=-1))
        return list(zip(borders.tolist(), [*borders[1:].tolist(), len(same)], strict=True))

    @torch.no_grad()
    def _errors(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the errors of steps (steps, 2 x features) and of windows (windows, features) of rows of one series.

        Steps that not all windows contain have minus infinity.
        """
        subset = self._subset.windows_between(begin, end)
        means = MeanOverWindows(self.data.window, 2 * self.data.features, partial=False)
        found, of_windows, first, last = [], [], 0, 0
        for positions in torch.split(torch.arange(len(subset)), BATCH):
            batch = self.task.prepare(subset.batch(positions), training=False)
            errors = self.task.errors(batch, self._answer(batch))
            at = int(offset(batch, errors)[0])
            first, last = at + errors.shape[1] - 1, len(subset) + at  # of the steps that all windows contain
            found.append(means.add(spread(errors), at))
            of_windows.append(errors.double().mean(dim=1).numpy())
        whole = np.concatenate([*found, means.finish(self.data.window - 1 if len(subset) else end - begin)])
        whole[:first], whole[max(first, last) :] = -np.inf, -np.inf
        return whole, np.concatenate([np.empty((0, self.data.features)), *of_windows])

    @torch.no_grad()
    def answered(self, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the window that begins at a row and what the model makes of it, (window, features), unscaled.

        Steps that the model does not answer are NaN.
        """
        subset, first = self._subset.windows_between(begin, begin + self.data.window), torch.zeros(1, dtype=torch.int64)
        batch = self.task.prepare(subset.batch(first), training=False)
        output = self._answer(batch)
        made = present(output.reconstruction if batch.target is None else output.prediction, "answers")
        values = self.data.values[begin : begin + self.data.window].float().numpy()
        answers = np.full_like(values, np.nan)
        answers[len(values) - made.shape[1] :] = subset.unscaled(made, first)[0].numpy()
        return values, answers

    def _normal_windows(self, subset: Subset) -> np.ndarray:
        """Returns training windows without flagged rows, spread over all."""
        starts = self.data.starts.numpy()[subset.index]
        steps = np.arange(self.data.window)
        if self.data.label_of_step is not None:
            starts = starts[~self.data.label_of_step[starts[:, None] + steps].any(axis=1)]
        most = min(NORMAL_WINDOWS, NORMAL_VALUES // (self.data.window * self.data.features))
        count = max(1, most) if len(starts) else 0
        chosen = np.unique(np.linspace(0, len(starts) - 1, count).astype(int))
        kept: np.ndarray = self.data.values.numpy()[starts[chosen][:, None] + steps].astype(np.float32)
        return kept
