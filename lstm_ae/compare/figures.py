"""Figures of many runs: learning curves, heat map, effects, and score against cost."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lstm_ae.compare.heat_map import heat_map
from lstm_ae.compare.ranking import Ranking
from lstm_ae.compare.series import COLOURS, GREY, WIDTH, Comparison, compare, fit_text, shown
from lstm_ae.compare.table import plain, spans_decades

LOG = logging.getLogger(__name__)
DOTS_PER_INCH = 130
MAX_PANELS = 6
MAX_DRAWABLE = 1e100  # matplotlib's own sums of larger numbers overflow


def write(ranking: Ranking, folder: Path) -> list[Path]:
    """Draws the figures as PNG files. A figure that cannot be drawn is logged with the reason.

    Args:
        ranking: The runs, ranked.
        folder: Output folder, created if missing.

    Returns:
        The paths of the files.
    """
    comparison = compare(ranking)
    drawings: dict[str, Callable[[Comparison], Figure | str]] = {
        "learning_curves": learning_curves,
        "heat_map": heat_map,
        "effects": effect_panels,
        "cost_score": cost_score,
    }
    numbers = np.concatenate([comparison.scores, *(values for _, values in comparison.curves.values())])
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
    """Draws the metric against epochs, a mean and a band for each combination; returns the reason if it cannot."""
    if not comparison.curves:
        return f"no run has a history with {comparison.curve_metric}"
    figure = Figure(figsize=(WIDTH, 5.5), layout="constrained")
    ax = figure.subplots()
    own = [[comparison.curves[row] for row in comparison.rows(place) if row in comparison.curves]
           for place in range(len(comparison.labels))]  # fmt: skip
    drawn = [place for place, curves in enumerate(own) if curves]
    for place in reversed(drawn):
        values = pd.DataFrame([dict(zip(*curve, strict=True)) for curve in own[place]]).replace(
            [np.inf, -np.inf], np.nan
        )
        named, style = _style(comparison, place, len(own[place]))
        ax.plot(values.columns, values.mean(), linewidth=1.8 if named else 0.7, **style)
        if named and len(own[place]) > 1:
            ax.fill_between(values.columns, values.min(), values.max(), color=style["color"], alpha=0.18, linewidth=0)
    if spans_decades(np.concatenate([values for _, values in comparison.curves.values()])):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=comparison.curve_metric)
    ax.grid(alpha=0.25)
    more = len(drawn) - _legend(figure, ax)
    note = "" if more <= 0 else f"; {more} other{'s' * (more > 1)} in grey"
    figure.suptitle(f"Learning curves, best by {comparison.ranking.metric} in colour{note}", fontsize=12)
    if any(len(curves) > 1 for curves in own):
        ax.set_title("line: mean over seeds and folds; band: minimum to maximum", fontsize=9, color="0.35")
    return figure


def _style(comparison: Comparison, place: int, n: int) -> tuple[bool, dict[str, Any]]:
    """Returns whether a combination has a colour and a legend entry, and how it is drawn."""
    colour = comparison.colours[place]
    label = fit_text(comparison.labels[place], 58) + (f" (n={n})" if n > 1 else "")
    return colour is not None, {"color": colour or GREY, "label": label if colour else None, "zorder": 2 + bool(colour)}


def _legend(figure: Figure, ax: Axes) -> int:
    """Draws the legend below the axes, the best first, and returns the number of its entries."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return len(labels)


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
    means = effects["mean"].dropna()
    logarithmic = spans_decades(means)
    if logarithmic:  # an interval may extend below zero, and over many decades
        effects = effects.assign(
            **{end: effects[end].clip(means.min() / 30, means.max() * 30) for end in ("low", "high")}
        )
    for ax, key in zip(grid.ravel(), names, strict=False):
        _effect(ax, comparison, effects[effects["setting"] == key], key)
        if logarithmic:
            ax.set_yscale("log")
    for ax in grid.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(comparison.ranking.metric)
    if effects["source"].nunique() > 1:
        entries = [ax.get_legend_handles_labels() for ax in grid.ravel()]  # a panel may lack a source
        named = {label: handle for handles, labels in entries for handle, label in zip(handles, labels, strict=True)}
        names = sorted(named)
        figure.legend([named[name] for name in names], names, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        f"Mean {comparison.ranking.metric} at each value with 95 % interval; best value filled", fontsize=12
    )
    return figure


def _effect(ax: Axes, comparison: Comparison, effects: pd.DataFrame, key: str) -> None:
    levels = [level for level in comparison.levels(key) if level is not None]
    effects = effects[[plain(value) in levels for value in effects["value"]]]  # a value may have only failed runs
    diverged_at, explained = [0] * len(levels), list[str]()
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
        share = own["omega_squared"].max()
        if share == share:
            explained.append(f"{share:.0%}" + (f" ({source})" if len(sources) > 1 else ""))
    notes = [f"\n{n} diverged" if n else "" for n in diverged_at]
    labels = [fit_text(shown(key, level), 14) + note for level, note in zip(levels, notes, strict=True)]
    ax.set_xticks(range(len(levels)), labels)
    ax.tick_params(axis="x", rotation=40 if sum(map(len, labels)) > 26 and not any(diverged_at) else 0)
    ax.set_xlim(-0.5, len(levels) - 0.5)
    ax.set_title(fit_text(comparison.names[key], 36), fontsize=11)
    ax.set_xlabel(f"explains {', '.join(explained)} of the variance" if explained else "", fontsize=9, color="0.35")
    ax.grid(axis="y", alpha=0.25)


def cost_score(comparison: Comparison) -> Figure | str:
    """Draws the score against training seconds and number of parameters; returns the reason if it cannot."""
    frame = comparison.ranking.frame
    costs = {"seconds": "training (seconds)", "parameters": "parameters"}
    table = frame.reindex(columns=list(costs)).apply(pd.to_numeric, errors="coerce").assign(score=comparison.scores)
    table = table[np.isfinite(table["score"])].replace([np.inf, -np.inf], np.nan)
    known = [name for name in costs if table[name].notna().any()]
    if not known:
        return "no run with a score has seconds or parameters"
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    axes = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, known, strict=True):
        for place in reversed(range(len(comparison.labels))):
            own = table.reindex(comparison.rows(place))[[name, "score"]].dropna()
            named, style = _style(comparison, place, len(own))
            if len(own):
                ax.plot(own[name], own["score"], "o", markersize=8 if named else 6, markeredgecolor="white", **style)
        if spans_decades(table[name]):
            ax.set_xscale("log")
            few = table[name].max() < 300 * table[name].min()
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        if spans_decades(table["score"]):
            ax.set_yscale("log")
        ax.set_xlabel(costs[name])
        ax.grid(alpha=0.25)
    metric = comparison.ranking.metric
    axes[0].set_ylabel(metric)
    _legend(figure, axes[0])
    better = "up" if comparison.ranking.higher else "down"
    figure.suptitle(f"{metric} against cost: better is left and {better}", fontsize=12)
    return figure
