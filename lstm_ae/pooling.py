"""The scores of batches as those of a subset."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lstm_ae.types import Measured, Output, Score, Subset, Task, answering, total

#: Sequences a batch where nothing is learnt: larger is faster, until it no longer fits the processor's cache.
EVALUATION_BATCH = 1024


@torch.no_grad()
def evaluate(model: nn.Module, task: Task, subset: Subset) -> dict[str, float]:
    """Returns the loss and the metrics of a model on a subset, pooled over all its sequences.

    Args:
        model: In evaluation mode, on the subset's device.
        task: Gives the score.
        subset: The sequences.

    Raises:
        ValueError: nothing of the subset counts in the loss.
    """
    answer, pool = answering(model), Pool(task)
    for positions in torch.split(torch.arange(len(subset)), EVALUATION_BATCH):
        batch = task.prepare(subset.batch(positions), training=False)
        output = answer(batch)
        pool.add(pool.checked(task.score(batch, output)), output, len(batch))
    if pool.is_empty:
        raise ValueError(
            f"The loss must count at least one value, and none of {len(subset)} sequences counts. Use a larger share "
            "(with task=imputation: task.hidden_share), or more data."
        )
    return pool.means(loss_weights(model))


class Pool:
    """Pools the scores of batches into those of a subset; kept on the device so that no step waits for a number.

    Args:
        task: What gave the scores.
    """

    def __init__(self, task: Task) -> None:
        self._functions = {metric.name: metric.pool for metric in task.metrics if metric.pool != "mean"}
        self._factors = task.factors
        self._measured: dict[str, list[Measured]] = {}

    def checked(self, score: Score) -> Score:
        """Returns the score of a model.

        Raises:
            ValueError: it lacks a term of the loss.
        """
        missing = [name for name, factor in self._factors.items() if factor and name not in score.terms]
        if missing:
            name = missing[0]
            raise ValueError(
                f"The model must return what the term `{name}` of the task's loss needs, and does not. Choose another "
                f"model, or give the term no weight (with {name}=reconstruction: task.reconstruction_dominance=0, or "
                "model.reconstruct=true)."
            )
        return score

    def add(self, score: Score, output: Output, count: int, loss: Tensor | None = None) -> None:
        """Adds a batch.

        Args:
            score: Of the batch.
            output: What was scored.
            count: Its sequences.
            loss: What was minimised; None: `means` computes it.
        """
        parts: dict[str, Measured] = {f"term {name}": one for name, one in score.terms.items()}
        parts |= {f"loss {name}": (one.detach(), count) for name, one in output.losses.items()}
        parts |= score.metrics
        if loss is not None:
            parts["loss"] = loss, count
        for name, one in parts.items():
            kept: Any = tuple(part.detach() if isinstance(part, Tensor) else part for part in one)
            self._measured.setdefault(name, []).append(kept)

    @property
    def is_empty(self) -> bool:
        """Whether a term of the loss counts nothing."""
        terms = [parts for name, parts in self._measured.items() if name.startswith("term ")]
        return any(not sum(float(part[1]) for part in parts) for parts in terms)

    def means(self, loss_weights: Mapping[str, float]) -> dict[str, float]:
        """Returns `loss`, the metrics, and the model's own losses by name, summed in double precision.

        Args:
            loss_weights: Of the model's own losses.
        """
        pooled = {name: self._pooled(name, parts) for name, parts in self._measured.items()}
        terms = {name.removeprefix("term "): pooled.pop(name) for name in [*pooled] if name.startswith("term ")}
        losses = {name.removeprefix("loss "): pooled.pop(name) for name in [*pooled] if name.startswith("loss ")}
        loss = pooled.pop("loss") if "loss" in pooled else total(terms, self._factors, losses, loss_weights)
        return {"loss": loss, **pooled, **losses}

    def _pooled(self, name: str, parts: Sequence[Measured]) -> float:
        function = self._functions.get(name)
        if callable(function):
            return float(function(*(torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))))
        values = torch.stack([part[0] for part in parts]).cpu().double()
        weights = torch.tensor([float(part[1]) for part in parts], dtype=torch.float64)
        weight = weights.sum()
        return float(values @ weights / weight) if weight else math.nan


def loss_weights(model: nn.Module) -> Mapping[str, float]:
    """Returns what a model's own losses count, by name; empty where it has none."""
    return getattr(model, "loss_weights", {})
