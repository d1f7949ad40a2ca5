"""Reconstruction: the loss is what its name says, over the values that count."""

import pytest
import torch

from lstm_ae.tasks import Reconstruction
from lstm_ae.types import Batch, Output, total


def test_reconstruction_is_the_mean_squared_error_over_all_values():
    inputs = torch.rand(3, 5, 2)
    reconstruction = torch.rand(3, 5, 2, requires_grad=True)
    task = Reconstruction()
    score = task.score(Batch(inputs), Output(reconstruction=reconstruction))
    loss = total(score.means, task.factors, {}, {})
    assert loss.item() == pytest.approx(float((inputs - reconstruction).detach().square().mean()))
    assert score.metrics["reconstruction_mse"] == (loss.detach(), 3)
    assert loss.requires_grad
    assert not score.metrics["reconstruction_mse"][0].requires_grad


def test_only_values_that_count_are_scored_and_weigh():
    inputs, made = torch.rand(3, 5, 2), torch.rand(3, 5, 2)
    counted = torch.rand(3, 5, 2) < 0.5
    batch = Batch(inputs, target_observed=counted)
    mean, weight = Reconstruction().score(batch, Output(reconstruction=made)).terms["reconstruction"]
    assert mean.item() == pytest.approx(float((inputs - made)[counted].square().mean()), rel=1e-5)
    assert weight == counted.sum()
    errors = Reconstruction().errors(batch, Output(reconstruction=made))
    assert torch.allclose(errors[counted], (inputs - made)[counted].square())
    assert not errors[~counted].any()


def test_a_batch_of_which_nothing_counts_weighs_nothing_and_is_finite():
    batch = Batch(torch.rand(2, 3, 1), target_observed=torch.zeros(2, 3, 1, dtype=torch.bool))
    mean, weight = Reconstruction().score(batch, Output(reconstruction=torch.rand(2, 3, 1))).terms["reconstruction"]
    assert (mean, weight) == (0, 0)


def test_the_target_is_what_is_scored_where_it_is_not_the_input():
    batch = Batch(torch.zeros(2, 3, 1), target=torch.ones(2, 3, 1))
    score = Reconstruction().score(batch, Output(reconstruction=torch.ones(2, 3, 1)))
    assert score.terms["reconstruction"] == (0, 2)


def test_a_reconstruction_that_only_broadcasting_would_fit_is_refused():
    with pytest.raises(
        ValueError, match=r"must have the target's shape \(2, 3, 1\), and the model returns \(2, 1, 1\)"
    ):
        Reconstruction().score(Batch(torch.zeros(2, 3, 1)), Output(reconstruction=torch.zeros(2, 1, 1)))


def test_an_output_that_reconstructs_nothing_has_no_term():
    score = Reconstruction().score(Batch(torch.zeros(2, 3, 1)), Output())
    assert score.terms == score.metrics == {}
