"""The epoch loop: clipping, early stop, best weights, resume."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lstm_ae import checks
from lstm_ae.metrics import HIGHER_IS_BETTER
from lstm_ae.types import Output, Subset, Task

#: Sequences a batch where nothing is learnt: larger is faster, until it no longer fits the processor's cache.
EVALUATION_BATCH = 512
#: Two threads took 1.1 to 1.5 times as many steps a second as one on two cores (see README); a step's matrices are too
#: small to feed more than a few. OMP_NUM_THREADS, which joblib sets for its workers, counts as the number of cores.
DEFAULT_THREADS = min(4, torch.get_num_threads())


@dataclass
class Training:
    """All that changes while a model is trained, and so all that a checkpoint must hold.

    Attributes:
        model: Its present weights.
        optimizer: Of the model's parameters.
        scheduler: Of the optimizer's learning rate.
        history: A row for each epoch that is done.
        best_epoch: The epoch, counted from 1, with the best validation score; 0 before the first.
        best_metrics: The validation metrics after that epoch.
        best_weights: The weights after that epoch.
        diverged: Whether a loss was not finite.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    diverged: bool = False

    def __post_init__(self) -> None:
        self.best_weights = self.best_weights or _copy(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything as tensors and plain values."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "scheduler")}
        return parts | {name: getattr(self, name) for name in self._plain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        for name in ("model", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        for name in self._plain:
            setattr(self, name, state[name])

    _plain = ("history", "best_epoch", "best_metrics", "best_weights", "diverged")


class Trainer:
    """Trains a model by gradient descent and keeps the weights that were best on validation data.

    Epoch k draws all its randomness (the order of the sequences, dropout) from a generator seeded by (seed, k): a run
    that is resumed after any epoch goes on exactly as one that was never stopped.

    Args:
        epochs: Passes over the training part.
        batch_size: Sequences a step.
        gradient_clipping: Largest global norm of the gradient, None for none.
        patience: Stop after so many epochs without a better validation score, None for never.
        curriculum: Epochs on coarser images that come first, as pairs of a factor and a number of epochs: [[4, 10]] is
            ten epochs on images of 4 x 4 pixels averaged into one. Their scores choose no weights.
        checkpoint_every: Epochs between checkpoints.
        device: `auto`, or what `torch.device` takes.
        threads: CPU threads, None for `DEFAULT_THREADS`.
    """

    def __init__(
        self,
        epochs: int,
        batch_size: int = 128,
        gradient_clipping: float | None = 1.0,
        patience: int | None = None,
        curriculum: list[list[int]] | None = None,
        checkpoint_every: int = 1,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        checks.at_least("epochs", epochs, 1)
        checks.at_least("batch_size", batch_size, 1)
        checks.at_least("checkpoint_every", checkpoint_every, 1)
        if gradient_clipping is not None:
            checks.above("gradient_clipping", gradient_clipping, 0, cure="Use gradient_clipping=null for no clipping.")
        for pair in curriculum or []:
            if len(pair) != 2 or min(pair) < 1:
                raise ValueError(
                    f"`curriculum` must hold pairs of a factor and epochs, both at least 1, got {pair}. "
                    "Use trainer.curriculum=[[4,10]], or null for none."
                )
        if patience is not None:
            checks.at_least("patience", patience, 1, cure="Use patience=null to train through all epochs.")
        if threads is not None:
            checks.at_least("threads", threads, 1, cure="Use threads=null for the default.")
        self._factors = [factor for factor, count in (curriculum or []) for _ in range(count)]
        self.epochs = len(self._factors) + epochs
        self.batch_size = batch_size
        self.gradient_clipping = gradient_clipping
        self.patience = patience
        self.checkpoint_every = checkpoint_every
        self.device = choose_device(device)
        self.threads = threads or DEFAULT_THREADS

    def steps(self, part: Subset) -> int:
        """Returns the number of steps of a whole training on `part`."""
        return self.epochs * math.ceil(len(part) / self.batch_size)

    def train(
        self, training: Training, task: Task, train: Subset, validation: Subset, seed: int, objective: str = "loss"
    ) -> Iterator[dict[str, float]]:
        """Trains epoch by epoch, from where `training` stands, and yields each epoch's row of the history.

        It ends after the last epoch, when `patience` is used up, or when a loss is not finite: `training.diverged` then
        says so, and the best weights are those of before.

        Args:
            training: What is trained.
            task: Gives the loss.
            train: The part that is learnt from.
            validation: The part that chooses the best weights.
            seed: Of the order of the sequences and of dropout.
            objective: The validation metric by which the best weights are chosen.

        Raises:
            ValueError: `objective` is no metric of the task.
        """
        torch.set_num_threads(self.threads)
        factor, parts = 0, (train, validation)
        while not self._done(training):
            began = time.perf_counter()
            epoch = len(training.history) + 1
            if self._factor(epoch) != factor:
                factor = self._factor(epoch)
                sized = (train, validation) if factor == 1 else (train.coarser(factor), validation.coarser(factor))
                parts = sized[0].to(self.device), sized[1].to(self.device)
            torch.manual_seed(epoch_seed(seed, epoch))
            learnt = self._epoch(training, task, parts[0])
            judged = evaluate(training.model.eval(), task, parts[1])
            checks.one_of("objective", objective, tuple(judged))
            row = {"epoch": epoch, "lr": training.optimizer.param_groups[0]["lr"]}
            row |= {f"train.{name}": value for name, value in learnt.items()}
            row |= {f"validation.{name}": value for name, value in judged.items()}
            training.diverged = not (math.isfinite(learnt["loss"]) and math.isfinite(judged["loss"]))
            if not training.diverged:
                if factor == 1:
                    self._keep_if_best(training, epoch, judged, objective)
                self._after_epoch(training, judged[objective], objective in HIGHER_IS_BETTER)
            row["seconds"] = time.perf_counter() - began
            training.history.append(row)
            yield row

    def _epoch(self, training: Training, task: Task, part: Subset) -> dict[str, float]:
        """Takes one pass over a part in a new order and returns the means of its batches' scores."""
        model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        every_step = hasattr(scheduler, "total_steps")  # OneCycleLR counts in steps, the others in epochs
        sums = _Sums()
        model.train()
        order = torch.randperm(len(part)).to(self.device)
        for positions in order.split(self.batch_size):
            batch = part.batch(positions)
            score = task.score(batch, model(batch.inputs))
            optimizer.zero_grad()
            score.loss.backward()
            if self.gradient_clipping is not None:
                nn.utils.clip_grad_norm_(parameters, self.gradient_clipping)
            optimizer.step()
            if every_step:
                scheduler.step()
            sums.add(score.loss.detach(), score.metrics, len(batch))
        return sums.means()

    def _factor(self, epoch: int) -> int:
        """Returns how many pixels' sides are averaged into one in this epoch, counted from 1."""
        return self._factors[epoch - 1] if epoch <= len(self._factors) else 1

    def _keep_if_best(self, training: Training, epoch: int, judged: dict[str, float], objective: str) -> None:
        score, best = judged[objective], training.best_metrics.get(objective, math.nan)
        if math.isnan(best) or (score > best if objective in HIGHER_IS_BETTER else score < best):
            training.best_epoch, training.best_metrics = epoch, judged
            training.best_weights = _copy(training.model)

    def _after_epoch(self, training: Training, score: float, higher_is_better: bool) -> None:
        """Tells the scheduler."""
        scheduler = training.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(1 - score if higher_is_better else score)
        elif not hasattr(scheduler, "total_steps"):
            scheduler.step()

    def _done(self, training: Training) -> bool:
        epoch = len(training.history)
        since_best = epoch - max(training.best_epoch, len(self._factors))
        out_of_patience = self.patience is not None and since_best >= self.patience
        return training.diverged or epoch >= self.epochs or out_of_patience


@torch.no_grad()
def evaluate(answer: Callable[[Tensor], Output], task: Task, part: Subset) -> dict[str, float]:
    """Returns the loss and the metrics of a model, or of a baseline, on a part: means over its sequences.

    Args:
        answer: From inputs (batch, time, features) to an `Output`; a model in evaluation mode, on the part's device.
        task: Gives the score.
        part: The sequences.
    """
    sums = _Sums()
    for positions in torch.arange(len(part)).split(EVALUATION_BATCH):
        batch = part.batch(positions)
        score = task.score(batch, answer(batch.inputs))
        sums.add(score.loss, score.metrics, len(batch))
    return sums.means()


class _Sums:
    """Scores of batches, kept on the device so that no step waits for a number."""

    def __init__(self) -> None:
        self._scores: dict[str, list[Tensor]] = {}
        self._counts: list[int] = []

    def add(self, loss: Tensor, metrics: Mapping[str, Tensor], count: int) -> None:
        self._scores.setdefault("loss", []).append(loss)
        for name, value in metrics.items():
            self._scores.setdefault(name, []).append(value)
        self._counts.append(count)

    def means(self) -> dict[str, float]:
        """Returns the means over sequences, summed in double precision."""
        counts = torch.tensor(self._counts, dtype=torch.float64)
        stacked = {name: torch.stack(values).cpu().double() for name, values in self._scores.items()}
        return {name: float(values @ counts / counts.sum()) for name, values in stacked.items()}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns a seed of 64 bits for one epoch of a run, unrelated to that of any other (seed, epoch)."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def choose_device(name: str) -> str:
    """Returns the device that `name` stands for; `auto` is a GPU where there is one, else the CPU.

    Raises:
        ValueError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=name).device)  # with its number, as tensors name it
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"`device` must be usable on this machine, got {name!r}: {reason}. Use device=auto.") from None
