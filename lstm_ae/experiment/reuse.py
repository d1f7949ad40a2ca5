"""Weights of a run that has ended, evaluated again without training."""

import logging
from collections.abc import Callable
from pathlib import Path

from lstm_ae.checks import ConfigError
from lstm_ae.experiment import outputs
from lstm_ae.experiment.assembly import Components, Recipe, assemble
from lstm_ae.experiment.evaluation import measure
from lstm_ae.run_dir import METRICS, SAMPLES, TASK, WEIGHTS, RunDir, find_finished
from lstm_ae.trained.loading import read_weights

log = logging.getLogger("lstm_ae")


def find(run_dir: RunDir, root: Path, own: str, again: Callable[[], str]) -> Path:
    """Returns where the finished run with this signature lies: in the directory itself, or below a folder.

    Args:
        run_dir: The directory.
        root: The folder.
        own: The signature.
        again: Returns the command that trains it.

    Raises:
        ConfigError: there is none.
    """
    found = find_finished(run_dir.path, own) or find_finished(root, own)
    if found is None:
        raise ConfigError(
            f"`dry_run=true` needs a finished run with these settings and data under {root}, and there is none. "
            f"Train it first: {again()}"
        )
    return found


def take_up(components: Components, source: RunDir) -> None:
    """Takes up the weights and the history of a finished run."""
    training = components.training
    training.best_weights = read_weights(source)
    columns = source.read_history()
    training.history = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    training.best_epoch = source.read_metric("best_epoch", int)


def add_test(run_dir: RunDir, recipe: Recipe) -> None:
    """Evaluates the test part of a run that ended without it; its validation score stays as it is.

    Raises:
        ConfigError: its weights are gone.
    """
    if not (run_dir / WEIGHTS).exists():
        raise ConfigError(
            f"`evaluate_test=true` needs the weights of the run, and there is no {WEIGHTS} in {run_dir.path}. "
            "Use evaluate_test=false, or train it again in another directory."
        )
    components = assemble(recipe)
    take_up(components, run_dir)
    reported = {metric.name for metric in components.task.reported}
    validation = run_dir.read_metric("validation", dict)
    components.training.best_metrics = {name: one for name, one in validation.items() if name not in reported}
    metrics, report = measure(components)
    with run_dir.rewriting([METRICS, SAMPLES, TASK, *(f"{name}.csv" for name in report.tables)]):
        outputs.write_measured(run_dir, metrics, report)
    log.info("Its test part, which had not been evaluated, is added from %s", WEIGHTS)
