"""Tasks: the loss is what its name says."""

import pytest
import torch

from lstm_ae.tasks import Classification, Prediction, Reconstruction
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
    batch = Batch(torch.rand(1, 2, 1), torch.ones(1, 1), torch.tensor([0]))
    with pytest.raises(
        ValueError, match=r"`task.reconstruction_dominance` must be 0 with a model that does not recons"
    ):
        Classification(0.5).score(batch, Output(prediction=torch.zeros(1, 3)))
    assert Classification(0).score(batch, Output(prediction=torch.zeros(1, 3))).loss.isfinite()


@pytest.mark.parametrize("dominance", [0.0, 0.3, 1.0])
def test_classification_mixes_reconstruction_and_cross_entropy(dominance):
    inputs, reconstruction = torch.rand(4, 5, 2), torch.rand(4, 5, 2)
    scores, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    score = Classification(dominance).score(Batch(inputs, torch.ones(4, 2), labels), Output(reconstruction, scores))
    cross_entropy = -scores.log_softmax(dim=1)[torch.arange(4), labels].mean()
    mse = (inputs - reconstruction).square().mean()
    assert score.loss.item() == pytest.approx(float(dominance * mse + (1 - dominance) * cross_entropy), rel=1e-5)
    assert score.metrics["accuracy"] == (scores.argmax(dim=1) == labels).float().mean()


class TestPrediction:
    inputs = torch.tensor([[[1.0], [2.0], [3.0]]])
    target = torch.tensor([[[2.0], [3.0], [2.0]]])
    predicted = torch.tensor([[[1.5], [1.0], [2.5]]])
    batch = Batch(inputs, scale=torch.tensor([[10.0]]), target=target)

    def score(self, **options):
        return Prediction(0.5, **options).score(self.batch, Output(torch.zeros(1, 3, 1), self.predicted))

    def test_all_days_count(self):
        score = self.score(unit="USD")
        assert score.metrics["prediction_mse"] == pytest.approx((0.25 + 4 + 0.25) / 3)
        assert score.metrics["prediction_mae"] == pytest.approx(1.0)
        assert score.metrics["prediction_mae_usd"] == pytest.approx(10.0)
        assert score.metrics["direction_accuracy"] == pytest.approx(2 / 3)
        assert score.loss == pytest.approx(0.5 * (1 + 4 + 9) / 3 + 0.5 * 1.5)

    def test_or_the_last_alone(self):
        score = self.score(days="last")
        assert score.metrics["prediction_mse"] == 0.25
        assert score.metrics["direction_accuracy"] == 1
        assert "prediction_mae_usd" not in score.metrics

    def test_a_day_that_did_not_move_has_no_direction(self):
        batch = Batch(self.inputs, torch.ones(1, 1), target=torch.tensor([[[1.0], [2.0], [4.0]]]))
        score = Prediction(0.0).score(batch, Output(None, self.predicted))
        assert score.metrics["direction_accuracy"] == 0  # one day moved, up; the prediction was down

    def test_only_the_last_day_takes_a_model_that_answers_with_one_step(self):
        assert "step" in Prediction(days="last").accepts
        assert "step" not in Prediction(days="all").accepts


@pytest.mark.parametrize("task", [Classification, Prediction])
@pytest.mark.parametrize("dominance", [-0.1, 1.5])
def test_a_dominance_beyond_0_and_1_is_named(task, dominance):
    with pytest.raises(
        ValueError, match=rf"`reconstruction_dominance` must lie in \[0, 1\], got {dominance}. Use task"
    ):
        task(reconstruction_dominance=dominance)
