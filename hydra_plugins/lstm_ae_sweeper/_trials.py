"""A search's trials: their directories, what is left of them when a search goes on, and how they end."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.lstm_ae_sweeper import _closing as closing
from hydra_plugins.lstm_ae_sweeper import _results as results
from hydra_plugins.lstm_ae_sweeper._job import Job, SweepError, failed
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep
from lstm_ae.run_dir import NOT_SIGNED, RunDir

TRIALS = "trials.json"


def take_up(study: Any, arguments: list[str], retry_failed: bool) -> int:
    """Queues the trials that were interrupted, or are to be tried again, and returns how many need not be.

    Raises:
        SweepError: the study was begun by another command.
    """
    own = sorted(_signed(arguments))
    asked = study.user_attrs.get("arguments", own)
    if asked != own:
        raise SweepError(
            f"`hydra.sweep.dir` must be new or hold this same search, and it holds that of: {' '.join(asked)}. "
            "Name another directory."
        )
    study.set_user_attr("arguments", asked)
    trials = study.trials
    queued = set(study.user_attrs.get("queued", []))
    for trial in trials:
        again = not trial.state.is_finished() or (retry_failed and trial.state.name == "FAIL")
        if again and trial.params and trial.number not in queued:  # one without is in the queue still
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna 2 calls it experimental
                study.enqueue_trial(trial.params)
            queued.add(trial.number)
    study.set_user_attr("queued", sorted(queued))
    return sum(trial.state.is_finished() and trial.number not in queued for trial in trials)


class TrialLauncher:
    """What the Optuna sweeper is given in place of a launcher: the sweep, which checks, watches and launches again.

    A combination keeps its directory, whenever and however often it is asked for.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs a batch of jobs.

        Raises:
            SweepError: none of the very first batch can run.
        """
        directories = _directories(self._sweep.folder)
        first = not directories
        jobs = []
        for overrides in job_overrides:
            path = directories.setdefault(" ".join(sorted(_signed(overrides))), str(len(directories)))
            jobs.append(Job(path, tuple(overrides)))
        unique = list(dict.fromkeys(jobs))
        wrong = self._sweep.mistakes(unique, [Job(path, ()) for path in directories.values()])
        sound = [job for job in unique if job not in wrong]
        if first and not sound:
            self._sweep.refuse(wrong)
        RunDir(self._sweep.folder).write_json(TRIALS, directories)
        for job, error in wrong.items():
            RunDir(self._sweep.folder / job.path).end("failed", error=error)
        returned = dict(zip(sound, self._sweep.launch(sound), strict=True)) if sound else {}
        return [returned.get(job) or failed(wrong[job]) for job in jobs]


def close(sweep: Sweep) -> None:
    """Ranks what was tried, and draws the best.

    Raises:
        SweepError: some jobs failed.
    """
    jobs = [Job(path, ()) for path in _directories(sweep.folder).values()]
    outcomes = [results.outcome(sweep.folder, job, sweep.objective) for job in jobs]
    failed = closing.close(sweep.folder, jobs, outcomes, sweep.objective)
    if sweep.config.figures is None:
        closing.draw_best(sweep.folder, jobs, outcomes, sweep.objective)
    if failed:
        raise SweepError(failed)


def _signed(overrides: Iterable[str]) -> list[str]:
    """Returns the overrides that can change a result."""
    return [word for word in overrides if word.lstrip("+").partition("=")[0] not in NOT_SIGNED]


def _directories(folder: Path) -> dict[str, str]:
    """Returns the directory of each combination that was tried."""
    try:
        found: dict[str, str] = RunDir(folder).read_json(TRIALS)
    except FileNotFoundError:
        return {}
    return found
