"""Figures, drawn from run directories only: they can be drawn again, elsewhere and later.

python -m lstm_ae.plots RUN...                    draws those of finished runs, such as a sweep's jobs
python -m lstm_ae.plots RUN... --allow MODULE     also those of a task of your own module
"""

import argparse
import functools
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lstm_ae import drawing
from lstm_ae.run_dir import CONFIG, SAMPLES, RunDir

DOTS_PER_INCH = 110
OURS = "lstm_ae.tasks"
COMMON: Mapping[str, Callable[..., Any]] = {"data": drawing.data, "loss": drawing.curves}

log = logging.getLogger("lstm_ae")


def draw(run_dir: RunDir, figures: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Draws the common figures and those of a task. One that cannot be drawn costs a warning.

    Args:
        run_dir: Of a finished run.
        figures: From a name to a function of the run directory, which returns None where there is nothing to draw.

    Returns:
        The names of the files, under the directory.
    """
    names = []
    for name, make in {**COMMON, **figures}.items():
        try:
            figure = make(run_dir)
        except Exception as error:  # a figure of the user's own may raise anything, and the run is finished
            log.warning("The figure %s could not be drawn: %s: %s", name, type(error).__name__, error)
            continue
        if figure is not None:
            names.append(f"figures/{name}.png")
            run_dir.write(names[-1], functools.partial(_save, figure))
    return names


def _save(figure: Any, file: Any) -> None:
    """Writes a figure as PNG. It is laid out here, once: `savefig` would do so twice, and draw all of it each time."""
    figure.set_dpi(DOTS_PER_INCH)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def figures_of(run_dir: RunDir, allow: Sequence[str] = ()) -> Mapping[str, Callable[..., Any]]:
    """Returns the figures of the task that a run directory names; none of a module that is not allowed.

    Args:
        run_dir: Of a finished run.
        allow: Modules that may be imported beyond this package's tasks.
    """
    target = str((run_dir.read_json(CONFIG).get("task") or {}).get("_target_", ""))
    module, _, name = target.rpartition(".")
    if not any(module == one or module.startswith(f"{one}.") for one in (OURS, *allow)):
        log.warning("Only the common figures are drawn: the task is %s. Use --allow %s for its own.", target, module)
        return {}
    task = getattr(importlib.import_module(module), name, None)
    return getattr(task, "figures", {})


def main() -> None:
    """Draws the figures of the runs that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m lstm_ae.plots", description="Draws the figures of finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the directory of a finished run")
    parser.add_argument("--allow", action="append", default=[], metavar="MODULE", help="a module with your own task")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    for run in options.runs:
        if not (RunDir(run) / SAMPLES).exists():
            parser.exit(1, f"`RUN` must be the directory of a finished run, and {run} has no {SAMPLES}.\n")
        for name in draw(RunDir(run), figures_of(RunDir(run), options.allow)):
            print(RunDir(run) / name)


if __name__ == "__main__":
    main()
