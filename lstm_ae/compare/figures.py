"""Figures of many runs: learning curves, heat map, effects, parallel coordinates, and score against cost."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lstm_ae.compare.heat_map import heat_map
from lstm_ae.compare.series import COLOURS, DIVERGED, GREY, WIDTH, Comparison, compare, fit_text, plain, shown
from lstm_ae.compare.statistics import spans_decades

LOG = logging.getLogger(__name__)
DOTS_PER_INCH = 130
MAX_PANELS = 6
MAX_DRAWABLE = 1e100  # matplotlib's own sums of larger numbers overflow


def write(frame: pd.DataFrame, metric: str, folder: Path, effects: pd.DataFrame | None = None) -> list[Path]:
    """Draws the figures as PNG files. A figure that cannot be drawn is logged with the reason.

    Args:
        frame: The result of `table.load`.
        metric: One of its columns, such as `validation.loss`.
        folder: Output folder, created if missing.
        effects: The result of `statistics.effects`; None computes it.

    Returns:
        The paths of the files.
    """
    comparison = compare(frame, metric, effects)
    drawings: dict[str, Callable[[Comparison], Figure | str]] = {
        "learning_curves": learning_curves,
        "heat_map": heat_map,
        "effects": effect_panels,
        "parallel_coordinates": parallel_coordinates,
        "cost_score": cost_score,
    }
    numbers = np.concatenate([comparison.scores, *(curve.values for curve in comparison.curves if curve)])
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0)
    if largest > MAX_DRAWABLE:
        LOG.warning("No figure is drawn: a score of magnitude %.3g is too large for an axis.", largest)
        return []
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in drawings.items():
        figure = draw(comparison)
        if isinstance(figure, str):
            LOG.warning("%s.png is left out: %s", name, figure)
            continue
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=DOTS_PER_INCH)
    return written


def learning_curves(comparison: Comparison) -> Figure | str:
    """Draws the metric against epochs, a mean and a band for each group; returns the reason if it cannot."""
    curves = comparison.curves
    if not any(curves):
        return f"no run has a history with {comparison.curve_metric}"
    figure = Figure(figsize=(WIDTH, 5.5), layout="constrained")
    ax = figure.subplots()
    drawn = [group for group in comparison.groups if any(curves[row] for row in group.rows)]
    for group in reversed(drawn):
        own = [curve for row in group.rows if (curve := curves[row]) is not None]
        epochs, values = own[0].epochs, np.full((len(own), max(len(curve.values) for curve in own)), np.nan)
        for row, curve in enumerate(own):
            values[row, : len(curve.values)] = curve.values
            epochs = max(epochs, curve.epochs, key=len)
        values[~np.isfinite(values)] = np.nan
        named, label = bool(group.colour), _label(group.label, len(own)) if group.colour else None
        colour = group.colour or GREY
        missing = np.isnan(values).all(axis=0)
        low, mean, high = (np.where(missing, np.nan, function(values)) for function in (_low, _mean, _high))
        ax.plot(epochs, mean, color=colour, label=label, linewidth=1.8 if named else 0.7, zorder=2 + named)
        if named and len(own) > 1:
            ax.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    if spans_decades(np.concatenate([curve.values for curve in curves if curve])):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=comparison.curve_metric)
    ax.grid(alpha=0.25)
    handles, labels = ax.get_legend_handles_labels()
    more = len(drawn) - len(labels)
    note = "" if more <= 0 else f"; {more} other{'s' * (more > 1)} in grey"
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    figure.suptitle(f"Learning curves, best by {comparison.metric} in colour{note}", fontsize=12)
    if any(len(group.rows) > 1 for group in drawn):
        ax.set_title("line: mean over seeds and folds; band: minimum to maximum", fontsize=9, color="0.35")
    return figure


def effect_panels(comparison: Comparison) -> Figure | str:
    """Draws a panel for each setting: mean score and interval at each value; returns the reason if it cannot."""
    effects = comparison.effects
    names = [key for key in comparison.keys if key in set(effects["setting"])][:MAX_PANELS]
    if not names:
        return "no setting differs"
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(WIDTH * columns / 3, 7), 3.4 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    means = effects["mean"].to_numpy(float)
    for ax, key in zip(grid.ravel(), names, strict=False):
        _effect(ax, comparison, effects[effects["setting"] == key], key)
        if spans_decades(means):
            ax.set_yscale("log")
            known = means[np.isfinite(means)]
            ends = np.concatenate([known, *(effects[name].to_numpy(float) for name in ("low", "high"))])
            ends = ends[np.isfinite(ends) & (ends > known.min() / 30)]  # an interval may extend below zero
            ax.set_ylim(ends.min() / 1.5, ends.max() * 1.5)
    for ax in grid.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(comparison.metric)
    if effects["source"].nunique() > 1:
        entries = [ax.get_legend_handles_labels() for ax in grid.ravel()]  # a panel may lack a source
        named = {label: handle for handles, labels in entries for handle, label in zip(handles, labels, strict=True)}
        names = sorted(named)
        figure.legend([named[name] for name in names], names, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Mean {comparison.metric} at each value with 95 % interval; best value filled", fontsize=12)
    return figure


def _effect(ax: Axes, comparison: Comparison, effects: pd.DataFrame, key: str) -> None:
    levels = [level for level in comparison.levels(key) if level is not None]
    effects = effects[[plain(value) in levels for value in effects["value"]]]  # a value may have only failed runs
    diverged_at, explained = [0] * len(levels), []
    sources = list(comparison.effects["source"].unique())
    for source, own in effects.groupby("source", sort=False):
        place = sources.index(source)
        for value, diverged in zip(own["value"], own["diverged"], strict=True):
            diverged_at[levels.index(plain(value))] += diverged
        own = own[own["mean"].notna()]
        at = np.array([levels.index(plain(value)) for value in own["value"]]) + 0.12 * place
        mean, low, high = (own[name].to_numpy(float) for name in ("mean", "low", "high"))
        best, colour = own["best"].to_numpy(bool), COLOURS[place]
        spread = np.nan_to_num(np.abs(np.vstack([mean - low, high - mean])))
        ax.errorbar(at, mean, yerr=spread, fmt="none", ecolor=colour, elinewidth=1.6, capsize=4, label=source)
        ax.plot(at, mean, color=colour, linewidth=0.8, alpha=0.5)
        for chosen, fill in ((best, colour), (~best, "white")):
            ax.plot(at[chosen], mean[chosen], "o", color=colour, markerfacecolor=fill, markersize=7)
        share = own["explained"].max()
        if share == share:
            explained.append(f"{share:.0%}" + (f" ({source})" if len(sources) > 1 else ""))
    notes = [f"\n{n} diverged" if n else "" for n in diverged_at]
    labels = [fit_text(shown(key, level), 14) + note for level, note in zip(levels, notes, strict=True)]
    ax.set_xticks(range(len(levels)), labels)
    ax.tick_params(axis="x", rotation=40 if sum(map(len, labels)) > 26 and not any(diverged_at) else 0)
    ax.set_xlim(-0.5, len(levels) - 0.5)
    ax.set_title(fit_text(comparison.names[key], 36), fontsize=11)
    ax.set_xlabel(f"explains {', '.join(explained)}" if explained else "", fontsize=9, color="0.35")
    ax.grid(axis="y", alpha=0.25)


def parallel_coordinates(comparison: Comparison) -> Figure | str:
    """Draws one line per run through its settings to its score; returns the reason if it cannot."""
    keys = comparison.keys[:7]
    finite = np.isfinite(comparison.scores)
    if not keys or not finite.any():
        return "no setting differs" if not keys else "no run has a score"
    figure = Figure(figsize=(max(WIDTH, 1.7 * len(keys) + 2), 5), layout="constrained")
    ax = figure.subplots()
    logarithmic = spans_decades(comparison.scores)
    norm = (LogNorm if logarithmic else Normalize)(comparison.scores[finite].min(), comparison.scores[finite].max())
    heights = np.column_stack([*(_heights(comparison, key) for key in keys), norm(comparison.scores)])
    jitter = np.linspace(-0.012, 0.012, len(heights))[:, None] * np.array([*(1 for _ in keys), 0])
    colours = colormaps["viridis" if comparison.higher else "viridis_r"]
    order = np.argsort(-np.nan_to_num(comparison.scores, posinf=np.inf) * (-1 if comparison.higher else 1))
    for row in order:
        if np.isfinite(comparison.scores[row]):
            ax.plot(heights[row] + jitter[row], color=colours(norm(comparison.scores[row])), linewidth=1.3, alpha=0.8)
        elif np.isinf(comparison.scores[row]):
            ax.plot((heights[row] + jitter[row])[:-1], "--", color=DIVERGED, linewidth=1)
    for place, key in enumerate(keys):
        ax.axvline(place, color="0.4", linewidth=0.8)
        levels, shares = _ticks(comparison, key)
        for level, share in zip(levels, shares, strict=True):
            box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
            ax.text(place, share, fit_text(level, 18), ha="center", va="center", fontsize=9, bbox=box, zorder=5)
    ax.axvline(len(keys), color="0.4", linewidth=0.8)
    ax.set_xticks(range(len(keys) + 1), [*(fit_text(comparison.names[key], 20) for key in keys), comparison.metric])
    ax.set_yticks([])
    ax.set_ylim(-0.06, 1.06)
    ax.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=ax, label=comparison.metric, pad=0.01)
    diverged = "; diverged runs dashed, without a score" if np.isinf(comparison.scores).any() else ""
    figure.suptitle(f"Settings and {comparison.metric} of each run{diverged}", fontsize=12)
    return figure


def _heights(comparison: Comparison, key: str) -> np.ndarray:
    """Returns the position of each run on a setting's axis, with the values evenly spaced in order."""
    places = {value: place for place, value in enumerate(comparison.levels(key))}
    return np.array([places.get(value, np.nan) for value in comparison.values(key)]) / max(1, len(places) - 1)


def _ticks(comparison: Comparison, key: str) -> tuple[list[str], list[float]]:
    levels = comparison.levels(key)
    chosen = np.unique(np.linspace(0, len(levels) - 1, min(8, len(levels))).astype(int))
    return [shown(key, levels[place]) for place in chosen], [place / max(1, len(levels) - 1) for place in chosen]


def cost_score(comparison: Comparison) -> Figure | str:
    """Draws the score against training seconds and number of parameters; returns the reason if it cannot."""
    costs = {"seconds": "training (seconds)", "parameters": "parameters"}
    finite = np.isfinite(comparison.scores)
    known = {
        name: values
        for name in costs
        if name in comparison.frame
        and np.isfinite(
            (values := pd.to_numeric(comparison.frame[name], errors="coerce").to_numpy(float))[finite]
        ).any()
    }
    if not known:
        return "no run with a score has seconds or parameters"
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    axes = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for ax, (name, cost) in zip(axes, known.items(), strict=True):
        for group in reversed(comparison.groups):
            rows = [row for row in group.rows if finite[row] and np.isfinite(cost[row])]
            named, label = bool(group.colour), _label(group.label, len(rows)) if group.colour else None
            style = {"label": label, "zorder": 2 + named, "markersize": 8 if named else 6, "markeredgecolor": "white"}
            if rows:
                ax.plot(cost[rows], comparison.scores[rows], "o", color=group.colour or GREY, **style)
        if spans_decades(cost[finite]):
            ax.set_xscale("log")
            few = np.ptp(np.log10(cost[finite & (cost > 0)])) < 2.5
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        if spans_decades(comparison.scores):
            ax.set_yscale("log")
        ax.set_xlabel(costs[name])
        ax.grid(alpha=0.25)
    axes[0].set_ylabel(comparison.metric)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    better = "up" if comparison.higher else "down"
    figure.suptitle(f"{comparison.metric} against cost: better is left and {better}", fontsize=12)
    return figure


def _label(text: str, n: int) -> str:
    return fit_text(text, 58) + (f" (n={n})" if n > 1 else "")


def _low(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.isnan(values), np.inf, values).min(axis=0))


def _high(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.isnan(values), -np.inf, values).max(axis=0))


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(axis=0) / known.sum(axis=0).clip(1))
