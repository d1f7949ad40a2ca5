"""From Hydra's configuration to a job: nodes become factories, and what is wrong with a value is named by its key."""

import functools
import gc
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from lstm_ae import checks, interrupts, terminal
from lstm_ae.checks import ConfigError, Seed
from lstm_ae.data.sequences import SequenceData
from lstm_ae.experiment import job, keys, values
from lstm_ae.experiment.assembly import Factory, Recipe, make
from lstm_ae.experiment.overrides import GROUPS, lines, parse
from lstm_ae.run_dir import ENDED, STATUS, RunDir
from lstm_ae.types import Task

#: What a group's component is given by the job, and so need not stand in its node.
KNOWN = {
    "task": {"unit"},
    "model": {"features", "time", "classes"},
    "optimizer": {"params"},
    "scheduler": {"optimizer", "total_steps", "T_max"},
}


class JobError(HydraException):
    """A job failed; the text is all that a user needs, and run.log has the traceback."""


def run(config: DictConfig) -> float:
    """Runs one job in the directory that Hydra names, and returns its validation score, see `lstm_ae.experiment.job`.

    Raises:
        JobError: anything went wrong; the directory's status says so too, unless it holds another run.
        KeyboardInterrupt: Ctrl-C; the checkpoint is kept, and the text names the command that goes on.
    """
    hydra = HydraConfig.get()
    run_dir = RunDir(hydra.runtime.output_dir)
    multirun = hydra.mode == RunMode.MULTIRUN
    resolved = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))

    def recipe() -> Recipe:
        if multirun:
            _check_sweep(config, run_dir)
        return _recipe(config, resolved, single=not multirun)

    if multirun:
        interrupts.end_with_sweep()
        _keep_off_terminal()
    try:
        if not multirun:
            keys.check_folder(cast(DictConfig, HydraConfig.instance().cfg), "hydra.run.dir")
        score = job.run(
            job.Job(
                run_dir=run_dir,
                config=resolved,
                recipe=recipe,
                single=not multirun,
                figures=not multirun if config.figures is None else config.figures,
                reuse_below=Path(hydra.runtime.cwd) / "multirun" if config.dry_run else None,
                before=functools.partial(_write_hydra, config, run_dir),
                again=functools.partial(_again, run_dir),
            )
        )
    except Exception as error:
        known = isinstance(error, HydraException)
        raise JobError(str(error) if known else job.explain(error, run_dir.path)) from error
    _keep_imports(len(sys.modules))
    return score


def check(config: DictConfig) -> None:
    """Builds all that a job is made of, tries it on a few sequences, and trains nothing.

    Raises:
        ValueError: a value cannot be used.
    """
    job.try_before(_recipe(config, cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)), single=False))
    _keep_imports(len(sys.modules))


def higher_is_better(config: DictConfig) -> bool:
    """Returns whether a higher value of the `objective` is better.

    Raises:
        ConfigError: the task cannot be built.
    """
    task: Task = make("task", _factory("task", config.task), unit="")
    return {metric.name: metric.higher_is_better for metric in task.metrics}.get(str(config.objective), False)


@functools.cache
def _keep_imports(modules: int) -> None:
    """Has garbage collections pass over what is imported by now, where that is more than at the last call.

    joblib's workers collect after every job, and would walk through all of it: a quarter of a second.
    """
    gc.freeze()


def _recipe(config: DictConfig, resolved: Mapping[str, Any], single: bool) -> Recipe:
    keys.check(config)
    checks.check("seed", config.seed, Seed)
    torch.manual_seed(config.seed)  # of modules that are nodes within the model's
    factories = {group: _factory(group, config[group]) for group in GROUPS if group != "dataset"}
    return Recipe(
        data=load(config),
        **factories,
        config=resolved,
        seed=config.seed,
        fold=config.fold,
        objective=config.objective,
        evaluate_test=single if config.evaluate_test is None else config.evaluate_test,
        init_from=config.init_from,
    )


def load(config: DictConfig) -> SequenceData:
    """Returns the dataset that the configuration names; the last one is kept, for the next job of the same process.

    Raises:
        ConfigError: a value cannot be used.
    """
    return _load(json.dumps(OmegaConf.to_container(config.dataset, resolve=True), sort_keys=True))


@functools.lru_cache(maxsize=1)
def _load(node: str) -> SequenceData:
    return cast(SequenceData, make("dataset", _factory("dataset", OmegaConf.create(json.loads(node)))))


def _factory(group: str, node: DictConfig | None) -> Factory:
    """Returns what makes the component of a group, with the values of its node.

    Raises:
        ConfigError: the node names nothing that can be imported, or a value of the wrong type or name.
    """
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"`{group}` must choose an option, got {node}. Use {group}=OPTION, see --help.")
    plain = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    target = values.find_target(group, plain, get_object)
    own = {key: value for key, value in plain.items() if not key.startswith("_")}
    values.check(group, target, own, KNOWN.get(group, set()), get_object)
    try:
        made: Factory = instantiate(plain | {"_partial_": True}, _convert_="all")
    except InstantiationException as error:
        raise ConfigError(f"In `{group}` ({node._target_}): {error.__cause__ or error}") from error
    return made


def _keep_off_terminal() -> None:
    """Keeps the lines of a sweep's job out of the sweep's terminal: they are in the job's own log."""
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(logging.ERROR)


def _check_sweep(config: DictConfig, run_dir: RunDir) -> None:
    """Refuses a job of a sweep that is not to be started.

    Raises:
        NotStartedError: it failed before and is not to be retried, or another failed and `fail_fast` is set.
    """
    status = run_dir.status()
    if status.get("state") in ENDED:
        return
    if status.get("state") == "failed" and not config.retry_failed:
        raise job.NotStartedError(f"{status['error']} (it failed before; retry_failed=true tries it again)")
    if config.fail_fast:
        sweep = Path(HydraConfig.get().runtime.cwd) / HydraConfig.get().sweep.dir
        began = (sweep / "multirun.yaml").stat().st_mtime  # the sweeper writes it whenever it starts
        written = (path for path in sweep.rglob(STATUS) if path.stat().st_mtime >= began)
        if any(RunDir(path.parent).status().get("state") == "failed" for path in written):
            raise job.NotStartedError("not started, as another job failed and fail_fast=true")


def _again(run_dir: RunDir) -> str:
    """Returns the command that goes on with a run, or that trains what a dry run did not find."""
    words = lines(tuple(one for one in parse(*HydraConfig.get().overrides.task) if one.key_or_group != "dry_run"))
    return terminal.command(f"hydra.run.dir={terminal.quoted(str(run_dir.path))}", *words)


def _write_hydra(config: DictConfig, run_dir: RunDir) -> None:
    """Writes .hydra/ as Hydra does: by the job, once the directory is known to be its own."""
    hydra = cast(DictConfig, HydraConfig.instance().cfg)
    nodes = {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}
    for name, node in nodes.items():
        run_dir.write_text(f".hydra/{name}.yaml", OmegaConf.to_yaml(node))
