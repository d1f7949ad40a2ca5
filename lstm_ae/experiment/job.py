"""What happens in one job, in order. Knows no hydra."""

import contextlib
import errno
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstm_ae import interrupts, plots, terminal
from lstm_ae.checks import ConfigError
from lstm_ae.experiment import environment, outputs, reuse
from lstm_ae.experiment.assembly import Components, Recipe, assemble, make, open_parameters, try_update
from lstm_ae.experiment.checkpoints import Checkpoints, resume
from lstm_ae.experiment.evaluation import measure, try_out
from lstm_ae.experiment.slow_epochs import SlowEpochs
from lstm_ae.experiment.values import named
from lstm_ae.files import DamagedError
from lstm_ae.printable import printable
from lstm_ae.run_dir import CHECKPOINT, ENDED, ENVIRONMENT, METRICS, RunDir, RunDirError, signature
from lstm_ae.trainer import Callback, Trainer

#: After these the same command goes on, in a sweep too, which does not repeat failed jobs.
DISK_ERRORS = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS") if hasattr(errno, name)}

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
            state = "interrupted" if isinstance(error, OSError) and error.errno in DISK_ERRORS else "failed"
            trace = printable(traceback.format_exc(), keep="\n")
            job.run_dir.end(state, error=explain(error, job.run_dir.path), trace=trace)
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
    components = assemble(recipe)
    trainer, training = components.trainer, components.training
    if (run_dir / CHECKPOINT).exists():
        warning = environment.keep_kernel(trainer, run_dir.read_json(ENVIRONMENT).get("kernel"))
        trainer.place(training.model)
        if warning:
            log.warning(warning)
    reused = None if job.reuse_below is None else reuse.find(run_dir, job.reuse_below, own, job.again)
    if reused and status.get("state") in ENDED:
        return _measure_only(job, components, recipe, RunDir(reused))
    if reused is None:
        resume(run_dir, training, {own, str(status.get("signature"))})
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
        reuse.take_up(components, RunDir(reused))
    else:
        if job.single:
            _try_all(recipe, components)
        _train(job, components, recipe.objective, own)
    outputs.write(run_dir, recipe, components, own)
    if job.figures:
        plots.draw(run_dir, components.task.figures)
    state = "diverged" if training.diverged else training.stopped.state if training.stopped else "finished"
    more = {"reused": str(reused)} if reused else {"reason": str(training.stopped)} if training.stopped else {}
    run_dir.end(state, **more)
    _remove_checkpoint(job, trainer)
    if job.single:
        terminal.show_result(run_dir.read_json(METRICS), components.task.primary_metric, run_dir.path)
    return run_dir.score(recipe.objective) or 0.0


def _remove_checkpoint(job: Job, trainer: Trainer) -> None:
    """Removes the checkpoint of a sweep's job that has ended; one that stays is removed by the next command."""
    if not job.single and not trainer.keep_checkpoint:
        with contextlib.suppress(OSError):
            job.run_dir.remove(CHECKPOINT)


def _measure_only(job: Job, components: Components, recipe: Recipe, source: RunDir) -> float:
    """Evaluates the weights of a finished run: a dry run writes nothing where a run has ended."""
    log.info("Nothing is trained and nothing is written: the weights are those of %s", source.path)
    reuse.take_up(components, source)
    metrics, _ = measure(components)
    if job.single:
        terminal.show_result(metrics, components.task.primary_metric, job.run_dir.path)
    return job.run_dir.score(recipe.objective) or 0.0


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
    _remove_checkpoint(job, make("trainer", recipe.trainer))
    before = run_dir.read_json(ENVIRONMENT).get("code")
    if before is not None and before != code:
        log.warning("The code has changed since: these are the old code's numbers. Name another directory to run it.")
    added = recipe.evaluate_test and not run_dir.read_json(METRICS).get("test")
    if added:
        reuse.add_test(run_dir, recipe)
    if added or job.figures:
        task = make("task", recipe.task, unit=recipe.data.unit)
        if job.figures and (added or not (run_dir / "figures").exists()):
            plots.draw(run_dir, task.figures)
        if job.single and added:
            terminal.show_result(run_dir.read_json(METRICS), task.primary_metric, run_dir.path)
    return run_dir.score(recipe.objective) or 0.0


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
