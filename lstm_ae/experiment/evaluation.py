"""What a trained model is worth: its metrics, the baselines', the skill over them, and the tables beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from lstm_ae.baselines import Baseline, fit_baselines, skill
from lstm_ae.data.sequences import SequenceData
from lstm_ae.experiment.components import Components
from lstm_ae.metrics import HIGHER_IS_BETTER
from lstm_ae.tasks import Prediction
from lstm_ae.trainer import evaluate


def measure(components: Components) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns what metrics.json holds, of the best weights, and the text of CSV files by their names."""
    training, task, trainer = components.training, components.task, components.trainer
    model = training.model
    model.load_state_dict(training.best_weights)
    model.eval()
    metrics: dict[str, Any] = {"train": {}, "validation": {}, "test": {}}
    if training.best_metrics:  # what the trainer chose these weights by is not computed again
        metrics["validation"] = dict(training.best_metrics)
    for name, part in components.parts.items():
        metrics[name] = metrics[name] or evaluate(model, task, part.to(trainer.device))
    baselines = _baselines(components)
    judge = task.without_reconstruction()
    metrics["baseline"] = {name: evaluate(answer, judge, components.eval_subset) for name, answer in baselines.items()}
    error = _error(metrics[components.judged], task.primary_metric)
    metrics["skill"] = {name: skill(error, _error(of, task.primary_metric)) for name, of in metrics["baseline"].items()}
    metrics |= {
        "best_epoch": training.best_epoch,
        "epochs": len(training.history),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": sum(row["seconds"] for row in training.history),
    }
    if task.name == "reconstruction":
        return metrics, {}
    from lstm_ae.experiment import tables

    if isinstance(task, Prediction):
        more, made = tables.by_company(components, task, baselines)
        for name in ("direction_accuracy", "last_day_direction_accuracy"):
            metrics[components.judged][name] = more.pop(name)
    else:
        more, made = tables.by_class(components)
    return metrics | more, {f"{name}.csv": table.to_csv(index=False) for name, table in made.items()}


@dataclass
class _Kept:
    """The baselines that were fitted to the last training part, for the next job of this process that learns from it.

    Logistic regression on MNIST takes ten seconds, a third of a job of ten epochs.
    """

    data: SequenceData | None = None
    index: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    baselines: dict[tuple[str, int, int | None], dict[str, Baseline]] = field(default_factory=dict)


_kept = _Kept()


def _baselines(components: Components) -> dict[str, Baseline]:
    """Returns the baselines of the task, fitted on the training part; the data alone decide how it is scaled."""
    data, train, task = components.data, components.train, components.task
    if _kept.data is not data or not np.array_equal(_kept.index, train.index):
        _kept.data, _kept.index, _kept.baselines = data, train.index, {}
    latent_size = cast(int, components.training.model.latent_size)
    key = (task.name, task.horizon, latent_size if task.name == "reconstruction" else None)
    if key not in _kept.baselines:
        _kept.baselines[key] = fit_baselines(task.name, train, latent_size, len(data.classes))
    return _kept.baselines[key]


def _error(metrics: Mapping[str, float], primary_metric: str) -> float:
    return 1 - metrics[primary_metric] if primary_metric in HIGHER_IS_BETTER else metrics[primary_metric]
