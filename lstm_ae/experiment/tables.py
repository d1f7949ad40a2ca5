"""The tables beside metrics.json, and its intervals: by class, by company and by horizon.

Apart from `evaluation`, as a job that leaves none need not wait for pandas and scipy to be imported.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.experiment.components import Components
from lstm_ae.tasks import Prediction, roll_out
from lstm_ae.trainer import EVALUATION_BATCH
from lstm_ae.types import Output, present

RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5  # of a bootstrap


def answers(model: Callable[[Tensor], Output], part: SequenceSubset, device: str) -> Tensor:
    """Returns what a model predicts of every sequence of a part, on the CPU."""
    with torch.no_grad():
        batches = torch.arange(len(part)).split(EVALUATION_BATCH)
        made = [model(part.batch(positions).inputs.to(device)).prediction for positions in batches]
    return torch.cat([prediction.cpu() for prediction in made if prediction is not None])


def interval(successes: int, trials: int) -> list[float | None]:
    """Returns Wilson's 95 % interval of a share; nothing where there were no trials.

    Example:
        >>> [round(end, 3) for end in interval(60, 100)]
        [0.502, 0.691]
    """
    if not trials:
        return [None, None]
    found = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return [float(found.low), float(found.high)]


def by_class(components: Components) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Returns the accuracy's interval, the confusion matrix and the accuracy of each class, on the judged part."""
    part, classes = components.eval_subset, components.data.classes
    said = answers(components.training.model, part, components.trainer.device).argmax(dim=1)
    labels = present(part.batch(torch.arange(len(part))).labels, "labels")
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    confusion.index_put_((labels, said), torch.ones_like(said), accumulate=True)
    right, total = confusion.diagonal(), confusion.sum(dim=1)
    rows = [
        {"class": name, "sequences": int(n), "accuracy": int(k) / max(int(n), 1)}
        | dict(zip(("low", "high"), interval(int(k), int(n)), strict=True))
        for name, k, n in zip(classes, right, total, strict=True)
    ]
    tables = {
        "confusion": pd.DataFrame(
            confusion.numpy(), index=pd.Index(classes, name="class"), columns=classes
        ).reset_index(),
        "classes": pd.DataFrame(rows),
    }
    return {"interval": {"accuracy": interval(int(right.sum()), int(total.sum()))}}, tables


def by_company(
    components: Components, task: Prediction, baselines: Mapping[str, Callable[[Tensor], Output]]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Returns the direction accuracy, intervals of it and of each skill, and tables by company and horizon.

    Neighbouring windows share days. Skills are therefore resampled by the calendar day of what was predicted; and the
    direction's interval counts the last day of each window alone, which with windows a day apart is each day of each
    company once. It takes these as independent, which companies of one day are not quite.
    """
    data, part, model = components.data, components.eval_subset, components.training.model
    batch = part.batch(torch.arange(len(part)))
    predictions = {"model": answers(model, part, components.trainer.device)}
    predictions |= {name: answers(answer, part, "cpu") for name, answer in baselines.items()}
    compared = {name: task.compared(batch, Output(prediction=made)) for name, made in predictions.items()}
    squared = {name: (made - truth).square().mean(dim=2).numpy() for name, (made, truth, _) in compared.items()}
    right, moved = _directions(*compared["model"])
    last_right, last_moved = right[:, -1], moved[:, -1]
    dollars = (compared["model"][0] - compared["model"][1])[:, -1, 0].abs() * batch.scale[:, 0].abs()
    day = _target_days(data, part.index, squared["model"].shape[1])
    more = {
        "direction_accuracy": float(right.sum() / max(moved.sum(), 1)),
        "last_day_direction_accuracy": float(last_right.sum() / max(last_moved.sum(), 1)),
        "interval": {"last_day_direction_accuracy": interval(int(last_right.sum()), int(last_moved.sum()))},
        "skill_interval": {
            name: _skill_interval(squared["model"], squared[name], day, data.length) for name in baselines
        },
    }
    tables = {}
    if data.groups is not None:
        columns = {
            "company": np.array(data.group_names)[data.groups[part.index]],
            "prediction_mse": squared["model"].mean(axis=1),
            "persistence_mse": squared["persistence"].mean(axis=1),
            "last_day_mae_usd": dollars.numpy(),
            "right": last_right,
            "moved": last_moved,
        }
        tables["companies"] = _companies(pd.DataFrame(columns))
    if task.multi_step:
        tables["multi_step"] = _multi_step(components)
    return more, tables


def _directions(predicted: Tensor, target: Tensor, before: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the direction was right and where there was one, (sequences, steps), of the first feature."""
    made, truth, start = (values[:, :, 0].numpy() for values in (predicted, target, before))
    moved = truth != start
    return (np.sign(made - start) == np.sign(truth - start)) & moved, moved


def _target_days(data: SequenceData, index: np.ndarray, steps: int) -> np.ndarray:
    """Returns the day, or without dates the row, of each of the last `steps` targets, (sequences, steps)."""
    rows = data.starts.numpy()[index][:, None] + np.arange(data.length - steps, data.length)
    return rows if data.day_of_step is None else data.day_of_step[rows]


def _companies(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a company: its windows, errors, skill over persistence, and direction with its interval."""
    grouped = frame.groupby("company")
    table = grouped[["prediction_mse", "persistence_mse", "last_day_mae_usd"]].mean()
    table.insert(0, "windows", grouped.size())
    table["skill"] = 1 - table["prediction_mse"] / table["persistence_mse"]
    right, moved = grouped["right"].sum(), grouped["moved"].sum()
    table["direction_accuracy"] = right / moved
    ends = [interval(int(k), int(n)) for k, n in zip(right, moved, strict=True)]
    table["direction_low"], table["direction_high"] = ([end[side] for end in ends] for side in (0, 1))
    return table.reset_index()


def _skill_interval(model: np.ndarray, baseline: np.ndarray, day: np.ndarray, block: int) -> list[float | None]:
    """Returns the 95 % interval of the skill, by a moving-block bootstrap over days.

    All that was predicted of a day is drawn together, as companies move together, and days in blocks, as neighbouring
    days resemble each other (Kuensch 1989, https://doi.org/10.1214/aos/1176347265). Nothing is returned where the days
    make fewer than five blocks.

    Args:
        model: The squared error of each prediction.
        baseline: The baseline's.
        day: The day that was predicted.
        block: Days a block.
    """
    days, of_day = np.unique(day.ravel(), return_inverse=True)
    sums = np.stack([np.bincount(of_day, weights=errors.ravel()) for errors in (model, baseline)])  # (2, days)
    if len(days) < FEWEST_BLOCKS * block:
        return [None, None]
    running = np.concatenate([np.zeros((2, 1)), np.cumsum(sums, axis=1)], axis=1)
    of_block = running[:, block:] - running[:, :-block]  # (2, blocks)
    drawn = np.random.default_rng(0).integers(of_block.shape[1], size=(RESAMPLES, len(days) // block))
    errors = of_block[:, drawn].sum(axis=2)  # (2, resamples)
    if not (errors[1] > 0).all():
        return [None, None]
    ends = np.quantile(1 - errors[0] / errors[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return [float(end) for end in ends]


def _multi_step(components: Components) -> pd.DataFrame:
    """Returns the errors on the judged part by horizon: of the roll-out, of single steps, and of persistence."""
    part, model, device = components.eval_subset, components.training.model, components.trainer.device
    sums: dict[str, Any] = {}
    for positions in torch.arange(len(part)).split(EVALUATION_BATCH):
        batch = part.batch(positions)
        half = (batch.inputs.shape[1] + 1) // 2
        inputs, truth = batch.inputs.to(device), present(batch.target, "targets")[:, half - 1 :]
        with torch.no_grad():
            single = model(inputs).prediction[:, half - 1 :].cpu()
        rolled = roll_out(model, inputs[:, :half], truth.shape[1]).cpu()
        still = batch.inputs[:, half - 1 : half].expand_as(truth)
        scale = batch.scale.abs().unsqueeze(1)
        for name, predicted in (("multi_step", rolled), ("one_step", single), ("persistence", still)):
            error = predicted - truth
            sums[f"{name}_mse"] = sums.get(f"{name}_mse", 0) + error.square().mean(dim=2).sum(dim=0)
            sums[f"{name}_mae"] = sums.get(f"{name}_mae", 0) + (error.abs() * scale).mean(dim=2).sum(dim=0)
    columns = {name: (value / len(part)).numpy() for name, value in sums.items()}
    unit = "_usd" if components.data.unit == "USD" else ""
    renamed = {f"{name}{unit}" if name.endswith("_mae") else name: value for name, value in columns.items()}
    return pd.DataFrame({"horizon": np.arange(1, len(next(iter(columns.values()))) + 1), **renamed})
