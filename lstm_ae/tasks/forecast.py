"""Reconstruct, and forecast several steps at once."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lstm_ae import checks, drawing
from lstm_ae.baselines import DriftForecast, LastValue, RidgeForecast, SeasonalNaive
from lstm_ae.checks import Dominance, Units
from lstm_ae.tasks import measures, over_time
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

RECURSIVE = "recursive"


def draw_forecast(run_dir: drawing.Readable) -> "Figure":
    """Draws the forecast of each sample, and the error by horizon."""
    run = drawing.read(run_dir)
    arrays, table, count = run.samples, run_dir.read_table("horizon"), len(run.samples["inputs"])
    error = f"{run.judged} MSE {run.metrics[run.judged]['forecast_mse']:.3g}"
    figure, axes = drawing.figure(count + 1, 1, 2.2 * (count + 1) + 0.5, f"Forecast, {error}\n{run.subtitle}")
    for row, ax in enumerate(axes[:-1, 0]):
        known = arrays["inputs"][row][:, 0]
        known = known[: np.flatnonzero(np.isfinite(known)).max(initial=0) + 1]
        target = np.concatenate([known, arrays["target"][row][:, 0]])
        ahead = np.arange(len(known), len(target))
        ax.plot(target, label="true", **drawing.ORIGINAL_STYLE)
        ax.plot(ahead, arrays["prediction"][row][:, 0], color=drawing.MODEL, marker=".", label="forecast")
        ax.set_title(str(arrays["names"][row]), fontsize=9)
        ax.set_ylabel(f"{arrays['feature_names'][0]} ({arrays['unit']})")
    axes[0, 0].legend(fontsize=8)
    ax = axes[-1, 0]
    for name, colour in zip((key for key in table if key.endswith("_mse")), drawing.COLOURS, strict=False):
        values = [float(value) for value in table[name]]
        ax.plot([int(one) for one in table["horizon"]], values, color=colour, label=name.removesuffix("_mse"))
    ax.set(xlabel="horizon (steps)", ylabel="MSE, scaled")
    drawing.whole_numbers(ax.xaxis)
    ax.legend(fontsize=7)
    return figure


class Forecast(Task):
    """Reconstruct, and forecast: d * reconstruction + (1 - d) * forecast, both mean squared errors.

    A sequence of T steps gives T - horizon inputs; its last `horizon` steps are forecast at once ("direct"). The table
    `horizon` also shows the errors of feeding back the first step of each forecast ("recursive").

    Args:
        horizon: Steps ahead.
        reconstruction_dominance: d, in [0, 1].
        unit: Of the data.
        baselines: What a model must beat, by name; None: persistence, drift, seasonal-naive (7 steps) and ridge.

    Example:
        >>> batch = Forecast(horizon=2).prepare(Batch(torch.zeros(3, 10, 1)), training=False)
        >>> batch.inputs.shape, batch.target.shape
        (torch.Size([3, 8, 1]), torch.Size([3, 2, 1]))
    """

    primary_metric = "forecast_mse"
    accepts = frozenset({"horizon"})
    baselines: Baselines = {
        "persistence": LastValue,
        "drift": DriftForecast,
        "seasonal_naive": functools.partial(SeasonalNaive, period=7),
        "ridge": RidgeForecast,
    }
    figures: Figures = {"reconstruction": drawing.reconstruction, "forecast": draw_forecast}

    @checks.checked
    def __init__(
        self,
        horizon: Units = 5,
        reconstruction_dominance: Dominance = 0.5,
        unit: str = "value",
        baselines: Baselines | None = None,
    ) -> None:
        self.horizon = horizon
        self.factors = {"reconstruction": reconstruction_dominance, "forecast": 1 - reconstruction_dominance}
        self.metrics = (
            measures.RECONSTRUCTION_MSE,
            Metric("forecast_mse", "squared scaled value"),
            Metric("forecast_mae", "scaled value"),
            Metric("forecast_mae_unscaled", unit),
        )
        if baselines is not None:
            self.baselines = baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses images, which nothing follows, and sequences that the horizon leaves no input."""
        if data.image_shape is not None:
            raise ValueError("Nothing comes after an image. Use dataset=sp500 or dataset=toy, or task=classification.")
        if data.shortest <= self.horizon:
            raise ValueError(
                f"Each sequence must have more steps than task.horizon={self.horizon}, and one has {data.shortest}. "
                "Use a smaller task.horizon, or longer windows (dataset.window)."
            )

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns all steps but the last `horizon` as inputs, and these as the target."""
        return batch.divided(self.horizon)

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms and the metrics of one batch."""
        predicted, target, counted = present(output.prediction, "forecasts"), batch.targets, batch.target_observed
        term = measures.mse(predicted, target, counted, "prediction")
        error = (predicted - target).detach().abs()
        unscaled = error if batch.scale is None else error * batch.scale.abs().unsqueeze(1)
        terms = measures.reconstruction(output, batch.inputs, batch.there)
        metrics = {f"{name}_mse": measures.detached(one) for name, one in terms.items()}
        metrics |= {
            "forecast_mse": measures.detached(term),
            "forecast_mae": measures.mean(error, counted),
            "forecast_mae_unscaled": measures.mean(unscaled, counted),
        }
        return Score(terms | {"forecast": term}, metrics)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each value of the horizon."""
        return measures.squared_errors(present(output.prediction, "forecasts"), batch.targets, batch.target_observed)

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the errors by horizon, and intervals of the skills over time."""
        judged = evaluated[evaluated.judged]
        data, found = judged.subset.data, self._gathered(judged)
        skills = {name: over_time.skill(found, data.length, name) for name in self.baselines}
        intervals = {f"skill.{name}": measures.ends(one) for name, one in skills.items()}
        return Report(intervals=intervals, tables={"horizon": self._by_horizon(judged)})

    def _gathered(self, judged: EvaluatedSubset) -> dict[str, np.ndarray]:
        """Returns each sequence's squared errors, summed, by name, and the time at which its horizon begins."""
        columns: dict[str, list[np.ndarray]] = {}
        of_step = judged.subset.data.time_of_step
        for batch, outputs in judged.batches():
            rows = present(batch.target_starts, "places of the targets").numpy()
            columns.setdefault("time", []).append(rows if of_step is None else of_step[rows])
            for name, output in outputs.items():
                columns.setdefault(f"error.{name}", []).append(self.errors(batch, output).sum(dim=(1, 2)).numpy())
        return {name: np.concatenate(parts) for name, parts in columns.items()}

    def _by_horizon(self, judged: EvaluatedSubset) -> dict[str, list[Any]]:
        """Returns a row a step of the horizon: mean errors of the model, directly and recursively, and of baselines."""
        sums: dict[str, Tensor] = {}
        values = torch.zeros(self.horizon)
        for batch, outputs in judged.batches():
            predicted = {name: present(output.prediction, "forecasts") for name, output in outputs.items()}
            if batch.lengths is None and batch.observed is None:
                first = _first_steps(judged.answers["model"])
                predicted[RECURSIVE] = roll_out(first, batch, batch.inputs.shape[1], self.horizon)
            counted = torch.ones_like(batch.targets) if batch.target_observed is None else batch.target_observed
            values += counted.sum(dim=(0, 2))
            scale = torch.ones(1, 1) if batch.scale is None else batch.scale.abs()
            for name, made in predicted.items():
                error = (made - batch.targets) * counted
                for kind, one in (("mse", error.square()), ("mae_unscaled", error.abs() * scale.unsqueeze(1))):
                    sums[f"{name}_{kind}"] = sums.get(f"{name}_{kind}", 0) + one.sum(dim=(0, 2))
        columns = {name: (total / values.clamp(min=1)).tolist() for name, total in sums.items()}
        return {"horizon": list(range(1, self.horizon + 1)), **columns}


def _first_steps(answer: Callable[[Batch], Output]) -> Callable[[Batch], Output]:
    """Returns an answer's next step, of one that gives a whole horizon."""
    return lambda batch: Output(prediction=present(answer(batch).prediction, "forecasts")[:, :1])
