"""Classification: the loss is what its name says."""

import pytest
import torch

from lstm_ae.pooling import Pool
from lstm_ae.tasks import Classification
from lstm_ae.types import Batch, Output, total


def test_a_model_that_reconstructs_nothing_is_refused_with_the_cure():
    batch = Batch(torch.rand(1, 2, 1), labels=torch.tensor([0]))
    output = Output(prediction=torch.zeros(1, 3))
    task = Classification(0.5)
    with pytest.raises(
        ValueError, match=r"must return what the term `reconstruction` .* task.reconstruction_dominance=0"
    ):
        Pool(task).checked(task.score(batch, output))
    unweighted = Classification(0)
    score = Pool(unweighted).checked(unweighted.score(batch, output))
    assert total(score.means, unweighted.factors, {}, {}).isfinite()
    assert "reconstruction_mse" not in score.metrics


@pytest.mark.parametrize("dominance", [0.0, 0.3, 1.0])
def test_classification_mixes_reconstruction_and_cross_entropy(dominance):
    inputs, reconstruction = torch.rand(4, 5, 2), torch.rand(4, 5, 2)
    scores, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    task = Classification(dominance)
    score = task.score(Batch(inputs, labels=labels), Output(reconstruction, scores))
    cross_entropy = -scores.log_softmax(dim=1)[torch.arange(4), labels].mean()
    mse = (inputs - reconstruction).square().mean()
    loss = total(score.means, task.factors, {}, {})
    assert loss.item() == pytest.approx(float(dominance * mse + (1 - dominance) * cross_entropy), rel=1e-5)
    assert score.metrics["accuracy"] == ((scores.argmax(dim=1) == labels).float().mean(), 4)
    assert score.metrics["classification_loss"][0] == pytest.approx(float(cross_entropy), rel=1e-5)
    assert score.metrics["reconstruction_mse"][0] == pytest.approx(float(mse), rel=1e-5)


def test_the_error_of_a_sequence_is_its_cross_entropy():
    scores, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    batch, output = Batch(torch.rand(4, 5, 2), labels=labels), Output(prediction=scores)
    errors = Classification().errors(batch, output)
    assert torch.allclose(errors, -scores.log_softmax(dim=1)[torch.arange(4), labels])
    mean, weight = Classification().score(batch, output).terms["classification"]
    assert (mean.item(), weight) == (pytest.approx(float(errors.mean())), 4)


def test_padding_is_not_reconstructed():
    counted = (torch.arange(5) < torch.tensor([[5], [2]])).unsqueeze(2)
    inputs = torch.rand(2, 5, 1) * counted
    batch = Batch(inputs, target_observed=counted, lengths=torch.tensor([5, 2]), labels=torch.tensor([0, 1]))
    made = torch.rand(2, 5, 1)
    mean, weight = Classification().score(batch, Output(made, torch.zeros(2, 2))).terms["reconstruction"]
    assert mean.item() == pytest.approx(float((inputs - made)[counted].square().mean()), rel=1e-5)
    assert weight == 7


@pytest.mark.parametrize("dominance", [-0.1, 1.5])
def test_a_dominance_beyond_0_and_1_is_named(dominance):
    with pytest.raises(
        ValueError, match=rf"`reconstruction_dominance` must lie in \[0, 1\], got {dominance}. Use task"
    ):
        Classification(reconstruction_dominance=dominance)
