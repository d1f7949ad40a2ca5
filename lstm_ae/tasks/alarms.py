"""The alarms of a threshold, what is to blame for each, and what labels say of them."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_ae.anomaly import measures
from lstm_ae.anomaly.baselines import baselines
from lstm_ae.anomaly.events import alarms, events
from lstm_ae.anomaly.explain import nearest, onset
from lstm_ae.anomaly.period import period
from lstm_ae.statistics import Interval, mean_interval
from lstm_ae.tasks.detection import DAY, Scored
from lstm_ae.tasks.measures import ends
from lstm_ae.types import Metric

METRICS = (
    *(Metric(name, "area", higher_is_better=True) for name in ("vus_pr", "vus_roc", "auc_pr", "auc_roc")),
    *(Metric(name, "share", higher_is_better=True) for name in ("event_precision", "event_recall")),
    Metric("delay", "steps"),
    Metric("alarms", "alarms"),
    Metric("alarms_a_day", "alarms"),
)
WORST = 10  # windows that are drawn
BLAMED = 3  # features of an alarm
STEPS = ("start", "end", "peak", "onset")  # of an alarm
DRAWN, DRAWS = ("vus_pr", "auc_pr"), 100  # measures with an interval by event, each draw of which takes 0.05 s


class Found:
    """The alarms of a threshold, and what labels say of them.

    Args:
        scored: The signals.
        threshold: Steps above it are in alarm.
        rules: Of `lstm_ae.anomaly.events.alarms`.
    """

    def __init__(self, scored: Scored, threshold: float, rules: Mapping[str, int]) -> None:
        self.scored, self.data, self.threshold, self.rules = scored, scored.data, threshold, rules
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

    @functools.cached_property
    def judged(self) -> dict[str, list[Interval]]:
        """The measures of each labelled signal, with intervals by event."""
        made: dict[str, list[Interval]] = {}
        for values, score, label, found in self.labelled:
            by_event = measures.event_scores(found, events(label), minimum_length=self.rules["minimum_length"])
            delay = Interval(by_event.delay, math.nan, math.nan, "a median over few events")
            own = {"event_precision": by_event.precision, "event_recall": by_event.recall, "delay": delay}
            for name, measure in _areas(period(values[:, 0])).items():
                few = Interval(measure(score, label), math.nan, math.nan, f"no interval of {name}, only of *_pr")
                own[name] = measures.event_interval(measure, score, label, draws=DRAWS) if name in DRAWN else few
            for name, interval in own.items():
                made.setdefault(name, []).append(interval)
        return made

    def metrics(self) -> dict[str, float | None]:
        """Returns how many alarms there are, and where there are labels the means of the measures over the signals."""
        count = sum(len(one) for one in self.alarms)
        made: dict[str, float | None] = {"alarms": float(count)}
        if self.scored.step_seconds:
            days = sum(len(one) for one in self.scores) * self.scored.step_seconds / DAY
            made["alarms_a_day"] = count / days
        return made | {name: _mean([one.estimate for one in found]) for name, found in self.judged.items()}

    def intervals(self) -> dict[str, tuple[float, float] | str]:
        """Returns intervals of the measures: by event of one signal, else by signal."""
        return {
            name: ends(found[0] if len(found) == 1 else mean_interval([one.estimate for one in found]))
            for name, found in self.judged.items()
        }

    def compared(self) -> dict[str, list[Any]]:
        """Returns a row a method: the areas of the score and of simple scores, the means over the signals.

        The last column is what point adjustment would claim, which counts one flagged step as its whole event: noise
        gets a high one where events are long, so that it says nothing.
        """
        trained, rows = self.scored.trained, dict[str, list[dict[str, float]]]()
        for values, score, label, _ in self.labelled:
            simple = {name: one.fit(trained).score(values) for name, one in baselines(self.data.window).items()}
            for name, of in {"model": score, **simple}.items():
                areas = {one: measure(of, label) for one, measure in _areas(period(values[:, 0])).items()}
                claim = {"point_adjusted_f1": measures.point_adjusted_f1(of, label)}
                rows.setdefault(name, []).append(areas | claim)
        best = sorted(rows, key=lambda name: -float(np.mean([one["vus_pr"] for one in rows[name]])))
        names = list(rows["model"][0]) if rows else []
        means = {name: [float(np.mean([one[name] for one in rows[method]])) for method in best] for name in names}
        return {"method": best, **means}

    def table(self) -> dict[str, list[Any]]:
        """Returns a row an alarm: its series, where it starts, ends, is highest and sets in, and what is to blame."""
        rows = list(self._rows())
        names = rows[0] if rows else ("series", "start", "end", "peak", "onset", "score", "features")
        return {name: [row[name] for row in rows] for name in names}

    def _rows(self) -> Iterator[dict[str, Any]]:
        data = self.data
        scored = self.scored
        of_signals = zip(scored.signals, scored.contributions, scored.errors, self.alarms, strict=True)
        for (first, _), parts, errors, made in of_signals:
            name = "" if data.series_of_step is None else data.series_names[data.series_of_step[first]]
            for alarm in made.tolist():
                found = described(parts, errors, alarm, scored.usual_errors, data.feature_names, scored.reach)
                steps = {key: self._time(first + value) for key, value in found.items() if key in STEPS}
                yield {"series": name, **found, **steps}

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
            values, made = self.scored.answered(begin)
            usual = self.scored.normal_windows
            like = usual[nearest(usual, values)] if len(usual) else np.full_like(values, np.nan)
            row = {
                "values": values,
                "made": made,
                "normal": like,
                "score": means[signal][start],
                "where": str(self._time(begin)),
            }
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

    def arrays(self, compared: Mapping[str, Sequence[Any]] | None = None) -> dict[str, np.ndarray]:
        """Returns what the figures draw, of the first signal.

        Args:
            compared: The areas of the score and of simple ones, where there are labels.
        """
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
        if compared:
            areas = zip(compared["method"], compared["vus_pr"], strict=True)
            drawn["signal_areas"] = np.array(", ".join(f"{name} {area:.3f}" for name, area in areas))
        return drawn if flags is None else drawn | {"signal_label": flags[begin:end]}


def _areas(window: int) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Returns the measures of a score against labels that need no threshold."""
    return {
        "vus_pr": lambda score, label: measures.vus(score, label, window)[1],
        "vus_roc": lambda score, label: measures.vus(score, label, window)[0],
        "auc_pr": measures.auc_pr,
        "auc_roc": measures.auc_roc,
    }


def _mean(values: list[float]) -> float | None:
    known = [one for one in values if np.isfinite(one)]
    return float(np.mean(known)) if known else None


def described(
    parts: np.ndarray, errors: np.ndarray, alarm: Sequence[int], usual: np.ndarray, names: Sequence[str], reach: int
) -> dict[str, Any]:
    """Returns what is known of an alarm: its steps, its score, and the features to blame with their shares of it.

    Args:
        parts: (steps, features), whose sum is the score.
        errors: (steps, features), of the steps themselves; a score may also hold those of windows.
        alarm: Its first step, and the one after its last.
        usual: (features,), what the errors of normal steps seldom exceed.
        names: Of the features.
        reach: Steps before the alarm in which its onset is sought.
    """
    start, end = alarm
    begin = max(0, start - reach)
    blame, scores = parts[start:end].sum(axis=0), parts[start:end].sum(axis=1)
    feature, peak = int(blame.argmax()), int(scores.argmax())
    since = onset(errors[begin:end, feature], (start - begin, end - begin), float(usual[feature]))
    steps = {"start": start, "end": end - 1, "peak": start + peak, "onset": begin + since}
    return {**steps, "score": float(scores[peak]), "features": blamed(blame, names)}


def blamed(parts: np.ndarray, names: Sequence[str]) -> str:
    """Returns the features that contribute most to a score, with their shares of it.

    Args:
        parts: (features,), of the score.
        names: Of the features.
    """
    shares = parts / max(float(parts.sum()), 1e-300)
    return ", ".join(f"{names[one]} {shares[one]:.0%}" for one in np.argsort(-shares, kind="stable")[:BLAMED])


def counted(table: Mapping[str, list[Any]]) -> str:
    """Returns in words how many alarms a table holds, and which is the highest."""
    scores = table["score"]
    if not scores:
        return "No alarms."
    top = int(np.argmax(scores))
    return f"Alarms (alarms.csv): {len(scores)}, the highest at {table['peak'][top]}: {table['features'][top]}."


def said(compared: Mapping[str, list[Any]], measure: str) -> str:
    """Returns in words how the model's score compares with simple ones; first where one of them is better.

    Args:
        compared: A row a method, the best first.
        measure: The column by which they are compared.
    """
    own = compared["method"].index("model")
    shown = [f"{name} {area:.3f}" for name, area in zip(compared["method"], compared[measure], strict=True)]
    better = f"Better than the model: {', '.join(shown[:own])}. " if own else ""
    rest = ", ".join(shown[own + 1 :]) or "no other score less"
    text = f"{better}{measure.upper().replace('_', '-')} of the {shown[own]}; of {rest}."
    if "point_adjusted_f1" not in compared:
        return text
    claims = dict(zip(compared["method"], compared["point_adjusted_f1"], strict=True))
    return (
        f"{text} Point adjustment would claim an F1 of {claims['model']:.2f}, and of {claims['noise']:.2f} for noise, "
        "so that it is not used."
    )
