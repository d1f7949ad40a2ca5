"""Prediction: the loss is what its name says, over the steps that count."""

import dataclasses

import numpy as np
import pytest
import torch

from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.tasks import Prediction
from lstm_ae.tasks.ahead import roll_out
from lstm_ae.types import Batch, Output, total


class TestScore:
    inputs = torch.tensor([[[1.0], [2.0], [3.0]]])
    target = torch.tensor([[[2.0], [3.0], [2.0]]])
    predicted = torch.tensor([[[1.5], [1.0], [2.5]]])
    batch = Batch(inputs, scale=torch.tensor([[10.0]]), target=target)

    def score(self, **options):
        return Prediction(0.5, **options).score(self.batch, Output(torch.zeros(1, 3, 1), self.predicted))

    def test_all_steps_count(self):
        score = self.score(unit="USD")
        values = {name: (pytest.approx(float(mean)), int(weight)) for name, (mean, weight) in score.metrics.items()}
        assert values["prediction_mse"] == ((0.25 + 4 + 0.25) / 3, 1)
        assert values["prediction_mae"] == (1.0, 1)
        assert values["prediction_mae_unscaled"] == (10.0, 1)
        assert values["direction_accuracy"] == (2 / 3, 3)  # its weight is the steps that moved
        assert values["reconstruction_mse"] == ((1 + 4 + 9) / 3, 1)
        assert total(score.means, Prediction(0.5).factors, {}, {}) == pytest.approx(0.5 * (1 + 4 + 9) / 3 + 0.5 * 1.5)

    def test_or_the_last_alone(self):
        score = self.score(steps="last")
        assert score.metrics["prediction_mse"] == (0.25, 1)
        assert score.metrics["direction_accuracy"] == (1, 1)

    def test_the_unit_of_unscaled_errors_is_that_of_the_data(self):
        units = {metric.name: metric.unit for metric in Prediction(unit="USD").metrics}
        assert units["prediction_mae_unscaled"] == "USD"
        assert units["prediction_mae"] == "scaled value"

    def test_a_step_that_did_not_move_has_no_direction(self):
        batch = Batch(self.inputs, target=torch.tensor([[[1.0], [2.0], [4.0]]]))
        score = Prediction(0.0).score(batch, Output(None, self.predicted))
        # One step moved, up; the prediction was down.
        assert score.metrics["direction_accuracy"] == (0, 1)

    def test_an_answer_that_never_predicts_a_movement_has_no_direction_accuracy(self):
        score = Prediction(0.0).score(self.batch, Output(None, self.inputs))
        assert score.metrics["direction_accuracy"][1] == 0

    def test_only_the_last_step_takes_a_model_that_answers_with_one_step(self):
        assert Prediction(steps="last").accepts == {"next_step", "next_sequence"}
        assert Prediction(steps="all").accepts == {"next_sequence"}
        assert Prediction(steps="last", multi_step=True).accepts == {"next_sequence"}

    def test_a_prediction_that_only_broadcasting_would_fit_is_refused(self):
        with pytest.raises(ValueError, match=r"`prediction` must have the target's shape \(1, 3, 1\), .* \(1, 1, 1\)"):
            Prediction().score(self.batch, Output(self.inputs, torch.zeros(1, 1, 1)))


@pytest.mark.parametrize("dominance", [-0.1, 1.5])
def test_a_dominance_beyond_0_and_1_is_named(dominance):
    with pytest.raises(
        ValueError, match=rf"`reconstruction_dominance` must be at (least 0|most 1), got {dominance}. Use"
    ):
        Prediction(reconstruction_dominance=dominance)


LENGTHS = (6, 3, 5, 4)


def ragged(features=2, missing=()):
    """Four sequences of two series, of 6, 3, 5 and 4 steps; the values of some places are missing."""
    values = torch.randn(sum(LENGTHS), features, generator=torch.Generator().manual_seed(0))
    for place in missing:
        values[place] = torch.nan
    return SequenceData(
        values=values,
        starts=torch.tensor([0, 6, 9, 14]),
        lengths=np.array(LENGTHS),
        test=np.ones(4, dtype=bool),
        scaling=Scaling("fixed", shift=0.0, scale=2.0),
        series_of_step=np.repeat([0, 1], [9, 9]),
        series_names=("a", "b"),
        time_of_step=np.concatenate([np.arange(9), np.arange(9)]),
        missing="mask" if missing else "error",
    )


def persistence_plus(batch, step=0.1):
    """A model of sorts."""
    return Output(batch.inputs, batch.inputs + step)


@pytest.mark.parametrize("steps", ["all", "last"])
def test_a_padded_batch_is_scored_as_its_sequences_are_by_themselves(steps):
    data, task = ragged(), Prediction(steps=steps)
    subset = SequenceSubset(data, np.arange(4), data.fit_scaling(np.arange(4)))
    batch = task.prepare(subset.batch(torch.arange(4)), training=False)
    score, errors = task.score(batch, persistence_plus(batch)), task.errors(batch, persistence_plus(batch))
    sums, weights = {}, {}
    for row, (start, length) in enumerate(zip(data.starts.tolist(), LENGTHS, strict=True)):
        inputs = data.values[start : start + length].unsqueeze(0) / 2
        own = task.prepare(Batch(inputs, scale=torch.full((1, 2), 2.0)), training=False)
        own_score, own_errors = task.score(own, persistence_plus(own)), task.errors(own, persistence_plus(own))
        kept = length - 1 if steps == "all" else 1
        assert torch.allclose(errors[row, : length - 1], own_errors[0], atol=1e-6)
        assert not errors[row, length - 1 :].any()
        assert (errors[row].sum(dim=1) > 0).sum() == kept  # each error stands at the step that it is of
        for name, (mean, _) in own_score.metrics.items():
            counts = {"reconstruction_mse": (length - 1) * 2, "direction_accuracy": kept * 2}.get(name, kept * 2)
            sums[name] = sums.get(name, 0) + float(mean) * counts
            weights[name] = weights.get(name, 0) + counts
    for name, (mean, weight) in score.metrics.items():
        assert float(mean) == pytest.approx(sums[name] / weights[name], abs=1e-6), name
        assert int(weight) == weights[name], name


class Judged:
    """A subset with the outputs of a model and of the task's baselines, all at once."""

    def __init__(self, data, task):
        index = np.arange(len(data))
        self.subset = SequenceSubset(data, index, data.fit_scaling(index))
        self.batch = task.prepare(self.subset.batch(torch.arange(len(data))), training=False)
        self.answers = {"model": persistence_plus} | {name: lambda batch: Output(prediction=batch.inputs)
            for name in task.baselines}  # fmt: skip
        self.metrics = {}

    def batches(self):
        yield self.batch, {name: answer(self.batch) for name, answer in self.answers.items()}


class Evaluated:
    judged = "test"
    trial = False

    def __init__(self, data, task):
        self.subsets = {"test": Judged(data, task)}

    def __getitem__(self, subset):
        return self.subsets[subset]


@pytest.mark.parametrize("steps", ["all", "last"])
def test_the_table_of_series_counts_each_sequence_whatever_its_length(steps):
    data, task = ragged(), Prediction(steps=steps)
    table = task.report(Evaluated(data, task)).tables["series"]
    assert table["series"] == ["a", "b"]
    assert table["sequences"] == [2, 2]
    values = data.values / 2
    for series, sequences in enumerate(((0, 1), (2, 3))):
        ends = [int(data.ends[one]) for one in sequences]
        starts = [int(data.starts[one]) for one in sequences]
        steps_of = [torch.arange(end - 1 if steps == "last" else start + 1, end) for start, end in
            zip(starts, ends, strict=True)]  # fmt: skip
        rows = torch.cat(steps_of)
        errors = values[rows] - values[rows - 1] - 0.1
        assert table["prediction_mse"][series] == pytest.approx(float(errors.square().mean()), rel=1e-4)
        last = torch.tensor(ends) - 1
        moved = values[last] - values[last - 1]
        assert table["last_step_mae_unscaled"][series] == pytest.approx(float(2 * (moved - 0.1).abs().mean()), rel=1e-4)
        assert table["last_step_direction_accuracy"][series] == pytest.approx(float((moved > 0).float().mean()))


def test_a_missing_value_counts_for_nothing_in_the_table_of_series():
    data, task = ragged(missing=[(5, 0), (13, 1)]), Prediction(steps="last")
    table = task.report(Evaluated(data, task)).tables["series"]
    for series, counted in enumerate(([(5, 1), (8, 0), (8, 1)], [(13, 0), (17, 0), (17, 1)])):
        changes = [data.values[row, feature] - data.values[row - 1, feature] for row, feature in counted]
        expected = np.mean([float((change - 0.2).abs()) for change in changes])  # over the values that count
        assert table["last_step_mae_unscaled"][series] == pytest.approx(expected, rel=1e-4)


def test_a_step_after_or_at_a_missing_value_does_not_count():
    data, task = ragged(missing=[(3, 0)]), Prediction()
    subset = SequenceSubset(data, np.arange(4), data.fit_scaling(np.arange(4)))
    batch = task.prepare(subset.batch(torch.arange(4)), training=False)
    *_, counted = task.compared(batch, persistence_plus(batch))
    gone = [(0, 2, 0), (0, 3, 0)]  # to the missing value, and from it
    inside = torch.arange(5) < (torch.tensor(LENGTHS) - 1).unsqueeze(1)
    expected = inside.unsqueeze(2).repeat(1, 1, 2)
    for place in gone:
        expected[place] = False
    assert torch.equal(counted, expected)


def test_a_roll_out_feeds_each_prediction_back_and_drops_the_oldest():
    seen = []

    def model(batch):
        seen.append(batch.inputs[0, :, 0].tolist())
        return Output(prediction=batch.inputs + 1)

    rolled = roll_out(model, Batch(torch.tensor([[[1.0], [5.0], [9.0]]])), known=2, steps=3)
    assert rolled[0, :, 0].tolist() == [6, 7, 8]
    assert seen == [[1, 5], [5, 6], [6, 7]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image_shape": (3, 2), "lengths": 3, "starts": torch.arange(4) * 3},
            "nothing comes after an image. Use data",
        ),
        ({}, "`dataset.window` must be at least 5, and the same for all sequences, to be halved by .*, got 3 to 6"),
        ({"lengths": 4, "starts": torch.arange(4) * 3}, "`dataset.window` must be at least 5, .*, got 4. Use dataset"),
    ],
)
def test_data_that_nothing_follows_or_that_cannot_be_halved_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Prediction(multi_step=True).check(dataclasses.replace(ragged(), **change), {})
