"""Figures, drawn from run directories only: they can be drawn again, elsewhere and later.

python -m lstm_ae.plots RUN...                    draws those of finished runs, such as a sweep's jobs
python -m lstm_ae.plots RUN... --allow MODULE     also those of a task of your own module
"""

import argparse
import importlib
import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lstm_ae import drawing
from lstm_ae.files import DamagedError
from lstm_ae.printable import Formatter, one_line, printable
from lstm_ae.run_dir import CONFIG, SAMPLES, RunDir, RunDirError

DOTS_PER_INCH = 110
OURS = "lstm_ae.tasks"
COMMON: Mapping[str, Callable[..., Any]] = {"data": drawing.data, "loss": drawing.curves}

log = logging.getLogger("lstm_ae")


def draw(run_dir: RunDir, figures: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Draws as `drawn` does and returns the names of the files; a figure that cannot be drawn costs a warning."""
    names, problems = drawn(run_dir, figures)
    for problem in problems:
        log.warning(problem)
    return names


def drawn(run_dir: RunDir, figures: Mapping[str, Callable[..., Any]]) -> tuple[list[str], list[str]]:
    """Draws the common figures and those of a task.

    Args:
        run_dir: Of a finished run.
        figures: From a name to a function of the run directory, which returns None where there is nothing to draw.

    Returns:
        The names of the files, under the directory, and a line for each reason why others could not be drawn.

    Raises:
        OSError: a figure cannot be written.
        RunDirError: the folder of the figures is a link.
    """
    names, failed = [], dict[str, list[str]]()
    for name, make in {**COMMON, **figures}.items():
        try:
            figure = make(run_dir)
            content = None if figure is None else _png(figure)
        except Exception as error:  # a figure of the user's own may raise anything, and the run is finished
            reason = str(error) if isinstance(error, DamagedError) else f"{type(error).__name__}: {error}"
            failed.setdefault(one_line(reason), []).append(name)
            continue
        if content is not None:
            names.append(f"figures/{name}.png")
            run_dir.write_bytes(names[-1], content)
    return names, [
        f"The figure{'s' * (len(own) > 1)} {', '.join(own)} could not be drawn: {reason}"
        for reason, own in failed.items()
    ]


def _png(figure: Any) -> bytes:
    """Returns a figure as PNG. It is laid out here, once: `savefig` would do so twice, and draw all of it each time."""
    figure.set_dpi(DOTS_PER_INCH)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def figures_of(run_dir: RunDir, allow: Sequence[str] = ()) -> Mapping[str, Callable[..., Any]]:
    """Returns the figures of the task that a run directory names; none of a module that is not allowed.

    Args:
        run_dir: Of a finished run.
        allow: Modules that may be imported beyond this package's tasks.
    """
    node = run_dir.read_json(CONFIG).get("task")
    target = str(node.get("_target_", "")) if isinstance(node, Mapping) else ""
    module, _, name = target.rpartition(".")
    if not any(module == one or module.startswith(f"{one}.") for one in (OURS, *allow)):
        log.warning("Only the common figures are drawn: the task is %s. Use --allow %s for its own.", target, module)
        return {}
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # a module of the user's own may raise anything, and this one may not exist
        log.warning("Only the common figures are drawn: %s cannot be imported: %s", module, one_line(error))
        return {}
    return getattr(found, "figures", {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figures of the runs that the command line names; returns 1 if some could not be drawn, else 0."""
    parser = argparse.ArgumentParser(prog="python -m lstm_ae.plots", description="Draws the figures of finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the directory of a finished run")
    parser.add_argument("--allow", action="append", default=[], metavar="MODULE", help="a module with your own task")
    options = parser.parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler])
    code = 0
    for run_dir in map(RunDir, options.runs):
        try:
            if not (run_dir / SAMPLES).exists():
                raise ValueError(
                    f"`RUN` must be the directory of a finished run, and {run_dir.path} has no {SAMPLES}. "
                    "Restore it from a copy, or train it again."
                )
            names, problems = drawn(run_dir, figures_of(run_dir, options.allow))
        except (ValueError, OSError, RunDirError) as error:
            names, problems = [], [str(error)]
        for name in names:
            print(printable(run_dir / name))
        for problem in problems:
            print(one_line(problem), file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
