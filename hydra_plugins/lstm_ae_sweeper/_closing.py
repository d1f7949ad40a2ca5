"""The summary that a sweep shows and writes when it ends.

Hydra imports every plugin module at start-up, except those whose name begins with an underscore. That avoids loading
pandas.
"""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome, SweepError
from hydra_plugins.lstm_ae_sweeper._results import failures
from hydra_plugins.lstm_ae_sweeper._stages import Combination
from lstm_ae import plots
from lstm_ae.compare import load, output
from lstm_ae.compare.ranking import rank
from lstm_ae.experiment.overrides import lines
from lstm_ae.run_dir import CONFIG, RunDir

log = logging.getLogger("lstm_ae.sweep")
STAGES = "stage_one", "stage_two"
MAX_ROWS = 20  # of the ranking


def close(folder: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], objective: str, figures: bool) -> None:
    """Writes comparison.csv, shows the ranking, and draws the figures of the best job.

    Args:
        folder: The sweep's directory.
        jobs: Its jobs.
        outcomes: The outcome of each job.
        objective: The validation metric to rank by.
        figures: Whether to draw.

    Raises:
        SweepError: some jobs failed.
    """
    frame = _write_comparison(folder)
    if len(frame):
        ranking = rank(frame, f"validation.{objective}")
        _show_table(ranking.table[[name for name in ranking.columns if name != "run"]], "Ranking", ranking.notes)
        if figures and ranking.complete:
            draw(Path(frame["run"][ranking.order[0]]))
    _log_paths(folder)
    failed = failures(folder, jobs, outcomes)
    if failed:
        raise SweepError("\n".join(failed))


def close_stages(
    folder: Path, combinations: Sequence[Combination], settings: dict[str, Any], test: dict[str, float] | None
) -> None:
    """Writes two_stage.json and comparison.csv, and shows the outcome of every combination, the winner first.

    Args:
        folder: The sweep's directory.
        combinations: All combinations, the best first.
        settings: The settings of the stages.
        test: The winner's metrics on the test part; None if there is no winner.
    """
    entries: list[dict[str, Any]] = [
        {
            "number": each.number,
            "overrides": lines(each.overrides),
            **{stage: {"mean": each.mean(stage), "std": each.std(stage), "scores": each.scores.get(stage, {})}
               for stage in STAGES},
            "dropped": each.dropped,
        }
        for each in combinations
    ]  # fmt: skip
    winner = combinations[0].number if combinations[0].dropped is None else None
    RunDir(folder).write_json("two_stage.json", settings | {"combinations": entries, "winner": winner, "test": test})
    shown = pd.DataFrame(
        [{one.get_key_element(): one.get_value_element_as_str() for one in each.overrides} for each in combinations]
    )
    shown = shown[[key for key in shown if shown[key].nunique(dropna=False) > 1]]
    for stage in STAGES:
        shown[stage.replace("_", " ")] = [entry[stage]["mean"] for entry in entries]
    shown["std"] = [entry["stage_two"]["std"] for entry in entries]
    shown["outcome"] = [entry["dropped"] or "winner" for entry in entries]
    _show_table(shown, f"Two stages, mean validation {settings['objective']}", max_rows=len(shown))
    _write_comparison(folder)
    _log_paths(folder)


def draw(job: Path) -> None:
    """Draws the figures of a job."""
    run_dir = RunDir(job)
    own = str(run_dir.read_json(CONFIG)["task"]["_target_"]).rpartition(".")[0]  # the job has run this module
    plots.draw(run_dir, plots.figures_of(run_dir, allow=[own]))
    log.info("Figures of the best job: %s", job / "figures")


def _write_comparison(folder: Path) -> pd.DataFrame:
    """Writes comparison.csv with a row per job, and returns it as a frame."""
    frame: pd.DataFrame = load(folder)
    RunDir(folder).write_text("comparison.csv", output.render(frame, "csv")[0])
    return frame


def _log_paths(folder: Path) -> None:
    log.info("Sweep directory: %s", folder)
    log.info("More: python -m lstm_ae.compare %s", shlex.quote(str(folder)))


def _show_table(shown: pd.DataFrame, title: str, notes: Sequence[str] = (), max_rows: int = MAX_ROWS) -> None:
    """Shows a table and its notes, as wide as the terminal allows."""
    console = Console()
    width = console.width if console.is_terminal else None
    more = len(shown) - max_rows
    rows, _ = output.render(shown.head(max_rows), "table", width, ("n", "verdict", "outcome"))
    lines = [*([f"... and {more} more"] * (more > 0)), *output.wrapped(notes, width)]
    log.info("%s:\n%s%s", title, rows, "\n".join(lines))
