"""Baselines: PCA is the best linear latent of its layout, masks are honoured, and skill reads as it should."""

import dataclasses

import numpy as np
import pytest
import torch

from lstm_ae import baselines
from lstm_ae.baselines import (
    Autoregression,
    Drift,
    Identity,
    Interpolation,
    LinearRegression,
    LogisticRegression,
    MostFrequentClass,
    Pca,
    Persistence,
    PrevailingDirection,
    TrainingMean,
    skill,
)
from lstm_ae.data.sequences import SequenceSubset
from lstm_ae.data.toy import load_toy
from lstm_ae.types import Batch


class Prepared:
    """A batch as a subset whose batches a task has prepared."""

    def __init__(self, batch):
        self.whole = batch

    def __len__(self):
        return len(self.whole)

    def batch(self, positions):
        values = {name: value[positions] for name, value in vars(self.whole).items() if value is not None}
        return Batch(**values)


def fitted(baseline, batch, validation=None):
    baseline.fit(Prepared(batch), Prepared(batch if validation is None else validation), 0)
    return baseline


def error(baseline, batch):
    return float((baseline(batch).reconstruction - batch.targets).square().mean())


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def ragged(sequences=40, time=6, features=2):
    """Sequences of one of two lengths, some values missing."""
    inputs = random(sequences, time, features)
    lengths = torch.where(torch.arange(sequences) % 2 == 0, time, time - 2)
    there = (torch.arange(time) < lengths.unsqueeze(1)).unsqueeze(2) & (random(sequences, time, features, seed=1) > 0.2)
    return Batch(inputs * there, observed=there, target_observed=there, lengths=lengths)


class TestPca:
    def test_the_error_is_the_variance_of_the_components_left_out(self):
        batch = Batch(random(500, 6, 2))
        rows = batch.inputs.flatten(1).double()
        variances = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0))  # ascending
        assert error(fitted(Pca((5,)), batch), batch) == pytest.approx(float(variances[:-5].sum() / 12), rel=1e-4)

    def test_a_latent_at_every_step_is_a_projection_of_single_steps(self):
        batch = Batch(random(500, 6, 3))
        steps = batch.inputs.flatten(0, 1).double()
        variances = torch.linalg.eigvalsh(torch.cov(steps.T, correction=0))  # ascending
        assert error(fitted(Pca((6, 2)), batch), batch) == pytest.approx(float(variances[:-2].sum() / 3), rel=1e-4)

    def test_a_latent_as_long_as_the_sequence_loses_nothing(self):
        batch = Batch(random(50, 4, 1))
        assert error(fitted(Pca((99,)), batch), batch) < 1e-12
        assert error(fitted(Pca((4, 1)), batch), batch) < 1e-12

    @pytest.mark.parametrize(("components", "floor"), [(8, 0.0564), (16, 0.0430), (32, 0.0165)])
    def test_the_floors_of_the_report_hold_on_the_toy_sequences(self, components, floor):
        data = load_toy(sequences=10000, length=50, seed=0, test_share=0.2)
        train = np.flatnonzero(~data.test)
        scaling = data.fit_scaling(train)
        pca = Pca((components,))
        pca.fit(SequenceSubset(data, train, scaling), SequenceSubset(data, train, scaling), 0)
        test = SequenceSubset(data, np.flatnonzero(data.test), scaling)
        assert error(pca, test.batch(torch.arange(len(test)))) == pytest.approx(floor, abs=0.0005)

    def test_what_is_missing_or_padding_is_taken_for_the_mean_of_what_training_shows_there(self):
        batch = ragged()
        filled = batch.inputs.clone()
        for step, feature in np.ndindex(6, 2):
            there = batch.there[:, step, feature]
            filled[~there, step, feature] = filled[there, step, feature].mean()
        expected = fitted(Pca((4,)), Batch(filled))(Batch(filled)).reconstruction
        assert torch.allclose(fitted(Pca((4,)), batch)(batch).reconstruction, expected, atol=1e-6)

    def test_padding_is_no_row_of_single_steps(self):
        whole = Batch(random(40, 6, 2))
        lengths = torch.full((40,), 6)
        longer = Batch(torch.cat([whole.inputs, torch.zeros(40, 3, 2)], dim=1), lengths=lengths)
        expected = fitted(Pca((6, 1)), whole)(whole).reconstruction
        assert torch.allclose(fitted(Pca((9, 1)), longer)(longer).reconstruction[:, :6], expected, atol=1e-6)


class TestRegression:
    def test_linear_regression_finds_what_is_linear(self):
        inputs, weights = random(400, 4, 2), random(8, 6, seed=1)
        batch = Batch(inputs, target=(inputs.flatten(1) @ weights).view(400, 3, 2))
        assert error(fitted(LinearRegression(), batch), batch) < 1e-6

    def test_its_penalty_is_the_best_on_validation(self):
        train = Batch(random(12, 8, 1), target=random(12, 2, 1, seed=1))  # nothing to learn, and few to learn it from
        judge = Batch(random(200, 8, 1, seed=2), target=random(200, 2, 1, seed=3))
        chosen = error(fitted(LinearRegression(), train, judge), judge)
        each = []
        for penalty in LinearRegression.penalties:
            one = LinearRegression()
            one.penalties = (penalty,)
            each.append(error(fitted(one, train, judge), judge))
        assert chosen == min(each) < max(each)

    def test_targets_that_do_not_count_teach_nothing(self):
        inputs, weights = random(400, 4, 2), random(8, 8, seed=1)
        target = (inputs.flatten(1) @ weights).view(400, 4, 2)
        counted = random(400, 4, 2, seed=2) > 0.3
        batch = Batch(inputs, target=torch.where(counted, target, 0.0), target_observed=counted)
        made = fitted(LinearRegression(), batch)(batch).reconstruction
        assert (made - target).abs().max() < 0.05

    def test_logistic_regression_separates_what_a_line_separates(self):
        inputs = torch.cat([torch.zeros(20, 3, 1), torch.ones(20, 3, 1)])
        labels = torch.arange(2).repeat_interleave(20) * 2  # classes 0 and 2 of three
        batch = Batch(inputs, labels=labels)
        scores = fitted(LogisticRegression(classes=3), batch)(batch).prediction
        assert torch.equal(scores.argmax(dim=1), labels)

    def test_the_most_frequent_class_is_named_for_everything(self):
        batch = Batch(torch.zeros(4, 3, 1), labels=torch.tensor([2, 2, 0, 2]))
        scores = fitted(MostFrequentClass(classes=3), batch)(Batch(torch.rand(5, 3, 1))).prediction
        assert torch.equal(scores.argmax(dim=1), torch.full((5,), 2))
        assert torch.allclose(scores.exp(), torch.tensor([0.25, 0, 0.75]))


class TestTime:
    def test_persistence_says_the_present_and_drift_adds_the_mean_step_of_training(self):
        inputs = torch.rand(6, 4, 1)
        batch = Batch(inputs, target=inputs + 0.25)
        assert torch.equal(fitted(Persistence(), batch)(batch).prediction, inputs)
        assert torch.allclose(fitted(Drift(), batch)(batch).prediction, inputs + 0.25)

    def test_drift_takes_the_mean_over_steps_between_values_that_are_there(self):
        whole = ragged()
        batch = whole.shifted(1)
        step = fitted(Drift(), batch)(batch).prediction - batch.inputs
        both = whole.there[:, 1:] & whole.there[:, :-1]
        changes = whole.inputs.diff(dim=1)
        for feature in range(2):
            expected = changes[..., feature][both[..., feature]].mean()
            assert torch.allclose(step[..., feature], expected, atol=1e-6)

    def test_the_prevailing_direction_is_that_of_most_steps_whatever_their_sum(self):
        """Three small steps up and a large one down; of the second feature the other way round; some do not move."""
        steps = torch.tensor([[0.1, -0.1], [0.1, -0.2], [0.2, -0.1], [-9.0, 9.0], [0.0, 0.0], [0.0, 0.0]])
        inputs = torch.zeros(6, 1, 2)
        batch = Batch(inputs, target=steps.unsqueeze(1))
        made = fitted(PrevailingDirection(), batch)(batch).prediction
        assert torch.equal(torch.sign(made - inputs)[0, 0], torch.tensor([1.0, -1.0]))
        assert torch.equal(torch.sign(fitted(Drift(), batch)(batch).prediction)[0, 0], torch.tensor([-1.0, 1.0]))

    def test_where_nothing_ever_moves_the_prevailing_direction_is_none(self):
        batch = Batch(torch.ones(3, 2, 1), target=torch.ones(3, 2, 1))
        assert torch.equal(fitted(PrevailingDirection(), batch)(batch).prediction, batch.inputs)

    def test_autoregression_finds_the_weights_of_the_last_changes_and_reads_no_step_ahead(self):
        changes = torch.randn(200, 40, 1, generator=torch.Generator().manual_seed(0))
        for step in range(2, 40):
            changes[:, step] = 0.5 * changes[:, step - 1] - 0.3 * changes[:, step - 2] + 0.01 * changes[:, step]
        batch = Batch(changes.cumsum(dim=1)).shifted(1)
        ridge = fitted(Autoregression(lags=2), batch)
        assert ridge._model.coef_.ravel() == pytest.approx([-0.3, 0.5], abs=0.01)  # the oldest change first
        later = dataclasses.replace(batch, inputs=batch.inputs.clone())
        later.inputs[:, 20:] += 1
        assert torch.equal(ridge(batch).prediction[:, :20], ridge(later).prediction[:, :20])

    def test_autoregression_learns_nothing_from_padding_and_holes(self):
        whole = Batch(random(300, 8, 1).cumsum(dim=1)).shifted(1)
        longer = {name: torch.cat([getattr(whole, name), torch.full((300, 3, 1), 9.0)], dim=1) for name in
            ("inputs", "target")}  # fmt: skip
        padded = Batch(**longer, lengths=torch.full((300,), 7))
        expected = fitted(Autoregression(lags=3), whole)(whole).prediction
        made = fitted(Autoregression(lags=3), padded)(padded).prediction[:, :7]
        assert torch.allclose(made, expected, atol=1e-3)
        holes = ragged().shifted(1)
        assert fitted(Autoregression(lags=3), holes)(holes).prediction.isfinite().all()

    def test_autoregression_needs_a_lag(self):
        with pytest.raises(ValueError, match="`lags` must be at least 1, got 0"):
            Autoregression(lags=0)

    def test_identity_returns_the_inputs(self):
        batch = Batch(torch.rand(2, 3, 1), target=torch.rand(2, 3, 1))
        assert torch.equal(fitted(Identity(), batch)(batch).reconstruction, batch.inputs)


class TestFillingIn:
    def test_the_mean_is_that_of_what_is_observed_at_each_step_and_feature(self):
        batch = ragged()
        made = fitted(TrainingMean(), batch)(batch).reconstruction
        for step, feature in np.ndindex(6, 2):
            there = batch.there[:, step, feature]
            assert torch.equal(made[there, step, feature], batch.inputs[there, step, feature])
            expected = batch.inputs[there, step, feature].mean()
            assert torch.allclose(made[~there, step, feature], expected, atol=1e-6)

    def test_interpolation_goes_straight_between_neighbours_and_stays_level_at_the_ends(self):
        inputs = torch.tensor([[[0.0], [2.0], [0.0], [0.0], [8.0], [0.0]]])
        observed = torch.tensor([[[False], [True], [False], [False], [True], [False]]])
        batch = Batch(inputs, observed=observed)
        made = fitted(Interpolation(), batch)(batch).reconstruction
        assert made.flatten().tolist() == [2, 2, 4, 6, 8, 8]

    def test_a_feature_of_which_a_sequence_shows_nothing_gets_the_training_mean(self):
        batch = Batch(torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]]]),
            observed=torch.tensor([[[True], [True]], [[False], [False]]]))  # fmt: skip
        assert fitted(Interpolation(), batch)(batch).reconstruction[1].flatten().tolist() == [1, 3]


def test_every_baseline_is_one_that_others_can_be_written_like():
    """Each is built from what its constructor names alone, and answers whole batches."""
    made = {
        Pca: Pca((3,)), LogisticRegression: LogisticRegression(2), MostFrequentClass: MostFrequentClass(2),
        baselines.SeasonalNaive: baselines.SeasonalNaive(period=2),
        **{kind: kind() for kind in (baselines.LastValue, baselines.DriftForecast)},
        **{kind: kind() for kind in (LinearRegression, Persistence, Drift, Identity, TrainingMean, Interpolation,
            PrevailingDirection, Autoregression)},
    }  # fmt: skip
    classes = {
        one for one in vars(baselines).values() if isinstance(one, type) and one.__module__ == baselines.__name__
    }
    assert set(made) == classes
    inputs = random(8, 5, 1)
    batch = Batch(inputs, target=inputs + 1, labels=torch.arange(8) % 2)
    for baseline in made.values():
        output = fitted(baseline, batch)(batch)
        assert (output.reconstruction is None) != (output.prediction is None)
        assert len(output.prediction if output.reconstruction is None else output.reconstruction) == 8


def test_skill_is_one_for_no_error_zero_for_the_baselines_and_none_without_one():
    assert skill(0.0, 0.5) == 1
    assert skill(0.5, 0.5) == 0
    assert skill(1.0, 0.5) == -1
    assert skill(0.1, 0.0) is None
