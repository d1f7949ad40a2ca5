"""Classification: the loss is what its name says."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from lstm_ae.data.frames import from_arrays
from lstm_ae.data.sequences import SequenceSubset
from lstm_ae.pooling import Pool
from lstm_ae.tasks import Classification
from lstm_ae.tasks.classification import balanced_accuracy, macro_f1, moved
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
        ValueError, match=rf"`reconstruction_dominance` must be at (least 0|most 1), got {dominance}. Use"
    ):
        Classification(reconstruction_dominance=dominance)


@pytest.mark.parametrize("seed", range(4))
def test_balanced_accuracy_and_macro_f1_are_scikit_learns(seed):
    """Also where a class is never predicted, or predicted and not there."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (50,), generator=generator)
    predicted = torch.randint(0 if seed % 2 else 2, 6, (50,), generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert balanced_accuracy(labels, predicted) == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    expected = metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    assert macro_f1(labels, predicted) == pytest.approx(expected)


def test_the_metrics_of_a_subset_are_those_of_all_its_sequences_together():
    task = Classification(0)
    labels, scores = torch.tensor([0, 0, 0, 0, 1, 1]), torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    pool = Pool(task)
    for rows in (slice(0, 4), slice(4, 6)):
        output = Output(prediction=scores[rows])
        pool.add(task.score(Batch(torch.rand(6, 2, 1)[rows], labels=labels[rows]), output), output, len(labels[rows]))
    means = pool.means({})
    assert means["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, scores.argmax(1)))
    assert means["macro_f1"] == pytest.approx(metrics.f1_score(labels, scores.argmax(1), average="macro"))
    assert means["accuracy"] == pytest.approx(metrics.accuracy_score(labels, scores.argmax(1)))


def labelled(labels, test):
    values = np.random.default_rng(0).normal(size=(len(labels), 4, 1))
    data = from_arrays(values, y=labels, test=test)
    train, tested = np.flatnonzero(~data.test), np.flatnonzero(data.test)
    scaling = data.fit_scaling(train)
    return data, {"train": SequenceSubset(data, train, scaling), "test": SequenceSubset(data, tested, scaling)}


def test_balanced_class_weights_are_scikit_learns_and_weigh_the_loss_only():
    data, subsets = labelled(["often"] * 6 + ["rare"] * 2 + ["often", "rare"], [False] * 8 + [True] * 2)
    task, plain = Classification(0, class_weights="balanced"), Classification(0)
    for one in (task, plain):
        one.check(data, subsets)
    batch = subsets["train"].batch(torch.arange(8))
    output = Output(prediction=torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    labels = batch.labels.numpy()
    weights = compute_class_weight("balanced", classes=np.unique(labels), y=labels)[labels]
    expected = float((plain.errors(batch, output).numpy() * weights).sum() / weights.sum())
    mean, weight = task.score(batch, output).terms["classification"]
    assert mean.item() == pytest.approx(expected, rel=1e-5)
    assert weight.item() == pytest.approx(8)
    ours, unweighted = (one.score(batch, output).metrics["classification_loss"] for one in (task, plain))
    assert ours == unweighted
    assert torch.equal(task.errors(batch, output), plain.errors(batch, output))


def test_images_are_moved_while_training_only_and_are_their_own_targets():
    batch = Batch(torch.rand(3, 7, 6), labels=torch.zeros(3, dtype=torch.long))
    task = Classification(0.5, shift=2)
    assert task.prepare(batch, training=False) is batch
    assert Classification(0.5).prepare(batch, training=True) is batch
    made = task.prepare(batch, training=True)
    assert made.targets is made.inputs
    assert not torch.allclose(made.inputs, batch.inputs)


@pytest.fixture
def drawn(monkeypatch):
    """Makes every draw the largest, 1, or the smallest, -1."""
    return lambda end: monkeypatch.setattr(torch, "rand", lambda *size, device: torch.full(size, (end + 1) / 2))


@pytest.mark.parametrize("end", [1, -1])
def test_the_border_of_a_moved_image_is_repeated(drawn, end):
    image = torch.rand(5, 4)
    drawn(end)
    rows, columns = ((torch.arange(size) + 2 * end).clamp(0, size - 1) for size in image.shape)
    assert torch.allclose(moved(image[None], 2, 0, 0)[0], image[rows][:, columns], atol=1e-6)


def test_an_image_is_turned_by_degrees_about_its_centre(drawn):
    image = torch.rand(5, 9)
    drawn(1)
    assert torch.allclose(moved(image[None], 0, 180, 0)[0], image.flip(0, 1), atol=1e-5)
    turned = moved(image[None], 0, 90, 0)[0]
    assert torch.allclose(turned[:, 2:7], image[:, 2:7].rot90(), atol=1e-5)
    drawn(-1)
    assert torch.allclose(moved(turned[None], 0, 90, 0)[0][:, 2:7], image[:, 2:7], atol=1e-5)


def test_height_and_width_grow_and_shrink(drawn):
    image = torch.zeros(9, 9)
    image[3:6, 3:6] = 1
    for end, size in ((1, 9 / 1.5**2), (-1, 9 / 0.5**2)):  # pixels that are on: their distances are divided
        drawn(end)
        assert moved(image[None], 0, 0, 0.5)[0].sum() == pytest.approx(size, rel=0.05)


def test_moves_are_drawn_anew_for_each_image_up_to_the_most():
    torch.manual_seed(0)
    image = torch.zeros(500, 11, 11)
    image[:, 5, 5] = 1
    made = moved(image, 2, 0, 0)
    for axis in (1, 2):
        place = (made.sum(dim=3 - axis) * torch.arange(11)).sum(dim=1) - 5
        assert place.abs().max() == pytest.approx(2, abs=0.05)
        assert place.mean() == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("name", ["shift", "rotation", "zoom"])
@pytest.mark.parametrize("shape", [None, (2, 5)], ids=["no images", "another shape"])
def test_only_images_of_a_row_a_step_can_be_moved(shape, name):
    data = from_arrays(np.random.default_rng(0).random((9, 5, 2), dtype=np.float32), np.arange(9) % 3)
    data = dataclasses.replace(data, image_shape=shape)
    with pytest.raises(ValueError, match=rf"`{name}` needs images of a row a time step, got 0.1 for sequences of 5"):
        Classification(0, **{name: 0.1}).check(data, {})
    Classification(0, **{name: 0.1}).check(dataclasses.replace(data, image_shape=(5, 2)), {})


def test_an_image_is_turned_by_at_most_half_a_turn():
    with pytest.raises(ValueError, match=r"`rotation` must be .* 180, got 181"):
        Classification(0, rotation=181)


def test_an_image_cannot_be_moved_out_of_itself():
    data = from_arrays(np.random.default_rng(0).random((9, 5, 2), dtype=np.float32), np.arange(9) % 3)
    with pytest.raises(ValueError, match=r"`shift` must be less than the image's 5 x 2 pixels, got 2"):
        Classification(0, shift=2).check(dataclasses.replace(data, image_shape=(5, 2)), {})


def test_a_class_that_training_does_not_show_is_named():
    data, subsets = labelled(["a", "a", "b", "b", "z"], [False] * 4 + [True])
    with pytest.raises(ValueError, match=r"`label` must show every class in training, and 'z' stands only in the test"):
        Classification(0).check(data, subsets)
