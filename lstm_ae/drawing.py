"""What figures share: style, palette, panels of sequences, curves. matplotlib is imported when the first is drawn."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # inches
TITLE = 105  # letters of a line
MOST_FEATURES = 6  # in a figure of sequences
MOST_SAMPLES = 64  # in a figure, a panel each
SAMPLED = ("inputs", "series", "names", "series_names")
MOST_CLASSES = 60  # whose counts are written into a matrix
ORIGINAL, MODEL = "#4c4c4c", "#d95f02"
COLOURS = (MODEL, ORIGINAL, "#7570b3", "#1b9e77", "#e7298a", "#66a61e", "#e6ab02")
#: Broad and pale, so that a close reconstruction hides nothing.
ORIGINAL_STYLE: dict[str, Any] = {"color": "#a9b4c2", "linewidth": 3.5}
MISSING = "#fdae6b"  # of a pixel that is missing or hidden
DECADES = 10.0  # a series that spans more is drawn on a logarithmic axis


@runtime_checkable
class Readable(Protocol):
    """What figures read of a run directory, see `lstm_ae.run_dir.RunDir`."""

    def read_json(self, name: str) -> Any: ...  # noqa: D102

    def read_history(self) -> dict[str, list[float]]: ...  # noqa: D102

    def read_arrays(self, name: str) -> dict[str, np.ndarray]: ...  # noqa: D102

    def read_table(self, name: str) -> dict[str, list[str]]: ...  # noqa: D102


@dataclass(frozen=True)
class Run:
    """What figures draw of a run.

    Attributes:
        samples: What samples.npz holds, see `lstm_ae.tasks.samples.collect`.
        history: The columns of history.csv.
        metrics: What metrics.json holds.
        judged: The subset that is judged.
        subtitle: The model and its settings, and how it was trained.
    """

    samples: Mapping[str, np.ndarray]
    history: Mapping[str, Sequence[float]]
    metrics: Mapping[str, Any]
    judged: str
    subtitle: str

    def time(self, row: int) -> np.ndarray:
        """Returns the time axis of a sample, targets included."""
        if "times" in self.samples:
            return np.asarray(self.samples["times"][row])
        longest = max(self.samples[name].shape[1] for name in ("inputs", "target") if name in self.samples)
        return np.arange(longest + 1)


def read(run_dir: Readable) -> Run:
    """Returns what figures draw of a run."""
    metrics = run_dir.read_json("metrics.json")
    judged = "test" if metrics["test"] else "validation"
    subtitle = describe(run_dir.read_json("config.json"), metrics)
    samples = run_dir.read_arrays("samples.npz")
    most = max((len(values) for name, values in samples.items() if name in SAMPLED and values.ndim), default=0)
    if most > MOST_SAMPLES:
        raise ValueError(f"`samples.npz` must hold at most {MOST_SAMPLES} samples, got {most}. No run writes more.")
    return Run(samples, run_dir.read_history(), metrics, judged, subtitle)


def describe(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Returns the model and its settings, and how it was trained, as far as the configuration says."""
    model = dict(config.get("model") or {})
    name = str(model.pop("_target_", "model")).rsplit(".", 1)[-1]
    settings = [f"{key} {value}" for key, value in model.items() if value not in (False, 0, None)]
    size = f"{metrics['parameters']:,} parameters"
    text = f"{name} ({', '.join(settings)}; {size})" if settings else f"{name} ({size})"
    for group, key in (("optimizer", "lr"), ("trainer", "gradient_clipping")):
        value = (config.get(group) or {}).get(key)
        text += "" if value is None else f", {key.replace('_', ' ')} {value:g}"
    return text


def figure(rows: int, columns: int, height: float, title: str, **options: Any) -> tuple["Figure", Any]:
    """Returns a figure with a title, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH, height), layout="constrained")
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, TITLE)]
    made.suptitle("\n".join(lines), fontsize=11)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def few_dates(ax: "Axes", time: np.ndarray, most: int = 5) -> None:
    """Has a panel show so few dates that they do not overlap; other times stay as they are."""
    if not np.issubdtype(time.dtype, np.datetime64):
        return
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(minticks=2, maxticks=most)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))


def pair(ax: "Axes", time: np.ndarray, original: np.ndarray, made: np.ndarray, name: str, shift: int = 0) -> None:
    """Draws a sequence and what was made of it, of the first feature.

    Args:
        ax: Where.
        time: The time axis.
        original: (time, features).
        made: (time, features); where it is shorter, it stands at the end.
        name: What to call it.
        shift: How many steps after the first of `time` the original begins.
    """
    place = time[shift : shift + len(original)]
    ax.plot(place, original[:, 0], label="original", **ORIGINAL_STYLE)
    marker = "x" if len(made) == 1 else None
    ax.plot(place[len(place) - len(made) :], made[:, 0], color=MODEL, linewidth=1.3, marker=marker, label=name)


def image(ax: "Axes", values: np.ndarray, title: str, like: np.ndarray | None = None) -> None:
    """Draws an image, on the grey scale of another one where given."""
    scale = values if like is None else like
    from matplotlib import colormaps

    grey = colormaps["gray"].with_extremes(bad=MISSING)
    ax.imshow(values, cmap=grey, vmin=np.nanmin(scale), vmax=np.nanmax(scale))
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()


def reconstruction(run_dir: Readable) -> "Figure | None":
    """Draws samples and their reconstructions; None where the model reconstructs nothing."""
    run = read(run_dir)
    if "reconstruction" not in run.samples:
        return None
    error = run.metrics[run.judged].get("reconstruction_mse")
    of_subset = "" if error is None else f", mean squared error {error:.3g} on scaled values"
    title = f"{run.judged.capitalize()} samples and their reconstructions{of_subset}\n{run.subtitle}"
    # A task whose target is not the input, such as denoising, shows both; a predictor reconstructs its inputs.
    has_target = "target" in run.samples and "prediction" not in run.samples
    if not _is_image(run.samples):
        return _sequences(run, title, has_target)
    rows = ["inputs", *(["target"] if has_target else []), "reconstruction"]
    made, axes = figure(len(rows), len(run.samples["inputs"]), 2.5 * len(rows), title)
    for column, name in enumerate(run.samples["names"]):
        like = run.samples["target" if has_target else "inputs"][column]
        for row, what in enumerate(rows):
            image(axes[row, column], run.samples[what][column], what.removesuffix("s"), like)
        predicted = run.samples.get("predicted_class")
        shown = str(name) if predicted is None else f"{name}; predicted: {predicted[column]}"
        axes[0, column].set_title(shown, fontsize=9)
    return made


def data(run_dir: Readable) -> "Figure":
    """Draws what the data are: whole series, images, or some sequences."""
    run = read(run_dir)
    if "series" in run.samples:
        return _series(run)
    if _is_image(run.samples):
        made, axes = figure(1, len(run.samples["inputs"]), 3.2, "Samples, a row of pixels a time step")
        shown = run.samples.get("target", run.samples["inputs"])
        for ax, values, name in zip(axes[0], shown, run.samples["names"], strict=True):
            image(ax, values, str(name))
        return made
    return _sequences(run, "Sequences", has_target=False, with_reconstruction=False)


def curves(run_dir: Readable) -> "Figure":
    """Draws loss against epochs, and accuracy where there is one."""
    run = read(run_dir)
    accuracy = run.metrics[run.judged].get("accuracy")
    panels = ["loss"] if accuracy is None else ["loss", "accuracy"]
    reached = "" if accuracy is None else f", {run.judged} accuracy {accuracy:.4f}"
    title = f"{' and '.join(panels).capitalize()} against epochs{reached}\n{run.subtitle}"
    made, axes = figure(1, len(panels), 4.0, title)
    for ax, name in zip(axes[0], panels, strict=True):
        for part, colour in (("train", ORIGINAL), ("validation", MODEL)):
            ax.plot(run.history["epoch"], run.history[f"{part}.{name}"], label=part, color=colour, marker=".")
        if run.metrics["best_epoch"]:
            kept = run.metrics["best_epoch"]
            ax.axvline(kept, color="0.6", linestyle=":", label=f"weights kept: epoch {kept}")
        positive = min(min(run.history[f"{part}.{name}"]) for part in ("train", "validation")) > 0
        logarithmic = name == "loss" and positive
        if logarithmic:
            ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.set(xlabel="epoch", ylabel=f"{name} (logarithmic)" if logarithmic else name)
        ax.legend(fontsize=8)
    return made


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], title: str, across: str, down: str) -> "Figure":
    """Draws a table of counts, coloured by their share of the row."""
    table = np.array(counts)
    made, axes = figure(1, 1, 5.5, title)
    ax = axes[0, 0]
    shares = table / table.sum(axis=1, keepdims=True).clip(1)
    shown = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*table.shape) if len(names) <= MOST_CLASSES else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=across, ylabel=down)
    made.colorbar(shown, ax=ax, label=f"share of the {down}")
    return made


def _is_image(samples: Mapping[str, np.ndarray]) -> bool:
    """Says whether samples are images: their last axis is then one of pixels and not of named features."""
    return bool(samples["is_image"])


def _sequences(run: Run, title: str, has_target: bool, with_reconstruction: bool = True) -> "Figure":
    """Draws sequences of one feature one below the other, of several with a row a feature and a column a sequence."""
    arrays, names = run.samples, [str(name) for name in run.samples["feature_names"][:MOST_FEATURES]]
    count, total = len(arrays["inputs"]), len(run.samples["feature_names"])
    if total > len(names):
        title += f"\nthe first {len(names)} of {total} features"
    if total == 1:
        made, axes = figure(count, 1, 2.1 * count + 0.6, title, sharex="times" not in arrays)
    else:
        made, axes = figure(len(names), count, 1.5 * len(names) + 1.0, title, sharex="col")
        axes = axes.T  # a row a sequence, as below
    for sample, feature in np.ndindex(count, len(names)):
        ax, time = axes[sample, feature], run.time(sample)
        original = arrays["target" if has_target else "inputs"][sample, :, feature]
        ax.plot(time[: len(original)], original, label="target" if has_target else "original", **ORIGINAL_STYLE)
        if has_target:
            seen = arrays["inputs"][sample, :, feature]
            ax.plot(time[: len(seen)], seen, ".", color=ORIGINAL, markersize=3, label="input")
        if with_reconstruction:
            values = arrays["reconstruction"][sample, :, feature]
            ax.plot(time[: len(values)], values, color=MODEL, linewidth=1.3, label="reconstruction")
        if feature == 0:
            ax.set_title(str(arrays["names"][sample]), fontsize=9)
        if total == 1 or sample == 0:
            ax.set_ylabel(names[feature] if total > 1 else value_name(arrays), fontsize=9)
        ax.tick_params(labelsize=7)
        if "times" in arrays:
            few_dates(ax, time)
            ax.tick_params(axis="x", rotation=30)
    if with_reconstruction:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    for ax in axes[:, -1] if total > 1 else axes[-1]:
        ax.set_xlabel("time" if "times" in arrays else "time (step)", fontsize=9)
    return made


def value_name(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the name of the first feature with its unit, given what samples.npz holds."""
    name, unit = str(arrays["feature_names"][0]), str(arrays["unit"])
    return name if name == unit else f"{name} ({unit})"


def _series(run: Run) -> "Figure":
    """Draws whole series of the first feature, with the test subset shaded."""
    arrays = run.samples
    shown, total = arrays["series_names"], int(arrays["series_total"])
    made, axes = figure(1, 1, 4.5, "Series" + (f": {len(shown)} of {total}" if len(shown) < total else ""))
    ax = axes[0, 0]
    for name, values in zip(shown, arrays["series"], strict=True):
        ax.plot(arrays["series_times"], values, label=str(name), linewidth=1)
    if "test_from" in arrays:
        ax.axvspan(arrays["test_from"], arrays["series_times"][-1], color="0.9", label="test subset")
    known = arrays["series"][np.isfinite(arrays["series"])]
    logarithmic = known.size and known.min() > 0 and known.max() > DECADES * known.min()
    if logarithmic:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="time", ylabel=value_name(arrays) + (", logarithmic" if logarithmic else ""))
    ax.legend(ncols=3, fontsize=8)
    return made
