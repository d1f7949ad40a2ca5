"""Figures, drawn from a run directory alone: they can be drawn again, elsewhere and later.

python -m lstm_ae.plots RUN...   draws those of finished runs, such as a sweep's jobs, which draw none themselves
"""

import argparse
import functools
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_ae.run_dir import METRICS, SAMPLES, RunDir

Samples = Mapping[str, np.ndarray]
History = Mapping[str, list[float]]

WIDTH = 9.0  # inches
DOTS_PER_INCH = 110
ORIGINAL, MODEL = "#4c4c4c", "#d95f02"
ORIGINAL_STYLE: dict[str, Any] = {
    "color": "#a9b4c2",
    "linewidth": 3.5,
}  # broad and pale, so that a close reconstruction hides nothing


def draw(run_dir: RunDir) -> list[str]:
    """Draws every figure that a run directory has the numbers for.

    Returns:
        The names of the files, under the directory.
    """
    with np.load(run_dir / SAMPLES, allow_pickle=False) as file:
        samples = dict(file)
    metrics, history = run_dir.read_json(METRICS), run_dir.read_history()
    subtitle = _describe(run_dir.read_json("config.json"), metrics)
    figures: dict[str, Callable[[], Figure]] = {
        "data": lambda: _data(samples),
        "loss": lambda: _curves(history, metrics, subtitle),
    }
    if "reconstruction" in samples:
        error = _judged(metrics).get("reconstruction_mse")
        figures["reconstruction"] = lambda: _reconstruction(samples, subtitle, _part(metrics), error)
    if (run_dir / "confusion.csv").exists():
        figures["confusion"] = lambda: _confusion(run_dir.read_table("confusion"), metrics, subtitle)
    if "prediction" in samples:
        figures["prediction"] = lambda: _prediction(samples, history, metrics, subtitle)
    if "multi_step" in samples:
        figures["multi_step"] = lambda: _multi_step(samples, run_dir.read_table("multi_step"), subtitle)
    names = []
    for name, make in figures.items():
        names.append(f"figures/{name}.png")
        run_dir.write(names[-1], functools.partial(make().savefig, format="png", dpi=DOTS_PER_INCH))
    return names


def _part(metrics: Mapping[str, Any]) -> str:
    """Returns the part that is judged: test, or validation where test was left alone."""
    return "test" if metrics["test"] else "validation"


def _judged(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    judged: Mapping[str, float] = metrics[_part(metrics)]
    return judged


def _describe(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Returns the model and its settings, and how it was trained, in a line."""
    model = dict(config["model"])
    name = model.pop("_target_").rsplit(".", 1)[-1]
    settings = ", ".join(f"{key} {value}" for key, value in model.items() if value not in (False, 0, None))
    lr, clipping = config["optimizer"]["lr"], config["trainer"]["gradient_clipping"]
    text = f"{name} ({settings}; {metrics['parameters']:,} parameters), lr {lr:g}, gradient clipping {clipping}"
    return "\n".join(textwrap.wrap(text, 105))


def _figure(rows: int, columns: int, height: float, title: str, **options: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _data(samples: Samples) -> Figure:
    if samples["kind"] == "price":
        return _prices(samples)
    count = min(3, len(samples["inputs"]))
    if samples["kind"] == "image":
        figure, axes = _figure(1, count, 3.2, "Samples, a row of pixels a time step")
        for ax, image, name in zip(axes[0], samples["inputs"], samples["names"], strict=False):
            _image(ax, image, str(name))
        return figure
    figure, axes = _figure(count, 1, 1.9 * count, "Sequences", sharex=True)
    for ax, values, name in zip(axes[:, 0], samples["inputs"], samples["names"], strict=False):
        ax.plot(values, color=ORIGINAL, marker=".", linewidth=1)
        ax.set_title(str(name), fontsize=9)
        ax.set_ylabel(str(samples["unit"]))
    axes[-1, 0].set_xlabel("time (step)")
    return figure


def _prices(samples: Samples) -> Figure:
    shown, total = samples["series_names"], int(samples["series_total"])
    title = "Prices" + (f" of {len(shown)} of the {total} companies" if len(shown) < total else "")
    figure, axes = _figure(1, 1, 4.5, title)
    ax = axes[0, 0]
    for name, values in zip(shown, samples["series"], strict=False):
        ax.plot(samples["series_dates"], values, label=str(name), linewidth=1)
    ax.axvspan(samples["test_from"], samples["series_dates"][-1], color="0.9", label="test part")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("date")
    ax.set_ylabel(f"price ({samples['unit']}, logarithmic)")
    ax.legend(ncols=3, fontsize=8)
    return figure


def _curves(history: History, metrics: Mapping[str, Any], subtitle: str) -> Figure:
    """Loss against epochs, and accuracy where there is one."""
    accuracy = _judged(metrics).get("accuracy")
    reached = "" if accuracy is None else f", {_part(metrics)} accuracy {accuracy:.4f}"
    panels = ["loss"] if accuracy is None else ["loss", "accuracy"]
    title = f"{' and '.join(panels).capitalize()} against epochs{reached}\n{subtitle}"
    figure, axes = _figure(1, len(panels), 4.0, title)
    for ax, name in zip(axes[0], panels, strict=True):
        _curve(ax, history, name, metrics["best_epoch"])
    return figure


def _curve(ax: Axes, history: History, name: str, best_epoch: int) -> None:
    for part, colour in (("train", ORIGINAL), ("validation", MODEL)):
        ax.plot(history["epoch"], history[f"{part}.{name}"], label=part, color=colour, marker=".")
    if best_epoch:
        ax.axvline(best_epoch, color="0.6", linestyle=":", label=f"weights kept: epoch {best_epoch}")
    if name != "accuracy":
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel(name.replace("_", " ") + ("" if name == "accuracy" else " (logarithmic)"))
    ax.legend(fontsize=8)


def _confusion(table: Mapping[str, list[str]], metrics: Mapping[str, Any], subtitle: str) -> Figure:
    classes = table["class"]
    counts = np.array([[int(count) for count in table[name]] for name in classes]).T  # a row a true class
    title = f"{_part(metrics).capitalize()} sequences by class, accuracy {_judged(metrics)['accuracy']:.4f}\n{subtitle}"
    figure, axes = _figure(1, 1, 5.5, title)
    ax = axes[0, 0]
    image = ax.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if counts[row, column] > counts[row].sum() / 2 else "black"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("class that the model names")
    ax.set_ylabel("true class")
    figure.colorbar(image, ax=ax, label="share of the true class")
    return figure


def _prediction(samples: Samples, history: History, metrics: Mapping[str, Any], subtitle: str) -> Figure:
    """The report's four panels."""
    parts = [f"{name} {value:.3g}" for name, value in metrics["skill"].items() if value is not None]
    error = f"{_part(metrics)} MSE {_judged(metrics)['prediction_mse']:.3g}"
    title = f"Prediction, {error}, skill over {', '.join(parts)}\n{subtitle}"
    figure, axes = _figure(2, 2, 7.5, title)
    losses, last, reconstructed, predicted = axes.ravel()
    for name, colour in (("reconstruction_mse", ORIGINAL), ("prediction_mse", MODEL)):
        for part, style in (("train", "-"), ("validation", "--")):
            if f"{part}.{name}" in history:
                label = f"{name.replace('_mse', '')}, {part}"
                losses.plot(history["epoch"], history[f"{part}.{name}"], style, color=colour, label=label)
    losses.set_yscale("log")
    losses.set_xlabel("epoch")
    losses.set_ylabel("mean squared error, scaled values")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    places = np.arange(len(samples["last_names"]))
    last.plot(places, samples["last_target"], "o", color=ORIGINAL, label="price")
    last.plot(places, samples["last_prediction"], "x", color=MODEL, label="prediction")
    last.set_xticks(places, samples["last_names"], rotation=90, fontsize=7)
    last.set_title("last day of the last window", fontsize=9)
    time = _time(samples, 0)
    if "reconstruction" in samples:
        _pair(reconstructed, time[:-1], samples["inputs"][0], samples["reconstruction"][0], "reconstruction")
    _pair(predicted, time[1:], samples["target"][0], samples["prediction"][0], "one-step prediction")
    for ax in (last, reconstructed, predicted):
        ax.set_ylabel(_value_name(samples))
    for ax in (reconstructed, predicted):
        ax.set_title(str(samples["names"][0]), fontsize=9)
        ax.tick_params(axis="x", rotation=30, labelsize=7)
    for ax in axes.ravel():
        ax.legend(fontsize=7)
    return figure


def _multi_step(samples: Samples, table: Mapping[str, list[str]], subtitle: str) -> Figure:
    """True values, the multi-step and the one-step prediction of each sample; and the error by horizon."""
    count = len(samples["inputs"])
    title = f"From the first half of a window to its end, each prediction fed back\n{subtitle}"
    figure, axes = _figure(count + 1, 1, 2.2 * (count + 1) + 0.5, title)
    for row, ax in enumerate(axes[:-1, 0]):
        time = _time(samples, row)
        steps = samples["multi_step"].shape[1]
        whole = np.concatenate([samples["inputs"][row], samples["target"][row][-1:]])
        ax.plot(time, whole, label="true", **ORIGINAL_STYLE)
        ax.plot(time[1:], samples["prediction"][row], ":", color=ORIGINAL, label="one step")
        ax.plot(time[-steps:], samples["multi_step"][row], color=MODEL, label="multi-step")
        ax.set_title(str(samples["names"][row]), fontsize=9)
        ax.set_ylabel(_value_name(samples))
    axes[0, 0].legend(fontsize=8)
    ax = axes[-1, 0]
    horizon = [int(step) for step in table["horizon"]]
    for name, style in (("multi_step", MODEL), ("one_step", ORIGINAL), ("persistence", "#7570b3")):
        ax.plot(horizon, [float(value) for value in table[f"{name}_mse"]], color=style, label=name.replace("_", "-"))
    ax.set_xlabel("horizon (steps after the first half)")
    ax.set_ylabel("MSE, scaled")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)
    return figure


def _pair(ax: Axes, time: np.ndarray, original: np.ndarray, made: np.ndarray, name: str) -> None:
    ax.plot(time[-len(original) :], original, label="original", **ORIGINAL_STYLE)
    ax.plot(time[-len(made) :], made, color=MODEL, linewidth=1.3, marker="x" if len(made) == 1 else None, label=name)


def _time(samples: Samples, row: int) -> np.ndarray:
    """Returns what the time axis of a sample shows, targets included."""
    return samples["dates"][row] if "dates" in samples else np.arange(samples["inputs"].shape[1] + 1)


def _value_name(samples: Samples) -> str:
    return f"price ({samples['unit']})" if samples["kind"] == "price" else str(samples["unit"])


def _reconstruction(samples: Samples, subtitle: str, part: str, error: float | None) -> Figure:
    inputs, reconstruction, names = samples["inputs"], samples["reconstruction"], samples["names"]
    of_part = "" if error is None else f", mean squared error {error:.3g} on scaled values"
    title = f"{part.capitalize()} samples and their reconstructions{of_part}\n{subtitle}"
    count = len(inputs)
    if samples["kind"] == "image":
        figure, axes = _figure(2, count, 5.0, title)
        said = samples.get("said", [None] * count)
        for column in range(count):
            named = "" if said[column] is None else f"; the model says {said[column]}"
            _image(axes[0, column], inputs[column], f"{names[column]}{named}")
            _image(axes[1, column], reconstruction[column], "reconstruction", like=inputs[column])
        return figure
    figure, axes = _figure(count, 1, 2.2 * count + 0.5, title)
    for row, ax in enumerate(axes[:, 0]):
        _pair(ax, _time(samples, row)[: inputs.shape[1]], inputs[row], reconstruction[row], "reconstruction")
        ax.set_title(str(names[row]), fontsize=9)
        ax.set_ylabel(_value_name(samples))
    axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel("date" if "dates" in samples else "time (step)")
    return figure


def _image(ax: Axes, image: np.ndarray, title: str, like: np.ndarray | None = None) -> None:
    like = image if like is None else like
    ax.imshow(image, cmap="gray", vmin=like.min(), vmax=like.max())
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()


def main() -> None:
    """Draws the figures of the runs that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m lstm_ae.plots", description="Draws the figures of finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the directory of a finished run")
    for run in parser.parse_args().runs:
        if not (RunDir(run) / SAMPLES).exists():
            parser.exit(1, f"`RUN` must be the directory of a finished run, and {run} has no {SAMPLES}.\n")
        for name in draw(RunDir(run)):
            print(RunDir(run) / name)


if __name__ == "__main__":
    main()
