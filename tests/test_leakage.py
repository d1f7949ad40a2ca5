"""Nothing that is fitted changes when the data change that it must not see: every dataset, split and scaling.

Values of the test subset, and of the validation subset, are replaced, the job is built anew, and what was fitted
(scalers, class weights, baselines, thresholds) must be exactly the same. What is chosen by validation data (the penalty
of a ridge regression, a threshold) is compared for changes of the test subset only.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from lstm_ae.experiment.assembly import Components, assemble
from lstm_ae.experiment.evaluation import Outputs
from tests.test_nonsense import job, prices  # noqa: F401  # fixtures

PRICES = ["task=prediction", "model=residual_predictor", "model.hidden_size=3"]
SMALL = ["model.hidden_size=3", "trainer.batch_size=16", "trainer.epochs=1"]
TABLE = ["dataset.series=machine", "dataset.time=timestamp"]
WINDOWS = [*TABLE, "dataset.label=null", "dataset.features=[temp,vibration]", "dataset.window=5"]
CLASSES = ["dataset.label=state", "task=classification", "task.reconstruction_dominance=0", "model=mean_classifier"]
WEIGHTED = [*CLASSES, "task.class_weights=balanced"]
#: The option under test, and the other overrides of a small job.
JOBS = {
    **{f"toy {split}": ("dataset=toy", [f"split={split}", *more])
       for split, more in {"holdout": [], "holdout_tenth": [], "kfold": ["fold=1"], "whole": []}.items()},
    **{f"digits {split}": ("dataset=digits", [f"split={split}", *more])
       for split, more in {"stratified": [], "stratified_kfold": ["fold=1"]}.items()},
    "digits denoising": ("dataset=digits", ["task=denoising"]),
    "digits imputation": ("dataset=digits", ["task=imputation"]),
    "mnist rows": ("dataset=mnist_rows", []),
    "toy forecast": ("task=forecast", []),
    **{f"prices {split} {scaling}": ("dataset=sp500", [*PRICES, f"split={split}", f"dataset.scaling={scaling}", *more])
       for split, more in {"holdout": [], "walk_forward": ["fold=2", "split.embargo=3"], "group_kfold": ["fold=1"],
                           "group_holdout": [], "kfold": ["fold=1", "split.shuffle=false", "split.random_state=null"],
                           "whole": []}.items()
       for scaling in ("none", "minmax", "standard", "relative")},
    **{f"table {per} {scaling}": ("dataset=table",
                                  [*WINDOWS, f"dataset.scaling={scaling}", f"dataset.scaling_per={per}"])
       for per in ("pooled", "series") for scaling in ("none", "minmax", "standard", "relative")},
    "table unseen series": ("dataset=table", [*WINDOWS, "dataset.test_by=series", "dataset.scaling_per=series",
                                              "split=group_holdout"]),
    "table classes": ("dataset=table", [*TABLE, *WEIGHTED]),
    "table stratified": ("dataset=table", [*TABLE, *WEIGHTED, "split=stratified"]),
    "waves threshold": ("task=anomaly", ["task.threshold=quantile", "task.share=0.9"]),
    "waves false alarms": ("task=anomaly", []),
}  # fmt: skip
#: Baselines that validation data choose a penalty for.
CHOSEN = ("linear_regression", "ridge", "autoregression")


def rows_of(data, index: np.ndarray) -> np.ndarray:
    return np.flatnonzero(data.steps_of(index))


def changed(components: Components, subset: str, seed: int):
    """The dataset with other values in the rows that only sequences of this subset, or of none, cover."""
    data = components.data
    rng = np.random.default_rng(seed)
    own = np.flatnonzero(data.test) if subset == "test" else components.subsets[subset].index
    others = {name: one.index for name, one in components.subsets.items() if name != subset}
    kept = np.unique(np.concatenate([rows_of(data, index) for index in others.values()]))
    rows = np.setdiff1d(rows_of(data, own), kept)
    values = data.values.clone()
    other = rng.permutation(rows)
    values[rows] = (values[other].float() * (3 if values.is_floating_point() else 1)).to(values.dtype)
    if values.is_floating_point():
        values[rows[::3]] += 40
    labels = data.labels
    if labels is not None and subset == "test":
        labels = labels.clone()
        labels[torch.from_numpy(own)] = 0
    assert len(rows)
    assert not torch.equal(values, data.values)
    return dataclasses.replace(data, values=values, labels=labels)


def fitted(components: Components, subset: str) -> dict[str, np.ndarray]:
    """All that a job fits before and after training, but what `subset` is meant to choose."""
    found = {f"scaling.{name}": value for name, value in components.scaling.stored.items()}
    train = components.subsets["train"]
    batch = components.task.prepare(train.batch(torch.arange(len(train))), training=False)
    found |= {"inputs": batch.inputs.numpy(), "target": batch.targets.numpy()}
    weights = getattr(components.task, "_weights", None)
    found |= {} if weights is None else {"class_weights": weights.numpy()}
    evaluated = Outputs(components)
    for name, baseline in evaluated.baselines.items():
        if subset == "test" or name not in CHOSEN:
            output = baseline(batch)
            answer = output.reconstruction if output.prediction is None else output.prediction
            found[f"baseline.{name}"] = answer.numpy()
    if subset == "test":
        report = components.task.report(evaluated)
        found |= {f"fitted.{name}": value for name, value in report.fitted.items()}
    return found


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f")


@pytest.fixture
def build(job) -> Callable[..., Components]:  # noqa: F811
    from lstm_ae.experiment import configured

    def call(option: str, overrides: list[str], change: tuple[str, int] | None = None) -> Components:
        config = job(option, *SMALL, *overrides)
        recipe = configured._recipe(config, {}, single=True)
        components = assemble(recipe)
        if change is None:
            return components
        return assemble(dataclasses.replace(recipe, data=changed(components, *change)))

    return call


def cases() -> Iterator[Any]:
    """Each job; in the suite, each split and each scaling of prices once."""
    for name in JOBS:
        product = name.startswith("prices") and not name.startswith("prices holdout") and not name.endswith("minmax")
        yield pytest.param(name, marks=pytest.mark.slow if product else ())


@pytest.mark.parametrize("subset", ["test", "validation"])
@pytest.mark.parametrize("name", list(cases()))
def test_nothing_fitted_changes_with_data_that_it_must_not_see(build, name, subset):
    option, overrides = JOBS[name]
    if "split=whole" in overrides and subset == "validation":
        pytest.skip("training and validation data are the same")
    before = fitted(build(option, overrides), subset)
    after = fitted(build(option, overrides, (subset, 0)), subset)
    assert before.keys() == after.keys()
    assert [key for key in before if not same(before[key], after[key])] == []


def test_a_scaler_that_sees_everything_is_found(build):
    option, overrides = "dataset=sp500", [*PRICES, "dataset.scaling=minmax", "dataset.scaler_sees=everything"]
    before, after = (fitted(build(option, overrides, change), "test") for change in (None, ("test", 0)))
    assert not np.array_equal(before["scaling.scale"], after["scaling.scale"])
