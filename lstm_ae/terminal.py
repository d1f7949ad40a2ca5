"""The display of a run: a progress bar and a table on a terminal, plain log lines elsewhere."""

import logging
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

log = logging.getLogger("lstm_ae")


class EpochDisplay:
    """Shows each epoch as it ends.

    Args:
        epochs: Maximum number of epochs.
        done: Epochs done before, if the run is resumed.
        bar: Whether to show a progress bar on a terminal; a sweep has its own.
        console: Output console.
    """

    def __init__(self, epochs: int, done: int, bar: bool = True, console: Console | None = None) -> None:
        self.epochs = epochs
        console = console or Console()
        self._progress = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[train]} validation {task.fields[validation]}"),
            TextColumn("{task.fields[seconds]} s/epoch"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not (bar and console.is_terminal),
        )
        self._task = self._progress.add_task("", total=epochs, completed=done, train="-", validation="-", seconds="-")

    @contextmanager
    def live(self) -> Iterator["EpochDisplay"]:
        """Shows the bar while the block runs, if there is a terminal; log lines then go only to the file."""
        handlers = [] if self._progress.disable else logging.getLogger().handlers
        with ExitStack() as stack:
            for handler in handlers:
                if type(handler) is logging.StreamHandler:
                    stack.callback(handler.setLevel, handler.level)
                    handler.setLevel(logging.WARNING)
            stack.enter_context(self._progress)
            yield self

    def show(self, row: Mapping[str, float]) -> None:
        """Shows a row of the history."""
        train, validation = f"{row['train.loss']:.3g}", f"{row['validation.loss']:.3g}"
        seconds = f"{row['seconds']:.2g}"
        log.info(
            "epoch %d/%d: loss %s, validation loss %s, lr %.3g, %s s",
            row["epoch"], self.epochs, train, validation, row["lr"], seconds,
        )  # fmt: skip
        self._progress.update(self._task, completed=row["epoch"], train=train, validation=validation, seconds=seconds)


def show_result(metrics: Mapping[str, Any], primary_metric: str, path: Path, console: Console | None = None) -> None:
    """Shows the metrics and the baselines, the run directory, and what to type next.

    Args:
        metrics: The content of metrics.json.
        primary_metric: The metric that is compared with the baselines.
        path: The run directory.
        console: Output console.
    """
    console = console or Console()
    rows = [
        (
            "model",
            metrics["parameters"],
            *(metrics[part].get(primary_metric) for part in ("train", "validation", "test")),
            None,
        )
    ]
    for name, baseline in metrics["baseline"].items():
        value, skill = baseline.get(primary_metric), _with_interval(metrics, f"skill.{name}", metrics["skill"][name])
        on_judged = (None, value) if metrics["test"] else (value, None)
        rows.append((name, None, None, *on_judged, skill))
    if console.is_terminal:
        table = Table(title=f"{primary_metric} (best epoch {metrics['best_epoch']} of {metrics['epochs']})")
        for heading in ("", "parameters", "train", "validation", "test", "skill over it"):
            table.add_column(heading, justify="left" if not heading else "right")
        for row in rows:
            table.add_row(row[0], *(_text(value) for value in row[1:]))
        console.print(table)
    else:
        for name, _, *values in rows:
            shown = zip(("train", "validation", "test", "skill over it"), values, strict=True)
            log.info(
                "%s: %s %s", primary_metric, name, ", ".join(f"{key} {_text(v)}" for key, v in shown if v is not None)
            )
    judged = metrics["test"] or metrics["validation"]
    named = [name for name in metrics.get("interval", {}) if judged.get(name) is not None]  # skills are in the table
    intervals = [f"{name}: {_with_interval(metrics, name, judged[name])}" for name in named]
    copies = [f"The model {metrics['copies']}: no skill over a baseline that compresses"] if "copies" in metrics else []
    figures = [f"Figures:       {path / 'figures'}"] if (path / "figures").exists() else []
    for line in (
        *intervals,
        *copies,
        f"Run directory: {path}",
        *figures,
        f"Next: change a value ({again('optimizer.lr=0.003')}), "
        f"or compare some ({again('optimizer.lr=0.01,0.001', '--multirun')})",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False) if console.is_terminal else log.info(line)


def command(*overrides: str) -> str:
    """Returns a shell command that runs the program with these overrides."""
    program = ["lstm-ae"] if Path(sys.argv[0]).name.startswith("lstm-ae") else ["python", "run.py"]
    return shlex.join([*program, *overrides])


def again(override: str, *flags: str) -> str:
    """Returns the shell command that was given, in a new directory and with another value for a key."""
    given = sys.argv[1:] if Path(sys.argv[0]).name.startswith(("lstm-ae", "run.py")) else []
    replaced = (override.partition("=")[0], "hydra.run.dir", "dry_run")
    return command(*flags, *(word for word in given if word.partition("=")[0] not in replaced), override)


def quoted(value: str) -> str:
    """Quotes a value for Hydra's override grammar."""
    if re.fullmatch(r"[\w./:+-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _with_interval(metrics: Mapping[str, Any], name: str, value: float | None) -> str | None:
    """Returns a number with its 95 % interval, where there is one."""
    low, high = metrics.get("interval", {}).get(name) or (None, None)
    if value is None or low is None:
        return None if value is None else _text(value)
    return f"{_text(value)} ({_text(low)} to {_text(high)})"


def _text(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
