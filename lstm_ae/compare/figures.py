"""Figures of many runs: learning curves, heat map, effects, and score against cost."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lstm_ae.compare.ranking import Ranking
from lstm_ae.compare.series import COLOURS, DIVERGED, GREY, MAX_VALUES, WIDTH, Comparison, compare, fit_text, shown
from lstm_ae.compare.table import spans_decades, text
from lstm_ae.run_dir import RunDir

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
    written = []
    for name, draw in drawings.items():
        figure = draw(comparison)
        if isinstance(figure, str):
            LOG.warning("%s.png is left out: %s", name, figure)
            continue
        written.append(folder / f"{name}.png")
        RunDir(folder).write(written[-1].name, functools.partial(figure.savefig, format="png", dpi=DOTS_PER_INCH))
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
    effects, metric = comparison.effects, comparison.ranking.metric
    names = [key for key in comparison.keys if key in set(effects["setting"])][:MAX_PANELS]
    if not names:
        return "no setting differs"
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(WIDTH * columns / 3, 7), 3.4 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    means = effects["mean"].dropna()
    if spans_decades(means):  # an interval may extend below zero, and over many decades
        panels[0].set_yscale("log")
        ends = {end: effects[end].clip(means.min() / 30, means.max() * 30) for end in ("low", "high")}
        effects = effects.assign(**ends)
    for ax, key in zip(panels, names, strict=False):
        _effect(ax, comparison, effects[effects["setting"] == key], key)
    for ax in panels[len(names) :]:
        ax.set_axis_off()
    figure.supylabel(metric, fontsize=10)
    entries = dict(entry[::-1] for ax in panels for entry in zip(*ax.get_legend_handles_labels(), strict=True))
    if len(entries) > 1:  # a panel may lack a source
        names = sorted(entries)
        figure.legend([entries[name] for name in names], names, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Mean {metric} at each value with 95 % interval; best value filled", fontsize=12)
    return figure


def _effect(ax: Axes, comparison: Comparison, effects: pd.DataFrame, key: str) -> None:
    levels = [level for level in comparison.levels(key) if level is not None]
    effects = effects[effects["value"].isin(levels)]  # a value may have only failed runs
    sources = list(comparison.effects["source"].unique())
    for source, own in effects[effects["mean"].notna()].groupby("source", sort=False):
        place = sources.index(source)
        colour, at = COLOURS[place], np.array([levels.index(value) for value in own["value"]]) + 0.12 * place
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(at, own["mean"], yerr=spread, color=colour, elinewidth=1.6, capsize=4, linewidth=0.8, label=source)
        faces = [colour if best else "white" for best in own["best"]]
        ax.scatter(at, own["mean"], s=50, c=faces, edgecolors=colour, zorder=3)
    diverged = effects.groupby("value")["diverged"].sum()
    notes = [f"\n{diverged[level]} diverged" if diverged.get(level) else "" for level in levels]
    labels = [fit_text(shown(key, level), 14) + note for level, note in zip(levels, notes, strict=True)]
    ax.set_xticks(range(len(levels)), labels)
    ax.tick_params(axis="x", rotation=40 if sum(map(len, labels)) > 26 and not any(notes) else 0)
    ax.set_xlim(-0.5, len(levels) - 0.5)
    ax.set_title(fit_text(comparison.names[key], 36), fontsize=11)
    shares = effects.groupby("source")["omega_squared"].max().dropna()
    words = [f"{share:.0%}" + (f" ({source})" if len(sources) > 1 else "") for source, share in shares.items()]
    ax.set_xlabel(f"explains {', '.join(words)} of the variance" if words else "", fontsize=9, color="0.35")
    ax.grid(axis="y", alpha=0.25)


def heat_map(comparison: Comparison) -> Figure | str:
    """Draws the mean score at each pair of values of the two settings whose means differ most.

    Published runs and ours have separate rows. Returns the reason if it cannot be drawn.
    """
    if len(comparison.grid_keys) < 2:
        return f"it needs two settings that differ, with at most {MAX_VALUES} values each"
    down, across = comparison.grid_keys
    columns, (rows, means, notes) = comparison.levels(across), cells(comparison, across, down)
    finite = means[np.isfinite(means)]
    if not finite.size:
        return "no run has a score"
    wide, high = max(WIDTH, 0.75 * len(columns) + 3), max(3.2, 0.6 * len(rows) + 2.2)
    figure = Figure(figsize=(wide, high), layout="constrained")
    ax = figure.subplots()
    norm = (LogNorm if spans_decades(means) else Normalize)(finite.min(), finite.max())
    colours = colormaps["cividis" if comparison.ranking.higher else "cividis_r"]
    image = ax.imshow(np.ma.masked_invalid(means), norm=norm, cmap=colours, aspect="auto", origin="lower")
    for row, column in np.ndindex(*means.shape):
        dark = np.isfinite(means[row, column]) and sum(colours(norm(means[row, column]))[:3]) < 1.5
        note = notes[row][column]
        colour = DIVERGED if note == "diverged" else "white" if dark else "black"
        ax.text(column, row, note, ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(range(len(columns)), [fit_text(shown(across, value), 14) for value in columns])
    several = len(comparison.log_means) > 1
    names = [fit_text(shown(down, value), 24) + (f" ({source})" if several else "") for value, source in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="x", rotation=40 if len(columns) > 10 else 0)
    ax.set(xlabel=comparison.names[across], ylabel=comparison.names[down])
    metric = comparison.ranking.metric
    figure.colorbar(image, ax=ax, label=metric)
    geometric = "geometric " * all(comparison.log_means.values())
    title = f"{metric} by {comparison.names[down]} and {comparison.names[across]}"
    figure.suptitle(f"{title}: {geometric}mean of the runs")
    return figure


def cells(comparison: Comparison, across: str, down: str) -> tuple[list[tuple[Any, str]], np.ndarray, list[list[str]]]:
    """Returns the rows from the bottom (a value and a source), and for each cell the mean score and its text.

    Means are over finite scores, on the scale of the effects.
    """
    places = list(
        zip(comparison.values(down), comparison.ranking.frame["source"], comparison.values(across), strict=True)
    )
    scored = {place[:2] for place, score in zip(places, comparison.scores, strict=True) if score == score}
    rows = [(level, source) for source in comparison.log_means for level in comparison.levels(down)]
    rows = [row for row in rows if row in scored]
    columns = comparison.levels(across)
    means = np.full((len(rows), len(columns)), np.nan)
    notes = [["" for _ in columns] for _ in rows]
    for row, column in np.ndindex(*means.shape):
        own = comparison.scores[[place == (*rows[row], columns[column]) for place in places]]
        own, diverged = own[np.isfinite(own)], int(np.isinf(own).sum())
        words = [f"{diverged} diverged" if own.size else "diverged"] * bool(diverged)
        if own.size:
            means[row, column] = np.exp(np.log(own).mean()) if comparison.log_means[rows[row][1]] else own.mean()
            words = [text(float(f"{means[row, column]:.3g}")), *words]
        notes[row][column] = "\n".join(words)
    return rows, means, notes


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
