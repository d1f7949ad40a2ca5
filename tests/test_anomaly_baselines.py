"""Simple scores find what they are made for and take what a model takes."""

import numpy as np
import pytest

from lstm_ae.anomaly.baselines import ForestWindows, MeanDistance, MovingVariance, PcaWindows, baselines

WINDOW = 16


def waves(seed, steps=600, features=2):
    draw = np.random.default_rng(seed)
    phase = np.arange(features) + 2 * np.pi * np.arange(steps)[:, None] / 25
    return 5 + 3 * np.sin(phase) + 0.1 * draw.standard_normal((steps, features))


@pytest.mark.parametrize("name", baselines(WINDOW))
def test_each_gives_a_score_a_step_that_repeats(name):
    train, test = waves(0), waves(1, steps=200)
    found = [baselines(WINDOW)[name].fit(train).score(test) for _ in range(2)]
    assert found[0].shape == (200,)
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0][WINDOW:]).all()
    one = baselines(WINDOW)[name].fit(train[:, 0]).score(test[:, 0])
    assert one.shape == (200,)


@pytest.mark.parametrize("scorer", [MeanDistance(), MovingVariance(WINDOW), PcaWindows(WINDOW), ForestWindows(WINDOW)])
def test_each_finds_a_shift(scorer):
    test = waves(1, steps=300)
    test[150:160, 1] += 30
    found = scorer.fit(waves(0)).score(test)
    assert abs(int(np.nanargmax(found)) - 155) < WINDOW


@pytest.mark.parametrize("scorer", [MovingVariance(WINDOW), PcaWindows(WINDOW), ForestWindows(WINDOW)])
def test_those_of_windows_find_a_freeze_that_the_distance_misses(scorer):
    test = waves(1, steps=300)
    test[150:200] = 5.0
    found = scorer.fit(waves(0)).score(test)
    assert 150 - WINDOW < int(np.nanargmax(found)) < 200 + WINDOW
    distance = MeanDistance().fit(waves(0)).score(test)
    assert distance[160:190].max() < np.median(distance)


def test_the_distance_is_in_training_deviations_and_missing_values_add_nothing():
    scorer = MeanDistance().fit([[0.0, 1.0], [2.0, np.nan]])
    np.testing.assert_allclose(scorer.score([[4.0, 1.0], [np.nan, np.nan]]), [np.sqrt(4.5), 0])


def test_the_moving_variance_looks_only_back():
    test = waves(1, steps=100)
    scorer = MovingVariance(WINDOW).fit(waves(0))
    np.testing.assert_allclose(scorer.score(test[:60]), scorer.score(test)[:60])


def test_a_constant_signal_is_scored():
    for scorer in baselines(WINDOW).values():
        assert np.isfinite(scorer.fit(np.ones(50)).score(np.ones(40))[WINDOW:]).all()


@pytest.mark.parametrize("scorer", [MovingVariance(WINDOW), PcaWindows(WINDOW), ForestWindows(WINDOW)])
def test_a_series_shorter_than_the_window_is_refused(scorer):
    with pytest.raises(ValueError, match="at least 16 steps, the length of a window, got 15"):
        scorer.fit(np.arange(15.0))
    with pytest.raises(ValueError, match="at least 16 steps, the length of a window, got 3"):
        scorer.fit(np.arange(50.0)).score(np.arange(3.0))


@pytest.mark.parametrize(
    ("train", "test", "text"),
    [
        ([[1.0, np.nan], [2.0, np.nan]], [[1.0, 1.0]], "must have a value of each feature"),
        ([], [1.0], "must have a value of each feature"),
        ([1.0, np.inf], [1.0], "must be finite, or NaN where missing, got inf"),
        ([1.0, 2.0], [[1.0, 2.0]], "the 1 features of the training rows, got 2"),
        (np.ones((2, 2, 2)), [1.0], r"got shape \(2, 2, 2\)"),
    ],
)
def test_values_that_cannot_be_scored_are_named(train, test, text):
    with pytest.raises(ValueError, match=text):
        MeanDistance().fit(train).score(test)
