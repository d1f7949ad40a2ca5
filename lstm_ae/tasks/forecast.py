"""Reconstruct, and forecast several steps at once."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from lstm_ae import checks, drawing
from lstm_ae.baselines import DriftForecast, LastValue, LinearRegression, SeasonalNaive
from lstm_ae.checks import Dominance, Units
from lstm_ae.tasks import ahead, measures, over_time
from lstm_ae.tasks.ahead_figures import draw_forecast
from lstm_ae.types import (
    Baselines,
    Batch,
    Evaluated,
    EvaluatedSubset,
    Figures,
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

RECURSIVE = "recursive"


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
        >>> import torch
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
        "ridge": functools.partial(LinearRegression, predicts=True),
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
        self.metrics = ahead.metrics("forecast", unit)
        self.baselines = self.baselines if baselines is None else baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses images, which nothing follows, and sequences that the horizon leaves no input."""
        ahead.refuse_images(data)
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
        predicted = present(output.prediction, "forecasts")
        return ahead.score("forecast", batch, output, predicted, batch.targets, batch.target_observed)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the squared error of each value of the horizon."""
        return measures.squared_errors(present(output.prediction, "forecasts"), batch.targets, batch.target_observed)

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the errors by horizon, and intervals of the skills over time."""
        judged = evaluated[evaluated.judged]
        data, found = judged.subset.data, self._gathered(judged)
        skills = {name: over_time.skill(found, data.length, name) for name in self.baselines}
        intervals = {f"skill.{name}": measures.ends(one) for name, one in skills.items()}
        return Report(intervals=intervals, tables={"horizon": ahead.by_horizon(self._compared(judged))})

    def _gathered(self, judged: EvaluatedSubset) -> "pd.DataFrame":
        """Returns each sequence's squared errors, summed, by name, and the time at which its horizon begins."""
        import pandas as pd

        parts, of_step = [], judged.subset.data.time_of_step
        for batch, outputs in judged.batches():
            rows = present(batch.target_starts, "places of the targets").numpy()
            part = pd.DataFrame({"time": rows if of_step is None else of_step[rows]})
            for name, output in outputs.items():
                part[f"error.{name}"] = self.errors(batch, output).sum(dim=(1, 2)).numpy()
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def _compared(self, judged: EvaluatedSubset) -> Iterator[ahead.Compared]:
        """Yields the forecasts of each batch: of the model, directly and recursively, and of the baselines."""
        for batch, outputs in judged.batches():
            predicted = {name: present(output.prediction, "forecasts") for name, output in outputs.items()}
            if batch.lengths is None:
                first = _first_steps(judged.answers["model"])
                predicted[RECURSIVE] = ahead.roll_out(first, batch, batch.inputs.shape[1], self.horizon)
            yield batch, batch.targets, batch.target_observed, predicted


def _first_steps(answer: Callable[[Batch], Output]) -> Callable[[Batch], Output]:
    """Returns an answer's next step, of one that gives a whole horizon."""
    return lambda batch: Output(prediction=present(answer(batch).prediction, "forecasts")[:, :1])
