"""The epoch loop: clipping, early stop, best weights, resume."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lstm_ae import checks
from lstm_ae.checks import MOST_COUNTED, Bounds, Count, Cure, Length
from lstm_ae.optimizers import Gradients, without_compiler
from lstm_ae.pooling import Pool, evaluate, loss_weights
from lstm_ae.types import Subset, Task, answering, total

#: One thread cannot collapse: OpenMP's threads spin while they wait for each other, and where other work runs, two of
#: them take 5 to 50 times as long as by themselves, for 1.0 to 1.5 times the speed of one on an idle machine.
DEFAULT_THREADS = 1

Clipping = Annotated[float, Bounds(above=0, cure="Use {name}=null for no clipping.")]
Patience = Annotated[int, Bounds(at_least=1, at_most=MOST_COUNTED, cure="Use {name}=null to train through all epochs.")]
Curriculum = Annotated[
    Sequence[Annotated[Sequence[Count], Length(2)]], Cure("Use pairs of a factor and epochs: {name}=[[4,10]].")
]
MOST_THREADS = max(256, os.cpu_count() or 1)  # PyTorch ends the process where the system refuses one
Threads = Annotated[int, Bounds(at_least=1, at_most=MOST_THREADS, cure="Use {name}=null for the default.")]
Lesson = tuple[Subset, Subset, int]  # training, validation and epochs
Callback = Callable[[Mapping[str, float]], None]


class StopTraining(Exception):  # noqa: N818  # no error: a callback ends training
    """Raised by a callback, it ends training after the present epoch.

    Args:
        reason: Why, for the log and status.json.
        state: What the run's state then is: `finished` or `pruned`.
    """

    def __init__(self, reason: str, state: str = "pruned") -> None:
        super().__init__(reason)
        checks.one_of("state", state, ("pruned", "finished"))
        self.state = state


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
        stopped: What a callback raised to end training.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    diverged: bool = False
    stopped: StopTraining | None = None

    def __post_init__(self) -> None:
        self.best_weights = self.best_weights or _copy(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything as tensors and plain values."""
        with without_compiler():
            parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "scheduler")}
        parts["stopped"] = None if self.stopped is None else [str(self.stopped), self.stopped.state]
        return parts | {name: getattr(self, name) for name in self._plain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        with without_compiler():
            for name in ("model", "optimizer", "scheduler"):
                getattr(self, name).load_state_dict(state[name])
        for name in self._plain:
            setattr(self, name, state[name])
        self.stopped = StopTraining(*state["stopped"]) if state["stopped"] else None

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
        curriculum: Epochs that come first, on data made easier by a factor, as pairs of the factor and a number of
            epochs: [[4, 10]] is ten epochs on images of 4 x 4 pixels averaged into one. Their scores choose no weights.
        checkpoint_every: Epochs between checkpoints.
        keep_checkpoint: Whether a sweep's job keeps its checkpoint at the end, to be trained longer; a single run does.
        device: `auto`, or what `torch.device` takes.
        threads: CPU threads, None for `DEFAULT_THREADS`.
        kernel: Whether the model's LSTM layers use this project's kernel: `auto` where it is faster, True wherever it
            can be used, False for PyTorch's own; see `lstm_ae.models.kernel`.
    """

    @checks.checked
    def __init__(
        self,
        epochs: Count,
        batch_size: Count = 128,
        gradient_clipping: Clipping | None = 1.0,
        patience: Patience | None = None,
        curriculum: Curriculum | None = None,
        checkpoint_every: Count = 1,
        keep_checkpoint: bool = False,
        device: str = "auto",
        threads: Threads | None = None,
        kernel: Literal["auto"] | bool = "auto",
    ) -> None:
        self.curriculum = [(factor, count) for factor, count in curriculum or []]
        self.first_epochs = sum(count for _, count in self.curriculum)
        self.epochs = self.first_epochs + epochs
        self.batch_size = batch_size
        self.gradient_clipping = gradient_clipping
        self.patience = patience
        self.checkpoint_every = checkpoint_every
        self.keep_checkpoint = keep_checkpoint
        self.device = choose_device(device)
        self.threads = threads or DEFAULT_THREADS
        self.kernel = None if kernel == "auto" else kernel

    def place(self, model: nn.Module) -> nn.Module:
        """Returns the model on the trainer's device, its layers set to the trainer's choice of kernel."""
        for module in model.modules():
            if isinstance(module, nn.LSTM) and hasattr(module, "kernel"):  # of `lstm_ae.models.kernel`
                module.kernel = self.kernel
        return model.to(self.device)

    def updates(self, subset: Subset) -> int:
        """Returns the number of the optimizer's updates in a whole training on `subset`."""
        return self.epochs * math.ceil(len(subset) / self.batch_size)

    def train(
        self,
        training: Training,
        task: Task,
        train: Subset,
        validation: Subset,
        seed: int,
        objective: str = "loss",
        lessons: Sequence[Lesson] = (),
        callbacks: Sequence[Callback] = (),
    ) -> Iterator[dict[str, float]]:
        """Trains epoch by epoch, from where `training` stands, and yields each epoch's row of the history.

        It ends after the last epoch, when `patience` is used up, when a callback raises `StopTraining`, or when a loss
        is not finite: `training.diverged` is then set, and the best weights are those of before.

        Args:
            training: What is trained.
            task: Gives the loss.
            train: The subset that is learnt from.
            validation: The subset that chooses the best weights.
            seed: Of the order of the sequences, dropout and what the task draws.
            objective: The validation metric by which the best weights are chosen.
            lessons: Subsets to train on first, and for how many epochs: what `curriculum` asks for.
            callbacks: Called with each epoch's row.

        Raises:
            ValueError: `objective` is no metric of the task, or the model lacks what the task's loss needs.
        """
        torch.set_num_threads(self.threads)
        higher = {metric.name: metric.higher_is_better for metric in task.metrics}.get(objective, False)
        weights, warm_up = loss_weights(training.model), int(getattr(training.model, "warm_up", 0))
        whole = train.to(self.device), validation.to(self.device)
        plan = [(easier, judge) for easier, judge, count in lessons for _ in range(count)]
        while not self._done(training):
            began = time.perf_counter()
            epoch = len(training.history) + 1
            here = plan[epoch - 1] if epoch <= len(plan) else whole
            learnt_from, judged_on = (subset.to(self.device) for subset in here)
            torch.manual_seed(epoch_seed(seed, epoch))
            if 1 < epoch <= len(plan) + 1:
                _lengthen(training.model, here[0].data.length / plan[epoch - 2][0].data.length)
            grown = min(1.0, epoch / warm_up) if warm_up else 1.0
            learnt = self._epoch(training, task, learnt_from, {name: grown * one for name, one in weights.items()})
            judged = evaluate(training.model.eval(), task, judged_on)
            checks.one_of("objective", objective, tuple(judged))
            row = {"epoch": epoch, "lr": training.optimizer.param_groups[0]["lr"]}
            row |= {f"train.{name}": value for name, value in learnt.items()}
            row |= {f"validation.{name}": value for name, value in judged.items()}
            training.diverged = not (math.isfinite(learnt["loss"]) and math.isfinite(judged["loss"]))
            if not training.diverged:
                if epoch > len(plan):
                    _keep_if_best(training, epoch, judged, objective, higher)
                _after_epoch(training.scheduler, judged[objective], higher)
            row["seconds"] = time.perf_counter() - began
            training.history.append(row)
            try:
                for callback in callbacks:
                    callback(row)
            except StopTraining as stop:
                training.stopped = stop
            yield row

    def _epoch(self, training: Training, task: Task, subset: Subset, weights: Mapping[str, float]) -> dict[str, float]:
        """Takes one pass over a subset in a new order and returns the means of its batches' scores."""
        model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
        gradients = Gradients(parameter for group in optimizer.param_groups for parameter in group["params"])
        every_update = hasattr(scheduler, "total_steps")  # OneCycleLR counts updates, the others epochs
        answer, pool = answering(model), Pool(task)
        model.train()
        order = torch.randperm(len(subset)).to(self.device)
        for positions in torch.split(order, self.batch_size):
            batch = task.prepare(subset.batch(positions), training=True)
            output = answer(batch)
            score = task.score(batch, output)
            loss = total(pool.checked(score).means, task.factors, output.losses, weights)
            gradients.clear()
            loss.backward()
            if self.gradient_clipping is not None:
                gradients.clip(self.gradient_clipping)
            with without_compiler():
                optimizer.step()
                if every_update:
                    scheduler.step()
            pool.add(score, output, len(batch), loss.detach())
        return pool.means({})

    def _done(self, training: Training) -> bool:
        epoch = len(training.history)
        since_best = epoch - max(training.best_epoch, self.first_epochs)
        out_of_patience = self.patience is not None and since_best >= self.patience
        return training.diverged or training.stopped is not None or epoch >= self.epochs or out_of_patience


def _lengthen(model: nn.Module, factor: float) -> None:
    """Tells the model that sequences are `factor` times as long from here on."""
    lengthen = getattr(model, "lengthen", None)
    if factor != 1 and callable(lengthen):
        lengthen(factor)


def _keep_if_best(
    training: Training, epoch: int, judged: dict[str, float], objective: str, higher_is_better: bool
) -> None:
    score, best = judged[objective], training.best_metrics.get(objective, math.nan)
    if math.isnan(best) or (score > best if higher_is_better else score < best):
        training.best_epoch, training.best_metrics = epoch, judged
        training.best_weights = _copy(training.model)


def _after_epoch(scheduler: LRScheduler, score: float, higher_is_better: bool) -> None:
    """Tells the scheduler."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(1 - score if higher_is_better else score)
    elif not hasattr(scheduler, "total_steps"):
        scheduler.step()


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
        zero = torch.zeros(1, device=name)
        zero.item()  # `meta` has no values
        return str(zero.device)  # with its number, as tensors name it
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"`device` must be usable on this machine, got {name!r}: {reason}. Use device=auto.") from None
