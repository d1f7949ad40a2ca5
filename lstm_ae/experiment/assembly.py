"""From the parts that a job is given to components that fit each other."""

import difflib
import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lstm_ae import checks, splits
from lstm_ae.checks import ConfigError, NotNegative, Seed, WholeNumber
from lstm_ae.data.scaling import FittedScaling
from lstm_ae.data.sequences import SequenceData, SequenceSubset, coarser
from lstm_ae.experiment.values import blaming, keyed, named
from lstm_ae.optimizers import without_compiler
from lstm_ae.run_dir import WEIGHTS, RunDir
from lstm_ae.trained.loading import read_weights
from lstm_ae.trainer import Lesson, Trainer, Training
from lstm_ae.types import Batch, Task

Factory = Callable[..., Any]
#: What to choose where a model does not fit a task, by what it produces.
EXAMPLES = {
    "classes": "model=v4 with task=classification",
    "horizon": "model=forecaster with task=forecast",
    "next_sequence": "model=predictor_v3 with task=prediction",
    "next_step": "model=predictor_v1 with task=last_day",
}


@dataclass(frozen=True)
class Recipe:
    """What a job is made of, before anything is built.

    Attributes:
        data: The dataset.
        split: Makes the splitter.
        task: Makes the task; is given `unit` if it names it.
        model: Makes the model; is given `features`, `time` and `classes` if it names them.
        optimizer: Makes the optimizer from `params`.
        scheduler: Makes the scheduler from `optimizer`; is given `total_steps` and `T_max` if it names them.
        trainer: Makes the trainer.
        config: The resolved configuration, as config.json holds it.
        seed: Of initial weights, the order of batches, dropout.
        fold: Which fold of the split, None for a holdout run.
        objective: The validation metric that chooses the weights.
        evaluate_test: Whether the test subset is judged; else the validation subset is.
        init_from: The directory of a finished run whose weights are the initial ones, where shapes fit; None: none.
    """

    data: SequenceData
    split: Factory
    task: Factory
    model: Factory
    optimizer: Factory
    scheduler: Factory
    trainer: Factory
    config: Mapping[str, Any]
    seed: Seed = 0
    fold: WholeNumber | None = None
    objective: str = "loss"
    evaluate_test: bool = True
    init_from: str | None = None

    def __post_init__(self) -> None:
        hints = checks.hints(Recipe)
        for name in ("seed", "fold", "objective", "evaluate_test", "init_from"):
            checks.check(name, getattr(self, name), hints[name])


@dataclass(frozen=True)
class Components:
    """All that a job needs.

    Attributes:
        data: The dataset.
        subsets: `train`, `validation`, and `test` if it may be looked at.
        scaling: The fitted scalers.
        task: Gives the loss and the metrics.
        trainer: The epoch loop.
        training: The model with its initial weights, its optimizer and its scheduler.
        sizes: What the model and the baselines are given if they name it: `features`, `time`, `classes`.
        seed: Of initial weights, the order of batches, dropout.
        notes: For the log.
    """

    data: SequenceData
    subsets: Mapping[str, SequenceSubset]
    scaling: FittedScaling
    task: Task
    trainer: Trainer
    training: Training
    sizes: Mapping[str, int]
    seed: int
    notes: tuple[str, ...]

    @property
    def judged(self) -> str:
        """The subset that is compared with the baselines."""
        return "test" if "test" in self.subsets else "validation"

    @property
    def lessons(self) -> Sequence[Lesson]:
        """What the trainer's curriculum asks for: coarser images, and for how many epochs."""
        train, validation = self.subsets["train"], self.subsets["validation"]
        return [
            (coarser(train, factor), coarser(validation, factor), count) for factor, count in self.trainer.curriculum
        ]


def assemble(recipe: Recipe) -> Components:
    """Returns the components of a job, built after every generator is seeded.

    Raises:
        ConfigError: a value cannot be used, or parts do not fit each other.
    """
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)  # noqa: NPY002  # of libraries that draw from the global generator
    data = recipe.data
    splitter = make("split", recipe.split)
    task: Task = make("task", recipe.task, unit=data.unit)
    trainer: Trainer = make("trainer", recipe.trainer)
    with blaming("split", recipe.split, also=("split", "fold", "dataset")):
        train, validation, notes = splits.select(splitter, recipe.fold, data)
    if not data.test.any():
        raise ConfigError(
            "`dataset` leaves no test sequences. Use a larger dataset.test_share, a smaller dataset.window or "
            "dataset.stride, or more data."
        )
    scaling = data.fit_scaling(train)
    index = {"train": train, "validation": validation, "test": np.flatnonzero(data.test)}
    subsets = {name: SequenceSubset(data, one, scaling) for name, one in index.items()}
    if not recipe.evaluate_test:
        del subsets["test"]
    try:
        task.check(data, subsets)
        batch = task.prepare(subsets["train"].batch(torch.arange(1)), training=False)
    except ValueError as error:
        reason = keyed("task", recipe.task, str(error))
        raise ConfigError(f"`task` ({named(recipe.task)}) does not fit the dataset: {reason}") from error
    sizes = {"features": data.features, "time": batch.inputs.shape[1], "classes": len(data.classes)}
    model, more = _model(recipe, task, data, batch, sizes)
    if recipe.init_from is not None:
        more = [*more, *_warm(model, recipe.init_from)]
    model = trainer.place(model)
    training = Training(model, *_optimizing(recipe, model.parameters(), trainer, subsets["train"]))
    notes = (*data.notes, *notes, *more)
    return Components(data, subsets, scaling, task, trainer, training, sizes, recipe.seed, notes)


def _optimizing(
    recipe: Recipe, parameters: Iterable[Tensor], trainer: Trainer, train: SequenceSubset
) -> tuple[Optimizer, Any]:
    """Returns the optimizer of some parameters, and the scheduler of a whole training on a subset."""
    with without_compiler():
        optimizer: Optimizer = make("optimizer", recipe.optimizer, params=parameters)
        known = {"optimizer": optimizer, "total_steps": trainer.updates(train), "T_max": trainer.epochs}
        return optimizer, make("scheduler", recipe.scheduler, **known)


def make(group: str, factory: Factory, **known: Any) -> Any:
    """Returns what a factory makes; of what only the job knows it is given what it names and was not given before.

    Raises:
        ConfigError: the factory refuses its values.
    """
    given = {name: value for name, value in known.items() if name in open_parameters(factory)}
    with blaming(group, factory):
        return factory(**given)


def try_update(recipe: Recipe, components: Components) -> None:
    """Takes one update of a copy of the parameters, and so finds an optimizer or a scheduler that cannot.

    Raises:
        ConfigError: one of them raises, a learning rate is not a finite number of at least 0, or the scheduler ends
            before the training.
    """
    parameters = [nn.Parameter(one.detach().clone()) for one in components.training.model.parameters()]
    for one in parameters:
        one.grad = torch.zeros_like(one)
    updates = components.trainer.updates(components.subsets["train"])
    optimizer, scheduler = _optimizing(recipe, parameters, components.trainer, components.subsets["train"])
    with without_compiler():
        with blaming("optimizer", recipe.optimizer):
            optimizer.step()
        with blaming("scheduler", recipe.scheduler):
            scheduler.step(*[0.0] * isinstance(scheduler, ReduceLROnPlateau))
    for group in optimizer.param_groups:
        checks.check("optimizer.lr", float(group["lr"]), NotNegative)
    planned = getattr(scheduler, "total_steps", updates)
    if planned < updates:
        raise ConfigError(
            f"`scheduler.total_steps` must be at least the {updates} updates of the training, got {planned}. "
            "Leave it out: it is then the right number."
        )


def open_parameters(factory: Factory) -> set[str]:
    """Returns the parameters that a factory has and was not given."""
    return set(inspect.signature(factory).parameters) - set(getattr(factory, "keywords", {}))


def _model(
    recipe: Recipe, task: Task, data: SequenceData, batch: Batch, sizes: Mapping[str, int]
) -> tuple[nn.Module, list[str]]:
    """Returns the model, and notes on what it does not ask for.

    Raises:
        ConfigError: it does not fit the task or the data.
    """
    if "classes" in open_parameters(recipe.model) and not data.classes:
        raise ConfigError(
            f"`model` ({named(recipe.model)}) needs classes, and the dataset has none. Use dataset=digits, "
            "or model=autoencoder."
        )
    torch.manual_seed(recipe.seed)
    model: nn.Module = make("model", recipe.model, **sizes)
    produces: Any = getattr(model, "produces", frozenset())
    if isinstance(produces, str) or not all(isinstance(one, str) for one in produces):
        raise ConfigError(f"`produces` of {named(recipe.model)} must be a set of strings, got {produces!r}.")
    if task.accepts and not task.accepts & set(produces):
        raise ConfigError(_misfit(recipe, task, set(produces)))
    parameters = inspect.signature(model.forward).parameters
    if data.is_ragged and "lengths" not in parameters:
        raise ConfigError(
            f"`model` ({named(recipe.model)}) must take `lengths` in its forward, as the sequences have "
            f"{data.shortest} to {data.length} steps. Name it there, or cut windows of one length (dataset.window)."
        )
    notes = []
    if batch.observed is not None and "observed" not in parameters:
        notes.append("The model does not ask which inputs were observed: it reads missing ones as 0")
    return model, notes


def _warm(model: nn.Module, path: str) -> list[str]:
    """Gives a model the weights of a finished run where names and shapes fit, and returns what was and was not taken.

    Raises:
        ConfigError: there is no such run, or nothing fits.
    """
    source = RunDir(path)
    if not (source / WEIGHTS).exists():
        raise ConfigError(f"`init_from` must be the directory of a finished run, and {path} has no {WEIGHTS}.")
    given = read_weights(source)
    own = model.state_dict()
    taken = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not taken:
        raise ConfigError(f"`init_from`: nothing of {path} fits this model, neither names nor shapes. Use another run.")
    model.load_state_dict(taken, strict=False)
    left = [f"{name} {tuple(given[name].shape) if name in given else 'missing'} there, {tuple(value.shape)} here"
            for name, value in own.items() if name not in taken]  # fmt: skip
    notes = [f"Initial weights: {len(taken)} of {len(own)} from {path}"]
    return notes + ([f"Not taken: {'; '.join(left)}"] if left else [])


def _misfit(recipe: Recipe, task: Task, produces: set[str]) -> str:
    """Returns what to say where a model does not produce what a task accepts."""
    accepted = " or ".join(sorted(task.accepts))
    made = ", ".join(sorted(produces)) or "only a reconstruction"
    unknown = sorted(produces - EXAMPLES.keys())
    near = [hit for one in unknown for hit in difflib.get_close_matches(one, sorted(task.accepts), n=1)]
    examples = [EXAMPLES[one] for one in [*sorted(task.accepts), *sorted(produces)] if one in EXAMPLES]
    cure = f"Did you mean {near[0]}?" if near else f"Use {', or '.join(dict.fromkeys(examples))}." if examples else ""
    return (
        f"`model` ({named(recipe.model)}) and `task` ({named(recipe.task)}) do not fit: the task accepts {accepted}, "
        f"and the model produces {made}. {cure or 'Choose another model.'}"
    )
