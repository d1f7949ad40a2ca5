"""From nodes of the configuration to components: what is wrong with a value is said with its key."""

import difflib
import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from beartype import BeartypeConf
from beartype.door import is_bearable
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lstm_ae import splits
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.tasks import Prediction
from lstm_ae.trainer import Trainer, Training
from lstm_ae.types import Task

SHORTEST_HALVED = 5  # steps: two to read, one to predict, and a target each
MODELS_THAT_FIT = {"nothing": "model=autoencoder", "classes": "model=v4", "sequence": "model=predictor_v3"}
TASKS_THAT_FIT = {"nothing": "task=reconstruction", "classes": "task=classification", "step": "task=last_day",
                  "sequence": "task=prediction"}  # fmt: skip

_WHOLE_NUMBERS_ARE_NUMBERS = BeartypeConf(is_pep484_tower=True)


class ConfigError(ValueError):
    """A value of the configuration cannot be used; the text names its key, the rule, the value and the cure."""


@dataclass(frozen=True)
class Components:
    """All that a job is made of.

    Attributes:
        data: The dataset.
        train: The part that is learnt from.
        validation: The part that chooses the weights.
        test: The part that is looked at once, at the end.
        judged: The part that is set beside the baselines, "test"; or "validation", where test is to be left alone.
        task: Gives the loss and the metrics.
        trainer: The epoch loop.
        training: The model with its initial weights, its optimizer and its scheduler.
    """

    data: SequenceData
    train: SequenceSubset
    validation: SequenceSubset
    test: SequenceSubset
    judged: str
    task: Task
    trainer: Trainer
    training: Training

    @property
    def parts(self) -> dict[str, SequenceSubset]:
        """The parts that may be looked at, by name."""
        parts = {"train": self.train, "validation": self.validation}
        return parts | ({"test": self.test} if self.judged == "test" else {})

    @property
    def eval_subset(self) -> SequenceSubset:
        """The part that is judged."""
        return self.parts[self.judged]


def build(config: DictConfig, data: SequenceData) -> Components:
    """Returns the components of a job.

    Args:
        config: The composed configuration.
        data: The dataset that it names, see `load`.

    Raises:
        ConfigError: a value cannot be used.
    """
    splitter = _build("split", config.split)
    try:
        chosen = splits.select(splitter, config.fold, data)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not data.test.any():
        raise ConfigError("`dataset` leaves no test sequences. Use a larger dataset.test_share or more data.")
    scaling = data.fit_scaling(chosen[0])
    task, trainer = _build("task", config.task, unit=data.unit), _build("trainer", config.trainer)
    _check_task(task, data)
    parts = (*chosen, np.flatnonzero(data.test))
    train, validation, test = (SequenceSubset(data, part, scaling, task.horizon) for part in parts)
    torch.manual_seed(config.seed)
    sizes = {"features": data.features, "time": data.length - task.horizon, "classes": len(data.classes)}
    _check_model(task, str(get_object(config.model._target_).produces))
    model: nn.Module = _build("model", config.model, **sizes).to(trainer.device)
    optimizer = _build("optimizer", config.optimizer, params=model.parameters())
    steps = trainer.steps(train)
    scheduler = _build("scheduler", config.scheduler, optimizer=optimizer, total_steps=steps, T_max=trainer.epochs)
    judged = "test" if config.evaluate_test else "validation"
    training = Training(model, optimizer, scheduler)
    return Components(data, train, validation, test, judged, task, trainer, training)


def _check_task(task: Task, data: SequenceData) -> None:
    """Refuses a task that the dataset has no answers to."""
    names = f"`{_option('task')}` and `{_option('dataset')}`"
    if task.name == "classification" and data.labels is None:
        raise ConfigError(
            f"{names} do not fit: the task needs classes, and the dataset has none. "
            "Use dataset=mnist_rows or dataset=digits, or task=reconstruction."
        )
    if task.horizon and data.kind == "image":
        raise ConfigError(
            f"{names} do not fit: the task predicts what comes next, and nothing comes after an image. "
            "Use dataset=sp500 or dataset=toy, or task=classification."
        )
    if isinstance(task, Prediction) and task.multi_step and data.length < SHORTEST_HALVED:
        raise ConfigError(
            f"`dataset.window` must be at least {SHORTEST_HALVED} to be halved by {_option('task')} with "
            f"task.multi_step=true, got {data.length}. Use dataset.window=30."
        )


def _check_model(task: Task, answer: str) -> None:
    """Refuses a model that answers another question."""
    if answer not in task.accepts:
        said = {"nothing": "only reconstructs", "classes": "names classes", "step": "predicts only the last step",
                "sequence": "predicts every next step"}  # fmt: skip
        raise ConfigError(
            f"`{_option('model')}` and `{_option('task')}` do not fit: the model {said[answer]}. "
            f"Use {MODELS_THAT_FIT[task.accepts[0]]} with this task, or {TASKS_THAT_FIT[answer]} with this model."
        )


def _option(group: str) -> str:
    """Returns `group=option` as the user chose it, or the group where Hydra is not running."""
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return f"{group}={choices[group]}" if group in choices else group


def load(config: DictConfig) -> SequenceData:
    """Returns the dataset that the configuration names; the last one is kept, for the next job of the same process.

    Raises:
        ConfigError: a value cannot be used.
    """
    return _load(json.dumps(OmegaConf.to_container(config.dataset, resolve=True), sort_keys=True))


@functools.lru_cache(maxsize=1)
def _load(node: str) -> SequenceData:
    return _build("dataset", OmegaConf.create(json.loads(node)))


def _build(group: str, node: DictConfig, **known: Any) -> Any:
    """Returns the component of one group.

    Args:
        group: The key of the group.
        node: Its values.
        known: What only the job knows; a component is given what it names as a parameter and the node does not set.
    """
    target = get_object(node._target_)
    plain = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    values = {key: value for key, value in plain.items() if not key.startswith("_")}
    parameters = inspect.signature(target).parameters
    known = {name: value for name, value in known.items() if name in parameters and name not in values}
    _check(group, target, values, [name for name in parameters if name not in known])
    try:
        made = instantiate(node, **({} if node.get("_partial_") else known), _convert_="all")
        return made(**known) if node.get("_partial_") else made
    except (InstantiationException, ValueError, TypeError, ArithmeticError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        raise ConfigError(f"In `{group}` ({node._target_}): {cause}") from error


def _check(group: str, target: Callable[..., Any], values: Mapping[str, Any], parameters: list[str]) -> None:
    """Refuses values that the target has no parameter for, or whose type is not the annotated one."""
    signature = inspect.signature(target)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    hints = _type_hints(target)
    for name, value in values.items():
        if name not in signature.parameters and not open_ended:
            near = difflib.get_close_matches(name, parameters, n=1)
            cure = f"Did you mean {group}.{near[0]}?" if near else f"Use some of: {', '.join(parameters)}."
            raise ConfigError(f"`{group}.{name}` is no parameter of {target.__qualname__}, got {value!r}. {cure}")
        hint = hints.get(name)
        if hint is not None and not _fits(value, hint):
            expected = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            default = signature.parameters[name].default
            cure = (
                "Give one such value." if default in (inspect.Parameter.empty, None) else f"Its default is {default!r}."
            )
            raise ConfigError(f"`{group}.{name}` must be of type {expected}, got {value!r}. {cure}")


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) and hint in (int, float):
        return False
    candidates = (
        (value, tuple(value)) if isinstance(value, list) else (value,)
    )  # YAML has lists where Python has tuples
    return any(is_bearable(candidate, hint, conf=_WHOLE_NUMBERS_ARE_NUMBERS) for candidate in candidates)


def _type_hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return {}
