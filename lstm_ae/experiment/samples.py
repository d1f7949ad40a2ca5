"""The sequences and outputs that the figures draw: what samples.npz holds."""

from typing import Any

import numpy as np
import torch
from torch import nn

from lstm_ae.data.sequences import SequenceData, SequencePart

COUNT = 3  # samples in a figure
MOST_SERIES = 8  # companies in a figure of prices


def collect(data: SequenceData, test: SequencePart, model: nn.Module, device: str) -> dict[str, Any]:
    """Returns arrays by name, in the data's own unit.

    `inputs` and `reconstruction` (samples, time, features), `names` (samples,), and with dates `dates` (samples, time);
    of prices also `series` (companies, days) with `series_names`, `series_dates`, `series_total` and `test_from`.
    """
    positions = _choose(data, test.index)
    model.eval()
    inputs = test.batch(positions).inputs
    with torch.no_grad():
        output = model(inputs.to(device))
    samples = {
        "kind": data.kind,
        "unit": data.unit,
        "names": np.array([_name(data, index) for index in test.index[positions].tolist()]),
        "inputs": test.unscaled(inputs, positions).numpy(),
    }
    if output.reconstruction is not None:
        samples["reconstruction"] = test.unscaled(output.reconstruction.cpu(), positions).numpy()
    if data.dates is not None and data.day_of_step is not None:
        first = data.starts.numpy()[test.index[positions]]
        samples["dates"] = data.dates[data.day_of_step[first[:, None] + np.arange(data.length)]]
    if data.kind == "price":
        samples |= _series(data)
    return samples


def _choose(data: SequenceData, index: np.ndarray) -> torch.Tensor:
    """Returns positions in the test part: the last sequence of each of some groups, or some spread over all."""
    if data.groups is None:
        return torch.linspace(0, len(index) - 1, min(COUNT, len(index))).long()
    groups = data.groups[index]
    last = [int(np.flatnonzero(groups == group)[-1]) for group in np.unique(groups)[:COUNT]]
    return torch.tensor(last)


def _name(data: SequenceData, index: int) -> str:
    if data.groups is not None:
        return data.group_names[data.groups[index]]
    label = "" if data.labels is None else f", class {data.classes[data.labels[index]]}"
    return f"sequence {index}{label}"


def _series(data: SequenceData) -> dict[str, Any]:
    """Returns the whole price series of some companies, with gaps as NaN."""
    assert data.dates is not None and data.day_of_step is not None and data.days is not None  # noqa: PT018
    count = min(MOST_SERIES, len(data.group_names))
    series = np.full((count, len(data.dates)), np.nan, dtype=np.float32)
    for group in range(count):
        rows = data.group_of_step == group
        series[group, data.day_of_step[rows]] = data.values[rows, 0].numpy()
    return {
        "series": series,
        "series_names": np.array(data.group_names[:count]),
        "series_dates": data.dates,
        "series_total": len(data.group_names),
        "test_from": data.dates[data.days[data.test, 0].min()],
    }
