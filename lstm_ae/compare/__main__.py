"""The command line: `python -m lstm_ae.compare DIR...`."""

import argparse
import itertools
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_ae.printable import printable

if TYPE_CHECKING:
    import pandas as pd

    from lstm_ae.compare.ranking import Ranking

FORMATS = ("table", "csv", "markdown", "json")
ENDINGS = {".csv": "csv", ".md": "markdown", ".json": "json"}
EXAMPLES = """examples:
  python -m lstm_ae.compare multirun/2026-11-22                        all runs of a day, ranked
  python -m lstm_ae.compare multirun/reference --where dataset=load_toy --effects
  python -m lstm_ae.compare SWEEP --metric validation.accuracy --top 10 --where 'lr<0.1' --where model.hidden_size=16
  python -m lstm_ae.compare SWEEP --where state=finished --effects     verdicts on each setting of a finished sweep
  python -m lstm_ae.compare SWEEP --format csv | head
  python -m lstm_ae.compare --diff SWEEP/0 SWEEP/1
"""


def parser() -> argparse.ArgumentParser:
    """Returns the argument parser, without slow imports."""
    result = argparse.ArgumentParser(
        "python -m lstm_ae.compare",
        description="Compares runs: which settings differ, which run is best, and is the difference significant?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("dirs", nargs="*", metavar="DIR", help="a run, a sweep, a folder of sweeps, or several of them")
    add("--metric", help="metric to rank by (default: the runs' own objective, or validation.loss)")
    add("--sort", metavar="COLUMN", help="sort by any column; -COLUMN sorts in descending order")
    add("--top", type=_positive, metavar="N", help="show only the first N rows")
    add("--where", action="append", default=[], metavar="CONDITION",
        help="'model.hidden_size=16', state=finished, also !=, <, >, <=, >=; may be repeated")  # fmt: skip
    add("--columns", metavar="A,B", help="show only these columns")
    add("--all-columns", action="store_true", help="also show settings that do not differ, and every metric")
    add("--epoch", type=_positive, metavar="N", help="compare at the same epoch, from history.csv")
    add("--group-by", metavar="A,B", help="settings that a row averages over (default: those of seed, fold, "
        "split.random_state that vary); none: one row per run")  # fmt: skip
    add("--format", choices=FORMATS, help="default: by the suffix of FILE, or table")
    add("--output", type=Path, metavar="FILE", help="write to this file, atomically")
    add(
        "--effects",
        action="store_true",
        help="show what each setting does to the score, with tests (csv, json: only this)",
    )
    add("--diff", nargs=2, metavar="RUN", help="compare two runs: settings, environment, metrics, learning curves")
    add("--report", type=Path, metavar="FOLDER", help="also write an HTML page into this folder")
    return result


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares the runs that the command line names, and returns the exit code: 1 if nothing could be compared."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    from lstm_ae.compare import output
    from lstm_ae.compare.difference import difference
    from lstm_ae.compare.selection import CompareError

    remarks: list[str] = []
    content, code = "", 0
    try:
        if options.diff:
            content = _rendered(difference(options.diff[0], options.diff[1], remarks), options, remarks)
        else:
            content, code = _compare(options, remarks)
        if options.output:
            output.write(options.output, content)
            remarks.append(f"Written: {options.output}")
    except CompareError as error:
        remarks.append(str(error))
        code = 1
    for remark in remarks:
        print(printable(remark), file=sys.stderr)
    return code if options.output or not content else output.show(content) or code


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the options. An error exits with code 2, as argparse does."""
    given = list(arguments)
    if "--sort" in given[:-1]:  # argparse would parse the -COLUMN of `--sort -COLUMN` as an option
        at = given.index("--sort")
        given[at : at + 2] = [f"--sort={given[at + 1]}"]
    options = parser().parse_args(given)
    if not options.dirs and not options.diff:
        parser().error("name at least one DIR, or two runs with --diff")
    if options.diff:
        _check_diff_options(options)
    options.format = options.format or ENDINGS.get(options.output.suffix if options.output else "", "table")
    return options


def _check_diff_options(options: argparse.Namespace) -> None:
    """Exits with an error if an option is given that cannot be combined with --diff."""
    allowed = {"diff", "format", "output"}
    others = [key for key, value in vars(options).items() if key not in allowed and value not in (None, False, [])]
    if others:
        names = ", ".join("DIR" if key == "dirs" else f"--{key.replace('_', '-')}" for key in others)
        parser().error(f"--diff can only be combined with --format and --output; leave out {names}")


def _compare(options: argparse.Namespace, remarks: list[str]) -> tuple[str, int]:
    """Returns the text for stdout and the exit code; text for stderr is added to the remarks."""
    from lstm_ae.compare import ranking, selection, table
    from lstm_ae.compare.effects import effects

    frame = table.read(options.dirs, remarks)
    problems = list(remarks)
    if not len(frame):
        raise selection.CompareError("Nothing to compare: no run was found.")
    if options.epoch:
        frame = selection.at_epoch(frame, options.epoch, remarks)
    frame = selection.filtered(frame, options.where)
    if not selection.metrics(frame):
        remarks.append("No run has a metric yet, so nothing can be ranked. State of the runs:")
        return _rendered(frame[[*table.settings(frame), "state", "error", "run"]], options, remarks, ("state",)), 1
    metric = selection.choose_metric(frame, options.metric, remarks)
    ranked = ranking.rank(frame, metric, options.group_by)
    plain = options.format in ("csv", "json")
    content = "" if options.effects and plain else _table(ranked, options, remarks)
    if options.effects:
        found, sentences = effects(ranking.rank(frame, metric) if options.group_by else ranked)
        if plain:
            content = _rendered(found, options, remarks)
        else:
            shown = selection.effects_shown(found)
            rows = _rendered(shown, options, remarks, ("value", "mean", "p", "best", "source"))
            content += f"\nEffects on {metric}\n\n{rows}\n{_notes(sentences, options)}"
    return content, _page(ranked, options.report, remarks, problems) if options.report else 0


def _page(ranked: "Ranking", folder: Path, remarks: list[str], problems: list[str]) -> int:
    """Writes the page, and returns the exit code: 1 if it cannot be written."""
    from lstm_ae.compare import report

    try:
        remarks.append(f"Report: {report.write(ranked, folder, problems)}")
    except OSError as error:
        remarks.append(f"`--report` must be a writable folder, got {folder}: {error.strerror}. Use another folder.")
        return 1
    return 0


def _table(ranked: "Ranking", options: argparse.Namespace, remarks: list[str]) -> str:
    """Returns the ranking as text; the notes stand under it, or on stderr where a program reads the table."""
    from lstm_ae.compare import ranking, selection

    shown, names = ranked.table, ranked.columns
    text = options.format in ("table", "markdown")
    if text:
        runs = [run.split(" ") for run in shown["run"]]  # a row may have runs in several folders
        short = iter(ranking.short_run_names([name for own in runs for name in own]))
        shown = shown.assign(run=[" ".join(itertools.islice(short, len(own))) for own in runs])
    if options.sort:
        shown = selection.sort(shown, options.sort, [ranked.metric])
    if options.columns:
        names = selection.columns(options.columns, [ranked.metric], list(shown.columns))
    elif options.all_columns:
        names = list(shown.columns)
    rows = _rendered(shown[names].head(options.top), options, remarks, (ranked.metric, "n", "verdict", "state"))
    if not text:
        remarks += ranked.notes
    return f"{rows}\n{_notes(ranked.notes, options)}" if text else rows


def _notes(lines: Sequence[str], options: argparse.Namespace) -> str:
    from lstm_ae.compare.output import wrapped

    return "".join(f"{line}\n" for line in wrapped([printable(line) for line in lines], _width(options)))


def _width(options: argparse.Namespace) -> int | None:
    """Returns the width of the terminal, or None if the output does not go to a terminal."""
    terminal = options.output is None and sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None


def _rendered(shown: "pd.DataFrame", options: argparse.Namespace, remarks: list[str], keep: Sequence[str] = ()) -> str:
    from lstm_ae.compare.output import render

    width = _width(options)
    content, left_out = render(shown, options.format, width, keep)
    if left_out:
        remarks.append(f"Columns left out to fit {width} characters: {', '.join(left_out)}. Use --columns or --format.")
    return content


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program quietly
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
