"""What a sweep shows while it runs and when it ends, from its jobs' status files alone: it serves every launcher.

The underscore keeps Hydra, which imports every plugin module whenever it starts, from loading pandas each time.
"""

import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lstm_ae.compare import table as comparison
from lstm_ae.run_dir import ENDED, STATUS, RunDir, RunDirError

log = logging.getLogger("lstm_ae.sweep")
POLL = 0.5  # seconds between two looks at the status files
MOST_ROWS = 20  # of the closing table


class Watch:
    """Shows how a sweep goes, in a thread of its own, while a `with` block runs it.

    Args:
        folder: The sweep's directory.
        jobs: How many there are.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder, self._jobs = folder, jobs
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._seen: dict[int, str] = {}
        self._best: tuple[float, int] | None = None
        console = Console()
        columns = (TextColumn("jobs"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[text]}"),
                   TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
        self._progress = Progress(*columns, console=console) if console.is_terminal else None

    def __enter__(self) -> "Watch":
        self._before = _states(self._folder, self._jobs)
        if self._progress is not None:
            self._task = self._progress.add_task("", total=self._jobs, text="")
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
        states = _states(self._folder, self._jobs)
        for number, status in states.items():
            state = str(status.get("state"))
            if state in ("finished", "failed", "diverged") and self._seen.get(number) != state:
                self._seen[number] = state
                again = self._before.get(number, {}).get("end") == status.get("end")
                if self._progress is None and not again:
                    log.info("job %d %s%s (%d of %d)", number, state, _reason(status), len(self._seen), self._jobs)
        if self._progress is not None:
            count = pd.Series([str(status.get("state")) for status in states.values()]).value_counts()
            text = ", ".join(f"{n} {state}" for state, n in count.items())
            self._progress.update(self._task, completed=len(self._seen), text=text)


def close(folder: Path, errors: list[str | None], metric: str) -> str:
    """Writes comparison.csv, shows the ranking, and returns what to say of the jobs that failed; nothing if none did.

    Args:
        folder: The sweep's directory.
        errors: What the launcher returned for each job: an error, or None.
        metric: By which the jobs are ranked.
    """
    frame = comparison.load(folder)
    if len(frame):
        frame.to_csv(folder / "comparison.csv", index=False)
        _show(comparison.rank(frame, metric), metric)
    for line in (f"Sweep directory: {folder}", f"Every job: {folder / 'comparison.csv'}"):
        log.info(line)
    states = _states(folder, len(errors))
    lines = []
    for number, error in enumerate(errors):
        status = states.get(number, {})
        if error or status.get("state") not in ENDED:
            said = status.get("error") or error or "it never began"
            lines.append(f"  {folder / str(number)}: {status.get('state', 'not started')}, {said}")
    cure = "The others ended. The same command with the same hydra.sweep.dir and retry_failed=true tries these again."
    return "\n".join([f"{len(lines)} of {len(errors)} jobs failed:", *lines, cure]) if lines else ""


def mark_killed(folder: Path, jobs: int) -> None:
    """Marks jobs that say `running` though no process holds them as interrupted, and at the second time as failed.

    Where one worker is killed, joblib stops the others too: most of these did nothing wrong, and resume.
    """
    time.sleep(POLL)  # a process that was just killed may still hold its lock
    for number, status in _states(folder, jobs).items():
        run = RunDir(folder / str(number))
        if status.get("state") == "running":
            try:
                with run.locked():
                    kills = status.get("kills", 0) + 1
                    run.end("failed" if kills > 1 else "interrupted", error="its worker was killed", kills=kills)
            except RunDirError:
                continue  # another process still works in it


def _states(folder: Path, jobs: int) -> dict[int, dict[str, Any]]:
    states = {}
    for number in range(jobs):
        if (folder / str(number) / STATUS).exists():
            states[number] = RunDir(folder / str(number)).status()
    return states


def _reason(status: dict[str, Any]) -> str:
    return f": {status['error']}" if status.get("error") else ""


def _show(ranked: pd.DataFrame, metric: str) -> None:
    """Shows the ranking: a table on a terminal, plain lines elsewhere."""
    names = comparison.short_names([str(column) for column in ranked.columns])
    shown = ranked.head(MOST_ROWS).rename(columns=names)
    console = Console()
    if console.is_terminal:
        view = Table(title=f"Ranked by {metric}, mean over seeds and folds")
        for column in shown.columns:
            view.add_column(str(column), justify="right")
        for row in shown.itertuples(index=False):
            view.add_row(*(_text(value) for value in row))
        console.print(view)
    else:
        text = shown.map(_text).to_string(index=False)
        log.info("Ranked by %s, mean over seeds and folds:\n%s", metric, text)
    if len(ranked) > MOST_ROWS:
        log.info("... and %d more", len(ranked) - MOST_ROWS)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
