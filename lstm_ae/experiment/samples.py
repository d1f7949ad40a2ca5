"""The sequences and outputs that the figures draw: what samples.npz holds."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_ae.data.sequences import SequenceData
from lstm_ae.experiment.components import Components
from lstm_ae.tasks import Prediction, roll_out
from lstm_ae.types import Batch, Output, present

COUNT = 3  # samples in a figure
MOST_SERIES = 8  # companies in a figure of prices
MOST_COMPANIES = 20  # in the figure of last days


def collect(components: Components) -> dict[str, Any]:
    """Returns arrays by name, in the data's own unit.

    `inputs` and `reconstruction` (samples, time, features), or (samples, rows, columns) of images, `names` (samples,),
    and with dates `dates` (samples, time). Of a classifier also `said` (samples,). Of a predictor also `target` and
    `prediction` (samples, time or 1, features), `last_names`, `last_target` and `last_prediction` (companies,), and
    `multi_step` (samples, steps, features). Of prices also `series` (companies, days) with `series_names`,
    `series_dates`, `series_total` and `test_from`.
    """
    data, task = components.data, components.task
    positions = _choose(data, components.eval_subset.index, COUNT)
    batch, output = _answer(components, positions)
    index = components.eval_subset.index[positions.numpy()]

    def own_unit(values: Tensor) -> np.ndarray:
        return components.eval_subset.unscaled(values, positions).numpy()

    samples: dict[str, Any] = {
        "kind": data.kind,
        "unit": data.unit,
        "names": np.array([_name(data, one) for one in index.tolist()]),
        "inputs": own_unit(batch.inputs),
    }
    if output.reconstruction is not None:
        samples["reconstruction"] = own_unit(output.reconstruction)
    if task.name == "classification" and output.prediction is not None:
        samples["said"] = np.array(data.classes)[output.prediction.argmax(dim=1).numpy()]
    if isinstance(task, Prediction) and output.prediction is not None and batch.target is not None:
        samples |= {"target": own_unit(batch.target), "prediction": own_unit(output.prediction)}
        samples |= _last_days(components)
        if task.multi_step:
            half = (batch.inputs.shape[1] + 1) // 2
            device = components.trainer.device
            steps = batch.inputs.shape[1] - half + 1
            rolled = roll_out(components.training.model, batch.inputs[:, :half].to(device), steps)
            samples["multi_step"] = own_unit(rolled.cpu())
    if data.image_shape is not None:
        for name in {"inputs", "reconstruction"} & samples.keys():
            samples[name] = samples[name].reshape(-1, *data.image_shape)
    if data.dates is not None and data.day_of_step is not None:
        first = data.starts.numpy()[index]
        samples["dates"] = data.dates[data.day_of_step[first[:, None] + np.arange(data.length)]]
    if data.kind == "price":
        samples |= _series(data)
    return samples


def _answer(components: Components, positions: Tensor) -> tuple[Batch, Output]:
    """Returns the sequences at these positions of the judged part and what the model makes of them, on the CPU."""
    batch = components.eval_subset.batch(positions)
    model = components.training.model.eval()
    with torch.no_grad():
        output = model(batch.inputs.to(components.trainer.device))
    parts = (output.reconstruction, output.prediction)
    return batch, Output(*(None if part is None else part.cpu() for part in parts))


def _choose(data: SequenceData, index: np.ndarray, count: int) -> Tensor:
    """Returns positions in the judged part: the last sequence of each of some groups, or some spread over all."""
    if data.groups is None:
        return torch.linspace(0, len(index) - 1, min(count, len(index))).long()
    groups = data.groups[index]
    last = [int(np.flatnonzero(groups == group)[-1]) for group in np.unique(groups)[:count]]
    return torch.tensor(last)


def _name(data: SequenceData, index: int) -> str:
    if data.groups is not None:
        return data.group_names[data.groups[index]]
    label = "" if data.labels is None else f", class {data.classes[data.labels[index]]}"
    return f"sequence {index}{label}"


def _last_days(components: Components) -> dict[str, Any]:
    """Returns the last day of the last test window of each company, as it was and as it was predicted."""
    positions = _choose(components.data, components.eval_subset.index, MOST_COMPANIES)
    batch, output = _answer(components, positions)
    names = [_name(components.data, one) for one in components.eval_subset.index[positions.numpy()].tolist()]
    shown = {
        "last_target": present(batch.target, "targets"),
        "last_prediction": present(output.prediction, "predictions"),
    }
    values = {
        name: components.eval_subset.unscaled(part[:, -1:], positions)[:, 0, 0].numpy() for name, part in shown.items()
    }
    return {"last_names": np.array(names), **values}


def _series(data: SequenceData) -> dict[str, Any]:
    """Returns the whole price series of some companies, with gaps as NaN."""
    assert data.dates is not None
    assert data.day_of_step is not None
    assert data.days is not None
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
