"""The heat map: the mean score at each pair of values of two settings."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lstm_ae.compare.series import DIVERGED, MAX_VALUES, WIDTH, Comparison, fit_text, shown
from lstm_ae.compare.table import spans_decades, text


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
