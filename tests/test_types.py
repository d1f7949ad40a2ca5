"""Batches: shifted and divided, each sequence gives what it gives by itself."""

import dataclasses

import pytest
import torch

from lstm_ae.types import Batch, total

LENGTHS = (7, 3, 5)
CUTS = {"shifted": Batch.shifted, "divided": Batch.divided}


def ragged(holes=True):
    """Sequences of 7, 3 and 5 steps with two features; where asked a value of each is missing."""
    inputs = 1 + torch.arange(3 * 7 * 2.0).reshape(3, 7, 2)
    lengths = torch.tensor(LENGTHS)
    counts = (torch.arange(7) < lengths.unsqueeze(1)).unsqueeze(2).repeat(1, 1, 2)
    if holes:
        counts[:, 1, 0] = False
    return Batch(
        inputs * counts,
        observed=counts if holes else None,
        target_observed=counts,
        lengths=lengths,
        starts=torch.tensor([0, 10, 20]),
        index=torch.arange(3),
    )


def alone(batch, row):
    """One sequence of a batch, without padding and without lengths."""
    length = int(batch.lengths[row])
    cut = {name: getattr(batch, name) for name in ("inputs", "observed", "target_observed")}
    cut = {name: None if value is None else value[row : row + 1, :length] for name, value in cut.items()}
    rest = {name: getattr(batch, name)[row : row + 1] for name in ("starts", "index")}
    return Batch(lengths=None, **cut, **rest)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("cut", CUTS)
def test_a_padded_batch_is_cut_as_each_sequence_is_by_itself(cut, steps, holes):
    whole = ragged(holes)
    made = CUTS[cut](whole, steps)
    for row, length in enumerate(LENGTHS):
        own = CUTS[cut](alone(whole, row), steps)
        kept, targets = length - steps, own.target.shape[1]
        assert int(made.lengths[row]) == own.inputs.shape[1] == kept
        assert torch.equal(made.inputs[row, :kept], own.inputs[0])
        assert torch.equal(made.target[row, :targets], own.target[0])
        assert torch.equal(made.target_observed[row, :targets], own.target_observed[0])
        assert made.target_starts[row] == own.target_starts[0]
        assert made.starts[row] == own.starts[0]
        if holes:
            assert torch.equal(made.observed[row, :kept], own.observed[0])
        assert torch.equal(made.there[row, :kept], torch.ones_like(own.inputs[0], dtype=torch.bool)
            if own.there is None else own.there[0])  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_cut_off_is_padding_zero_and_counts_for_nothing(cut):
    made = CUTS[cut](ragged(), 2)
    for row, length in enumerate(LENGTHS):
        assert not made.inputs[row, length - 2 :].any()
        assert not made.there[row, length - 2 :].any()
        targets = length - 2 if cut == "shifted" else 2
        assert not made.target[row, targets:].any()
        assert not made.target_observed[row, targets:].any()


@pytest.mark.parametrize("cut", CUTS)
def test_equal_lengths_are_cut_as_lengths_that_are_all_the_same(cut):
    inputs, starts = torch.rand(4, 6, 2), torch.arange(4) * 6
    plain = CUTS[cut](Batch(inputs, starts=starts), 2)
    padded = CUTS[cut](Batch(inputs, starts=starts, lengths=torch.full((4,), 6)), 2)
    assert plain.lengths is None
    assert plain.observed is None
    assert plain.target_observed is None
    for name in ("inputs", "target", "starts", "target_starts"):
        assert torch.equal(getattr(plain, name), getattr(padded, name))


def test_each_shifted_target_is_the_step_so_many_later():
    batch = Batch(torch.arange(6.0).view(1, 6, 1), starts=torch.tensor([30]))
    made = batch.shifted(2)
    assert torch.equal(made.target, made.inputs + 2)
    assert made.target_starts.tolist() == [32]


def test_a_divided_batch_is_the_whole_again():
    batch = Batch(torch.rand(2, 6, 3), starts=torch.tensor([0, 30]))
    made = batch.divided(2)
    assert torch.equal(torch.cat([made.inputs, made.target], dim=1), batch.inputs)
    assert made.target_starts.tolist() == [4, 34]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("steps", [0, 3, 4])
def test_a_target_longer_than_the_shortest_sequence_allows_is_refused(cut, steps):
    with pytest.raises(
        ValueError, match=rf"A target of {steps} steps needs sequences of at least {steps + 1}, got one of 3"
    ):
        CUTS[cut](ragged(), steps)


def test_an_input_is_there_where_it_is_observed_and_no_padding():
    batch = ragged()
    assert torch.equal(batch.there, batch.target_observed)
    assert dataclasses.replace(batch, lengths=None).there is batch.observed
    assert dataclasses.replace(batch, lengths=None, observed=None).there is None


def test_a_loss_is_the_terms_times_the_factors_and_the_models_losses_times_their_weights():
    factors = {"reconstruction": 0.25, "prediction": 0.75}
    assert total({"reconstruction": 4.0, "prediction": 8.0}, factors, {"kl": 10.0}, {"kl": 0.5}) == 1 + 6 + 5
    assert total({"prediction": 8.0}, factors, {}, {}) == 6  # a baseline that reconstructs nothing
