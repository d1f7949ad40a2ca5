"""Scores, alarms and their measures of whole signals, from the windows of a subset."""

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch

from lstm_ae.anomaly import measures, thresholds
from lstm_ae.anomaly.baselines import baselines
from lstm_ae.anomaly.events import alarms, events
from lstm_ae.anomaly.period import period
from lstm_ae.tasks.overlapping import MeanOverWindows, offset
from lstm_ae.types import Evaluated, Metric, Sequences, Subset, Task, present

log = logging.getLogger("lstm_ae")

METRICS = (
    *(Metric(name, "area", higher_is_better=True) for name in ("vus_pr", "vus_roc", "auc_pr", "auc_roc")),
    *(Metric(name, "share", higher_is_better=True) for name in ("event_precision", "event_recall")),
    Metric("delay", "steps"),
    Metric("alarms", "alarms"),
    Metric("alarms_a_day", "alarms"),
)
RULES = ("minimum_length", "merge_within", "cool_down")  # of alarms
BATCH = 1024  # windows at once
SMALLEST_ERROR = 1e-6  # of scaled values: a feature that never changes is not divided by less
DAY = 86_400  # seconds
WORST = 10  # windows that are drawn
BLAMED = 3  # features of an alarm


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
        return float(fitted["threshold"])
    stretches = np.split(fitted["calibration"], np.cumsum(fitted["calibration_lengths"])[:-1])
    wanted = thresholds.parse_rate(rate, float(fitted["step_seconds"]) or None)
    return thresholds.false_alarms(stretches, wanted, **rules(fitted)).value


class Scored:
    """The scores of a run's signals.

    Attributes:
        error_scale: What the error of each feature is divided by: features x its mean on validation data.
        trained: The rows that the model was trained on.
        calibration: Scores of each stretch of validation data, in which no window reaches beyond it.
        calibration_labels: Their labels, where there are any.
        signals: First and last row of each series in the report; without test data, of each validation stretch.
        contributions: Of each of these, (steps, features): parts of the score.
    """

    def __init__(self, task: Task, evaluated: Evaluated) -> None:
        self.task, self._answer = task, evaluated["validation"].answers["model"]
        self._subset = cast("Any", evaluated["validation"].subset)
        self.data = self._subset.data
        self.step_seconds = step_seconds(self.data)
        self.trained = self.data.values[covered(evaluated["train"].subset)].numpy()
        calibrated = stretches(self._subset)
        errors, of_windows = zip(*(self._errors(begin, end) for begin, end in calibrated), strict=True)
        usual = np.concatenate(of_windows).mean(axis=0)  # of all windows: those at the ends of stretches count as well
        self.error_scale = len(usual) * np.maximum(usual, SMALLEST_ERROR)
        self.calibration = [(one / self.error_scale).sum(axis=1) for one in errors]
        flags = self.data.label_of_step
        self.calibration_labels = [] if flags is None else [flags[begin:end] for begin, end in calibrated]
        tested = evaluated.judged == "test"
        self.signals = self._whole() if tested else calibrated
        judged = [self._errors(begin, end)[0] for begin, end in self.signals] if tested else errors
        self.contributions = [one / self.error_scale for one in judged]

    def _whole(self) -> list[tuple[int, int]]:
        """Returns first and last row (exclusive) of each series."""
        series = self.data.series_of_step
        same = np.zeros(len(self.data.values), dtype=int) if series is None else series
        borders = np.flatnonzero(np.diff(same, prepend=-1))
        return list(zip(borders.tolist(), [*borders[1:].tolist(), len(same)], strict=True))

    @torch.no_grad()
    def _errors(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the errors of the steps (steps, features) and windows (windows, features) of rows of one series.

        Steps that not all windows contain have minus infinity.
        """
        subset = self._subset.windows_between(begin, end)
        means = MeanOverWindows(self.data.window, self.data.features, partial=False)
        found, of_windows, first, last = [], [], 0, 0
        for positions in torch.split(torch.arange(len(subset)), BATCH):
            batch = self.task.prepare(subset.batch(positions), training=False)
            errors = self.task.errors(batch, self._answer(batch))
            at = int(offset(batch, errors)[0])
            first, last = at + errors.shape[1] - 1, len(subset) + at  # of the steps that all windows contain
            found.append(means.add(errors, at))
            of_windows.append(errors.double().mean(dim=1).numpy())
        whole = np.concatenate([*found, means.finish(self.data.window - 1 if len(subset) else end - begin)])
        whole[:first], whole[max(first, last) :] = -np.inf, -np.inf
        return whole, np.concatenate([np.empty((0, self.data.features)), *of_windows])

    @torch.no_grad()
    def reconstructed(self, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the window that begins at a row and what the model makes of it, (window, features), unscaled."""
        subset, first = self._subset.windows_between(begin, begin + self.data.window), torch.zeros(1, dtype=torch.int64)
        batch = self.task.prepare(subset.batch(first), training=False)
        made = present(self._answer(batch).reconstruction, "reconstructions")
        values = self.data.values[begin : begin + self.data.window].float().numpy()
        return values, subset.unscaled(made, first)[0].numpy()


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
        """Returns how many alarms there are, and where there are labels the means of the measures over the signals."""
        count = sum(len(one) for one in self.alarms)
        made: dict[str, float | None] = {"alarms": float(count)}
        if self.scored.step_seconds:
            days = sum(len(one) for one in self.scores) * self.scored.step_seconds / DAY
            made["alarms_a_day"] = count / days
        if self.labelled:
            areas = [_areas(score, label, period(values[:, 0])) for values, score, label, _ in self.labelled]
            made |= {name: float(np.mean([one[name] for one in areas])) for name in areas[0]}
            found = [measures.event_scores(made, events(label)) for _, _, label, made in self.labelled]
            made |= {
                "event_precision": _mean([one.precision.estimate for one in found]),
                "event_recall": _mean([one.recall.estimate for one in found]),
                "delay": _mean([one.delay for one in found]),
            }
        return made

    def compared(self) -> dict[str, list[Any]]:
        """Returns a row a method: the areas of the score and of simple scores, the means over the signals.

        The last column is what point adjustment would claim, which counts one flagged step as its whole event: noise
        gets a high one where events are long, so that it says nothing.
        """
        trained, rows = self.scored.trained, dict[str, list[dict[str, float]]]()
        for values, score, label, _ in self.labelled:
            simple = {name: one.fit(trained).score(values) for name, one in baselines(self.data.window).items()}
            for name, of in {"model": score, **simple}.items():
                areas = _areas(of, label, period(values[:, 0]))
                claim = {"point_adjusted_f1": measures.point_adjusted_f1(of, label)}
                rows.setdefault(name, []).append(areas | claim)
        best = sorted(rows, key=lambda name: -float(np.mean([one["vus_pr"] for one in rows[name]])))
        names = list(rows["model"][0]) if rows else []
        means = {name: [float(np.mean([one[name] for one in rows[method]])) for method in best] for name in names}
        return {"method": best, **means}

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
            for begin, end in made.tolist():
                peak = begin + int(score[begin:end].argmax())
                places = [self._time(first + step) for step in (begin, end - 1, peak)]
                yield (name, *places, float(score[peak]), blamed(parts[begin:end], data.feature_names))

    def _worst(self) -> dict[str, np.ndarray]:
        """Returns the windows with the highest mean scores that share no step, with what the model made of them."""
        rows: dict[str, list[Any]] = {}
        window = self.data.window
        means = [np.convolve(np.maximum(one, 0), np.full(window, 1 / window), "valid") for one in self.scores]
        for _ in range(WORST):
            signal = int(np.argmax([one.max(initial=-1) for one in means]))
            if means[signal].max(initial=-1) < 0:
                break
            start = int(means[signal].argmax())
            begin = self.scored.signals[signal][0] + start
            parts = self.scored.contributions[signal][start : start + window].sum(axis=0)
            one = int(parts.argmax())
            values, made = self.scored.reconstructed(begin)
            row = {"values": values, "made": made, "score": means[signal][start], "where": str(self._time(begin))}
            row |= {"feature": one, "share": parts[one] / max(parts.sum(), 1e-300)}
            for name, value in row.items():
                rows.setdefault(f"worst_{name}", []).append(value)
            means[signal][max(0, start - window + 1) : start + window] = -1
        return {name: np.array(values) for name, values in rows.items()}

    def _axis(self, row: int) -> Any:
        of_step, times = self.data.time_of_step, self.data.times
        place = row if of_step is None else int(of_step[row])
        return place if times is None else times[place]

    def _time(self, row: int) -> Any:
        """Returns the time of a row, or its place in its series, for a table."""
        place = self._axis(row)
        return str(np.datetime_as_string(place, unit="s")) if isinstance(place, np.datetime64) else place

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
            "signal_times": np.array([self._axis(row) for row in range(begin, end)]),
            **self._worst(),
        }
        return drawn if flags is None else drawn | {"signal_label": flags[begin:end]}


def _areas(score: np.ndarray, label: np.ndarray, window: int) -> dict[str, float]:
    roc, pr = measures.vus(score, label, window)
    return {
        "vus_pr": pr,
        "vus_roc": roc,
        "auc_pr": measures.auc_pr(score, label),
        "auc_roc": measures.auc_roc(score, label),
    }


def _mean(values: list[float]) -> float | None:
    known = [one for one in values if np.isfinite(one)]
    return float(np.mean(known)) if known else None


def blamed(parts: np.ndarray, names: Any) -> str:
    """Returns the features that contribute most to the steps of an alarm, with their shares of its score."""
    shares = parts.sum(axis=0) / max(float(parts.sum()), 1e-300)
    return ", ".join(f"{names[one]} {shares[one]:.0%}" for one in np.argsort(-shares)[:BLAMED])


def said(compared: Mapping[str, list[Any]]) -> str:
    """Returns in words how the model's score compares with simple ones; first where one of them is better."""
    methods, areas = compared["method"], compared["vus_pr"]
    own = methods.index("model")
    better = [f"{name} ({area:.3f})" for name, area in zip(methods[:own], areas[:own], strict=True)]
    first = f"Better than the model: {', '.join(better)}. " if better else ""
    rest = [f"{name} {area:.3f}" for name, area in zip(methods[own + 1 :], areas[own + 1 :], strict=True)]
    noise = methods.index("noise")
    claims = compared["point_adjusted_f1"]
    return (
        f"{first}VUS-PR of the model {areas[own]:.3f}; of {', '.join(rest) or 'no other score less'}. Point adjustment "
        f"would claim an F1 of {claims[own]:.2f}, and of {claims[noise]:.2f} for noise, so that it is not used."
    )
