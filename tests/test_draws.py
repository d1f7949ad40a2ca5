"""Denoising and imputation: what is drawn, and that in evaluation it belongs to the sequence and to nothing else."""

import numpy as np
import pytest
import torch

from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.tasks import Denoising, Imputation
from lstm_ae.tasks.draws import normal, uniform
from lstm_ae.types import Batch, Output

TASKS = {"denoising": lambda seed=0: Denoising(noise=0.5, seed=seed),
         "imputation": lambda seed=0: Imputation(hidden_share=0.4, seed=seed)}  # fmt: skip


def subset(index=None, holes=False, ragged=True):
    """Sequences of unequal length, some of whose values are missing."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, 20) if ragged else np.full(20, 8)
    values = 1 + rng.random((int(lengths.sum()), 2), dtype=np.float32)
    if holes:
        values[rng.random(values.shape) < 0.2] = np.nan
    data = SequenceData(
        values=torch.from_numpy(values),
        starts=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)[:-1]])),
        lengths=lengths,
        test=np.zeros(20, dtype=bool),
        scaling=Scaling("none"),
        missing="mask" if holes else "error",
    )
    return SequenceSubset(data, np.arange(20) if index is None else index, data.fit_scaling(np.arange(20)))


def parts(batch, row):
    return {name: value[row] for name, value in vars(batch).items() if value is not None}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_in_evaluation_a_sequence_is_prepared_the_same_whatever_else_is_in_the_batch(task, ragged, holes):
    whole = subset(holes=holes, ragged=ragged)
    some = subset(index=np.array([7, 3]), holes=holes, ragged=ragged)
    torch.manual_seed(1)
    first = TASKS[task]().prepare(whole.batch(torch.arange(20)), training=False)
    torch.manual_seed(2)
    again = TASKS[task]().prepare(whole.batch(torch.tensor([7])), training=False)
    other = TASKS[task]().prepare(some.batch(torch.tensor([1, 0])), training=False)
    for batch, row in ((again, 0), (other, 1)):
        ours, expected = parts(batch, row), parts(first, 7)
        assert ours.keys() == expected.keys()
        assert all(torch.equal(ours[name], expected[name]) for name in ours)


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_sequence_step_or_feature_draws_otherwise(task):
    whole = subset(ragged=False)
    made = TASKS[task]().prepare(whole.batch(torch.arange(20)), training=False)
    changed = made.inputs - made.target
    assert not torch.equal(
        changed, TASKS[task](seed=1).prepare(whole.batch(torch.arange(20)), False).inputs - made.target
    )
    for first, second in ((changed[0], changed[1]), (changed[:, 0], changed[:, 1]), (changed[..., 0], changed[..., 1])):
        assert not torch.equal(first == 0, second == 0) or not torch.equal(first, second)
        assert not torch.equal(first, second)


@pytest.mark.parametrize("task", TASKS)
def test_in_training_torchs_generator_draws_anew(task):
    whole, drawn = subset(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(TASKS[task]().prepare(whole.batch(torch.arange(20)), training=True).inputs)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_draws_are_uniform_and_normal_and_unrelated():
    batch = Batch(torch.zeros(400, 50, 2), index=torch.arange(400))
    flat = uniform(batch, 0, training=False)
    assert flat.min() >= 0
    assert flat.max() < 1
    counts = torch.histc(flat, 20, 0, 1) / flat.numel()
    assert (counts - 0.05).abs().max() < 0.005
    bell = normal(batch, 0, training=False)
    assert bell.mean().abs() < 0.02
    assert bell.std() == pytest.approx(1, abs=0.02)
    assert bell.isfinite().all()
    for first, second in ((bell[1:], bell[:-1]), (bell[:, 1:], bell[:, :-1]), (bell[..., 0], bell[..., 1]),
                          (bell, normal(batch, 1, training=False))):  # fmt: skip
        assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.03


def test_noise_has_its_deviation_and_the_target_is_the_clean_sequence():
    whole = subset(ragged=False)
    batch = whole.batch(torch.arange(20))
    made = Denoising(noise=0.5).prepare(batch, training=False)
    assert torch.equal(made.target, batch.inputs)
    assert (made.inputs - made.target).std() == pytest.approx(0.5, abs=0.06)
    assert torch.equal(made.target_starts, batch.starts)


def test_padding_and_missing_values_get_no_noise():
    batch = subset(holes=True).batch(torch.arange(20))
    made = Denoising(noise=0.5).prepare(batch, training=True)
    assert not made.inputs[~batch.target_observed].any()
    assert (made.inputs != batch.inputs)[batch.target_observed].all()


def test_hidden_values_alone_are_scored_and_are_neither_padding_nor_missing():
    batch = subset(holes=True).batch(torch.arange(20))
    made = Imputation(hidden_share=0.4).prepare(batch, training=False)
    hidden = made.target_observed
    assert not (hidden & ~batch.target_observed).any()
    assert hidden.sum() / batch.target_observed.sum() == pytest.approx(0.4, abs=0.08)
    assert torch.equal(made.observed, batch.target_observed & ~hidden)
    assert not made.inputs[~made.observed].any()
    assert torch.equal(made.target, batch.inputs)
    answer = torch.rand_like(batch.inputs)
    task = Imputation(hidden_share=0.4)
    mean, weight = task.score(made, Output(answer)).terms["reconstruction"]
    assert mean.item() == pytest.approx(float((answer - batch.inputs)[hidden].square().mean()), rel=1e-5)
    assert weight == hidden.sum()
    assert not task.errors(made, Output(answer))[~hidden].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Denoising(noise=0), "`noise` must be a finite number above 0, got 0. Use task=reconstruction"),
        (lambda: Imputation(hidden_share=1.0), "`hidden_share` must lie between 0 and 1, got 1.0. Use a share"),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
