"""The sequences and outputs that figures draw, in the data's own unit: what samples.npz holds for every task."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_ae.types import Batch, Evaluated, EvaluatedSubset, Output, Subset, present

COUNT = 3  # samples in a figure
MOST_SERIES = 8  # in a figure of whole series


def collect(evaluated: Evaluated) -> dict[str, np.ndarray]:
    """Returns arrays by name.

    `inputs`, and where there are any `target`, `reconstruction`, `prediction` (samples, time, features), or (samples,
    rows, columns) of images, with NaN for what is missing or padding; `names` and `times` (samples, time); of classes
    `predicted_class` (samples,). With several series also `series` (series, times) of the first feature, with
    `series_names`, `series_times`, `series_total` and `test_from`.
    """
    judged = evaluated[evaluated.judged]
    subset, data = judged.subset, judged.subset.data
    positions = choose(subset)
    batch, output = pick(judged, positions)
    arrays: dict[str, Any] = {
        "names": names(subset, positions),
        "is_image": np.array(data.image_shape is not None and batch.inputs[0].numel() == np.prod(data.image_shape)),
        "unit": np.array(data.unit),
        "feature_names": np.array(data.feature_names),
        "inputs": _own_unit(subset, positions, batch.inputs, batch.there),
    }
    made = {"target": batch.target, "reconstruction": output.reconstruction}
    if output.prediction is not None and output.prediction.ndim == 3:
        made["prediction"] = output.prediction
    elif output.prediction is not None and data.classes:
        arrays["predicted_class"] = np.array(data.classes)[output.prediction.argmax(dim=1).numpy()]
    whole = subset.batch(positions).there  # of the sequences as they are, before the task hid or added anything
    of_target = batch.target_observed if "prediction" in made else whole
    inside = None if batch.lengths is None else dataclasses.replace(batch, observed=None).there
    for name, values in made.items():
        if values is not None:
            shown = of_target if name == "target" else inside
            fits = shown is not None and values.shape == shown.shape
            arrays[name] = _own_unit(subset, positions, values, shown if fits else None)
    if data.image_shape is not None:
        for name in {"inputs", "target", "reconstruction"} & arrays.keys():
            height, width = data.image_shape
            if arrays[name][0].size == height * width:
                arrays[name] = arrays[name].reshape(-1, height, width)
    times = getattr(data, "times", None)
    if times is not None and data.time_of_step is not None:
        starts = present(batch.starts, "starts").numpy()
        rows = np.minimum(starts[:, None] + np.arange(data.length), len(data.time_of_step) - 1)
        arrays["times"] = times[data.time_of_step[rows]]
        if len(data.series_names) > 1:
            arrays |= _series(data)
    return arrays


def choose(subset: Subset, count: int = COUNT) -> Tensor:
    """Returns positions: the last sequence of each of some series, or some spread over all."""
    data, index = subset.data, subset.index
    if data.series is None or data.spans is None:
        return torch.linspace(0, len(index) - 1, min(count, len(index))).long()
    series = data.series[index]
    return torch.tensor([int(np.flatnonzero(series == one)[-1]) for one in np.unique(series)[:count]])


def pick(judged: EvaluatedSubset, positions: Tensor) -> tuple[Batch, Output]:
    """Returns the prepared sequences at these positions, and the model's outputs, from those already computed."""
    batches = list(judged.batches())
    size = len(batches[0][0])  # of each batch but the last
    rows = [(*batches[position // size], position % size) for position in positions.tolist()]

    def joined(kind: type, parts: list[tuple[Any, int]]) -> Any:
        tensors = [name for name, value in vars(parts[0][0]).items() if isinstance(value, Tensor)]
        return kind(**{name: torch.stack([getattr(one, name)[place] for one, place in parts]) for name in tensors})

    answers = [(outputs["model"], place) for _, outputs, place in rows]
    return joined(Batch, [(batch, place) for batch, _, place in rows]), joined(Output, answers)


def names(subset: Subset, positions: Tensor) -> np.ndarray:
    """Returns what each sequence is called: its series, or its number and class."""
    data, called = subset.data, []
    for index in subset.index[positions.numpy()].tolist():
        label = "" if data.labels is None else f", class {data.classes[int(data.labels[index])]}"
        of = f"sequence {index}" if data.series is None else data.series_names[data.series[index]]
        called.append(f"{of}{label}")
    return np.array(called)


def _own_unit(subset: Subset, positions: Tensor, values: Tensor, shown: Tensor | None) -> np.ndarray:
    own = subset.unscaled(values, positions)
    return (own if shown is None else torch.where(shown, own, torch.nan)).numpy()


def _series(data: Any) -> dict[str, Any]:
    """Returns whole series, of the first feature, with gaps as NaN."""
    count = min(MOST_SERIES, len(data.series_names))
    series = np.full((count, len(data.times)), np.nan, dtype=np.float32)
    chosen = np.linspace(0, len(data.series_names) - 1, count).round().astype(int)  # the first are often the earliest
    for row, one in enumerate(chosen):
        rows = data.series_of_step == one
        series[row, data.time_of_step[rows]] = data.values[rows, 0].numpy()
    found = {
        "series": series,
        "series_names": np.array(data.series_names)[chosen],
        "series_times": data.times,
        "series_total": np.array(len(data.series_names)),
    }
    if data.spans is not None:
        found["test_from"] = data.times[data.spans[data.test, 0].min()]
    return found
