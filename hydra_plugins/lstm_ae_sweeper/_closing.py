"""The summary that a sweep shows and writes when it ends.

Hydra imports every plugin module at start-up, except those whose name begins with an underscore. That avoids loading
pandas.
"""

import logging
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome
from hydra_plugins.lstm_ae_sweeper._results import failures, higher_is_better, order
from hydra_plugins.lstm_ae_sweeper._stages import Combination
from lstm_ae import plots
from lstm_ae.compare import table as comparison
from lstm_ae.run_dir import CONFIG, RunDir

log = logging.getLogger("lstm_ae.sweep")
STAGES = "stage_one", "stage_two"
MAX_ROWS = 20  # of the ranking


def close(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str) -> str:
    """Writes comparison.csv, shows the ranking, and returns the error message of failed jobs, empty if there are none.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        outcomes: The outcome of each job.
        objective: The validation metric to rank by.
    """
    frame = _write_comparison(folder)
    if len(frame):
        metric = f"validation.{objective}"
        _show_table(comparison.rank(frame, metric), f"Ranked by {metric}, mean over seeds and folds")
    _log_paths(folder)
    return failures(folder, jobs, outcomes)


def close_stages(
    folder: Path,
    combinations: Sequence[Combination],
    objective: str,
    higher: bool,
    settings: dict[str, Any],
    test: dict[str, float] | None,
) -> None:
    """Writes two_stage.json and comparison.csv, and shows the outcome of every combination, the winner first.

    Args:
        folder: The sweep's directory.
        combinations: All combinations.
        objective: The validation metric to rank by.
        higher: Whether a higher score is better.
        settings: The settings of the stages.
        test: The winner's metrics on the test part; None if there is no winner.
    """
    ordered = sorted(combinations, key=lambda each: _sort_key(each, higher))
    entries = [
        {
            "number": each.number,
            "overrides": each.overrides,
            **{stage: {"mean": each.mean(stage), "std": each.std(stage), "scores": each.scores.get(stage, {})}
               for stage in STAGES},
            "dropped": each.dropped,
        }
        for each in ordered
    ]  # fmt: skip
    winner = ordered[0].number if ordered[0].dropped is None else None
    RunDir(folder).write_json("two_stage.json", settings | {"combinations": entries, "winner": winner, "test": test})
    rows = []
    for each in ordered:
        scores = {
            "stage one": each.mean("stage_one"),
            "stage two": each.mean("stage_two"),
            "std": each.std("stage_two"),
        }
        numbers = {name: math.nan if value is None else value for name, value in scores.items()}
        values = dict(override.partition("=")[::2] for override in each.overrides)
        rows.append({"": each.number, **values, **numbers, "outcome": each.dropped or "winner"})
    table = pd.DataFrame(rows)
    keys = {override.partition("=")[0] for each in ordered for override in each.overrides}
    constant = [key for key in keys if table[key].nunique(dropna=False) == 1]
    _show_table(table.drop(columns=constant), f"Two stages, mean validation {objective}", max_rows=len(table))
    if test is not None:
        log.info("Test metrics of the winner, retrained on all training data: %s",
            ", ".join(f"{name} {value:.4g}" for name, value in test.items()))  # fmt: skip
    _write_comparison(folder)
    _log_paths(folder)


def draw_best(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str) -> None:
    """Draws the figures of the best job, if any has a finite score."""
    higher = higher_is_better(folder, jobs, objective)
    scored = [(order(higher, end.score), job) for job, end in zip(jobs, outcomes, strict=True) if end.score is not None]
    best, job = min(scored, default=(math.inf, None), key=lambda pair: pair[0])
    if job is not None and math.isfinite(best):
        run_dir = RunDir(folder / job.path)
        own = str(run_dir.read_json(CONFIG)["task"]["_target_"]).rpartition(".")[0]  # the job has run this module
        plots.draw(run_dir, plots.figures_of(run_dir, allow=[own]))
        log.info("Figures of the best job: %s", folder / job.path / "figures")


def _write_comparison(folder: Path) -> pd.DataFrame:
    """Writes comparison.csv with a row per job, and returns it as a frame."""
    frame = comparison.load(folder)
    RunDir(folder).write_text("comparison.csv", frame.to_csv(index=False))
    return frame


def _log_paths(folder: Path) -> None:
    log.info("Sweep directory: %s", folder)
    log.info("More: python -m lstm_ae.compare %s", shlex.quote(str(folder)))


def _sort_key(combination: Combination, higher: bool) -> tuple[float, ...]:
    """Returns the sort key of a combination: the winner first, then those of stage two, then the others, by mean."""
    means = [combination.mean(stage) for stage in reversed(STAGES)]
    return (
        combination.dropped is not None,
        *(math.inf if mean is None else order(higher, mean) for mean in means),
        combination.number,
    )


def _show_table(table: pd.DataFrame, title: str, max_rows: int = MAX_ROWS) -> None:
    """Shows a table: with a frame on a terminal, as plain log lines otherwise."""
    names = comparison.short_names([str(column) for column in table.columns])
    shown = table.head(max_rows).rename(columns=names)
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
    if len(table) > max_rows:
        log.info("... and %d more", len(table) - max_rows)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
