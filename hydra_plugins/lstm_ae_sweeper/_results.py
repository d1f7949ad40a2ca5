"""Reads the outcomes and scores of a sweep's jobs from their directories."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome
from lstm_ae.metrics import HIGHER_IS_BETTER, worst
from lstm_ae.run_dir import CONFIG, ENDED, METRICS, RunDir


def status_of(folder: Path, job: Job) -> dict[str, Any]:
    """Returns the content of a job's status.json, empty if there is none."""
    return RunDir(folder / job.path).status()


def score_of(folder: Path, job: Job, objective: str) -> float | None:
    """Returns the score of a job, the worst possible if it diverged, None if it failed or has not ended."""
    run = RunDir(folder / job.path)
    state = run.status().get("state")
    if state not in ENDED:
        return None
    score = run.read_json(METRICS)["validation"][objective] if state == "finished" else None
    return worst(objective) if score is None else float(score)


def outcome(folder: Path, job: Job, objective: str) -> Outcome:
    """Returns the outcome of a job, from its files."""
    return Outcome(score_of(folder, job, objective), status_of(folder, job).get("error"))


def order(objective: str, score: float) -> float:
    """Returns a sort key that is smaller for a better score."""
    return -score if objective in HIGHER_IS_BETTER else score


def mean_best_epoch(folder: Path, jobs: Iterable[str]) -> int:
    """Returns the mean of the jobs' best epochs, at least 1, without the epochs of a curriculum, which come first."""
    best = []
    for run in (RunDir(folder / path) for path in jobs):
        coarse = sum(count for _, count in run.read_json(CONFIG)["trainer"]["curriculum"] or [])
        best.append(run.read_json(METRICS)["best_epoch"] - coarse)
    return max(1, round(statistics.fmean(best)))


def test_metrics(folder: Path, job: Job) -> dict[str, float] | None:
    """Returns the job's metrics on the test part, None if it failed or diverged."""
    run = RunDir(folder / job.path)
    return run.read_json(METRICS)["test"] if run.status().get("state") == "finished" else None


def failures(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """Returns the error message of failed jobs, empty if there are none."""
    lines = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.score is None:
            status = status_of(folder, job)
            error = status.get("error") or outcome.error or "it never started"
            lines.append(f"  {folder / job.path}: {status.get('state', 'not started')}, {error}")
    cure = "The others ended. To retry these, repeat the command with the same hydra.sweep.dir and retry_failed=true."
    return "\n".join([f"{len(lines)} of {len(jobs)} jobs failed:", *lines, cure]) if lines else ""
