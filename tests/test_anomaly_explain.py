"""The feature to blame and the first step of a planted fault."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lstm_ae.anomaly.events import alarms
from lstm_ae.anomaly.explain import onset
from lstm_ae.tasks.alarms import described

STEPS, CHANNELS, START = 1000, 12, 600
NAMES = [f"channel_{one}" for one in range(CHANNELS)]


def planted(kind, seed):
    """Squared errors of 12 channels, smoothed as overlapping windows smooth them, with a fault in one from START on."""
    draw = np.random.default_rng(seed)
    errors = lfilter([1], [1, -0.7], draw.standard_normal((STEPS, CHANNELS)), axis=0) * np.sqrt(1 - 0.7**2)
    channel = int(draw.integers(CHANNELS))
    fault = {
        "spike": lambda: np.r_[9.0, np.zeros(99)],
        "noise": lambda: 5 * draw.standard_normal(100),
        "drift": lambda: np.linspace(0, 10, 100),
        "freeze": lambda: 6 * np.sin(2 * np.pi * np.arange(100) / 50),
    }[kind]()
    errors[START : START + 100, channel] += fault
    return errors**2, channel


def explained(kind, trials=100):
    right, late = 0, []
    for seed in range(trials):
        scores, channel = planted(kind, seed)
        level = np.quantile(scores[:500], 0.99, axis=0)
        total = scores.mean(axis=1)
        found = alarms(total, total[:500].max() * 1.2, merge_within=10)
        inside = [one for one in found if one[1] > START]
        if not inside:
            continue
        found = described(scores, scores, inside[0].tolist(), level, NAMES, reach=STEPS)
        right += found["features"].startswith(f"{NAMES[channel]} ")
        late.append(found["onset"] - START)
    return right / trials, late


@pytest.mark.parametrize("kind", ["spike", "noise", "drift", "freeze"])
def test_the_channel_of_a_planted_fault_is_blamed(kind):
    right, late = explained(kind)
    print(kind, right, np.median(late))
    assert right >= 0.95


@pytest.mark.parametrize("kind", ["spike", "noise"])
def test_a_sudden_fault_is_dated_within_two_steps(kind):
    _, late = explained(kind)
    assert np.median(np.abs(late)) <= 2


def test_the_onset_may_lie_before_the_alarm():
    errors = np.zeros(300)
    errors[200:250] = np.arange(1, 51)
    assert onset(errors, (240, 250), usual=0.0) == 200


def test_an_alarm_outside_of_the_scores_is_refused():
    with pytest.raises(ValueError, match=r"got 5:12 for shape \(10,\)"):
        onset(np.zeros(10), (5, 12), 0.0)
