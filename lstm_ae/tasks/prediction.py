"""Reconstruct, and predict the next step."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lstm_ae import checks, drawing
from lstm_ae.baselines import Autoregression, Drift, Persistence, PrevailingDirection
from lstm_ae.checks import Dominance
from lstm_ae.tasks import ahead, measures, over_time, samples
from lstm_ae.tasks.ahead_figures import draw_multi_step, draw_prediction
from lstm_ae.types import (
    Baselines,
    Batch,
    Evaluated,
    EvaluatedSubset,
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

if TYPE_CHECKING:
    import pandas as pd

SHORTEST_PREDICTED = 2  # steps
SHORTEST_HALVED = 5  # steps: two to read, one to predict, and a target each
MOST_SERIES = 20  # in the figure of last steps
MOVED = "share of the values that moved"


class Prediction(Task):
    """Reconstruct, and predict the next step: d * reconstruction + (1 - d) * prediction, both mean squared errors.

    A window of T steps gives T - 1 inputs, and as targets the T - 1 steps that follow each.

    `direction_accuracy` is the share of the values that moved whose direction was predicted, over all features; an
    answer that predicts no movement at all, such as persistence, has none. `direction_gain.BASELINE` is the model's
    less a baseline's.

    Args:
        reconstruction_dominance: d, in [0, 1].
        steps: `all` predictions count, or the `last`, of the one step that no input has shown.
        multi_step: Whether the second half of a window is to be predicted from its first half, after training.
        unit: Of the data.
        baselines: What a model must beat, by name; None: persistence, drift, the prevailing direction, autoregression.
    """

    primary_metric = "prediction_mse"
    baselines: Baselines = {
        "persistence": Persistence,
        "drift": Drift,
        "prevailing_direction": PrevailingDirection,
        "autoregression": Autoregression,
    }
    figures: Figures = {
        "reconstruction": drawing.reconstruction,
        "prediction": draw_prediction,
        "multi_step": draw_multi_step,
    }

    @checks.checked
    def __init__(
        self,
        reconstruction_dominance: Dominance = 0.5,
        steps: Literal["all", "last"] = "all",
        multi_step: bool = False,
        unit: str = "value",
        baselines: Baselines | None = None,
    ) -> None:
        self.factors = {"reconstruction": reconstruction_dominance, "prediction": 1 - reconstruction_dominance}
        self.steps = steps
        self.multi_step = multi_step
        one_step_serves = steps == "last" and not multi_step
        self.accepts = frozenset({"next_sequence", "next_step"} if one_step_serves else {"next_sequence"})
        direction = Metric("direction_accuracy", MOVED, higher_is_better=True)
        self.metrics = (*ahead.metrics("prediction", unit), direction)
        self.baselines = self.baselines if baselines is None else baselines
        more = ("last_step_direction_accuracy", *(f"direction_gain.{name}" for name in self.baselines))
        self.reported = tuple(Metric(name, MOVED, higher_is_better=True) for name in more)

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses images, which nothing follows, and windows too short to be halved."""
        ahead.refuse_images(data)
        if data.shortest < SHORTEST_PREDICTED:
            raise ValueError(
                f"Each sequence must have at least {SHORTEST_PREDICTED} steps, one to read and one to predict, and one "
                f"has {data.shortest}. Leave short sequences out, or cut windows (dataset.window)."
            )
        if self.multi_step and (data.shortest != data.length or data.length < SHORTEST_HALVED):
            lengths = f"{data.length}" if data.shortest == data.length else f"{data.shortest} to {data.length}"
            raise ValueError(
                f"`dataset.window` must be at least {SHORTEST_HALVED}, and the same for all sequences, to be halved by "
                f"task.multi_step=true, got {lengths}. Use dataset.window=30."
            )
        if self.multi_step and any(one.batch(torch.arange(1)).observed is not None for one in subsets.values()):
            raise ValueError("task.multi_step=true needs data without missing values. Use task.multi_step=false.")

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns all steps but the last as inputs, and the step after each as its target."""
        return batch.shifted(1)

    def compared(self, batch: Batch, output: Output) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Returns predictions, targets, the steps before them, and which count: (batch, steps that count, features)."""
        predicted, target = present(output.prediction, "predictions"), present(batch.target, "targets")
        before, counted = batch.inputs, batch.target_observed
        if counted is not None and batch.observed is not None:
            counted = counted & batch.observed
        if self.steps == "last":
            predicted, target, before = (_last(values, batch.lengths) for values in (predicted, target, before))
            counted = None if counted is None else _last(counted, batch.lengths)
        measures.same_shape(predicted, target, "prediction")
        return predicted, target, before, counted

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms and the metrics of one batch."""
        predicted, target, before, counted = self.compared(batch, output)
        score = ahead.score("prediction", batch, output, predicted, target, counted)
        right, moved = _directions(predicted, target, before, counted)
        directed = moved.sum() * (predicted != before).any()
        accuracy = right.sum() / moved.sum().clamp(min=1), directed
        return dataclasses.replace(score, metrics={**score.metrics, "direction_accuracy": accuracy})

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each prediction, 0 for those that do not count."""
        predicted, target, _, counted = self.compared(batch, output)
        errors = measures.squared_errors(predicted, target, counted)
        if self.steps == "all":
            return errors
        time = batch.inputs.shape[1]
        last = time - 1 if batch.lengths is None else batch.lengths.unsqueeze(1) - 1
        place = (torch.arange(time, device=errors.device) == last).view(-1, time, 1)
        return errors * place  # (batch, target time, features)

    def report(self, evaluated: Evaluated) -> Report:
        """Returns intervals over time, a table by series, and where asked for the errors by horizon."""
        judged = evaluated[evaluated.judged]
        found = self._gathered(judged)
        block = judged.subset.data.length  # windows of so many steps overlap
        last = found[found["is_last"]]
        measured = {"direction_accuracy": over_time.directions(found, block, "model")}
        measured["last_step_direction_accuracy"] = over_time.directions(last, block, "model")
        for name in self.baselines:
            measured[f"direction_gain.{name}"] = over_time.directions(found, block, "model", name)
        metrics = {metric.name: over_time.number(measured[metric.name].estimate) for metric in self.reported}
        measured |= {f"skill.{name}": over_time.skill(found, block, name) for name in self.baselines}
        intervals = {name: measures.ends(one) for name, one in measured.items()}
        tables, arrays = {}, self._last_steps(judged)
        if judged.subset.data.series is not None:
            tables["series"] = self._by_series(judged.subset.data.series_names, found, block)
        if self.multi_step:
            tables["multi_step"], arrays["multi_step"] = self._rolled_out(judged)
        return Report(metrics, intervals, tables, arrays)

    def _gathered(self, judged: EvaluatedSubset) -> "pd.DataFrame":
        """Returns a row for each sequence and step that counts, with sums over its features, see `over_time`."""
        import pandas as pd

        data, parts = judged.subset.data, []
        for batch, outputs in judged.batches():
            compared = {name: self.compared(batch, output) for name, output in outputs.items()}
            _, target, before, counted = compared["model"]
            there = torch.ones(target.shape[:2], dtype=torch.bool) if counted is None else counted.any(dim=2)
            lengths = torch.tensor([batch.inputs.shape[1]]) if batch.lengths is None else batch.lengths
            last = lengths.unsqueeze(1) - 1  # (batch or 1, 1)
            offsets = last if self.steps == "last" else torch.arange(target.shape[1]).unsqueeze(0)
            of_step = present(batch.target_starts, "places of the targets").unsqueeze(1) + offsets  # (batch, steps)
            rows = of_step[there].numpy()
            sums = {"values": torch.ones_like(target) if counted is None else counted}
            for name, (made, *_) in compared.items():
                sums[f"error.{name}"] = measures.squared_errors(made, target, counted)
                sums[f"right.{name}"], sums["moved"] = _directions(made, target, before, counted)
                sums[f"directed.{name}"] = made != before
            if batch.scale is not None:
                sums["unscaled"] = sums["error.model"].sqrt() * batch.scale.abs().unsqueeze(1)
            part = pd.DataFrame({name: values.sum(dim=2)[there].double().numpy() for name, values in sums.items()})
            part["time"] = rows if data.time_of_step is None else data.time_of_step[rows]
            part["is_last"] = (offsets == last).expand_as(there)[there].numpy()
            if data.series is not None:
                series = torch.from_numpy(data.series)[present(batch.index, "sequences' indices")]
                part["series"] = series.unsqueeze(1).expand_as(there)[there].numpy()
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def _by_series(self, names: tuple[str, ...], found: "pd.DataFrame", block: int) -> dict[str, list[Any]]:
        """Returns a row a series: its errors, skills, and the direction of last steps with its interval."""
        rows = [
            self._of_series(own, block) | {"series": names[int(str(series))]} for series, own in found.groupby("series")
        ]
        return {name: [row[name] for row in rows] for name in ("series", *rows[0]) if rows}

    def _of_series(self, own: "pd.DataFrame", block: int) -> dict[str, Any]:
        last, sums = own[own["is_last"]], own.sum()
        error = sums["error.model"] / sums["values"]
        row: dict[str, Any] = {"sequences": len(last), "prediction_mse": error}
        for name in self.baselines:
            row[f"{name}_mse"] = sums[f"error.{name}"] / sums["values"]
            row[f"skill_{name}"] = 1 - error / row[f"{name}_mse"] if row[f"{name}_mse"] else math.nan
        if "unscaled" in own:
            row["last_step_mae_unscaled"] = last["unscaled"].sum() / (last["values"].sum() or math.nan)
        direction = over_time.directions(last, block, "model")
        row |= {"last_step_direction_accuracy": direction.estimate}
        row |= {"direction_low": direction.low, "direction_high": direction.high}
        return {
            name: value if isinstance(value, int) else over_time.number(float(value)) for name, value in row.items()
        }

    def _last_steps(self, judged: EvaluatedSubset) -> dict[str, np.ndarray]:
        """Returns the last step of some sequences, of the first feature: as it was and as it was predicted."""
        positions = samples.choose(judged.subset, MOST_SERIES)
        batch, output = samples.pick(judged, positions)
        made = {"last_target": batch.targets, "last_prediction": present(output.prediction, "predictions")}
        values = {name: _last(one, batch.lengths) for name, one in made.items()}
        arrays = {name: judged.subset.unscaled(one, positions)[:, 0, 0].numpy() for name, one in values.items()}
        return arrays | {"last_names": samples.names(judged.subset, positions)}

    def _rolled_out(self, judged: EvaluatedSubset) -> tuple[dict[str, Any], np.ndarray]:
        """Returns the errors by horizon, of roll-outs and of the model's single steps, and the samples' roll-outs."""
        table = ahead.by_horizon(self._compared_steps(judged))
        positions = samples.choose(judged.subset)
        batch, _ = samples.pick(judged, positions)
        rolled = ahead.roll_out(judged.answers["model"], batch, _half(batch), len(table["horizon"]))
        return table, judged.subset.unscaled(rolled, positions).numpy()

    def _compared_steps(self, judged: EvaluatedSubset) -> Iterator[ahead.Compared]:
        for batch, outputs in judged.batches():
            half = _half(batch)
            truth = batch.targets[:, half - 1 :]
            made = {"multi_step": ahead.roll_out(judged.answers["model"], batch, half, truth.shape[1])}
            made["one_step"] = present(outputs["model"].prediction, "predictions")[:, half - 1 :]
            made |= {name: ahead.roll_out(judged.answers[name], batch, half, truth.shape[1]) for name in self.baselines}
            yield batch, truth, None, made


def _half(batch: Batch) -> int:
    """Returns the steps of a window's first half, of which a prepared batch lacks the last."""
    return (batch.inputs.shape[1] + 1) // 2


def _directions(predicted: Tensor, target: Tensor, before: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns where the direction was predicted, and where there was one, (batch, steps, features)."""
    moved = target != before if counted is None else (target != before) & counted
    return (torch.sign(predicted - before) == torch.sign(target - before)) & moved, moved


def _last(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns each sequence's last step, (batch, 1, features); the only one of an answer that gives one."""
    if lengths is None or values.shape[1] == 1:
        return values[:, -1:]
    return values[torch.arange(len(values), device=values.device), lengths - 1].unsqueeze(1)
