"""The reference results: the report's published numbers and the results of this project's presets, as run directories.

python -m lstm_ae.compare.reference                   prints the results table
python -m lstm_ae.compare.reference --write           writes it into docs/results.md
python -m lstm_ae.compare.reference --commands        prints what makes its runs with five seeds, and keeps them
python -m lstm_ae.compare.reference --keep RUN NAME   keeps a finished run under multirun/reference/ours/NAME

A row's directory holds one run, or one a seed in subdirectories. Settings are chosen on validation scores, before the
seeds meet the test part.
"""

import argparse
import functools
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_ae.run_dir import CONFIG, METRICS, STATUS, RunDir
from lstm_ae.statistics import holdout_overlap, mean_interval

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "multirun" / "reference"
BEGIN, END = "<!-- reference table: begin -->", "<!-- reference table: end -->"
KEPT = (CONFIG, "environment.json", METRICS, STATUS)
MAX_FIGURE_BYTES = 200_000  # bytes


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        question: The question that the run answers.
        command: The arguments of `python run.py`.
        metric: The key of the number in metrics.json, with a dot.
        ours: The directory under `ours/`: of a run, or of a sweep over seeds.
        published: The directory under `published/`, if the report has the number, on the same data and protocol.
        seeds: How many seeds the row is to have.
    """

    question: str
    command: str
    metric: str
    ours: str
    published: str | None = None
    seeds: int = 5


ROWS = (
    Row("digits: the default", "experiment=digits_reconstruction", "test.reconstruction_mse", "digits_reconstruction"),
    Row("toy: the report's best", "experiment=origin_toy", "validation.loss", "origin_toy/3", "toy_0.1_16_5"),
    Row("toy: reconstruction", "experiment=toy_reconstruction", "test.reconstruction_mse", "toy_reconstruction"),
    Row("toy: through 32 numbers", "experiment=toy_bottleneck", "test.reconstruction_mse", "toy_bottleneck"),
    Row("MNIST rows: reconstruction", "experiment=mnist_reconstruction", "test.reconstruction_mse",
        "mnist_reconstruction"),
    Row("MNIST rows: through 64 numbers", "experiment=mnist_bottleneck", "test.reconstruction_mse", "mnist_bottleneck"),
    *(Row(f"MNIST rows: the report's {variant}", f"experiment=origin_mnist model={variant}", "test.accuracy",
          f"origin_mnist_{variant}", f"mnist_rows_{variant}") for variant in ("v1", "v2", "v3", "v4")),
    Row("MNIST rows: ours", "experiment=mnist_classification", "test.accuracy", "mnist_classification"),
    Row("MNIST pixels: the report's v4", "experiment=origin_pixels", "test.accuracy", "origin_pixels",
        "mnist_pixels_v4"),
    Row("MNIST pixels: ours", "experiment=mnist_pixels", "test.accuracy", "mnist_pixels", seeds=3),
    Row("S&P 500: reconstruction", "experiment=sp500_reconstruction", "test.reconstruction_mse",
        "sp500_reconstruction"),
    Row("S&P 500: next day, the report's protocol", "experiment=origin_sp500", "test.loss", "origin_sp500"),
    Row("S&P 500: next day", "experiment=sp500_prediction", "test.prediction_mse", "sp500_prediction"),
    Row("S&P 500: last day only", "experiment=sp500_last_day", "test.prediction_mse", "sp500_last_day"),
    Row("S&P 500: multi-step", "experiment=sp500_multi_step", "test.prediction_mse", "sp500_multi_step"),
)  # fmt: skip


def table() -> str:
    """Returns the table in Markdown."""
    lines = [
        "| question | `python run.py` | metric | published | ours | skill over a baseline (95 % interval) | n |"
        " minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        runs = [RunDir(run).read_json(METRICS) for run in runs_of(REFERENCE / "ours" / row.ours)]
        if not runs:  # it is still to be made
            continue
        published = "" if row.published is None else _show(_published(row), row.metric)
        show = functools.partial(_show, metric=row.metric)
        ours = _over_seeds([_pick(metrics, row.metric) for metrics in runs], runs, show)
        minutes = statistics.fmean(metrics["seconds"] for metrics in runs) / 60
        cells = (row.question, f"`{row.command}`", f"`{row.metric}`", published, ours, _skills(runs), str(len(runs)))
        lines.append(f"| {' | '.join(cells)} | {minutes:.1f} |")
    return "\n".join(lines)


def commands() -> str:
    """Returns the commands that make the table's runs with their seeds, and keep them; interrupted, they resume."""
    lines = []
    for row in ROWS:
        if "/" not in row.ours:  # a run of a grid is made with the grid
            folder = f"multirun/results/{row.ours}"
            seeds = f"sweep=seeds seed={','.join(map(str, range(row.seeds)))}"
            lines.append(f"python run.py {row.command} {seeds} evaluate_test=true hydra.sweep.dir={folder}")
            lines.append(f"python -m lstm_ae.compare.reference --keep {folder} {row.ours}")
    return "\n".join([*lines, "python -m lstm_ae.compare.reference --write"])


def runs_of(folder: Path) -> list[Path]:
    """Returns a run, or the runs of the seeds in a directory."""
    return [folder] if (folder / STATUS).exists() else sorted(path.parent for path in folder.glob(f"*/{STATUS}"))


def _over_seeds(values: Sequence[float], runs: Sequence[dict[str, Any]], show: Callable[[float], str]) -> str:
    """Returns a number, or over seeds the mean, the standard deviation, and the interval of the mean."""
    if len(values) == 1:
        return show(values[0])
    subsets = [run["subsets"] for run in runs]
    overlap = 0.0  # of seeds that share one split
    if len({one["train"]["digest"] for one in subsets}) > 1:
        overlap = holdout_overlap(subsets[0]["validation"]["sequences"], subsets[0]["train"]["sequences"])
    found = mean_interval(values, overlap)
    return f"{show(found.estimate)} ± {statistics.stdev(values):.2g} ({show(found.low)} to {show(found.high)})"


def _skills(runs: Sequence[dict[str, Any]]) -> str:
    """Returns the skill over each baseline: of one run with its own interval, else over the seeds."""
    shown = []
    for name, value in runs[0]["skill"].items():
        values = [run["skill"][name] for run in runs]
        low, high = runs[0].get("interval", {}).get(f"skill.{name}") or (None, None)
        if None in values:
            text = "none"
        elif len(runs) > 1:
            text = _over_seeds(values, runs, "{:.4f}".format)
        else:
            text = f"{value:.3f}" if low is None else f"{value:.4f} ({low:.4f} to {high:.4f})"
        shown.append(f"{name}: {text}")
    return "; ".join(shown)


def _published(row: Row) -> float:
    return _pick(RunDir(REFERENCE / "published" / str(row.published)).read_json(METRICS), row.metric)


def _pick(metrics: dict[str, Any], path: str) -> float:
    part, name = path.split(".")
    return float(metrics[part][name])


def _show(value: float, metric: str) -> str:
    return f"{value:.4f}" if metric.endswith("accuracy") else f"{value:.3g}"


def write(page: Path) -> None:
    """Replaces the table between the two markers in a page."""
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


def keep(run: Path, name: str) -> None:
    """Copies a finished run, or a sweep's runs, without weights and large figures to multirun/reference/ours/NAME.

    Raises:
        ValueError: the run is not finished.
    """
    jobs = runs_of(run)
    for job in jobs:
        if RunDir(job).status().get("state") not in ("finished", "diverged"):
            raise ValueError(f"`--keep` needs a finished run, but {job} is not. Run it again to resume it.")
    shutil.rmtree(REFERENCE / "ours" / name, ignore_errors=True)  # also what a single run left where seeds come now
    for job in jobs:
        target = REFERENCE / "ours" / name / (job.relative_to(run))
        target.mkdir(parents=True)
        for file in (*KEPT, *(path.name for path in job.glob("*.csv"))):
            shutil.copyfile(job / file, target / file)
        copy = RunDir(target)
        config = copy.read_json(CONFIG)
        paths = {"path", "root"} & config.get("dataset", {}).keys()  # they exist only on this machine
        with copy.rewriting([CONFIG]):
            copy.write_json(CONFIG, config | {"dataset": config.get("dataset", {}) | dict.fromkeys(paths)})
        for figure in job.glob("figures/*.png"):
            if figure.stat().st_size < MAX_FIGURE_BYTES:
                (target / "figures").mkdir(exist_ok=True)
                shutil.copyfile(figure, target / "figures" / figure.name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m lstm_ae.compare.reference", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    parser.add_argument("--commands", action="store_true", help="print what makes the table's runs with their seeds")
    parser.add_argument("--keep", nargs=2, metavar=("RUN", "NAME"), help="keep a finished run as a reference")
    options = parser.parse_args(arguments)
    if options.commands:
        print(commands())
    elif options.keep:
        keep(Path(options.keep[0]), options.keep[1])
    elif options.write:
        write(ROOT / "docs" / "results.md")
    else:
        print(table())


if __name__ == "__main__":
    main()
