"""Measures of alarms and scores, with intervals by event."""

import numpy as np
import pytest

from lstm_ae.anomaly.baselines import MeanDistance
from lstm_ae.anomaly.events import alarms, events
from lstm_ae.anomaly.measures import (
    auc_pr,
    auc_roc,
    event_interval,
    event_scores,
    point_adjusted_f1,
    vus,
)
from tests import nab


def test_alarms_and_events_meet_where_they_share_a_step():
    found = event_scores(np.array([[0, 2], [5, 7], [8, 12], [30, 31]]), np.array([[2, 6], [10, 20], [40, 50]]))
    assert (found.precision.estimate, found.recall.estimate) == (0.5, 2 / 3)
    assert found.delay == 1.5  # 3 steps into the first; the second was in alarm before it began


def test_the_delay_counts_the_steps_until_an_alarm_is_known():
    label = np.array([[10, 20]])
    assert event_scores(np.array([[10, 20]]), label, minimum_length=4).delay == 3
    assert event_scores(np.array([[8, 20]]), label, minimum_length=4).delay == 1


def test_few_events_have_no_interval_and_say_why():
    found = event_scores(np.zeros((0, 2), int), np.array([[1, 2]]))
    assert np.isnan(found.precision.estimate)
    assert (found.recall.estimate, found.recall.reason) == (0, "1 events, an interval takes 5")
    assert np.isnan(found.delay)
    many = np.arange(20).reshape(10, 2) * 10
    both = event_scores(many[:6], many)
    assert both.recall.low < 0.6 < both.recall.high
    assert both.precision.low < both.precision.high == 1


def test_alarms_without_events_are_for_another_measure():
    with pytest.raises(ValueError, match=r"got none\. On normal data every alarm is false"):
        event_scores(np.array([[1, 2]]), np.zeros((0, 2), int))
    with pytest.raises(ValueError, match=r"`alarms` must be rows of start and end, got shape \(2,\)"):
        event_scores(np.array([1, 2]), np.array([[1, 2]]))


def labelled(seed, steps=1200, count=8):
    draw = np.random.default_rng(seed)
    label = np.zeros(steps, int)
    for start in np.linspace(50, steps - 100, count).astype(int):
        label[start : start + 20] = 1
    return draw.random(steps), label


def test_areas_take_steps_without_a_score_as_the_lowest():
    score, label = [np.nan, 1, 2, 3], [0, 0, 1, 1]
    assert auc_roc(score, label) == auc_pr(score, label) == 1
    assert auc_roc([3, 1, np.nan, 2], [0, 0, 1, 1]) == 0.25


def test_areas_of_noise_are_what_noise_gets():
    score, label = labelled(0, steps=20_000, count=50)
    assert auc_roc(score, label) == pytest.approx(0.5, abs=0.05)
    assert auc_pr(score, label) == pytest.approx(label.mean(), abs=0.02)


def test_point_adjustment_claims_much_for_noise():
    """Kim et al. 2022: that is why it is not used."""
    score, label = np.random.default_rng(0).random(5000), np.zeros(5000, int)
    label[1000:1400] = label[3000:3400] = 1
    claimed = point_adjusted_f1(score, label)
    plain = 2 * label.mean() / (1 + label.mean())  # of flagging every step
    assert claimed > 0.9 > 3 * plain - 0.1


def test_point_adjustment_by_hand():
    assert point_adjusted_f1([0, 0, 3, 0, 2, 1], [0, 1, 1, 1, 0, 0]) == 1
    assert point_adjusted_f1([4, 0, 3, 0, 0, 0], [0, 1, 1, 1, 0, 0]) == pytest.approx(6 / 7)


def test_the_interval_by_event_holds_the_estimate_and_is_repeatable():
    score, label = labelled(3)
    score = score + 0.5 * label
    found = event_interval(auc_pr, score, label, seed=1)
    assert found.low < found.estimate < found.high
    assert found.estimate == auc_pr(score, label)
    assert event_interval(auc_pr, score, label, seed=1) == found
    few = event_interval(lambda s, f: vus(s, f, 10)[1], score[:300], label[:300])
    assert np.isnan(few.low)
    assert few.reason == f"{len(events(label[:300]))} events, an interval takes 5"


def test_an_interval_by_event_covers_the_truth_as_often_as_few_events_allow():
    """Events differ: with 15 of them, a bootstrap's 95 % are a little less."""
    covered = 0
    for seed in range(200):
        score, label = labelled(seed, count=15)
        for start, end in events(label):
            score[start:end] += np.random.default_rng([seed, start]).normal(1, 0.5)
        found = event_interval(lambda s, f: s[f].mean() - s[~f].mean(), score, label, draws=100)
        covered += found.low <= 1 <= found.high
    assert 170 <= covered < 199


@nab.needed
def test_the_baseline_of_the_mean_gets_what_the_reference_got():
    index = nab.table("index").set_index("series")
    rows = nab.table("vus_reference").groupby("series").first()
    for name, row in rows.iterrows():
        series = nab.table(name)
        values = series["value"].to_numpy(float)
        score = MeanDistance().fit(values[: index.loc[name, "train_rows"]]).score(values)
        assert vus(score, series["anomaly"], row.window)[1] == pytest.approx(row.vus_pr, abs=1e-4)


def test_alarms_of_labels_are_the_labels():
    _, label = labelled(0)
    np.testing.assert_array_equal(alarms(label, 0.5), events(label))
