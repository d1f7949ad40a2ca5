"""Figures of what was predicted: samples with their predictions, and errors by horizon."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from lstm_ae import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_prediction(run_dir: drawing.Readable) -> "Figure":
    """Draws the report's four panels."""
    run = drawing.read(run_dir)
    error = f"{run.judged} MSE {run.metrics[run.judged]['prediction_mse']:.3g}"
    skills = [f"{name} {value:.3g}" for name, value in run.metrics["skill"].items() if value is not None]
    figure, axes = drawing.figure(2, 2, 7.5, f"Prediction, {error}, skill over {', '.join(skills)}\n{run.subtitle}")
    losses, last, reconstructed, predicted = axes.ravel()
    for name, colour in (("reconstruction_mse", drawing.ORIGINAL), ("prediction_mse", drawing.MODEL)):
        for part, style in (("train", "-"), ("validation", "--")):
            if f"{part}.{name}" in run.history:
                label = f"{name.removesuffix('_mse')}, {part}"
                losses.plot(
                    run.history["epoch"], run.history[f"{part}.{name}"], style, marker=".", color=colour, label=label
                )
    losses.set(yscale="log", xlabel="epoch", ylabel="mean squared error, scaled values")
    losses.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    arrays = run.samples
    places = np.arange(len(arrays["last_names"]))
    last.plot(places, arrays["last_target"], "o", color=drawing.ORIGINAL, label="target")
    last.plot(places, arrays["last_prediction"], "x", color=drawing.MODEL, label="prediction")
    last.set_xticks(places, arrays["last_names"], rotation=90, fontsize=7)
    last.set_title("last step of the last window", fontsize=9)
    if "reconstruction" in arrays:
        drawing.pair(reconstructed, run.time(0), arrays["inputs"][0], arrays["reconstruction"][0], "reconstruction")
    drawing.pair(predicted, run.time(0), arrays["target"][0], arrays["prediction"][0], "one-step prediction", shift=1)
    for ax in (reconstructed, predicted):
        ax.set_title(str(arrays["names"][0]), fontsize=9)
        ax.tick_params(axis="x", rotation=30, labelsize=7)
    for ax in (last, reconstructed, predicted):
        ax.set_ylabel(drawing.value_name(arrays))
    for ax in axes.ravel():
        ax.legend(fontsize=7)
    return figure


def draw_multi_step(run_dir: drawing.Readable) -> "Figure | None":
    """Draws the multi-step and the one-step prediction of each sample, and the error by horizon."""
    run = drawing.read(run_dir)
    if "multi_step" not in run.samples:
        return None
    arrays, title = run.samples, f"From the first half of a window to its end, each prediction fed back\n{run.subtitle}"
    with _by_horizon(run_dir, "multi_step", title, "horizon (steps after the first half)", run) as (figure, axes):
        for row, ax in enumerate(axes):
            time, steps = run.time(row), arrays["multi_step"].shape[1]
            whole = np.concatenate([arrays["inputs"][row], arrays["target"][row][-1:]])[:, 0]
            ax.plot(time, whole, label="true", **drawing.ORIGINAL_STYLE)
            ax.plot(time[1:], arrays["prediction"][row][:, 0], ":", color=drawing.ORIGINAL, label="one step")
            ax.plot(time[-steps:], arrays["multi_step"][row][:, 0], color=drawing.MODEL, label="multi-step")
    return figure


def draw_forecast(run_dir: drawing.Readable) -> "Figure":
    """Draws the forecast of each sample, and the error by horizon."""
    run = drawing.read(run_dir)
    arrays, error = run.samples, f"{run.judged} MSE {run.metrics[run.judged]['forecast_mse']:.3g}"
    title = f"Forecast, {error}\n{run.subtitle}"
    with _by_horizon(run_dir, "horizon", title, "horizon (steps)", run) as (figure, axes):
        for row, ax in enumerate(axes):
            known = arrays["inputs"][row][:, 0]
            known = known[: np.flatnonzero(np.isfinite(known)).max(initial=0) + 1]
            target = np.concatenate([known, arrays["target"][row][:, 0]])
            ahead = np.arange(len(known), len(target))
            ax.plot(target, label="true", **drawing.ORIGINAL_STYLE)
            ax.plot(ahead, arrays["prediction"][row][:, 0], color=drawing.MODEL, marker=".", label="forecast")
    return figure


@contextmanager
def _by_horizon(
    run_dir: drawing.Readable, table: str, title: str, horizon: str, run: drawing.Run
) -> Iterator[tuple["Figure", "list[Axes]"]]:
    """Yields a figure whose last panel shows the errors of a table, and a panel for each sample, to be drawn into."""
    columns, arrays = run_dir.read_table(table), run.samples
    count = len(arrays["inputs"])
    figure, axes = drawing.figure(count + 1, 1, 2.2 * (count + 1) + 0.5, title)
    *panels, errors = axes[:, 0]
    yield figure, panels
    panels[0].legend(fontsize=8)
    for ax, name in zip(panels, arrays["names"], strict=True):
        ax.set_title(str(name), fontsize=9)
        ax.set_ylabel(drawing.value_name(arrays))
    steps = [int(step) for step in columns["horizon"]]
    for name, colour in zip((key for key in columns if key.endswith("_mse")), drawing.COLOURS, strict=False):
        label = name.removesuffix("_mse").replace("_", "-")
        errors.plot(steps, [float(value) for value in columns[name]], color=colour, label=label)
    errors.set(xlabel=horizon, ylabel="MSE, scaled")
    errors.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    errors.legend(fontsize=8)
