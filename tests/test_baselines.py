"""Baselines: PCA is the best linear code, and skill reads as it should."""

import numpy as np
import pytest
import torch

from lstm_ae.baselines import Pca, fit_baselines, skill
from lstm_ae.data.sequences import SequencePart
from lstm_ae.data.toy import load_toy


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
    baselines = fit_baselines(SequencePart(data, train, scaling), components)
    test = SequencePart(data, np.flatnonzero(data.test), scaling)
    assert error(baselines["pca"], test.batch(torch.arange(len(test))).inputs) == pytest.approx(floor, abs=0.0005)


def test_skill_is_one_for_no_error_zero_for_the_baselines_and_none_without_one():
    assert skill(0.0, 0.5) == 1
    assert skill(0.5, 0.5) == 0
    assert skill(1.0, 0.5) == -1
    assert skill(0.1, 0.0) is None
