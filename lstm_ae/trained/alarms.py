"""The alarms of series whose steps come in blocks, with the features to blame."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lstm_ae.anomaly.events import Alarms
from lstm_ae.tasks.alarms import STEPS, blamed, described
from lstm_ae.trained.model import Trained

COLUMNS = (*STEPS, "score", "features")


class SequenceAlarms:
    """The sequences whose score, the sum of their steps' parts, is above a threshold; used as `Events` is.

    Args:
        trained: The model of a run that fitted a threshold.
        threshold: Sequences whose score is above it are in alarm.
    """

    def __init__(self, trained: Trained, threshold: float) -> None:
        self._names, self._threshold, self._rows = trained.schema.feature_names, threshold, list[dict[str, Any]]()

    def add(self, series: str, keys: pd.DataFrame, parts: np.ndarray, _: np.ndarray) -> None:
        """Takes in the parts of the scores of a sequence's steps, (steps, features)."""
        if (score := parts.sum()) > self._threshold:
            blame = blamed(parts.sum(axis=0), self._names)
            self._rows.append({"sequence": series, "row": keys["row"].iloc[0], "score": score, "features": blame})

    def finish(self) -> pd.DataFrame:
        """Returns a row an alarm."""
        return pd.DataFrame(self._rows, columns=["sequence", "row", "score", "features"])


@dataclass
class _Series:
    stream: Alarms
    keys: pd.DataFrame  # of the steps that are kept, as are the next
    parts: np.ndarray
    errors: np.ndarray
    first: int = 0  # of these steps
    rows: list[dict[str, Any]] = field(default_factory=list)


class Events:
    """The alarms of some series; steps are kept as far back as the onset of the next alarm is sought.

    Args:
        trained: The model of a run that fitted a threshold.
        threshold: Steps whose score is above it are in alarm.
    """

    def __init__(self, trained: Trained, threshold: float) -> None:
        self._names, self._rules, self._threshold = trained.schema.feature_names, trained.alarm_rules, threshold
        self._usual, self._reach = trained.fitted["usual_errors"], int(trained.fitted["reach"])
        self._of: dict[str, _Series] = {}

    def add(self, series: str, keys: pd.DataFrame, parts: np.ndarray, errors: np.ndarray) -> None:
        """Takes in the next steps of a series.

        Args:
            series: Its name.
            keys: What to call each step: its row, and its series and time.
            parts: (steps, features), whose sum is the score.
            errors: (steps, features), of the steps themselves.
        """
        if series not in self._of:
            self._of[series] = _Series(Alarms(self._threshold, **self._rules), keys.iloc[:0], parts[:0], errors[:0])
        one = self._of[series]
        one.keys, one.parts = pd.concat([one.keys, keys]), np.concatenate([one.parts, parts])
        one.errors = np.concatenate([one.errors, errors])
        self._describe(one, one.stream.update(parts.sum(axis=1)))
        passed = max(0, one.stream.since - self._reach - one.first)
        one.keys, one.first = one.keys.iloc[passed:], one.first + passed
        one.parts, one.errors = one.parts[passed:], one.errors[passed:]

    def finish(self) -> pd.DataFrame:
        """Ends all series, and returns a row an alarm: where it starts, ends, is highest and sets in, and the blame."""
        for one in self._of.values():
            self._describe(one, one.stream.finish())
        rows = [row for one in self._of.values() for row in one.rows]
        return pd.DataFrame(rows, columns=None if rows else list(COLUMNS))

    def _describe(self, one: _Series, ended: np.ndarray) -> None:
        place = one.keys.columns[-1]  # the time, or the row where there is none
        for alarm in (ended - one.first).tolist():
            found = described(one.parts, one.errors, alarm, self._usual, self._names, self._reach)
            series = {str(name): one.keys[name].iloc[alarm[0]] for name in one.keys.columns[1:-1]}
            one.rows.append({**series, **found, **{name: one.keys[place].iloc[found[name]] for name in STEPS}})
