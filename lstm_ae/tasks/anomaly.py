"""Say which steps of a signal are not normal, by the errors of a model that reconstructs what is."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lstm_ae import checks, drawing
from lstm_ae.anomaly import thresholds
from lstm_ae.baselines import Pca
from lstm_ae.checks import Count, Dropped, Share, WholeNumber
from lstm_ae.tasks import anomaly_figures, detection, measures
from lstm_ae.types import Baselines, Batch, Evaluated, Figures, Metric, Output, Report, Score, Sequences, Subset, Task

LEAST = -math.log(1 - thresholds.CONFIDENCE)  # false alarms that must be expected in the validation data, seeing none

log = logging.getLogger("lstm_ae")


class Anomaly(Task):
    """Reconstruct what is normal; the score of a step is its error, over the usual error of each feature.

    A step's error is the mean over all windows that contain it (`lstm_ae.tasks.overlapping`), so that it depends on the
    `window - 1` rows before and after it only. Its score is the sum over the features of error / (features x mean error
    on validation data): 1 is usual. The threshold is fitted on validation data when the run ends, and is kept with them
    in task.npz, so that another rate needs no training.

    Args:
        spread: What a window gives each of its steps: its own error (`step`), or the mean over the window (`window`),
            which is smoother and finds long anomalies rather than where they begin.
        trimmed: The share of each batch, its worst sequences, that the loss leaves out.
        threshold: `false_alarms`, `quantile` or `labels`, see `lstm_ae.anomaly.thresholds`.
        rate: False alarms a step, or a time, such as 1/day.
        share: Of the validation steps that the threshold `quantile` lets pass.
        minimum_length: Steps of an alarm.
        merge_within: Steps not above the threshold that an alarm may bridge.
        cool_down: Steps after an alarm that start no other.
        baselines: What a model must beat in reconstruction, by name; None: principal components.
    """

    metrics: tuple[Metric, ...] = (measures.RECONSTRUCTION_MSE,)
    primary_metric = "reconstruction_mse"
    reported = detection.METRICS
    factors: Mapping[str, float] = {"reconstruction": 1.0}
    baselines: Baselines = {"pca": Pca}
    figures: Figures = {
        "alarms": anomaly_figures.alarms,
        "worst_windows": anomaly_figures.worst,
        "precision_recall": anomaly_figures.precision_recall,
        "reconstruction": drawing.reconstruction,
    }

    @checks.checked
    def __init__(
        self,
        spread: Literal["step", "window"] = "step",
        trimmed: Dropped = 0.0,
        threshold: Literal["false_alarms", "quantile", "labels"] = "false_alarms",
        rate: str | float = "1/1000",
        share: Share = 0.999,
        minimum_length: Count = 1,
        merge_within: WholeNumber = 0,
        cool_down: WholeNumber = 0,
        baselines: Baselines | None = None,
    ) -> None:
        self.spread, self.trimmed, self.threshold, self.rate, self.share = spread, trimmed, threshold, rate, share
        self.alarm_rules = {"minimum_length": minimum_length, "merge_within": merge_within, "cool_down": cool_down}
        if baselines is not None:
            self.baselines = baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses data without windows, labels that cannot judge, and validation data too short for the rate."""
        if getattr(data, "window", None) is None:
            raise ValueError(
                "`window` must be given: scores of steps need windows of one length. Use dataset.window=48."
            )
        if data.labels is not None and len(data.classes) == 1:
            raise ValueError(
                f"`label` must hold normal and abnormal rows, and all hold {data.classes[0]!r}. "
                "Use dataset.label=null where there are no labels."
            )
        if data.labels is not None:
            raise ValueError(
                "`label` must be a flag of 0 and 1 a row, and holds a class a series. Use dataset.normal=VALUE to say "
                f"which of {', '.join(data.classes[:5])} is normal."
            )
        detection.warn_of_labelled(data, subsets)
        if self.threshold == "labels" and getattr(data, "label_of_step", None) is None:
            raise ValueError("`threshold=labels` needs a flag a row. Use dataset.label=COLUMN, or threshold=quantile.")
        steps = int(detection.covered(subsets["validation"]).sum())
        if self.threshold == "false_alarms":
            rate = thresholds.parse_rate(self.rate, detection.step_seconds(data))
            if rate * steps < LEAST:
                raise ValueError(
                    f"`rate` must be one that the validation data can show, and {steps} steps cannot show {self.rate}: "
                    f"that takes {math.ceil(LEAST / rate)}. Use more data, task.rate=1/{math.floor(steps / LEAST)} or "
                    "more, or task.threshold=quantile."
                )

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the term and the metric of one batch."""
        whole = measures.reconstruction_score(batch, output)
        if not self.trimmed:
            return whole
        errors = measures.squared_errors(output.reconstruction, batch.targets, batch.target_observed)
        count = torch.full((len(batch),), errors[0].numel()) if batch.target_observed is None else (
            batch.target_observed.sum(dim=(1, 2)))  # fmt: skip
        each = errors.sum(dim=(1, 2)) / count.to(errors.device).clamp(min=1)
        kept = max(1, len(each) - int(self.trimmed * len(each)))
        return Score({"reconstruction": (each.topk(kept, largest=False).values.mean(), kept)}, whole.metrics)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each value, or at every step the window's mean of the feature."""
        errors = measures.squared_errors(output.reconstruction, batch.targets, batch.target_observed)
        return errors if self.spread == "step" else errors.mean(dim=1, keepdim=True).expand_as(errors).contiguous()

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the threshold with what it was fitted on, the alarms, and what labels say of them."""
        if evaluated.trial:
            return Report()
        scored = detection.Scored(self, evaluated)
        fitted = self._fitted(scored)
        found = detection.Found(scored, detection.threshold(fitted), self.alarm_rules)
        tables = {"alarms": found.table()}
        if found.labelled:
            tables["scores_compared"] = compared = found.compared()
            log.info("%s", detection.said(compared))
        return Report(found.metrics(), tables=tables, arrays=found.arrays(), fitted=fitted)

    def _fitted(self, scored: detection.Scored) -> dict[str, np.ndarray]:
        """Returns what task.npz holds."""
        fitted: dict[str, Any] = {
            "error_scale": scored.error_scale,
            "calibration": np.concatenate(scored.calibration),
            "calibration_lengths": np.array([len(one) for one in scored.calibration]),
            "step_seconds": np.array(scored.step_seconds or 0.0),
            "alarm_rules": np.array([self.alarm_rules[name] for name in detection.RULES]),
        }
        try:
            found = self._threshold(scored)
        except ValueError as error:
            if self.threshold != "false_alarms":
                raise
            log.warning("%s The highest validation score is the threshold.", error)
            found = thresholds.quantile(scored.calibration, 1 - 1e-12, **self.alarm_rules)
        log.info("%s", found.describe())
        return fitted | {"threshold": np.array(found.value), "threshold_said": np.array(found.describe())}

    def _threshold(self, scored: detection.Scored) -> thresholds.Threshold:
        if self.threshold == "labels":
            return thresholds.best_f1(np.concatenate(scored.calibration), np.concatenate(scored.calibration_labels))
        if self.threshold == "quantile":
            return thresholds.quantile(scored.calibration, self.share, **self.alarm_rules)
        rate = thresholds.parse_rate(self.rate, scored.step_seconds)
        return thresholds.false_alarms(scored.calibration, rate, **self.alarm_rules)
