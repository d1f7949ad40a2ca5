"""Baselines: PCA is the best linear code, and skill reads as it should."""

import numpy as np
import pytest
import torch

from lstm_ae.baselines import Drift, LogisticRegression, MostFrequentClass, Pca, fit_baselines, persistence, skill
from lstm_ae.data.sequences import SequenceSubset
from lstm_ae.data.toy import load_toy
from lstm_ae.types import Batch


def error(pca, inputs):
    return float((pca(inputs).reconstruction - inputs).square().mean())


def test_the_error_is_the_variance_of_the_components_left_out():
    inputs = torch.rand(500, 6, 2, generator=torch.Generator().manual_seed(0))
    rows = inputs.flatten(1).double()
    variances = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0))  # ascending
    assert error(Pca(inputs, 5), inputs) == pytest.approx(float(variances[:-5].sum() / 12), rel=1e-4)


def test_a_code_as_long_as_the_sequence_loses_nothing():
    inputs = torch.rand(50, 4, 1)
    assert error(Pca(inputs, 99), inputs) < 1e-12


@pytest.mark.parametrize(("components", "floor"), [(8, 0.0564), (16, 0.0430), (32, 0.0165)])
def test_the_floors_of_the_report_hold_on_the_toy_sequences(components, floor):
    data = load_toy(sequences=10000, length=50, seed=0, test_share=0.2)
    train = np.flatnonzero(~data.test)
    scaling = data.fit_scaling(train)
    baselines = fit_baselines("reconstruction", SequenceSubset(data, train, scaling), components, classes=0)
    test = SequenceSubset(data, np.flatnonzero(data.test), scaling)
    assert error(baselines["pca"], test.batch(torch.arange(len(test))).inputs) == pytest.approx(floor, abs=0.0005)


def test_logistic_regression_separates_what_a_line_separates():
    inputs = torch.cat([torch.zeros(20, 3, 1), torch.ones(20, 3, 1)])
    labels = torch.arange(2).repeat_interleave(20) * 2  # classes 0 and 2 of three
    scores = LogisticRegression(Batch(inputs, torch.ones(40, 1), labels), classes=3)(inputs).prediction
    assert torch.equal(scores.argmax(dim=1), labels)


def test_the_most_frequent_class_is_named_for_everything():
    batch = Batch(torch.zeros(4, 3, 1), torch.ones(4, 1), torch.tensor([2, 2, 0, 2]))
    scores = MostFrequentClass(batch, classes=3)(torch.rand(5, 3, 1)).prediction
    assert torch.equal(scores.argmax(dim=1), torch.full((5,), 2))


def test_persistence_says_today_and_drift_adds_the_mean_step_of_training():
    inputs = torch.rand(6, 4, 1)
    train = Batch(inputs, torch.ones(6, 1), target=inputs + 0.25)
    assert torch.equal(persistence(inputs).prediction, inputs)
    assert torch.allclose(Drift(train)(inputs).prediction, inputs + 0.25)


def test_skill_is_one_for_no_error_zero_for_the_baselines_and_none_without_one():
    assert skill(0.0, 0.5) == 1
    assert skill(0.5, 0.5) == 0
    assert skill(1.0, 0.5) == -1
    assert skill(0.1, 0.0) is None
