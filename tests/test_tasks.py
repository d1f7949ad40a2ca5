"""Tasks: the loss is what its name says."""

import pytest
import torch

from lstm_ae.tasks import Reconstruction
from lstm_ae.types import Batch, Output


def test_reconstruction_is_the_mean_squared_error_over_all_values():
    inputs = torch.rand(3, 5, 2)
    reconstruction = torch.rand(3, 5, 2, requires_grad=True)
    score = Reconstruction().score(Batch(inputs, torch.ones(3, 2)), Output(reconstruction=reconstruction))
    assert score.loss.item() == pytest.approx(float((inputs - reconstruction).detach().square().mean()))
    assert score.metrics["reconstruction_mse"] == score.loss.detach()
    assert score.loss.requires_grad
    assert not score.metrics["reconstruction_mse"].requires_grad


def test_a_model_that_reconstructs_nothing_is_refused_with_the_cure():
    with pytest.raises(
        ValueError, match=r"`task=reconstruction` needs a model that reconstructs. Use model=autoencoder"
    ):
        Reconstruction().score(Batch(torch.rand(1, 2, 1), torch.ones(1, 1)), Output())
