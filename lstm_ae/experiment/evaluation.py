"""What a trained model is worth: one pass through the model gives metrics, baselines, skill, tables and figures."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from lstm_ae.baselines import skill
from lstm_ae.data.sequences import SequenceSubset
from lstm_ae.experiment.assembly import Components
from lstm_ae.experiment.baselines import Prepared, fitted_baselines
from lstm_ae.pooling import EVALUATION_BATCH, Pool, evaluate, loss_weights
from lstm_ae.tasks import samples
from lstm_ae.types import Batch, Metric, Output, Report, Task, answering

TRIAL_SIZE = 64  # sequences on which everything is tried before training
LOSS = Metric("loss", "loss")


class OutputsOfSubset:
    """A subset with the outputs of the model and of the baselines, see `lstm_ae.types.EvaluatedSubset`."""

    def __init__(
        self, prepared: Prepared, answers: Mapping[str, Callable[[Batch], Output]], weights: Mapping[str, float]
    ) -> None:
        self.subset, self.answers = prepared.subset, answers
        self._prepared, self._loss_weights = prepared, weights

    def batches(self) -> Iterator[tuple[Batch, Mapping[str, Output]]]:
        """Yields each prepared batch with the outputs by name."""
        yield from self._computed[0]

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        """The metrics of the model and of the baselines, by name."""
        return self._computed[1]

    @functools.cached_property
    def _computed(self) -> tuple[list[tuple[Batch, Mapping[str, Output]]], dict[str, dict[str, float]]]:
        task = self._prepared.task
        pools = {name: Pool(task) for name in self.answers}
        kept: list[tuple[Batch, Mapping[str, Output]]] = []
        for positions in torch.split(torch.arange(len(self.subset)), EVALUATION_BATCH):
            batch = self._prepared.batch(positions)
            outputs = {name: answer(batch) for name, answer in self.answers.items()}
            for name, output in outputs.items():
                pools[name].add(task.score(batch, output), output, len(batch))
            # Without the latents, which are the largest.
            kept.append((batch, {name: Output(one.reconstruction, one.prediction) for name, one in outputs.items()}))
        return kept, {name: pool.means(self._loss_weights) for name, pool in pools.items()}


class Outputs:
    """A model's outputs on each subset, see `lstm_ae.types.Evaluated`.

    Args:
        components: With the model's weights as they are to be judged.
        trial: Whether this is the try before training, on a few sequences of each subset.
    """

    def __init__(self, components: Components, trial: bool = False) -> None:
        self.trial = trial
        self.judged = components.judged
        subsets = {name: _few(one) if trial else one for name, one in components.subsets.items()}
        prepared = {name: Prepared(one, components.task) for name, one in subsets.items()}
        model = _answering_on_cpu(components)
        first = prepared["train"].batch(torch.arange(1))
        output = model(first)
        latent = None if output.latent is None else tuple(output.latent.shape[1:])
        self.copies = _copies(first, latent)
        budget = None if self.copies else latent
        self.baselines = fitted_baselines(components, prepared["train"], prepared["validation"], budget, keep=not trial)
        answers: dict[str, Callable[[Batch], Output]] = {"model": model, **self.baselines}
        weights = loss_weights(components.training.model)
        self._of = {name: OutputsOfSubset(one, answers, weights) for name, one in prepared.items()}

    def __getitem__(self, subset: str) -> OutputsOfSubset:
        if subset not in self._of:
            raise ValueError(
                f"`evaluated` has {', '.join(self._of)}, got {subset!r}: evaluate_test=false does not use "
                "test data. Use evaluated[evaluated.judged]."
            )
        return self._of[subset]


def _copies(batch: Batch, latent: tuple[int, ...] | None) -> str | None:
    """Returns why no baseline that compresses is even with the model; None where the model compresses."""
    if batch.target is not None:
        return None
    if latent is None:
        return "returns no latent, so it is not known whether it compresses"
    size, whole = math.prod(latent), math.prod(batch.inputs.shape[1:])
    copies = f"copies: its latent ({size:,} values) is not smaller than the sequence ({whole:,})"
    return copies if size >= whole else None


def _answering_on_cpu(components: Components) -> Callable[[Batch], Output]:
    """Returns the model as a function from a batch to an output, both on the CPU."""
    answer, device = answering(components.training.model.eval()), components.trainer.device

    @torch.no_grad()
    def on_cpu(batch: Batch) -> Output:
        return answer(batch.to(device)).on_cpu()

    return on_cpu


def measure(components: Components) -> tuple[dict[str, Any], Report]:
    """Returns what metrics.json holds, of the best weights, and the task's report with the samples to draw."""
    training, task = components.training, components.task
    training.model.load_state_dict(training.best_weights)
    evaluated = Outputs(components)
    judged = evaluated[evaluated.judged].metrics
    metrics: dict[str, Any] = {"train": {}, "validation": dict(training.best_metrics), "test": {}}
    for name, subset in components.subsets.items():
        if name == evaluated.judged:
            metrics[name] = dict(judged["model"])
        elif not metrics[name]:  # what the trainer chose these weights by is not computed again
            metrics[name] = evaluate(training.model.eval(), task, subset.to(components.trainer.device))
    report = task.report(evaluated)
    metrics[evaluated.judged] |= report.metrics
    metrics |= compared(evaluated, judged, task)
    metrics["interval"] = {name: None if isinstance(one, str) else list(one) for name, one in report.intervals.items()}
    reasons = {name: one for name, one in report.intervals.items() if isinstance(one, str)}
    metrics |= {"interval_reason": reasons} if reasons else {}
    metrics |= {
        "metrics": {one.name: one.recorded for one in (LOSS, *task.metrics, *task.reported)},
        "subsets": described(components),
        "best_epoch": training.best_epoch,
        "epochs": len(training.history),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "seconds": sum(row["seconds"] for row in training.history),
    }
    arrays = {**samples.collect(evaluated), **report.arrays}
    return metrics, Report(tables=report.tables, arrays=arrays, fitted=report.fitted)


def described(components: Components) -> dict[str, dict[str, int | str]]:
    """Returns how many sequences each subset holds, and a hash of them: two runs had the same split where it agrees."""
    data = components.data
    index = {name: components.subsets[name].index for name in ("train", "validation")}
    index["test"] = np.flatnonzero(data.test)  # also where it is left alone
    return {name: {"sequences": len(one), "digest": data.digest(one)} for name, one in index.items()}


def compared(evaluated: Outputs, metrics: Mapping[str, Mapping[str, float]], task: Task) -> dict[str, Any]:
    """Returns the baselines' metrics, the skill over each, and why there is none where the model copies."""
    higher = {metric.name: metric.higher_is_better for metric in task.metrics}[task.primary_metric]

    def error(of: Mapping[str, float]) -> float:
        return 1 - of[task.primary_metric] if higher else of[task.primary_metric]

    baselines = {name: dict(of) for name, of in metrics.items() if name != "model"}
    skills = {
        name: skill(error(metrics["model"]), error(of)) if task.primary_metric in of else None
        for name, of in baselines.items()
    }
    left_out = dict.fromkeys(name for name in task.baselines if name not in baselines)
    found: dict[str, Any] = {"baseline": baselines, "skill": skills | left_out}
    return found | ({"copies": evaluated.copies} if left_out else {})


def try_out(components: Components, objective: str) -> None:
    """Tries the model, the baselines, the metrics and the report on a few sequences, so that no training is lost.

    Raises:
        ValueError: a part raises or does not fit; the text names it.
    """
    try:
        evaluated = Outputs(components, trial=True)
        subset = evaluated[evaluated.judged]
        for batch, outputs in subset.batches():
            score = Pool(components.task).checked(components.task.score(batch, outputs["model"]))
            components.task.errors(batch, outputs["model"])
        metrics = subset.metrics["model"]
        _check_report(components.task, components.task.report(evaluated))
        samples.collect(evaluated)
    except Exception as error:
        raise ValueError(f"A trial on {TRIAL_SIZE} sequences failed, before training: {_said(error)}") from error
    known = {metric.name for metric in components.task.metrics}
    unknown = set(score.metrics) - known
    taken = {"loss"} & known or {"loss", *known} & set(outputs["model"].losses)
    if taken:
        raise ValueError(f"A metric, or a loss of the model, must not be called {sorted(taken)[0]!r}, which there is.")
    if unknown:
        raise ValueError(f"`metrics` of the task must list {sorted(unknown)}, which `score` returns. Add a Metric.")
    if components.task.primary_metric not in metrics:
        raise ValueError(
            f"`primary_metric` must be one that `score` returns, got {components.task.primary_metric!r}. "
            f"Use one of: {', '.join(score.metrics)}."
        )
    if objective not in metrics:
        raise ValueError(f"`objective` must be one of {', '.join(metrics)}, got {objective!r}. Use objective=loss.")


def _check_report(task: Task, report: Report) -> None:
    """Refuses a report that could not be written, or not be read, after training."""
    unknown = sorted(set(report.metrics) - {metric.name for metric in task.reported})
    if unknown:
        raise ValueError(f"`reported` of the task must list {unknown}, which `report` returns. Add a Metric.")
    for name, table in report.tables.items():
        lengths = {column: len(values) for column, values in table.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of the table `{name}` must be equally long, got {lengths}.")
    for name, array in {**report.arrays, **report.fitted}.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"`{name}` of the report must be an array of numbers or texts, got objects.")


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _few(subset: SequenceSubset) -> SequenceSubset:
    """Returns up to 64 sequences of a subset that cover every class."""
    positions = np.unique(np.linspace(0, len(subset) - 1, min(TRIAL_SIZE, len(subset))).astype(np.int64))
    labels = subset.data.labels
    if labels is not None:
        _, first = np.unique(labels.numpy()[subset.index], return_index=True)
        positions = np.unique(np.concatenate([first[:TRIAL_SIZE], positions[: max(0, TRIAL_SIZE - len(first))]]))
    return SequenceSubset(subset.data, subset.index[positions], subset.scaling)
