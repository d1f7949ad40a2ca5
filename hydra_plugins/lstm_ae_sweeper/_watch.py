"""The progress display of a sweep. It reads only the jobs' status files, so it works with every launcher."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hydra_plugins.lstm_ae_sweeper._job import Job
from lstm_ae.experiment.overrides import lines
from lstm_ae.interrupts import GRACE_SECONDS
from lstm_ae.metrics import higher_is_better
from lstm_ae.metrics import text as shown
from lstm_ae.printable import printable
from lstm_ae.run_dir import ENDED, METRICS, HeldError, RunDir, RunDirError

log = logging.getLogger("lstm_ae.sweep")
KILLED = "its worker was killed (out of memory, or by hand)"
POLL_SECONDS = 0.5  # between two reads of the status files


class Watch:
    """Shows the progress of a sweep from a thread, while a `with` block runs it.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        objective: The validation metric to report.
        name: The jobs' name in the display.
    """

    def __init__(self, folder: Path, jobs: Sequence[Job], objective: str, name: str) -> None:
        self._folder, self._jobs, self._objective = folder, jobs, objective
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._ended: dict[Job, str] = {}
        self._best: tuple[float, Job] | None = None
        self._shared = set(lines(jobs[0].overrides)).intersection(*(lines(job.overrides) for job in jobs))
        console = Console()
        columns = (TextColumn(name), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[text]}", markup=False),
                   TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> "Watch":
        self._before = {job: self._run(job).status() for job in self._jobs}
        self._task = self._progress.add_task("", total=len(self._jobs), text="")
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._update()
        self._progress.stop()

    def _run(self, job: Job) -> RunDir:
        return RunDir(self._folder / job.path)

    def _follow(self) -> None:
        import lstm_ae.tasks  # noqa: F401  # torch, whose tasks draw the best job
        from hydra_plugins.lstm_ae_sweeper import _closing  # noqa: F401  # pandas and matplotlib load while jobs train

        while not self._stop.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        states: Counter[str] = Counter()
        for job in self._jobs:
            if job not in self._ended:
                status = self._run(job).status()
                state = str(status.get("state", "pending"))
                again = self._before[job].get("end") == status.get("end")
                if state in ENDED or (state == "failed" and not again):
                    self._record(job, status, again)
                else:
                    states[state] += 1
        states += Counter("done" if state == "finished" else state for state in self._ended.values())
        text = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        if self._best is not None:
            score, best = self._best
            own = " ".join(word for word in lines(best.overrides) if word not in self._shared)
            text += f"; best {self._objective} {shown(score)}: {own}"
        self._progress.update(self._task, completed=len(self._ended), text=printable(text))

    def _record(self, job: Job, status: dict[str, Any], again: bool) -> None:
        """Records a job that has ended, and logs it if there is no live display."""
        state = self._ended[job] = str(status["state"])
        run = self._run(job)
        score = run.score(self._objective)
        if score is not None:
            higher = higher_is_better(run.read_json(METRICS), self._objective)
            if self._best is None or (score > self._best[0] if higher else score < self._best[0]):
                self._best = score, job
        if self._progress.disable and not again:
            scored = "" if score is None else f", {self._objective} {shown(score)}"
            reason = f": {status['error']}" if status.get("error") else ""
            log.info("job %s %s%s%s (%d of %d)", job.path, state, scored, reason, len(self._ended), len(self._jobs))


def mark_killed(folder: Path, jobs: Sequence[Job]) -> list[Job]:
    """Waits for the jobs that still run, then marks those whose worker was killed as interrupted and returns them.

    When one worker is killed, joblib stops all workers; the innocent jobs are resumed. The workers of a cluster go
    on without the launcher: they finish their job and start the next one.
    """
    before, states, running = None, [RunDir(folder / job.path).status() for job in jobs], True
    while running or states != before:
        time.sleep(POLL_SECONDS)  # a process that was just killed may still hold its lock
        before, states = states, [RunDir(folder / job.path).status() for job in jobs]
        stopped = {job: status for job, status in zip(jobs, states, strict=True) if status.get("state") == "running"}
        running = any(_held(folder, job) for job in stopped)
    for job, status in stopped.items():
        RunDir(folder / job.path).end("interrupted", error=KILLED, kills=status.get("kills", 0) + 1)
    return list(stopped)


def log_held(folder: Path, jobs: Sequence[Job]) -> None:
    """Logs which jobs are held by other processes, before any is launched; each is waited for when its turn comes."""
    for job in jobs:
        held = (folder / job.path / ".lock").exists() and _held(folder, job)
        if held:
            log.warning("job %s is waited for: another process%s is writing there", job.path, held.owner)


def _held(folder: Path, job: Job) -> HeldError | None:
    """Returns the error that names the process which holds the lock of a job's directory, None if none does."""
    try:
        with RunDir(folder / job.path).locked():
            return None
    except HeldError as error:
        return error
    except RunDirError:
        return None


def mark_interrupted(folder: Path, jobs: Sequence[Job]) -> None:
    """Marks the jobs that an interrupted sweep left as running; those that go on in a cluster stay as they are."""
    for job in jobs:
        run = RunDir(folder / job.path)
        if run.status().get("state") == "running":
            with contextlib.suppress(RunDirError), run.locked(timeout=GRACE_SECONDS):
                if run.status().get("state") == "running":
                    run.end("interrupted", error="the sweep was interrupted")
