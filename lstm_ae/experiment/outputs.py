"""What a run leaves when its training ends: weights, what builds the model again, history, tables, metrics."""

import io
from collections.abc import Mapping
from typing import Any

import torch

from lstm_ae.experiment.assembly import Components, Recipe, open_parameters
from lstm_ae.experiment.evaluation import measure
from lstm_ae.experiment.values import named
from lstm_ae.run_dir import METRICS, MODEL, MODEL_FORMAT, SAMPLES, SCALER, TASK, WEIGHTS, RunDir
from lstm_ae.types import Report


def write(run_dir: RunDir, recipe: Recipe, components: Components, own: str) -> None:
    """Evaluates the best weights and writes what is left of a run; metrics.json comes last."""
    weights = io.BytesIO()
    torch.save(components.training.best_weights, weights)
    run_dir.write_zip(WEIGHTS, own, weights.getbuffer())
    run_dir.write_json(MODEL, _described(recipe, components))
    run_dir.write_arrays(SCALER, components.scaling.stored)
    run_dir.write_history(components.training.history)
    write_measured(run_dir, *measure(components))


def write_measured(run_dir: RunDir, metrics: Mapping[str, Any], report: Report) -> None:
    """Writes tables, samples and metrics."""
    for name, table in report.tables.items():
        run_dir.write_table(name, table)
    if report.fitted:
        run_dir.write_arrays(TASK, report.fitted)
    run_dir.write_arrays(SAMPLES, report.arrays)
    run_dir.write_json(METRICS, metrics)


def _described(recipe: Recipe, components: Components) -> dict[str, Any]:
    """Returns what builds the model again without the data."""
    data, task = components.data, dict(recipe.config["task"])
    return {
        "format": MODEL_FORMAT,
        "class": named(recipe.model),
        "arguments": {key: value for key, value in recipe.config["model"].items() if not key.startswith("_")},
        "sizes": {name: size for name, size in components.sizes.items() if name in open_parameters(recipe.model)},
        "task": {"class": task.pop("_target_"), "arguments": task},
        "feature_names": list(data.feature_names),
        "unit": data.unit,
        "classes": list(data.classes),
        "series_names": list(data.series_names),
        "layout": dict(data.layout),
        "length": data.length,
        "window": data.window,
        "ragged": data.is_ragged,
        "missing": data.missing,
        "scaling": components.scaling.stored["method"].item(),
    }
