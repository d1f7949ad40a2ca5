"""The alarms of series whose steps come in blocks, with the features to blame."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lstm_ae.anomaly.events import Alarms
from lstm_ae.tasks.detection import blamed
from lstm_ae.trained.model import Trained


@dataclass
class _Series:
    stream: Alarms
    seen: int = 0  # steps
    ended: list[np.ndarray] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)  # above the threshold, as are the next two
    keys: list[pd.DataFrame] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)


class Events:
    """The alarms of some series; only the steps above the threshold are kept.

    Args:
        trained: The model of a run that fitted a threshold.
        threshold: Steps whose score is above it are in alarm.
    """

    def __init__(self, trained: Trained, threshold: float) -> None:
        self._names, self._rules, self._threshold = trained.schema.feature_names, trained.alarm_rules, threshold
        self._of: dict[str, _Series] = {}

    def add(self, series: str, keys: pd.DataFrame, parts: np.ndarray) -> None:
        """Takes in the next steps of a series.

        Args:
            series: Its name.
            keys: What to call each step: its row, and its series and time.
            parts: (steps, features), whose sum is the score.
        """
        if series not in self._of:
            self._of[series] = _Series(Alarms(self._threshold, **self._rules))
        one, scores = self._of[series], parts.sum(axis=1)
        above = np.flatnonzero(scores > self._threshold)
        one.steps.append(one.seen + above)
        one.keys.append(keys.iloc[above])
        one.parts.append(parts[above])
        one.ended.append(one.stream.update(scores))
        one.seen += len(parts)

    def finish(self) -> pd.DataFrame:
        """Ends all series, and returns a row an alarm: where it starts, ends and is highest, and what is to blame."""
        rows = [row for one in self._of.values() for row in self._rows(one)]
        first = ["score", "features"]
        return pd.DataFrame(rows, columns=None if rows else ["start", "end", "peak", *first])

    def _rows(self, one: _Series) -> Sequence[dict[str, object]]:
        one.ended.append(one.stream.finish())
        steps, keys, parts = np.concatenate(one.steps), pd.concat(one.keys), np.concatenate(one.parts)
        found = []
        for begin, end in np.concatenate(one.ended).tolist():
            inside = np.flatnonzero((steps >= begin) & (steps < end))
            own, scores = parts[inside], parts[inside].sum(axis=1)
            peak = int(scores.argmax())
            place = keys.columns[-1]  # the time, or the row where there is none
            named = keys.iloc[inside]
            series = {str(name): named[name].iloc[0] for name in keys.columns[1:-1]}
            where = {"start": named[place].iloc[0], "end": named[place].iloc[-1], "peak": named[place].iloc[peak]}
            found.append({**series, **where, "score": scores[peak], "features": blamed(own, self._names)})
        return found
