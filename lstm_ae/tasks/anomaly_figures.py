"""Figures of scores and alarms, drawn from a run directory."""

from typing import TYPE_CHECKING

import numpy as np

from lstm_ae import drawing
from lstm_ae.drawing import Readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 3
LABEL, ALARM, NORMAL = "#1b9e77", "#fdd0a2", "#7570b3"


def alarms(run_dir: Readable) -> "Figure | None":
    """Draws the first signal, and below it its score with the threshold, the alarms and the labels."""
    found = run_dir.read_arrays("samples.npz")
    if "signal" not in found:
        return None
    names = found["feature_names"]
    chosen = np.argsort(-np.maximum(found["signal_contributions"], 0).sum(axis=0))[:MOST_FEATURES]
    figure, axes = drawing.figure(
        len(chosen) + 1, 1, 1.6 * (len(chosen) + 1) + 0.8, "Signal, score and alarms", sharex=True
    )
    steps = found["signal_times"]
    if "signal_areas" in found:
        axes[0, 0].set_title(f"VUS-PR: {found['signal_areas']}", fontsize=8)
    for ax, one in zip(axes[:-1, 0], chosen, strict=True):
        _shade(ax, found)
        ax.plot(steps, found["signal"][:, one], color=drawing.ORIGINAL, linewidth=0.7)
        ax.set_ylabel(str(names[one]), fontsize=8)
    ax = axes[-1, 0]
    _shade(ax, found, named=True)
    scores = np.where(np.isfinite(found["signal_score"]), found["signal_score"], np.nan)  # a gap: no score
    ax.plot(steps, scores, color=drawing.MODEL, linewidth=0.8)
    ax.axhline(
        float(found["signal_threshold"]), color=drawing.ORIGINAL, linewidth=0.9, linestyle="--", label="threshold"
    )
    ax.set_yscale("symlog", linthresh=max(1.0, float(found["signal_threshold"])))
    ax.set_ylim(bottom=0)
    ax.set(ylabel="score (usual: 1)", xlabel="time" if steps.dtype.kind == "M" else "row")
    ax.legend(fontsize=8, loc="upper left")
    drawing.few_dates(ax, steps, most=8)
    ax.margins(x=0.01)
    return figure


def _shade(ax: "Axes", found: dict[str, np.ndarray], named: bool = False) -> None:
    """Shades alarms, and marks labelled events by a strip at the foot, which no alarm hides."""
    steps = found["signal_times"]
    label = found.get("signal_label", np.zeros(len(steps), dtype=bool))
    edges = np.flatnonzero(np.diff(label.astype(int), prepend=0, append=0)).reshape(-1, 2)
    for place, (begin, end) in enumerate(edges):
        name = "labelled" if named and not place else None
        ax.axvspan(steps[begin], steps[end - 1], ymax=0.08, color=LABEL, zorder=3, label=name)
    for place, (begin, end) in enumerate(found["signal_alarms"]):
        ax.axvspan(
            steps[begin],
            steps[end - 1],
            color=ALARM,
            alpha=0.7,
            linewidth=1,
            label="alarm" if named and not place else None,
        )


def reconstruction(run_dir: Readable) -> "Figure | None":
    """Draws sequences and their reconstruction; None where the score is the error of a prediction."""
    predicts = run_dir.read_json("config.json")["task"].get("error") == "prediction"
    return None if predicts else drawing.reconstruction(run_dir)


def worst(run_dir: Readable) -> "Figure | None":
    """Draws the windows with the highest scores and their reconstruction, of the feature that is to blame."""
    found = run_dir.read_arrays("samples.npz")
    if "worst_values" not in found:
        return None
    count = len(found["worst_values"])
    figure, axes = drawing.figure(
        (count + 1) // 2, 2, 1.35 * ((count + 1) // 2) + 0.7, "The windows with the highest scores"
    )
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    for place, ax in enumerate(axes.flat[:count]):
        one = int(found["worst_feature"][place])
        steps = np.arange(found["worst_values"].shape[1])
        ax.plot(steps, found["worst_values"][place, :, one], label="original", **drawing.ORIGINAL_STYLE)
        ax.plot(steps, found["worst_made"][place, :, one], color=drawing.MODEL, linewidth=1.2, label="model")
        ax.plot(
            steps,
            found["worst_normal"][place, :, one],
            color=NORMAL,
            linewidth=0.9,
            linestyle=":",
            label="nearest normal",
        )
        ax.set_title(
            f"{found['worst_where'][place]}: {found['feature_names'][one]} {found['worst_share'][place]:.0%}, "
            f"score {found['worst_score'][place]:.3g}", fontsize=8,
        )  # fmt: skip
        ax.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    return figure


def sequences(run_dir: Readable) -> "Figure | None":
    """Draws the scores of sequences with the threshold, those labelled as abnormal apart; None of a signal's steps."""
    found = run_dir.read_arrays("samples.npz")
    if "sequence_score" not in found:
        return None
    score, label, threshold = found["sequence_score"], found["sequence_label"], float(found["signal_threshold"])
    groups = {
        "validation": found["calibration_score"],
        "judged, normal": score[~label],
        "judged, abnormal": score[label],
    }
    groups = {f"{name} ({len(one)})": one for name, one in groups.items() if len(one)}
    figure, axes = drawing.figure(1, 1, 1.2 + 0.9 * len(groups), "Scores of sequences")
    ax, rng = axes[0, 0], np.random.default_rng(0)
    for place, (one, colour) in enumerate(zip(groups.values(), (drawing.ORIGINAL, drawing.MODEL, LABEL), strict=False)):
        ax.plot(one, place + rng.uniform(-0.3, 0.3, len(one)), ".", color=colour, markersize=4, alpha=0.6)
    ax.axvline(threshold, color=drawing.ORIGINAL, linewidth=0.9, linestyle="--", label="threshold")
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_xscale("log")
    ax.set_xlabel("score (usual: 1)")
    ax.legend(fontsize=8, loc="upper left")
    return figure


def precision_recall(run_dir: Readable) -> "Figure | None":
    """Draws precision over recall with the chosen threshold, of sequences or of the first signal's steps.

    None without labels.
    """
    found = run_dir.read_arrays("samples.npz")
    what = "sequence" if "sequence_label" in found else "signal"
    label = found.get(f"{what}_label")
    if label is None or label.all() or not label.any():
        return None
    order = np.argsort(-found[f"{what}_score"], kind="stable")
    scores, hits = found[f"{what}_score"][order], np.cumsum(label[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / hits[-1]
    above = int((scores > found["signal_threshold"]).sum())
    unit = "sequence" if what == "sequence" else "step"
    figure, axes = drawing.figure(1, 1, 4.2, f"Precision and recall of {unit}s, over all thresholds")
    ax = axes[0, 0]
    ax.plot(recall, precision, color=drawing.MODEL, linewidth=1.3)
    ax.axhline(label.mean(), color=drawing.ORIGINAL, linewidth=0.9, linestyle=":", label="a random score")
    if above:
        ax.plot(recall[above - 1], precision[above - 1], "o", color=drawing.ORIGINAL, label="the chosen threshold")
    ax.set(xlabel=f"recall: share of labelled {unit}s in alarm", ylabel=f"precision: share of alarm {unit}s labelled",
           xlim=(0, 1), ylim=(0, 1.02))  # fmt: skip
    ax.legend(fontsize=8)
    return figure
