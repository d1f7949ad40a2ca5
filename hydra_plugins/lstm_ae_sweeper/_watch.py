"""What a sweep shows while it runs and when it ends, from its jobs' status files alone: it serves every launcher.

The underscore keeps Hydra, which imports every plugin module whenever it starts, from loading pandas each time.
"""

import logging
import math
import shlex
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hydra_plugins.lstm_ae_sweeper._stages import Combination
from hydra_plugins.lstm_ae_sweeper._sweep import Job, Outcome
from lstm_ae.compare import table as comparison
from lstm_ae.metrics import HIGHER_IS_BETTER
from lstm_ae.run_dir import ENDED, METRICS, RunDir, RunDirError

log = logging.getLogger("lstm_ae.sweep")
POLL = 0.5  # seconds between two looks at the status files
STAGES = "stage_one", "stage_two"
MOST_ROWS = 20  # of the closing table


class Watch:
    """Shows how a sweep goes, in a thread of its own, while a `with` block runs it.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        objective: The validation metric by which they are judged.
        name: What to call them.
    """

    def __init__(self, folder: Path, jobs: Sequence[Job], objective: str, name: str) -> None:
        self._folder, self._jobs, self._objective = folder, jobs, objective
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._ended: set[Job] = set()
        self._best: tuple[float, Job] | None = None
        self._shared = set(jobs[0].overrides).intersection(*(job.overrides for job in jobs))
        console = Console()
        columns = (TextColumn(name), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[text]}", markup=False),
                   TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
        self._progress = Progress(*columns, console=console) if console.is_terminal else None

    def __enter__(self) -> "Watch":
        self._before = {job: _status(self._folder, job) for job in self._jobs}
        if self._progress is not None:
            self._task = self._progress.add_task("", total=len(self._jobs), text="")
            self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        if self._progress is not None:
            self._progress.stop()

    def _follow(self) -> None:
        while not self._over.wait(POLL):
            self._look()

    def _look(self) -> None:
        states = Counter({"done": len(self._ended)})
        for job in self._jobs:
            if job not in self._ended:
                status = _status(self._folder, job)
                state = str(status.get("state", "to come"))
                again = self._before[job].get("end") == status.get("end")
                if state in ENDED or (state == "failed" and not again):
                    self._note(job, status, again)
                    state = "done"
                states[state] += 1
        if self._progress is not None:
            text = ", ".join(f"{count} {state}" for state, count in states.items() if count)
            if self._best is not None:
                score, best = self._best
                own = " ".join(word for word in best.overrides if word not in self._shared)
                text += f"; best {self._objective} {score:.4g}: {own}"
            self._progress.update(self._task, completed=len(self._ended), text=text)

    def _note(self, job: Job, status: dict[str, Any], again: bool) -> None:
        """Notes a job that has ended, and says so where there is no live display."""
        self._ended.add(job)
        state = status["state"]
        score = _score(self._folder, job, self._objective) if state in ENDED else None
        best = math.inf if self._best is None else order(self._objective, self._best[0])
        if score is not None and order(self._objective, score) < best:
            self._best = score, job
        if self._progress is None and not again:
            scored = "" if score is None else f", {self._objective} {score:.4g}"
            log.info(
                "job %s %s%s%s (%d of %d)", job.path, state, scored, _reason(status), len(self._ended), len(self._jobs)
            )


def close(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str) -> str:
    """Writes comparison.csv, shows the ranking, and returns what to say of the jobs that failed; nothing if none did.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        outcomes: How each ended.
        objective: The validation metric by which they are ranked.
    """
    frame = _write_comparison(folder)
    if len(frame):
        metric = f"validation.{objective}"
        show_table(comparison.rank(frame, metric), f"Ranked by {metric}, mean over seeds and folds")
    _show_more(folder)
    return failures(folder, jobs, outcomes)


def _write_comparison(folder: Path) -> pd.DataFrame:
    """Writes comparison.csv, a row a job, and returns it."""
    frame = comparison.load(folder)
    RunDir(folder).write_text("comparison.csv", frame.to_csv(index=False))
    return frame


def _show_more(folder: Path) -> None:
    log.info("Sweep directory: %s", folder)
    log.info("More: python -m lstm_ae.compare %s", shlex.quote(str(folder)))


def close_stages(
    folder: Path,
    combinations: Sequence[Combination],
    objective: str,
    settings: dict[str, Any],
    test: dict[str, float] | None,
) -> None:
    """Writes two_stage.json and comparison.csv, and shows what became of every combination, the winner first.

    Args:
        folder: The sweep's directory.
        combinations: All of them.
        objective: The validation metric by which they are judged.
        settings: How the stages were run.
        test: The winner's metrics on the test part; None where there is no winner.
    """
    ordered = sorted(combinations, key=lambda one: _place(one, objective))
    entries = [
        {
            "number": one.number,
            "overrides": one.overrides,
            **{stage: {"mean": one.mean(stage), "std": one.std(stage), "scores": one.scores.get(stage, {})}
               for stage in STAGES},
            "dropped": one.dropped,
        }
        for one in ordered
    ]  # fmt: skip
    RunDir(folder).write_json(
        "two_stage.json",
        settings | {"combinations": entries, "winner": None if test is None else ordered[0].number, "test": test},
    )
    rows = []
    for one in ordered:
        scores = {"stage one": one.mean("stage_one"), "stage two": one.mean("stage_two"), "std": one.std("stage_two")}
        numbers = {name: math.nan if value is None else value for name, value in scores.items()}
        words = dict(word.split("=", 1) for word in one.overrides)
        rows.append({"": one.number, **words, **numbers, "what became of it": one.dropped or "winner"})
    table = pd.DataFrame(rows)
    fixed = [key for key in rows[0] if "=" not in key and key in words and table[key].nunique() == 1]
    show_table(table.drop(columns=fixed), f"Two stages, mean validation {objective}")
    if test is not None:
        log.info("The winner, trained on all training data, on the test part: %s",
            ", ".join(f"{name} {value:.4g}" for name, value in test.items()))  # fmt: skip
    _write_comparison(folder)
    _show_more(folder)


def _place(one: Combination, objective: str) -> tuple[float, ...]:
    """Returns what sorts combinations: the winner, those of stage two, and the others, each by its means."""
    means = [one.mean(stage) for stage in reversed(STAGES)]
    return (
        one.dropped is not None,
        *(math.inf if mean is None else order(objective, mean) for mean in means),
        one.number,
    )


def mean_best_epoch(folder: Path, jobs: Iterable[str]) -> int:
    """Returns the mean of the jobs' best epochs, at least 1."""
    return max(1, round(statistics.fmean(RunDir(folder / path).read_json(METRICS)["best_epoch"] for path in jobs)))


def test_metrics(folder: Path, job: Job) -> dict[str, float] | None:
    """Returns the job's metrics on the test part, None if it did not end."""
    run = RunDir(folder / job.path)
    return run.read_json(METRICS)["test"] if run.status().get("state") in ENDED else None


def failures(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """Returns what to say of the jobs that failed; nothing if none did."""
    lines = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.score is None:
            status = _status(folder, job)
            said = status.get("error") or outcome.error or "it never began"
            lines.append(f"  {folder / job.path}: {status.get('state', 'not started')}, {said}")
    cure = "The others ended. The same command with the same hydra.sweep.dir and retry_failed=true tries these again."
    return "\n".join([f"{len(lines)} of {len(jobs)} jobs failed:", *lines, cure]) if lines else ""


def settle(folder: Path, jobs: Sequence[Job]) -> bool:
    """Waits for jobs that still run, then marks those whose worker was killed: interrupted, the second time failed.

    Returns whether there were any of either; if not, no job had begun.

    Where one worker is killed, joblib stops the others too: most of these did nothing wrong, and resume. Those of a
    cluster go on without the launcher, and take the next job when they have ended.
    """
    before, states, running = None, [_status(folder, job) for job in jobs], True
    begun = any(_runs(status) for status in states)
    while running or states != before:
        time.sleep(POLL)  # also for a process that was just killed, and may still hold its lock
        before, states = states, [_status(folder, job) for job in jobs]
        running = any(_is_held(folder, job) for job, status in zip(jobs, states, strict=True) if _runs(status))
    for job, status in zip(jobs, states, strict=True):
        if _runs(status):
            kills = status.get("kills", 0) + 1
            state = "failed" if kills > 1 else "interrupted"
            RunDir(folder / job.path).end(state, error="its worker was killed", kills=kills)
    return begun


def _runs(status: dict[str, Any]) -> bool:
    return status.get("state") == "running"


def _is_held(folder: Path, job: Job) -> bool:
    """Returns whether a process works in a job's directory."""
    try:
        with RunDir(folder / job.path).locked():
            return False
    except RunDirError:
        return True


def _status(folder: Path, job: Job) -> dict[str, Any]:
    return RunDir(folder / job.path).status()


def _score(folder: Path, job: Job, objective: str) -> float | None:
    """Returns the score of a job that has ended; None if it is not finite."""
    score: float | None = RunDir(folder / job.path).read_json(METRICS)["validation"][objective]
    return score


def outcome(folder: Path, job: Job, objective: str) -> Outcome:
    """Returns how a job ended, from its files."""
    status = _status(folder, job)
    if status.get("state") not in ENDED:
        return Outcome(None, status.get("error"))
    score = _score(folder, job, objective)
    return Outcome(-order(objective, -math.inf) if score is None else score)


def order(objective: str, score: float) -> float:
    """Returns a number that is smaller for a better score."""
    return -score if objective in HIGHER_IS_BETTER else score


def draw_best(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str) -> None:
    """Draws the figures of the best job, where any has a score."""
    scored = [
        (order(objective, end.score), job) for job, end in zip(jobs, outcomes, strict=True) if end.score is not None
    ]
    best, job = min(scored, default=(math.inf, None), key=lambda pair: pair[0])
    if job is not None and math.isfinite(best):
        from lstm_ae import plots

        plots.draw(RunDir(folder / job.path))
        log.info("Figures of the best: %s", folder / job.path / "figures")


def _reason(status: dict[str, Any]) -> str:
    return f": {status['error']}" if status.get("error") else ""


def show_table(table: pd.DataFrame, title: str) -> None:
    """Shows a table: framed on a terminal, plain lines elsewhere."""
    names = comparison.short_names([str(column) for column in table.columns])
    shown = table.head(MOST_ROWS).rename(columns=names)
    console = Console()
    if console.is_terminal:
        view = Table(title=title)
        for column in shown.columns:
            view.add_column(str(column), justify="right")
        for row in shown.itertuples(index=False):
            view.add_row(*(escape(_text(value)) for value in row))
        console.print(view)
    else:
        log.info("%s:\n%s", title, shown.map(_text).to_string(index=False))
    if len(table) > MOST_ROWS:
        log.info("... and %d more", len(table) - MOST_ROWS)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
