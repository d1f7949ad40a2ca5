"""Reads the outcomes and scores of a sweep's jobs from their directories."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome, completed, failed
from lstm_ae.run_dir import CONFIG, ENDED, METRICS, RunDir
from lstm_ae.statistics import mean_interval

NOT_STARTED = "not started"
UNFINISHED = {
    "running",
    "interrupted",
    NOT_STARTED,
}  # states of a job that goes on by the same command


def outcome(folder: Path, job: Job, objective: str) -> Outcome:
    """Returns the outcome of a job, from its files."""
    run = RunDir(folder / job.path)
    return Outcome(run.score(objective), run.status().get("error"))


def ended_since(
    folder: Path, jobs: Iterable[Job], before: Mapping[Job, str | None], objective: str
) -> dict[Job, JobReturn]:
    """Returns what a launcher would have returned of the jobs that have ended in the meantime, from their files.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        before: When each had ended before the launch.
        objective: The validation metric.
    """
    found = {}
    for job in jobs:
        status = RunDir(folder / job.path).status()
        if status.get("state") in {*ENDED, "failed"} and status.get("end") != before[job]:
            given = outcome(folder, job, objective)
            found[job] = failed(str(given.error)) if given.score is None else completed(given.score)
    return found


def mean_best_epoch(folder: Path, jobs: Iterable[str]) -> int:
    """Returns the mean of the jobs' best epochs, at least 1, without the epochs of a curriculum, which come first."""
    best = []
    for run in (RunDir(folder / path) for path in jobs):
        coarse = sum(count for _, count in run.read_json(CONFIG)["trainer"]["curriculum"] or [])
        best.append(run.read_metric("best_epoch", int) - coarse)
    return max(1, round(statistics.fmean(best)))


def test_metrics(folder: Path, job: Job) -> dict[str, float | None] | None:
    """Returns the job's metrics on the test part, None if it failed or diverged."""
    run = RunDir(folder / job.path)
    return run.read_json(METRICS)["test"] if run.status().get("state") == "finished" else None


def over_seeds(folder: Path, jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """Returns mean, standard deviation, 95 % interval and n of each test metric over the jobs that finished.

    The jobs differ only in their seed, so that the interval is that of the mean over seeds, on these data.
    """
    tested = [found for found in (test_metrics(folder, job) for job in jobs) if found is not None]
    summary: dict[str, dict[str, Any]] = {}
    for name in tested[0] if tested else ():
        values = [value for one in tested if (value := one[name]) is not None]
        if not values:
            continue
        found = mean_interval(values)
        std = statistics.stdev(values) if len(values) > 1 else None
        interval = None if found.reason else [found.low, found.high]
        summary[name] = {"mean": found.estimate, "std": std, "interval": interval, "n": len(values)}
    return summary


def said(summary: Mapping[str, Any]) -> str:
    """Returns mean, standard deviation and interval of a metric over seeds, for a line of text."""
    if summary["interval"] is None:
        return f"{summary['mean']:.4g}"
    low, high = summary["interval"]
    return f"{summary['mean']:.4g} ± {summary['std']:.2g} (95 % interval {low:.4g} to {high:.4g})"


def failures(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[str]:
    """Returns the error message of failed jobs as lines, none if there are none."""
    lines, states = [], set()
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.score is None:
            status = RunDir(folder / job.path).status()
            state, error = status.get("state", NOT_STARTED), status.get("error") or outcome.error
            states.add(state)
            lines.append(f"  {folder / job.path}: {state}, {error or 'it never started'}")
    more = "" if states <= UNFINISHED else " and retry_failed=true"
    cure = f"The others ended. To retry these, repeat the command with the same hydra.sweep.dir{more}."
    return [f"{len(lines)} of {len(jobs)} jobs failed:", *lines, cure] if lines else []


def unfinished(folder: Path, jobs: Iterable[Job]) -> bool:
    """Returns whether a job was stopped by something outside of it, such as a full disk, and can go on."""
    return any(RunDir(folder / job.path).status().get("state", NOT_STARTED) in UNFINISHED for job in jobs)
