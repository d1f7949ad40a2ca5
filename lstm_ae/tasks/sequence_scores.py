"""Scores of whole sequences, where each is normal or not, and what labels say of them."""

import math
from typing import Any, cast

import numpy as np
import torch

from lstm_ae.anomaly import measures
from lstm_ae.statistics import Interval
from lstm_ae.tasks import samples
from lstm_ae.tasks.alarms import blamed
from lstm_ae.tasks.detection import SMALLEST_ERROR
from lstm_ae.tasks.measures import ends
from lstm_ae.types import Batch, Evaluated, EvaluatedSubset, Output, Task

DRAWS = 1000  # of sequences, for an interval


def mean_errors(task: Task, batch: Batch, output: Output) -> np.ndarray:
    """Returns the mean error of each feature of each sequence over the steps that count, (batch, features)."""
    errors, counted = task.errors(batch, output), batch.target_observed
    steps = torch.tensor(float(errors.shape[1])) if counted is None else counted.sum(dim=1).clamp(min=1)
    return (errors.sum(dim=1) / steps).double().numpy()


class SequenceScores:
    """The scores of a subset's sequences: the mean of their steps' errors, over the usual errors.

    Args:
        task: With the errors.
        evaluated: The outputs.

    Attributes:
        error_scale: What the error of each feature is divided by: features x its mean on validation sequences.
        calibration: The score of each validation sequence, by itself.
        contributions: Of each judged sequence, (sequences, features): parts of its score.
    """

    def __init__(self, task: Task, evaluated: Evaluated) -> None:
        self._task, self._judged = task, evaluated[evaluated.judged]
        self._train = evaluated["train"]
        validation = np.concatenate([mean_errors(task, *one) for one in _of(evaluated["validation"], "model")])
        self.error_scale = validation.shape[1] * np.maximum(validation.mean(axis=0), SMALLEST_ERROR)
        self.calibration = list((validation / self.error_scale).sum(axis=1, keepdims=True))
        judged = [mean_errors(task, *one) for one in _of(self._judged, "model")]
        self.contributions = np.concatenate(judged) / self.error_scale
        flags = self._judged.subset.data
        self.labels = _flags(cast("Any", flags), self._judged.subset.index)
        self.calibration_labels = list(_flags(cast("Any", flags), evaluated["validation"].subset.index)[:, None])

    @property
    def scores(self) -> np.ndarray:
        """The score of each judged sequence."""
        found: np.ndarray = self.contributions.sum(axis=1)
        return found

    @property
    def labelled(self) -> bool:
        """Whether some of the judged sequences are labelled as abnormal, and not all."""
        return 0 < int(self.labels.sum()) < len(self.labels)

    def judged(self, threshold: float) -> dict[str, Interval]:
        """Returns areas, and precision and recall of the sequences above a threshold, with intervals by sequence."""
        if not self.labelled:
            return {}
        made = {}
        for name, measure in (("auc_pr", measures.auc_pr), ("auc_roc", measures.auc_roc)):
            drawn, found = np.random.default_rng(0), []
            for _ in range(DRAWS):
                rows = drawn.integers(0, len(self.labels), len(self.labels))
                if 0 < self.labels[rows].sum() < len(rows):
                    found.append(measure(self.scores[rows], self.labels[rows]))
            low, high = np.quantile(found, [0.025, 0.975])
            made[name] = Interval(measure(self.scores, self.labels), float(low), float(high))
        pairs = [
            np.stack([one, one + 1], axis=1) for one in map(np.flatnonzero, (self.scores > threshold, self.labels))
        ]
        by_sequence = measures.event_scores(pairs[0], pairs[1])
        return made | {"event_precision": by_sequence.precision, "event_recall": by_sequence.recall}

    def metrics(self, threshold: float) -> tuple[dict[str, float | None], dict[str, tuple[float, float] | str]]:
        """Returns the measures, and their intervals."""
        found = self.judged(threshold)
        values = {name: None if math.isnan(one.estimate) else one.estimate for name, one in found.items()}
        count = float((self.scores > threshold).sum())
        return {"alarms": count, **values}, {name: ends(one) for name, one in found.items()}

    def compared(self) -> dict[str, list[Any]]:
        """Returns a row a method: the areas of the model's scores, of the baselines' and of simple ones."""
        made = {"model": self.scores, "noise": np.random.default_rng(0).random(len(self.labels)), **self._simple()}
        for name in self._judged.answers:
            if name != "model":
                found = np.concatenate([mean_errors(self._task, *one) for one in _of(self._judged, name)])
                made[name] = (found / self.error_scale).sum(axis=1)
        areas = {
            name: (measures.auc_pr(one, self.labels), measures.auc_roc(one, self.labels)) for name, one in made.items()
        }
        best = sorted(areas, key=lambda name: -areas[name][0])
        return {
            "method": best,
            "auc_pr": [areas[name][0] for name in best],
            "auc_roc": [areas[name][1] for name in best],
        }

    def _simple(self) -> dict[str, np.ndarray]:
        """Returns the distance from the training mean and an isolation forest's score, of sequences of one length."""
        from sklearn.ensemble import IsolationForest

        parts = [[batch for batch, _ in one.batches()] for one in (self._train, self._judged)]
        if any(batch.lengths is not None for batch in (*parts[0], *parts[1])):
            return {}
        train, judged = (torch.cat([batch.inputs for batch in one]).flatten(1).double().numpy() for one in parts)
        spread = train.std(axis=0)
        away = (judged - train.mean(axis=0)) / np.where(spread > 0, spread, 1)
        forest = IsolationForest(random_state=0).fit(train)
        return {"mean_distance": (away**2).mean(axis=1), "isolation_forest": -forest.score_samples(judged)}

    def table(self, threshold: float) -> dict[str, list[Any]]:
        """Returns a row a sequence: its score, whether it is in alarm, its label, and the features to blame."""
        subset = self._judged.subset
        names = self._judged.subset.data.feature_names
        labels = {"label": self.labels.astype(int).tolist()} if self.labelled else {}
        return {
            "sequence": samples.names(subset, torch.arange(len(subset))).tolist(),
            "score": self.scores.tolist(),
            "alarm": (self.scores > threshold).astype(int).tolist(),
            **labels,
            "features": [blamed(one, names) for one in self.contributions],
        }

    def arrays(self, threshold: float) -> dict[str, np.ndarray]:
        """Returns what the figures draw."""
        return {
            "sequence_score": self.scores,
            "sequence_label": self.labels,
            "calibration_score": np.concatenate(self.calibration),
            "signal_threshold": np.array(threshold),
        }


def _of(subset: EvaluatedSubset, name: str) -> list[tuple[Batch, Output]]:
    return [(batch, outputs[name]) for batch, outputs in subset.batches()]


def _flags(data: Any, index: np.ndarray) -> np.ndarray:
    """Returns which sequences hold a flagged step."""
    if data.label_of_step is None:
        return np.zeros(len(index), dtype=bool)
    before = np.concatenate([[0], np.cumsum(data.label_of_step)])
    starts, lengths = data.starts.numpy()[index], np.broadcast_to(data.lengths, len(data))[index]
    flagged: np.ndarray = before[starts + lengths] > before[starts]
    return flagged
