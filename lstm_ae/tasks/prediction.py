"""Reconstruct, and predict the next step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lstm_ae import checks, drawing
from lstm_ae.baselines import Autoregression, Drift, Persistence, PrevailingDirection
from lstm_ae.checks import Dominance
from lstm_ae.tasks import measures, over_time, samples
from lstm_ae.tasks.roll_out import roll_out
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
    from matplotlib.figure import Figure

SHORTEST_PREDICTED = 2  # steps
SHORTEST_HALVED = 5  # steps: two to read, one to predict, and a target each
MOST_SERIES = 20  # in the figure of last steps
MOVED = "share of the values that moved"


def draw_prediction(run_dir: drawing.Readable) -> "Figure":
    """Draws the report's four panels."""
    run = drawing.read(run_dir)
    error = f"{run.judged} MSE {run.metrics[run.judged]['prediction_mse']:.3g}"
    skills = [f"{name} {value:.3g}" for name, value in run.metrics["skill"].items() if value is not None]
    figure, axes = drawing.figure(2, 2, 7.5, f"Prediction, {error}, skill over {', '.join(skills)}\n{run.subtitle}")
    losses, last, reconstructed, predicted = axes.ravel()
    for name, colour in (("reconstruction_mse", drawing.ORIGINAL), ("prediction_mse", drawing.MODEL)):
        for part, style in (("train", "-"), ("validation", "--")):
            if f"{part}.{name}" in run.history:
                label = f"{name.removesuffix('_mse')}, {part}"
                losses.plot(run.history["epoch"], run.history[f"{part}.{name}"], style, color=colour, label=label)
    losses.set(yscale="log", xlabel="epoch", ylabel="mean squared error, scaled values")
    drawing.whole_numbers(losses.xaxis)
    arrays = run.samples
    places = np.arange(len(arrays["last_names"]))
    last.plot(places, arrays["last_target"], "o", color=drawing.ORIGINAL, label="target")
    last.plot(places, arrays["last_prediction"], "x", color=drawing.MODEL, label="prediction")
    last.set_xticks(places, arrays["last_names"], rotation=90, fontsize=7)
    last.set_title("last step of the last window", fontsize=9)
    name = str(arrays["names"][0])
    if "reconstruction" in arrays:
        drawing.pair(reconstructed, run.time(0), arrays["inputs"][0], arrays["reconstruction"][0], "reconstruction")
    drawing.pair(predicted, run.time(0), arrays["target"][0], arrays["prediction"][0], "one-step prediction", shift=1)
    for ax in (reconstructed, predicted):
        ax.set_title(name, fontsize=9)
        ax.tick_params(axis="x", rotation=30, labelsize=7)
    for ax in (last, reconstructed, predicted):
        ax.set_ylabel(f"{arrays['feature_names'][0]} ({arrays['unit']})")
    for ax in axes.ravel():
        ax.legend(fontsize=7)
    return figure


def draw_multi_step(run_dir: drawing.Readable) -> "Figure | None":
    """Draws the multi-step and the one-step prediction of each sample, and the error by horizon."""
    run = drawing.read(run_dir)
    if "multi_step" not in run.samples:
        return None
    arrays, table, count = run.samples, run_dir.read_table("multi_step"), len(run.samples["inputs"])
    title = f"From the first half of a window to its end, each prediction fed back\n{run.subtitle}"
    figure, axes = drawing.figure(count + 1, 1, 2.2 * (count + 1) + 0.5, title)
    for row, ax in enumerate(axes[:-1, 0]):
        time, steps = run.time(row), arrays["multi_step"].shape[1]
        whole = np.concatenate([arrays["inputs"][row], arrays["target"][row][-1:]])[:, 0]
        ax.plot(time, whole, label="true", **drawing.ORIGINAL_STYLE)
        ax.plot(time[1:], arrays["prediction"][row][:, 0], ":", color=drawing.ORIGINAL, label="one step")
        ax.plot(time[-steps:], arrays["multi_step"][row][:, 0], color=drawing.MODEL, label="multi-step")
        ax.set_title(str(arrays["names"][row]), fontsize=9)
        ax.set_ylabel(f"{arrays['feature_names'][0]} ({arrays['unit']})")
    axes[0, 0].legend(fontsize=8)
    ax = axes[-1, 0]
    horizon = [int(step) for step in table["horizon"]]
    for name, colour in zip((key for key in table if key.endswith("_mse")), drawing.COLOURS, strict=False):
        label = name.removesuffix("_mse").replace("_", "-")
        ax.plot(horizon, [float(value) for value in table[name]], color=colour, label=label)
    ax.set(xlabel="horizon (steps after the first half)", ylabel="MSE, scaled")
    drawing.whole_numbers(ax.xaxis)
    ax.legend(fontsize=8)
    return figure


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
        self.metrics = (
            measures.RECONSTRUCTION_MSE,
            Metric("prediction_mse", "squared scaled value"),
            Metric("prediction_mae", "scaled value"),
            Metric("prediction_mae_unscaled", unit),
            Metric("direction_accuracy", MOVED, higher_is_better=True),
        )
        if baselines is not None:
            self.baselines = baselines
        more = ("last_step_direction_accuracy", *(f"direction_gain.{name}" for name in self.baselines))
        self.reported = tuple(Metric(name, MOVED, higher_is_better=True) for name in more)

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses images, which nothing follows, and windows too short to be halved."""
        if data.image_shape is not None:
            raise ValueError(
                "The task predicts what comes next, and nothing comes after an image. "
                "Use dataset=sp500 or dataset=toy, or task=classification."
            )
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
            predicted = predicted if predicted.shape[1] == 1 else _last(predicted, batch.lengths)
            target, before = _last(target, batch.lengths), _last(before, batch.lengths)
            counted = None if counted is None else _last(counted, batch.lengths)
        measures.same_shape(predicted, target, "prediction")
        return predicted, target, before, counted

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms and the metrics of one batch."""
        predicted, target, before, counted = self.compared(batch, output)
        term = measures.mse(predicted, target, counted, "prediction")
        error = (predicted - target).detach().abs()
        unscaled = error if batch.scale is None else error * batch.scale.abs().unsqueeze(1)
        right, moved = _directions(predicted, target, before, counted)
        directed = moved.sum() * (predicted != before).any()
        terms = measures.reconstruction(output, batch.inputs, batch.there)
        metrics = {f"{name}_mse": measures.detached(one) for name, one in terms.items()}
        metrics |= {
            "prediction_mse": measures.detached(term),
            "prediction_mae": measures.mean(error, counted),
            "prediction_mae_unscaled": measures.mean(unscaled, counted),
            "direction_accuracy": (right.sum() / moved.sum().clamp(min=1), directed),
        }
        return Score(terms | {"prediction": term}, metrics)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each prediction, 0 for those that do not count."""
        predicted, target, _, counted = self.compared(batch, output)
        errors = measures.squared_errors(predicted, target, counted)
        if self.steps == "all":
            return errors
        last = batch.inputs.shape[1] if batch.lengths is None else batch.lengths
        time = batch.inputs.shape[1]
        place = (torch.arange(time, device=errors.device) == _column(last) - 1).view(-1, time, 1)
        return errors * place  # (batch, target time, features)

    def report(self, evaluated: Evaluated) -> Report:
        """Returns intervals over time, a table by series, and where asked for the errors by horizon."""
        judged = evaluated[evaluated.judged]
        found = self._gathered(judged)
        block = judged.subset.data.length  # windows of so many steps overlap
        last = over_time.only(found, found["is_last"])
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

    def _gathered(self, judged: EvaluatedSubset) -> dict[str, np.ndarray]:
        """Returns for each sequence and step that counts sums over its features.

        Of the model and the baselines, by name: squared errors, right directions, and steps that they say move.
        """
        data = judged.subset.data
        columns: dict[str, list[np.ndarray]] = {}
        for batch, outputs in judged.batches():
            compared = {name: self.compared(batch, output) for name, output in outputs.items()}
            _, target, before, counted = compared["model"]
            there = torch.ones(target.shape[:2], dtype=torch.bool) if counted is None else counted.any(dim=2)
            lengths = torch.tensor([batch.inputs.shape[1]]) if batch.lengths is None else batch.lengths
            last = lengths.unsqueeze(1) - 1  # (batch or 1, 1)
            offsets = last if self.steps == "last" else torch.arange(target.shape[1]).unsqueeze(0)
            of_step = present(batch.target_starts, "places of the targets").unsqueeze(1) + offsets  # (batch, steps)
            rows = of_step[there].numpy()
            sums = {}
            for name, (made, *_) in compared.items():
                sums[f"error.{name}"] = measures.squared_errors(made, target, counted)
                sums[f"right.{name}"], sums["moved"] = _directions(made, target, before, counted)
                sums[f"directed.{name}"] = made != before
            if batch.scale is not None:
                sums["unscaled"] = sums["error.model"].sqrt() * batch.scale.abs().unsqueeze(1)
            sums["values"] = torch.ones_like(target) if counted is None else counted
            found = {name: values.sum(dim=2)[there].numpy() for name, values in sums.items()}
            found["time"] = rows if data.time_of_step is None else data.time_of_step[rows]
            found["is_last"] = (offsets == last).expand_as(there)[there].numpy()
            if data.series is not None:
                series = torch.from_numpy(data.series)[present(batch.index, "sequences' indices")]
                found["series"] = series.unsqueeze(1).expand_as(there)[there].numpy()
            for name, column in found.items():
                columns.setdefault(name, []).append(column)
        return {name: np.concatenate(values) for name, values in columns.items()}

    def _by_series(self, names: tuple[str, ...], found: Mapping[str, np.ndarray], block: int) -> dict[str, list[Any]]:
        """Returns a row a series: its errors, skills, and the direction of last steps with its interval."""
        table: dict[str, list[Any]] = {}
        for series in np.unique(found["series"]):
            own = over_time.only(found, found["series"] == series)
            last = over_time.only(own, own["is_last"])
            values, last_values = own["values"].sum(), last["values"].sum()
            error = float(own["error.model"].sum() / values)
            row: dict[str, Any] = {"series": names[series], "sequences": len(last["time"]), "prediction_mse": error}
            for name in self.baselines:
                row[f"{name}_mse"] = float(own[f"error.{name}"].sum() / values)
                row[f"skill_{name}"] = 1 - error / row[f"{name}_mse"] if row[f"{name}_mse"] else None
            if "unscaled" in found:
                row["last_step_mae_unscaled"] = float(last["unscaled"].sum() / last_values) if last_values else None
            direction = over_time.directions(last, block, "model")
            ends = {"direction_low": direction.low, "direction_high": direction.high}
            row |= {"last_step_direction_accuracy": direction.estimate, **ends}
            row = {name: over_time.number(value) if isinstance(value, float) else value for name, value in row.items()}
            for name, value in row.items():
                table.setdefault(name, []).append(value)
        return table

    def _last_steps(self, judged: EvaluatedSubset) -> dict[str, np.ndarray]:
        """Returns the last step of some sequences, of the first feature: as it was and as it was predicted."""
        positions = samples.choose(judged.subset, MOST_SERIES)
        batch, output = samples.pick(judged, positions)
        values = {
            "last_target": _last(present(batch.target, "targets"), batch.lengths),
            "last_prediction": _last(present(output.prediction, "predictions"), batch.lengths)
            if output.prediction is not None and output.prediction.shape[1] > 1
            else present(output.prediction, "predictions"),
        }
        arrays = {name: judged.subset.unscaled(one, positions)[:, 0, 0].numpy() for name, one in values.items()}
        return arrays | {"last_names": samples.names(judged.subset, positions)}

    def _rolled_out(self, judged: EvaluatedSubset) -> tuple[dict[str, Any], np.ndarray]:
        """Returns the errors by horizon, of roll-outs and of the model's single steps, and the samples' roll-outs."""
        sums: dict[str, Tensor] = {}
        half = steps = 0
        for batch, outputs in judged.batches():
            half = (batch.inputs.shape[1] + 1) // 2
            truth = present(batch.target, "targets")[:, half - 1 :]
            steps = truth.shape[1]
            made = {"multi_step": roll_out(judged.answers["model"], batch, half, steps)}
            made["one_step"] = present(outputs["model"].prediction, "predictions")[:, half - 1 :]
            made |= {name: roll_out(judged.answers[name], batch, half, steps) for name in self.baselines}
            scale = 1.0 if batch.scale is None else batch.scale.abs().unsqueeze(1)
            for name, predicted in made.items():
                error = predicted - truth
                for kind, values in (("mse", error.square()), ("mae_unscaled", error.abs() * scale)):
                    sums[f"{name}_{kind}"] = sums.get(f"{name}_{kind}", 0) + values.mean(dim=2).sum(dim=0)
        columns = {name: (value / len(judged.subset)).tolist() for name, value in sums.items()}
        positions = samples.choose(judged.subset)
        batch, _ = samples.pick(judged, positions)
        rolled = judged.subset.unscaled(roll_out(judged.answers["model"], batch, half, steps), positions)
        return {"horizon": list(range(1, steps + 1)), **columns}, rolled.numpy()


def _directions(predicted: Tensor, target: Tensor, before: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns where the direction was predicted, and where there was one, (batch, steps, features)."""
    moved = target != before if counted is None else (target != before) & counted
    return (torch.sign(predicted - before) == torch.sign(target - before)) & moved, moved


def _column(last: int | Tensor) -> int | Tensor:
    return last.unsqueeze(1) if isinstance(last, Tensor) and last.ndim else last


def _last(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns each sequence's last step, (batch, 1, features)."""
    if lengths is None:
        return values[:, -1:]
    return values[torch.arange(len(values), device=values.device), lengths - 1].unsqueeze(1)
