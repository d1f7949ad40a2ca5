"""What happens in one job, in order. Knows no hydra."""

import contextlib
import io
import logging
import math
import random
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_ae import interrupts, terminal
from lstm_ae.checks import ConfigError
from lstm_ae.experiment import environment
from lstm_ae.experiment.assembly import Components, Recipe, assemble, make, open_parameters, try_update
from lstm_ae.experiment.evaluation import measure, try_out
from lstm_ae.experiment.values import named
from lstm_ae.files import DamagedError, MissingError
from lstm_ae.run_dir import (
    CHECKPOINT,
    ENDED,
    ENVIRONMENT,
    METRICS,
    MODEL,
    MODEL_FORMAT,
    SAMPLES,
    SCALER,
    TASK,
    WEIGHTS,
    RunDir,
    RunDirError,
    find_finished,
    signature,
)
from lstm_ae.trained.loading import read_weights
from lstm_ae.trainer import Callback, Training
from lstm_ae.types import Report

SLOW = 5  # times the median, from which on an epoch is said to be slow
CHECKPOINT_SECONDS = 1.0  # between two checkpoints
FEWEST_EPOCHS = 3  # of which there is a usual time

log = logging.getLogger("lstm_ae")


class NotStartedError(ConfigError):
    """A job of a sweep that was not to be started; its directory is left as it was."""


@dataclass(frozen=True)
class Job:
    """A job and how it is run.

    Attributes:
        run_dir: Where it leaves its files.
        config: The resolved configuration.
        recipe: Makes what it is made of.
        single: Whether it is no job of a sweep: it shows a progress bar and its result, and tries everything on a few
            sequences before it trains, as a sweep does of all its jobs before the first.
        figures: Whether figures are drawn at its end.
        reuse_below: Train nothing: take the weights of a finished run below this folder; None: train.
        callbacks: Called with each epoch's row.
        before: Called once the directory is known to be the job's own, before anything is written there.
        again: Returns the command that goes on after an interruption.
    """

    run_dir: RunDir
    config: Mapping[str, Any]
    recipe: Callable[[], Recipe]
    single: bool = True
    figures: bool = True
    reuse_below: Path | None = None
    callbacks: Sequence[Callback] = ()
    before: Callable[[], None] = field(default=lambda: None)
    again: Callable[[], str] = field(default=lambda: "the same call, with the same `run_dir`")


def run(job: Job) -> float:
    """Runs a job and returns its validation score, the worst there is where training diverged.

    A directory that already holds this same run, finished, gives its stored score; unfinished, the run is resumed.

    Raises:
        ConfigError: a value cannot be used.
        RunDirError: the directory holds another run, or another process writes there.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; a checkpoint is kept, and the text names the command that resumes.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not hide why
    with interrupts.as_interrupt(), job.run_dir.locked(timeout=0 if job.single else -1):
        job.run_dir.claim(job.config)
        with _status_kept(job):
            return _run(job)


def try_before(recipe: Recipe) -> None:
    """Builds all that a job is made of, tries it on a few sequences, and trains nothing.

    Raises:
        ValueError: a value cannot be used, or something raises.
    """
    components = assemble(recipe)
    components.training.model.to("cpu")
    components.trainer.device = "cpu"
    _try_all(recipe, components)


def _try_all(recipe: Recipe, components: Components) -> None:
    try_out(components, recipe.objective)
    try_update(recipe, components)


@contextlib.contextmanager
def _status_kept(job: Job) -> Iterator[None]:
    """Writes into the status how the block ended, where it did not end well."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):
            job.run_dir.end("interrupted", error=str(interrupt) or "KeyboardInterrupt")
        kept = (job.run_dir / CHECKPOINT).exists()
        what = (
            "The checkpoint is kept; this goes on from it" if kept else "There is no checkpoint yet; this starts again"
        )
        raise KeyboardInterrupt(f"{what}:\n  {job.again()}") from None
    except (RunDirError, NotStartedError, DamagedError):  # the directory is left as it is
        raise
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk may be full: the error itself is still reported
            job.run_dir.end("failed", error=explain(error, job.run_dir.path), trace=traceback.format_exc())
        raise


def explain(error: Exception, path: Path) -> str:
    """Returns what a user needs to know of an error that ended a job."""
    if isinstance(error, OSError) and not isinstance(error, DamagedError):
        return (
            f"`hydra.run.dir` must be a folder that can be written, and {error.filename or path} cannot: "
            f"{error.strerror or error}. Free some space, or name another folder; the same command then goes on."
        )
    known = isinstance(error, ConfigError | RunDirError | DamagedError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _run(job: Job) -> float:
    run_dir, recipe = job.run_dir, job.recipe()
    status = run_dir.status()
    fingerprint = recipe.data.fingerprint()
    own = signature(job.config, fingerprint)
    code = environment.code_hash(_modules(recipe))
    if status.get("signature") == own and status["state"] in ENDED and job.reuse_below is None:
        return _ended_before(job, recipe, code)
    _check_longer(job, recipe)
    components = _assembled(recipe)
    trainer, training = components.trainer, components.training
    if (run_dir / CHECKPOINT).exists():
        warning = environment.keep_kernel(trainer, run_dir.read_json(ENVIRONMENT).get("kernel"))
        trainer.place(training.model)
        if warning:
            log.warning(warning)
    reused = None if job.reuse_below is None else _find(job, own)
    if reused and status.get("state") in ENDED:
        return _measure_only(job, components, recipe, RunDir(reused))
    if reused is None:
        _resume(run_dir, training, {own, str(status.get("signature"))})
    if reused is None or reused != run_dir.path:
        run_dir.begin(job.config, environment.describe(trainer, code), fingerprint)
        job.before()
    for note in components.notes:
        log.info(note)
    sizes = ", ".join(f"{len(subset)} {name}" for name, subset in components.subsets.items())
    data = components.data
    steps = f"{data.length}" if data.shortest == data.length else f"{data.shortest} to {data.length}"
    log.info("%s sequences of %s steps with %d features", sizes, steps, data.features)
    if reused:
        log.info("Nothing is trained: the weights are those of %s", reused)
        _reuse(components, RunDir(reused))
    else:
        if job.single:
            _try_all(recipe, components)
        _train(job, components, recipe.objective, own)
    _write(run_dir, recipe, components, own)
    if job.figures:
        draw(job, components.task.figures)
    state = "diverged" if training.diverged else training.stopped.state if training.stopped else "finished"
    more = {"reused": str(reused)} if reused else {"reason": str(training.stopped)} if training.stopped else {}
    run_dir.end(state, **more)
    if not job.single and not trainer.keep_checkpoint:
        run_dir.remove(CHECKPOINT)
    if job.single:
        terminal.show_result(run_dir.read_json(METRICS), components.task.primary_metric, run_dir.path)
    return run_dir.score(recipe.objective) or 0.0


def _measure_only(job: Job, components: Components, recipe: Recipe, source: RunDir) -> float:
    """Evaluates the weights of a finished run: a dry run writes nothing where a run has ended."""
    log.info("Nothing is trained and nothing is written: the weights are those of %s", source.path)
    _reuse(components, source)
    metrics, _ = measure(components)
    if job.single:
        terminal.show_result(metrics, components.task.primary_metric, job.run_dir.path)
    return job.run_dir.score(recipe.objective) or 0.0


def _resume(run_dir: RunDir, training: Training, runs: set[str]) -> None:
    """Takes up the checkpoint if there is one; a damaged one costs a warning and the epochs before it.

    Args:
        run_dir: The run.
        training: What is taken up.
        runs: The signatures of this run: with these epochs, and with the fewer ones that it had.

    Raises:
        RunDirError: the checkpoint is of another run.
    """
    try:
        content, run = run_dir.read_zip(CHECKPOINT)
        if run not in runs:
            raise RunDirError(
                f"{run_dir / CHECKPOINT} is of another run, or of an older version that did not write which. "
                "Remove it to train from the start, or name another directory. Nothing was changed."
            )
        training.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    except MissingError:
        pass
    except DamagedError as error:
        log.warning("%s Training starts anew.", error)


def _assembled(recipe: Recipe) -> Components:
    """Returns the components, built after every generator is seeded."""
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)  # noqa: NPY002  # of libraries that draw from the global generator
    return assemble(recipe)


def _check_longer(job: Job, recipe: Recipe) -> None:
    """Refuses to train a run longer where its scheduler would have taken another course."""
    depends = {"total_steps", "T_max"} & open_parameters(recipe.scheduler)
    if depends and job.run_dir.goes_on(job.config):
        raise ConfigError(
            f"`scheduler` ({named(recipe.scheduler)}) follows a course that depends on the last epoch, so that the run "
            f"in {job.run_dir.path} cannot be trained longer. Name another directory to train anew."
        )


def _modules(recipe: Recipe) -> list[str]:
    """Returns the modules that a job's components come from."""
    factories = (recipe.split, recipe.task, recipe.model, recipe.optimizer, recipe.scheduler, recipe.trainer)
    names = [named(factory).rpartition(".")[0] for factory in factories]
    dataset = recipe.config.get("dataset") or {}
    return [*names, str(dataset.get("_target_", "")).rpartition(".")[0]]


def _ended_before(job: Job, recipe: Recipe, code: str) -> float:
    """Returns the stored score of a run that has ended, and adds what is wanted and not there: test part, figures."""
    run_dir = job.run_dir
    state = run_dir.status()["state"]
    log.info("This run ended before (%s): nothing is trained, and %s is left as it is", state, run_dir.path)
    before = run_dir.read_json(ENVIRONMENT).get("code")
    if before is not None and before != code:
        log.warning("The code has changed since: these are the old code's numbers. Name another directory to run it.")
    added = recipe.evaluate_test and not run_dir.read_json(METRICS)["test"]
    if added:
        _add_test(run_dir, recipe)
    if added or job.figures:
        task = make("task", recipe.task, unit=recipe.data.unit)
        if job.figures and (added or not (run_dir / "figures").exists()):
            draw(job, task.figures)
        if job.single and added:
            terminal.show_result(run_dir.read_json(METRICS), task.primary_metric, run_dir.path)
    return run_dir.score(recipe.objective) or 0.0


def _add_test(run_dir: RunDir, recipe: Recipe) -> None:
    """Evaluates the test part of a run that ended without it; its validation score stays as it is.

    Raises:
        ConfigError: its weights are gone.
    """
    if not (run_dir / WEIGHTS).exists():
        raise ConfigError(
            f"`evaluate_test=true` needs the weights of the run, and there is no {WEIGHTS} in {run_dir.path}. "
            "Use evaluate_test=false, or train it again in another directory."
        )
    components = _assembled(recipe)
    _reuse(components, run_dir)
    reported = {metric.name for metric in components.task.reported}
    validation = run_dir.read_json(METRICS)["validation"]
    components.training.best_metrics = {name: one for name, one in validation.items() if name not in reported}
    metrics, report = measure(components)
    with run_dir.rewriting([METRICS, SAMPLES, TASK, *(f"{name}.csv" for name in report.tables)]):
        _write_measured(run_dir, metrics, report)
    log.info("Its test part, which had not been evaluated, is added from %s", WEIGHTS)


def draw(job: Job, figures: Mapping[str, Callable[..., Any]]) -> None:
    """Draws a run's figures."""
    from lstm_ae import plots  # with matplotlib

    plots.draw(job.run_dir, figures)


def _train(job: Job, components: Components, objective: str, own: str) -> None:
    """Trains from the last checkpoint, or from the start, and leaves a checkpoint every few epochs."""
    run_dir, training, trainer = job.run_dir, components.training, components.trainer
    if training.history:
        log.info("Resumed after epoch %d", len(training.history))
    checkpoints = Checkpoints(run_dir, training, own)
    shown = terminal.EpochDisplay(trainer.epochs, len(training.history), bar=job.single)
    slow = SlowEpochs()
    subsets = components.subsets["train"], components.subsets["validation"]
    with shown.live(), checkpoints.kept():
        for row in trainer.train(
            training, components.task, *subsets, components.seed, objective, components.lessons, job.callbacks
        ):
            shown.show(row)
            slow.see(row["seconds"])
            if row["epoch"] % trainer.checkpoint_every == 0 or training.stopped is not None:
                checkpoints.take(now=training.stopped is not None)
    if training.stopped is not None:
        log.info("Stopped after epoch %d: %s", len(training.history), training.stopped)
    if training.diverged:
        log.warning("The loss is not finite after epoch %d: diverged. A smaller optimizer.lr or "
            "trainer.gradient_clipping helps.", len(training.history))  # fmt: skip


class Checkpoints:
    """Writes checkpoints, at most one a second; one that is not written yet is written where training is interrupted.

    Args:
        run_dir: Where to.
        training: What is kept.
        run: The signature of the run.
    """

    def __init__(self, run_dir: RunDir, training: Training, run: str) -> None:
        self._run_dir, self._training, self._run = run_dir, training, run
        self._pending: tuple[bytes, list[Mapping[str, float]]] | None = None
        self._last = -math.inf

    def take(self, now: bool = False) -> None:
        """Keeps the state after an epoch, and writes it if the last one was written a second ago.

        Args:
            now: Write it in any case.
        """
        content = io.BytesIO()
        torch.save(self._training.state_dict(), content)
        self._pending = content.getvalue(), list(self._training.history)
        if now or time.monotonic() - self._last >= CHECKPOINT_SECONDS:
            self._write()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Writes the last state where the block ends, also by an interruption."""
        try:
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # the disk may be full: the one before it is kept
                self._write()
            raise
        self._write()

    def _write(self) -> None:
        if self._pending is not None:
            content, history = self._pending
            self._run_dir.write_zip(CHECKPOINT, self._run, lambda file: file.write(content))
            self._run_dir.write_history(history)
            self._last, self._pending = time.monotonic(), None


class SlowEpochs:
    """Says once that an epoch took many times as long as the others: other work on the machine, or too many threads."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._warned = False

    def see(self, seconds: float) -> None:
        """Takes note of an epoch."""
        usual = statistics.median(self._seconds) if len(self._seconds) >= FEWEST_EPOCHS else math.inf
        if seconds > SLOW * usual and seconds > 1 and not self._warned:
            self._warned = True
            log.warning("Epoch %d took %.3g s, %.0f times the median: other work slows this machine down. "
                "trainer.threads=1 suffers least.", len(self._seconds) + 1, seconds, seconds / usual)  # fmt: skip
        self._seconds.append(seconds)


def _write(run_dir: RunDir, recipe: Recipe, components: Components, own: str) -> None:
    """Evaluates the best weights and writes what is left of a run; metrics.json comes last."""
    run_dir.write_zip(WEIGHTS, own, lambda file: torch.save(components.training.best_weights, file))
    run_dir.write_json(MODEL, _described(recipe, components))
    run_dir.write_arrays(SCALER, components.scaling.stored)
    run_dir.write_history(components.training.history)
    _write_measured(run_dir, *measure(components))


def _write_measured(run_dir: RunDir, metrics: Mapping[str, Any], report: Report) -> None:
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
        "sizes": dict(components.sizes),
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


def _find(job: Job, own: str) -> Path:
    """Returns where the finished run with this signature lies: in the directory itself, or below the folder named."""
    root = Path(str(job.reuse_below))
    found = find_finished(job.run_dir.path, own) or find_finished(root, own)
    if found is None:
        raise ConfigError(
            f"`dry_run=true` needs a finished run with these settings and data under {root}, and there is none. "
            f"Train it first: {job.again()}"
        )
    return found


def _reuse(components: Components, source: RunDir) -> None:
    """Takes up the weights and the history of a finished run."""
    training = components.training
    training.best_weights = read_weights(source)
    columns = source.read_history()
    training.history = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    training.best_epoch = source.read_json(METRICS)["best_epoch"]
