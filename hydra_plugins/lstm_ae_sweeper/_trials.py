"""A search's trials: their directories, resuming them, and the summary at the end."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.lstm_ae_sweeper import _closing as closing
from hydra_plugins.lstm_ae_sweeper import _results as results
from hydra_plugins.lstm_ae_sweeper._job import Job, SweepError, failed
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep
from lstm_ae.experiment.overrides import Overrides, lines, parse
from lstm_ae.run_dir import NOT_SIGNED, RunDir

TRIALS = "trials.json"


def resume_trials(study: Any, arguments: list[str], retry_failed: bool) -> int:
    """Queues the trials that were interrupted or are to be retried, and returns the number of finished ones.

    Raises:
        SweepError: the study was started by another command.
    """
    own = _signed(parse(*arguments))
    stored = study.user_attrs.get("arguments", own)
    if stored != own:
        raise SweepError(
            f"`hydra.sweep.dir` must be new or contain this search, but it contains another: {' '.join(stored)}. "
            "Use another directory."
        )
    study.set_user_attr("arguments", stored)
    trials = study.trials
    queued = set(study.user_attrs.get("queued", []))
    for trial in trials:
        again = not trial.state.is_finished() or (retry_failed and trial.state.name == "FAIL")
        if again and trial.params and trial.number not in queued:  # a trial without params is still in Optuna's queue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna 2 calls it experimental
                study.enqueue_trial(trial.params)
            queued.add(trial.number)
    study.set_user_attr("queued", sorted(queued))
    return sum(trial.state.is_finished() and trial.number not in queued for trial in trials)


class TrialLauncher:
    """Replaces the Optuna sweeper's launcher: checks, watches and relaunches jobs as `Sweep` does.

    Each combination always gets the same directory.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs a batch of jobs.

        Raises:
            SweepError: no job of the first batch can run; or one was interrupted: its trial stays open, and goes on.
        """
        directories = _directories(self._sweep.folder)
        first = not directories
        jobs = []
        for overrides in job_overrides:
            parsed = parse(*overrides)
            path = directories.setdefault(" ".join(_signed(parsed)), str(len(directories)))
            jobs.append(Job(path, parsed))
        unique = list(dict.fromkeys(jobs))
        errors = self._sweep.mistakes(unique, [Job(path, ()) for path in directories.values()])
        valid = [job for job in unique if job not in errors]
        if first and not valid:
            self._sweep.refuse(errors)
        RunDir(self._sweep.folder).write_json(TRIALS, directories)
        for job, error in errors.items():
            RunDir(self._sweep.folder / job.path).end("failed", error=error)
        returned = dict(zip(valid, self._sweep.launch(valid), strict=True)) if valid else {}
        if results.unfinished(self._sweep.folder, valid):
            outcomes = [results.outcome(self._sweep.folder, job, self._sweep.objective) for job in valid]
            raise SweepError("\n".join(results.failures(self._sweep.folder, valid, outcomes)))
        return [returned.get(job) or failed(errors[job]) for job in jobs]


def close(sweep: Sweep) -> None:
    """Ranks the trials and draws the figures of the best.

    Raises:
        SweepError: some jobs failed.
    """
    jobs = [Job(path, ()) for path in _directories(sweep.folder).values()]
    outcomes = [results.outcome(sweep.folder, job, sweep.objective) for job in jobs]
    closing.close(sweep.folder, jobs, outcomes, sweep.objective, sweep.config.figures is None)


def _signed(overrides: Overrides) -> list[str]:
    """Returns the overrides that can change a result, sorted."""
    return sorted(lines(tuple(one for one in overrides if one.key_or_group not in NOT_SIGNED)))


def _directories(folder: Path) -> dict[str, str]:
    """Returns the directory of each tried combination."""
    return RunDir(folder).read_json(TRIALS) if (folder / TRIALS).exists() else {}
