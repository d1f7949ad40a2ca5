"""Alarms come out the same however a signal is cut, and by the rules that are documented."""

import numpy as np
import pytest

from lstm_ae.anomaly.events import Alarms, alarms, events


def found(score, **rules):
    return alarms(score, 0.5, **rules).tolist()


def test_runs_at_both_edges_and_none():
    assert events([True, False, True, True]).tolist() == [[0, 1], [2, 4]]
    assert events([False, False]).shape == (0, 2)
    assert events([]).shape == (0, 2)


def test_flags_of_several_signals_are_refused():
    with pytest.raises(ValueError, match=r"`flags` must be one row of steps, got shape \(2, 3\)"):
        events(np.ones((2, 3)))


def test_a_step_at_the_threshold_or_without_a_score_is_no_alarm():
    assert found([0.5, np.nan, 0.6]) == [[2, 3]]


def test_gaps_are_bridged_up_to_the_length_given():
    score = [1, 0, 0, 1, 0, 0, 0, 1]
    assert found(score, merge_within=1) == [[0, 1], [3, 4], [7, 8]]
    assert found(score, merge_within=2) == [[0, 4], [7, 8]]
    assert found(score, merge_within=3) == [[0, 8]]


def test_short_runs_are_no_alarm_and_start_no_cool_down():
    assert found([1, 0, 1, 1, 0], minimum_length=2, cool_down=3) == [[2, 4]]


def test_a_run_that_outlasts_the_cool_down_starts_after_it():
    assert found([1, 0, 1, 1, 1, 1], cool_down=3) == [[0, 1], [4, 6]]
    assert found([1, 0, 1, 1, 0, 0, 1], cool_down=3) == [[0, 1], [6, 7]]


@pytest.mark.parametrize("seed", range(60))
def test_any_chunking_gives_the_same_alarms(seed):
    draw = np.random.default_rng(seed)
    score = draw.random(200)
    rules = {"minimum_length": 1 + seed % 4, "merge_within": seed % 3, "cool_down": seed % 6}
    whole = alarms(score, 0.6, **rules)
    stream = Alarms(0.6, **rules)
    cuts = np.sort(draw.integers(0, 200, draw.integers(0, 60)))
    parts = [stream.update(part) for part in np.split(score, cuts)]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), whole)
    stream = Alarms(0.6, **rules)
    parts = [stream.update(one) for one in score]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), whole)
    assert len(whole)


def test_what_comes_later_changes_no_alarm_that_has_ended():
    score = np.random.default_rng(1).random(120)
    rules = {"minimum_length": 2, "merge_within": 1, "cool_down": 4}
    whole = alarms(score, 0.5, **rules).tolist()
    for steps in range(1, 120):
        ended = Alarms(0.5, **rules).update(score[:steps]).tolist()
        assert ended == whole[: len(ended)]


def test_an_alarm_is_known_while_it_lasts():
    stream = Alarms(0.5, minimum_length=2)
    states = []
    for score in (1, 1, 1, 0):
        stream.update(score)
        states.append(stream.current)
    assert states == [None, (0, 2), (0, 3), None]


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"minimum_length": 0}, "`minimum_length` must be at least 1, got 0"),
        ({"merge_within": -1}, "`merge_within` must be at least 0, got -1"),
        ({"cool_down": -1}, "`cool_down` must be at least 0, got -1"),
    ],
)
def test_rules_that_mean_nothing_are_refused(rules, text):
    with pytest.raises(ValueError, match=text):
        alarms([1, 2], 0, **rules)


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="`threshold` must be a number, got nan"):
        alarms([1, 2], float("nan"))
