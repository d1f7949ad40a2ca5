"""What a sweep shows and writes when it ends.

The underscore keeps Hydra, which imports every plugin module whenever it starts, from loading pandas each time.
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
from hydra_plugins.lstm_ae_sweeper._results import failures, order
from hydra_plugins.lstm_ae_sweeper._stages import Combination
from lstm_ae import plots
from lstm_ae.compare import table as comparison
from lstm_ae.run_dir import RunDir

log = logging.getLogger("lstm_ae.sweep")
STAGES = "stage_one", "stage_two"
MOST_ROWS = 20  # of the closing table


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
        _show_table(comparison.rank(frame, metric), f"Ranked by {metric}, mean over seeds and folds")
    _show_more(folder)
    return failures(folder, jobs, outcomes)


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
    winner = ordered[0].number if ordered[0].dropped is None else None
    RunDir(folder).write_json("two_stage.json", settings | {"combinations": entries, "winner": winner, "test": test})
    rows = []
    for one in ordered:
        scores = {"stage one": one.mean("stage_one"), "stage two": one.mean("stage_two"), "std": one.std("stage_two")}
        numbers = {name: math.nan if value is None else value for name, value in scores.items()}
        words = dict(word.partition("=")[::2] for word in one.overrides)
        rows.append({"": one.number, **words, **numbers, "what became of it": one.dropped or "winner"})
    table = pd.DataFrame(rows)
    settled = {word.partition("=")[0] for one in ordered for word in one.overrides}
    fixed = [key for key in settled if table[key].nunique(dropna=False) == 1]
    _show_table(table.drop(columns=fixed), f"Two stages, mean validation {objective}", most=len(table))
    if test is not None:
        log.info("The winner, trained on all training data, on the test part: %s",
            ", ".join(f"{name} {value:.4g}" for name, value in test.items()))  # fmt: skip
    _write_comparison(folder)
    _show_more(folder)


def draw_best(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str) -> None:
    """Draws the figures of the best job, where any has a score."""
    scored = [
        (order(objective, end.score), job) for job, end in zip(jobs, outcomes, strict=True) if end.score is not None
    ]
    best, job = min(scored, default=(math.inf, None), key=lambda pair: pair[0])
    if job is not None and math.isfinite(best):
        plots.draw(RunDir(folder / job.path))
        log.info("Figures of the best: %s", folder / job.path / "figures")


def _write_comparison(folder: Path) -> pd.DataFrame:
    """Writes comparison.csv, a row a job, and returns it."""
    frame = comparison.load(folder)
    RunDir(folder).write_text("comparison.csv", frame.to_csv(index=False))
    return frame


def _show_more(folder: Path) -> None:
    log.info("Sweep directory: %s", folder)
    log.info("More: python -m lstm_ae.compare %s", shlex.quote(str(folder)))


def _place(one: Combination, objective: str) -> tuple[float, ...]:
    """Returns what sorts combinations: the winner, those of stage two, and the others, each by its means."""
    means = [one.mean(stage) for stage in reversed(STAGES)]
    return (
        one.dropped is not None,
        *(math.inf if mean is None else order(objective, mean) for mean in means),
        one.number,
    )


def _show_table(table: pd.DataFrame, title: str, most: int = MOST_ROWS) -> None:
    """Shows a table: framed on a terminal, plain lines elsewhere."""
    names = comparison.short_names([str(column) for column in table.columns])
    shown = table.head(most).rename(columns=names)
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
    if len(table) > most:
        log.info("... and %d more", len(table) - most)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
