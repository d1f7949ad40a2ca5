"""Say which steps of a signal are not normal, by the errors of a model that reconstructs or predicts what is."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
from torch import Tensor

from lstm_ae import checks
from lstm_ae.anomaly import thresholds
from lstm_ae.baselines import Pca, Persistence
from lstm_ae.checks import Count, Dropped, Share, WholeNumber
from lstm_ae.tasks import alarms, anomaly_figures, detection, measures
from lstm_ae.tasks.sequence_scores import SequenceScores
from lstm_ae.types import (
    Baselines,
    Batch,
    Evaluated,
    Figures,
    Metric,
    Output,
    Report,
    Score,
    Sequences,
    Subset,
    Task,
    present,
)

LEAST = -math.log(1 - thresholds.CONFIDENCE)  # false alarms that must be expected in the validation data, seeing none

log = logging.getLogger("lstm_ae")


class Anomaly(Task):
    """Reconstruct or predict what is normal; the score of a step is its error, over the usual error of each feature.

    The error of a reconstruction is the mean over all windows that contain the step (`lstm_ae.tasks.overlapping`), so
    that it depends on the `window - 1` rows before and after it only. That of a prediction is of the window whose last
    step it is, predicted from all the others: it depends on the `window - 1` rows before it, and is known at once. A
    step without these rows has the lowest score. The score is the sum over the features of error / (features x mean
    error on validation data): 1 is usual. Where the dataset cuts no windows, each sequence has a score, the mean of its
    steps, and an alarm is a sequence. The threshold is fitted on validation data when the run ends, and is kept
    with them in task.npz, so that another rate needs no training.

    Args:
        error: `reconstruction`, or `prediction` (of a model that predicts the next step).
        spread: What a window gives each of its steps: its own error (`step`), which shows where an anomaly begins; the
            mean over the window (`window`), which is smoother and finds long anomalies; or the larger of the two
            (`both`), after the first is brought to the scale of the second by their 99 % quantiles on validation data.
        trimmed: The share of each batch, its worst sequences, that the loss leaves out.
        threshold: `false_alarms`, `quantile` or `labels`, see `lstm_ae.anomaly.thresholds`.
        rate: False alarms a step, or a time, such as 1/day.
        share: Of the validation steps that the threshold `quantile` lets pass.
        minimum_length: Steps of an alarm.
        merge_within: Steps not above the threshold that an alarm may bridge.
        cool_down: Steps after an alarm that start no other.
        baselines: What a model must beat, by name; None: principal components, or persistence in prediction.
    """

    reported = alarms.METRICS
    figures: Figures = {
        "alarms": anomaly_figures.alarms,
        "worst_windows": anomaly_figures.worst,
        "precision_recall": anomaly_figures.precision_recall,
        "sequences": anomaly_figures.sequences,
        "reconstruction": anomaly_figures.reconstruction,
    }

    @checks.checked
    def __init__(
        self,
        error: Literal["reconstruction", "prediction"] = "reconstruction",
        spread: Literal["step", "window", "both"] = "step",
        trimmed: Dropped = 0.0,
        threshold: Literal["false_alarms", "quantile", "labels"] = "false_alarms",
        rate: str | float = "1/1000",
        share: Share = 0.999,
        minimum_length: Count = 1,
        merge_within: WholeNumber = 0,
        cool_down: WholeNumber = 0,
        baselines: Baselines | None = None,
    ) -> None:
        self.metrics = (Metric(f"{error}_mse", "squared scaled value"),)
        self.primary_metric, self.factors = self.metrics[0].name, {error: 1.0}
        self.predicts = error == "prediction"
        if self.predicts and spread != "step":
            raise ValueError(f"`spread={spread}` is of a reconstruction: a prediction is of one step. Use spread=step.")
        self.accepts = frozenset({"next_step", "next_sequence"} if self.predicts else ())
        self.spread, self.trimmed, self.threshold, self.rate, self.share = spread, trimmed, threshold, rate, share
        self.alarm_rules = {"minimum_length": minimum_length, "merge_within": merge_within, "cool_down": cool_down}
        default: Baselines = {"persistence": Persistence} if self.predicts else {"pca": Pca}
        self.baselines = default if baselines is None else baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses data without windows, labels that cannot judge, and validation data too short for the rate."""
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
        window: int | None = getattr(data, "window", None)
        if window is None:
            self._check_sequences(subsets)
            return
        lost = (1 if self.predicts else 2) * (window - 1)
        steps = detection.calibrating(subsets["validation"], lost)
        if not steps:
            raise ValueError(
                f"The validation data must have a stretch of at least {lost + 1} rows, in which a step has all of its "
                f"windows of {window}, and have none. Use more data, or a smaller dataset.window."
            )
        self._check_rate(steps, "steps", detection.step_seconds(data))

    def _check_sequences(self, subsets: Mapping[str, Subset]) -> None:
        """Refuses what whole sequences cannot be judged by."""
        if self.predicts:
            raise ValueError(
                "`error=prediction` needs windows of one length, in which each step is predicted from those before. "
                "Use dataset.window=48, or task.error=reconstruction."
            )
        if self.threshold == "false_alarms" and str(self.rate).partition("/")[2].strip() in thresholds.SECONDS:
            raise ValueError(
                f"`rate` must be false alarms a sequence, such as 1/100, where no windows are cut, got {self.rate}. "
                "Use task.rate=1/100, or dataset.window=48 for alarms in time."
            )
        self._check_rate(len(subsets["validation"]), "sequences", None)

    def _check_rate(self, count: int, what: str, step_seconds: float | None) -> None:
        """Refuses validation data that are too short for the rate."""
        if self.threshold != "false_alarms":
            return
        rate = thresholds.parse_rate(self.rate, step_seconds)
        if rate * count < LEAST:
            raise ValueError(
                f"`rate` must be one that the validation data can show, and {count} {what} cannot show {self.rate}: "
                f"that takes {math.ceil(LEAST / rate)}. Use more data, task.rate=1/{math.floor(count / LEAST)} or "
                "more, or task.threshold=quantile."
            )

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns the batch itself; to predict, all steps but the last as inputs, and the step after each as target."""
        return batch.shifted(1) if self.predicts else batch

    def _errors(self, batch: Batch, output: Output) -> tuple[Tensor, Tensor | None]:
        """Returns the squared errors of all that was answered, 0 where they do not count, and which count."""
        made, target, counted = output.reconstruction, batch.targets, batch.target_observed
        if self.predicts:
            made = present(output.prediction, "predictions")
            if made.shape[1] == 1:
                target, counted = target[:, -1:], None if counted is None else counted[:, -1:]
        made = present(made, "answers")
        measures.same_shape(made, target, self.primary_metric.removesuffix("_mse"))
        return measures.squared_errors(made, target, counted), counted

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the term and the metric of one batch; nothing of a baseline that does not answer."""
        name = self.primary_metric.removesuffix("_mse")
        if getattr(output, name) is None:
            return Score({})
        errors, counted = self._errors(batch, output)
        whole = measures.mean(errors, counted)
        term = whole
        if self.trimmed:
            count = errors[0].numel() if counted is None else counted.sum(dim=(1, 2)).clamp(min=1)
            each = errors.sum(dim=(1, 2)) / count
            kept = max(1, len(each) - int(self.trimmed * len(each)))
            term = each.topk(kept, largest=False).values.mean(), kept
        return Score({name: term}, {self.primary_metric: measures.detached(whole)})

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each value; of a prediction, that of the last step, (batch, 1, features)."""
        errors, _ = self._errors(batch, output)
        return errors[:, -1:] if self.predicts else errors

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the threshold with what it was fitted on, the alarms, and what labels say of them."""
        if evaluated.trial:
            return Report()
        if cast("Any", evaluated["validation"].subset.data).window is None:
            return self._report_sequences(SequenceScores(self, evaluated))
        scored = detection.Scored(self, evaluated, self.spread)
        fitted = self._fitted(scored, scored.step_seconds, self.alarm_rules) | {
            "usual_errors": scored.usual_errors,
            "reach": np.array(scored.reach),
            "normal_windows": scored.normal_windows,
        }
        found = alarms.Found(scored, detection.threshold(fitted), self.alarm_rules)
        tables, compared = {"alarms": found.table()}, found.compared() if found.labelled else {}
        log.info("%s", alarms.counted(tables["alarms"]))
        if compared:
            tables["scores_compared"] = compared
            log.info("%s", alarms.said(compared, "vus_pr"))
        return Report(found.metrics(), found.intervals(), tables, found.arrays(compared), fitted)

    def _report_sequences(self, scored: SequenceScores) -> Report:
        fitted = self._fitted(scored, None, dict.fromkeys(detection.RULES, 0) | {"minimum_length": 1})
        threshold = detection.threshold(fitted)
        tables = {"sequences": scored.table(threshold)}
        if scored.labelled:
            tables["scores_compared"] = compared = scored.compared()
            log.info("%s", alarms.said(compared, "auc_pr"))
        return Report(*scored.metrics(threshold), tables, scored.arrays(threshold), fitted)

    def _fitted(
        self, scored: detection.Scored | SequenceScores, step_seconds: float | None, rules: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        """Returns what task.npz holds of the threshold."""
        fitted: dict[str, Any] = {
            "error_scale": scored.error_scale,
            "calibration": np.concatenate(scored.calibration),
            "calibration_lengths": np.array([len(one) for one in scored.calibration]),
            "step_seconds": np.array(step_seconds or 0.0),
            "alarm_rules": np.array([rules[name] for name in detection.RULES]),
        }
        try:
            found = self._threshold(scored, step_seconds, rules)
        except ValueError as error:
            if self.threshold != "false_alarms":
                raise
            log.warning("%s The highest validation score is the threshold.", error)
            found = thresholds.quantile(scored.calibration, 1 - 1e-12, **rules)
        log.info("%s", found.describe())
        return fitted | {"threshold": np.array(found.value), "threshold_said": np.array(found.describe())}

    def _threshold(
        self, scored: detection.Scored | SequenceScores, step_seconds: float | None, rules: Mapping[str, int]
    ) -> thresholds.Threshold:
        if self.threshold == "labels":
            return thresholds.best_f1(np.concatenate(scored.calibration), np.concatenate(scored.calibration_labels))
        if self.threshold == "quantile":
            return thresholds.quantile(scored.calibration, self.share, **rules)
        return thresholds.false_alarms(scored.calibration, thresholds.parse_rate(self.rate, step_seconds), **rules)
