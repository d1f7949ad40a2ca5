"""What tasks that predict steps share: their metrics, errors by horizon, and roll-outs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.tasks import measures
from lstm_ae.types import Batch, Metric, Output, Score, Sequences, present

#: A prepared batch, the steps that come (batch, steps, features), which of them count (None: all), and what each answer
#: predicted, by name.
Compared = tuple[Batch, Tensor, Tensor | None, Mapping[str, Tensor]]


def refuse_images(data: Sequences) -> None:
    """Refuses images, which nothing follows."""
    if data.image_shape is not None:
        raise ValueError(
            "The task predicts what comes next, and nothing comes after an image. "
            "Use dataset=sp500 or dataset=toy, or task=classification."
        )


def metrics(name: str, unit: str) -> tuple[Metric, ...]:
    """Returns the metrics of `score`."""
    return (
        measures.RECONSTRUCTION_MSE,
        Metric(f"{name}_mse", "squared scaled value"),
        Metric(f"{name}_mae", "scaled value"),
        Metric(f"{name}_mae_unscaled", unit),
    )


def score(name: str, batch: Batch, output: Output, predicted: Tensor, target: Tensor, counted: Tensor | None) -> Score:
    """Returns the terms and the metrics of one batch: of the reconstruction, and of what was predicted.

    Args:
        name: Of the term, and how its metrics begin.
        batch: Gives the inputs, which are reconstructed, and the scale.
        output: Gives the reconstruction.
        predicted: (batch, steps, features).
        target: The same.
        counted: Which values of it count; None: all.
    """
    term = measures.mse(predicted, target, counted, "prediction")
    error = (predicted - target).detach().abs()
    unscaled = error if batch.scale is None else error * batch.scale.abs().unsqueeze(1)
    terms = measures.reconstruction(output, batch.inputs, batch.there)
    found = {f"{name}_mse": measures.detached(one) for name, one in terms.items()}
    found |= {
        f"{name}_mse": measures.detached(term),
        f"{name}_mae": measures.mean(error, counted),
        f"{name}_mae_unscaled": measures.mean(unscaled, counted),
    }
    return Score(terms | {name: term}, found)


def by_horizon(parts: Iterable[Compared]) -> dict[str, list[Any]]:
    """Returns a row a step ahead: `horizon`, and the mean errors `NAME_mse` and `NAME_mae_unscaled` of each answer."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}  # an answer may not be there for every batch
    for batch, target, counted, predicted in parts:
        there = torch.ones_like(target) if counted is None else counted
        scale = 1.0 if batch.scale is None else batch.scale.abs().unsqueeze(1)
        for name, made in predicted.items():
            error = (made - target) * there
            for kind, values in (("mse", error.square()), ("mae_unscaled", error.abs() * scale)):
                column = f"{name}_{kind}"
                sums[column] = sums.get(column, 0) + values.sum(dim=(0, 2))
                counts[column] = counts.get(column, 0) + there.sum(dim=(0, 2))
    columns = {name: (total / counts[name].clamp(min=1)).tolist() for name, total in sums.items()}
    steps = len(next(iter(columns.values()), []))
    return {"horizon": list(range(1, steps + 1)), **columns}


@torch.no_grad()
def roll_out(
    answer: Callable[[Batch], Output], batch: Batch, known: int, steps: int, ahead: int = 1
) -> Float[Tensor, "batch target_time features"]:
    """Returns the `steps` values that follow the first `known` inputs, each predicted from those before it.

    The window slides: predictions are appended, and as many of the oldest values dropped.

    Args:
        answer: A model or a baseline.
        batch: Inputs of one length. What is predicted counts as observed.
        known: How many of its steps are read.
        steps: How many are predicted.
        ahead: How many of an answer's last steps lie ahead of its inputs and are fed back: 1 of one that predicts the
            next step at every step, all of one that predicts a horizon.
    """
    window, made = batch.inputs[:, :known], []
    observed = None if batch.observed is None else batch.observed[:, :known]
    for _ in range(0, steps, ahead):
        read = replace(batch, inputs=window, observed=observed, target=None, target_observed=None)
        made.append(present(answer(read).prediction, "predictions")[:, -ahead:])
        window = torch.cat([window, made[-1]], dim=1)[:, -known:]
        if observed is not None:
            observed = torch.cat([observed, torch.ones_like(made[-1], dtype=torch.bool)], dim=1)[:, -known:]
    return torch.cat(made, dim=1)[:, :steps]
