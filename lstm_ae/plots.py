"""Figures, drawn from a run directory alone: they can be drawn again, elsewhere and later."""

import functools
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_ae.run_dir import METRICS, SAMPLES, RunDir

WIDTH = 9.0  # inches
DOTS_PER_INCH = 110
ORIGINAL, MODEL = "#4c4c4c", "#d95f02"
ORIGINAL_STYLE = {"color": "#a9b4c2", "linewidth": 3.5}  # broad and pale, so that a close reconstruction hides nothing


def draw(run_dir: RunDir) -> list[str]:
    """Draws every figure that a run directory has the numbers for.

    Returns:
        The names of the files, under the directory.
    """
    with np.load(run_dir / SAMPLES, allow_pickle=False) as file:
        samples = dict(file)
    metrics = run_dir.read_json(METRICS)
    subtitle = _describe(run_dir.read_json("config.json"), metrics)
    figures: dict[str, Callable[[], Figure]] = {
        "data": lambda: _data(samples),
        "loss": lambda: _loss(run_dir.read_history(), metrics["best_epoch"], subtitle),
        "reconstruction": lambda: _reconstruction(samples, subtitle, metrics["test"].get("reconstruction_mse")),
    }
    names = []
    for name, make in figures.items():
        names.append(f"figures/{name}.png")
        run_dir.write(names[-1], functools.partial(make().savefig, format="png", dpi=DOTS_PER_INCH))
    return names


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


def _data(samples: Mapping[str, np.ndarray]) -> Figure:
    if samples["kind"] == "price":
        return _prices(samples)
    count = min(3, len(samples["inputs"]))
    if samples["kind"] == "image":
        figure, axes = _figure(1, count, 3.2, "Test samples, a row of pixels a time step")
        for ax, image, name in zip(axes[0], samples["inputs"], samples["names"], strict=False):
            _image(ax, image, str(name))
        return figure
    figure, axes = _figure(count, 1, 1.9 * count, "Test sequences", sharex=True)
    for ax, values, name in zip(axes[:, 0], samples["inputs"], samples["names"], strict=False):
        ax.plot(values, color=ORIGINAL, marker=".", linewidth=1)
        ax.set_title(str(name), fontsize=9)
        ax.set_ylabel(str(samples["unit"]))
    axes[-1, 0].set_xlabel("time (step)")
    return figure


def _prices(samples: Mapping[str, np.ndarray]) -> Figure:
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


def _loss(history: Mapping[str, list[float]], best_epoch: int, subtitle: str) -> Figure:
    figure, axes = _figure(1, 1, 4.0, f"Loss (of the scaled values) against epochs\n{subtitle}")
    ax = axes[0, 0]
    for part, colour in (("train", ORIGINAL), ("validation", MODEL)):
        ax.plot(history["epoch"], history[f"{part}.loss"], label=part, color=colour, marker=".")
    if best_epoch:
        ax.axvline(best_epoch, color="0.6", linestyle=":", label=f"weights kept: epoch {best_epoch}")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss (logarithmic)")
    ax.legend()
    return figure


def _reconstruction(samples: Mapping[str, np.ndarray], subtitle: str, error: float | None) -> Figure:
    inputs, reconstruction, names = samples["inputs"], samples["reconstruction"], samples["names"]
    of_test = "" if error is None else f", test mean squared error {error:.3g} on scaled values"
    title = f"Test samples and their reconstructions{of_test}\n{subtitle}"
    count = len(inputs)
    if samples["kind"] == "image":
        figure, axes = _figure(2, count, 5.0, title)
        for column in range(count):
            _image(axes[0, column], inputs[column], str(names[column]))
            _image(axes[1, column], reconstruction[column], "reconstruction", like=inputs[column])
        return figure
    figure, axes = _figure(count, 1, 2.2 * count + 0.5, title)
    for row, ax in enumerate(axes[:, 0]):
        time = samples["dates"][row] if "dates" in samples else np.arange(inputs.shape[1])
        ax.plot(time, inputs[row], label="original", **ORIGINAL_STYLE)
        ax.plot(time, reconstruction[row], color=MODEL, linewidth=1.3, label="reconstruction")
        ax.set_title(str(names[row]), fontsize=9)
        ax.set_ylabel(f"price ({samples['unit']})" if samples["kind"] == "price" else str(samples["unit"]))
    axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel("date" if "dates" in samples else "time (step)")
    return figure


def _image(ax: Axes, image: np.ndarray, title: str, like: np.ndarray | None = None) -> None:
    like = image if like is None else like
    ax.imshow(image, cmap="gray", vmin=like.min(), vmax=like.max())
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
