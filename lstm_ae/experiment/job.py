"""What happens in one job, in order."""

import contextlib
import functools
import gc
import logging
import random
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lstm_ae import checks, terminal
from lstm_ae.experiment import environment, samples
from lstm_ae.experiment.components import Components, ConfigError, build, load
from lstm_ae.experiment.evaluation import measure
from lstm_ae.metrics import worst
from lstm_ae.run_dir import (
    CHECKPOINT,
    ENDED,
    METRICS,
    SAMPLES,
    STATUS,
    WEIGHTS,
    RunDir,
    RunDirError,
    find_finished,
    signature,
)

SEED_BOUND = 2**32  # of numpy and scikit-learn

log = logging.getLogger("lstm_ae")


class NotStartedError(ConfigError):
    """A job of a sweep that was not to be started; its directory is left as it was."""


class JobError(HydraException):
    """A job failed; the text is all that a user needs, and run.log has the traceback."""


def run(config: DictConfig) -> float:
    """Runs one job in the directory that Hydra names, and returns its validation score.

    The score is infinite where training diverged. A directory that already holds this same run, finished, gives its
    stored score; unfinished, the run is resumed.

    Raises:
        JobError: anything went wrong; the directory's status says so too, unless it holds another run.
        KeyboardInterrupt: Ctrl-C; the checkpoint is kept, and the text names the command that goes on.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not hide why
    run_dir = RunDir(HydraConfig.get().runtime.output_dir)
    try:
        resolved = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        with run_dir.locked():
            run_dir.claim(resolved)
            with _status_kept(run_dir):
                score = _job(config, resolved, run_dir)
                _keep_imports(len(sys.modules))
                return score
    except JobError:
        raise
    except Exception as error:
        raise JobError(_explain(error, run_dir.path)) from error


def check(config: DictConfig) -> None:
    """Builds all that a job is made of, scores two sequences, and trains nothing.

    Raises:
        ConfigError: a value cannot be used.
    """
    _check_run_keys(config)
    components = build(config, load(config))
    batch = components.validation.batch(torch.arange(min(2, len(components.validation))))
    model = components.training.model.eval()
    with torch.no_grad():
        score = components.task.score(batch, model.cpu()(batch.inputs))
    checks.one_of("objective", config.objective, ("loss", *score.metrics))
    _keep_imports(len(sys.modules))


@functools.cache
def _keep_imports(modules: int) -> None:
    """Has garbage collections pass over what is imported by now, where that is more than at the last call.

    joblib's workers collect after every job, and would walk through all of it: a quarter of a second.
    """
    gc.freeze()


def _explain(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return (
            f"`hydra.run.dir` must be a folder that can be written, and {error.filename or path} cannot: "
            f"{error.strerror or error}. Free some space, or name another folder; the same command then goes on."
        )
    known = isinstance(error, ConfigError | RunDirError | HydraException)
    return str(error) if known else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _status_kept(run_dir: RunDir) -> Iterator[None]:
    """Writes into the status how the block ended, where it did not end well."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            run_dir.end("interrupted", error="KeyboardInterrupt")
        kept = (run_dir / CHECKPOINT).exists()
        what = (
            "The checkpoint is kept; this goes on from it" if kept else "There is no checkpoint yet; this starts again"
        )
        where = f"hydra.run.dir={terminal.quoted(str(run_dir.path))}"
        command = terminal.command(where, *HydraConfig.get().overrides.task)
        raise KeyboardInterrupt(f"{what}:\n  {command}") from None
    except (RunDirError, NotStartedError):
        raise
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk may be full: the error itself is still reported
            run_dir.end("failed", error=_explain(error, run_dir.path), trace=traceback.format_exc())
        raise


def _job(config: DictConfig, resolved: dict[str, Any], run_dir: RunDir) -> float:
    _check_run_keys(config)
    status = run_dir.status()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _check_sweep(config, run_dir, status)
    data = load(config)
    fingerprint = data.fingerprint()
    own = signature(resolved, fingerprint)
    if status.get("signature") == own and status["state"] in ENDED and not config.dry_run:
        return _finished_before(config, run_dir, status["state"])
    _seed(config.seed)
    components = build(config, data)
    trainer = components.trainer
    reused = _find_finished(run_dir, own) if config.dry_run else None
    if reused is None or reused != run_dir.path:
        run_dir.begin(resolved, environment.describe(trainer.device, trainer.threads), fingerprint)
        _write_hydra(config, run_dir)
    for note in data.notes:
        log.info(note)
    log.info("%d training, %d validation and %d test sequences of %d steps with %d features",
        len(components.train), len(components.validation), len(components.test), data.length, data.features,
    )  # fmt: skip
    if reused:
        _reuse(components, reused)
    else:
        _train(components, run_dir, config)
    metrics, tables = measure(components)
    for name, text in tables.items():
        run_dir.write_text(name, text)
    run_dir.write(WEIGHTS, lambda file: torch.save(components.training.best_weights, file))
    run_dir.write_history(components.training.history)
    arrays = samples.collect(components)
    run_dir.write(SAMPLES, lambda file: np.savez_compressed(file, **arrays))
    run_dir.write_json(METRICS, metrics)
    _draw(config, run_dir)
    state = "diverged" if components.training.diverged else "finished"
    run_dir.end(state, **({"reused": str(reused)} if reused else {}))
    run_dir.remove(CHECKPOINT)
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        terminal.show_result(metrics, components.task.primary_metric, run_dir.path)
    return _stored_score(run_dir, config.objective, state)


def _draw(config: DictConfig, run_dir: RunDir) -> None:
    wanted = HydraConfig.get().mode != RunMode.MULTIRUN if config.figures is None else config.figures
    if wanted:
        from lstm_ae import plots

        plots.draw(run_dir)


def _finished_before(config: DictConfig, run_dir: RunDir, state: str) -> float:
    """Returns the stored score of a run that has ended, and draws its figures if they are wanted and not there."""
    log.info("This run ended before (%s): nothing is trained, and %s is left as it is", state, run_dir.path)
    if not (run_dir / "figures").exists():
        _draw(config, run_dir)
    return _stored_score(run_dir, config.objective, state)


def _check_sweep(config: DictConfig, run_dir: RunDir, status: dict[str, Any]) -> None:
    """Refuses a job of a sweep that is not to be started, and keeps its lines out of the sweep's terminal.

    Raises:
        ConfigError: it failed before and is not to be retried, or another failed and `fail_fast` is set.
    """
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(logging.ERROR)
    if status.get("state") in ENDED:
        return
    if status.get("state") == "failed" and not config.retry_failed:
        raise NotStartedError(f"{status['error']} (it failed before; retry_failed=true tries it again)")
    if config.fail_fast:
        sweep = Path(HydraConfig.get().runtime.cwd) / HydraConfig.get().sweep.dir
        began = (sweep / "multirun.yaml").stat().st_mtime  # the sweeper writes it whenever it starts
        others = [path for path in sweep.rglob(STATUS) if path.stat().st_mtime >= began]
        if any(RunDir(path.parent).status().get("state") == "failed" for path in others):
            raise NotStartedError("not started, as another job failed and fail_fast=true")


def _check_run_keys(config: DictConfig) -> None:
    if not 0 <= config.seed < SEED_BOUND:
        raise ConfigError(f"`seed` must be at least 0 and below {SEED_BOUND}, got {config.seed}. Use seed=0.")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # of libraries that draw from the global generator
    torch.manual_seed(seed)


def _train(components: Components, run_dir: RunDir, config: DictConfig) -> None:
    """Trains from the last checkpoint, or from the start, and leaves a checkpoint every few epochs."""
    training, trainer = components.training, components.trainer
    if (run_dir / CHECKPOINT).exists():
        training.load_state_dict(torch.load(run_dir / CHECKPOINT, map_location=trainer.device, weights_only=True))
        log.info("Resumed after epoch %d", len(training.history))
    shown = terminal.EpochDisplay(trainer.epochs, len(training.history), bar=HydraConfig.get().mode != RunMode.MULTIRUN)
    parts = components.train, components.validation
    with shown.live():
        for row in trainer.train(training, components.task, *parts, seed=config.seed, objective=config.objective):
            shown.show(row)
            if row["epoch"] % trainer.checkpoint_every == 0:
                run_dir.write(CHECKPOINT, lambda file: torch.save(training.state_dict(), file))
                run_dir.write_history(training.history)
    if training.diverged:
        log.warning("The loss is not finite after epoch %d: diverged. A smaller optimizer.lr or "
            "trainer.gradient_clipping helps.", len(training.history))  # fmt: skip


def _find_finished(run_dir: RunDir, own: str) -> Path:
    """Returns where the finished run with this signature lies: in the directory itself, or anywhere under multirun/."""
    root = Path(HydraConfig.get().runtime.cwd) / "multirun"
    found = find_finished(run_dir.path, own) or find_finished(root, own)
    if found is None:
        words = [override for override in HydraConfig.get().overrides.task if "dry_run" not in override]
        raise ConfigError(
            f"`dry_run=true` needs a finished run with these settings and data under {root}, and there is none. "
            f"Train it first: {terminal.command(*words)}"
        )
    return found


def _reuse(components: Components, found: Path) -> None:
    """Takes up the weights and the history of a finished run."""
    log.info("Nothing is trained: the weights are those of %s", found)
    source, training = RunDir(found), components.training
    training.best_weights = torch.load(source / WEIGHTS, map_location="cpu", weights_only=True)
    columns = source.read_history()
    training.history = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    training.best_epoch = source.read_json(METRICS)["best_epoch"]


def _stored_score(run_dir: RunDir, objective: str, state: str) -> float:
    score = None if state == "diverged" else run_dir.read_json(METRICS)["validation"][objective]
    return worst(objective) if score is None else float(score)


def _write_hydra(config: DictConfig, run_dir: RunDir) -> None:
    """Writes .hydra/ as Hydra does: by the job, once the directory is known to be its own."""
    hydra = cast(DictConfig, HydraConfig.instance().cfg)
    nodes = {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}
    for name, node in nodes.items():
        run_dir.write_text(f".hydra/{name}.yaml", OmegaConf.to_yaml(node))
