"""A threshold keeps the false-alarm rate that it was asked for, or says that it cannot."""

import numpy as np
import pytest
from scipy.stats import beta

from lstm_ae.anomaly.events import alarms
from lstm_ae.anomaly.thresholds import Threshold, best_f1, false_alarms, parse_rate, quantile
from tests.simulations.false_alarms import RULES, ar1, seasonal, within


@pytest.mark.parametrize(("process", "rules"), [(ar1, "one step"), (seasonal, "merged")])
def test_of_100_clean_stretches_90_have_no_more_alarms_than_predicted(process, rules):
    inside, _, refused = within(process, RULES[rules], 1 / 300, trials=100, steps=2500)
    assert inside >= 90
    assert refused == 0


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("process", [ar1, seasonal])
def test_over_1000_stretches_the_bounds_hold_as_often_as_they_say(process, rules):
    inside, kept, refused = within(process, RULES[rules], 1 / 1000, trials=1000, first_seed=1000, long=100_000)
    assert refused <= 30
    assert inside >= 0.92 * (1000 - refused)  # at 95 % confidence
    assert kept >= 0.86 * (1000 - refused)  # at 90 %


def test_counting_steps_instead_of_alarms_would_ask_for_another_threshold():
    score = ar1(np.random.default_rng(0), 20_000)
    found = false_alarms([score], 1 / 500)
    assert found.value < np.quantile(score, 1 - 1 / 500)
    assert found.alarms == len(alarms(score, found.value)) < (score > found.value).sum() / 2


def test_for_independent_steps_the_bound_is_clopper_and_pearsons():
    score = np.random.default_rng(0).random(20_000)
    found = false_alarms([score], 1 / 200, merge_within=0)
    assert found.scatter < 1.7
    exact = beta.ppf(0.9, found.alarms + 1, found.steps - found.alarms)
    one = quantile([score], 1 - 60 / 20_000)
    assert one.alarms == 60
    if one.scatter == 1.0:
        assert one.upper_bound == pytest.approx(beta.ppf(0.9, 61, 20_000 - 60), rel=2e-3)
    assert exact <= found.upper_bound <= 1 / 200


def test_clustered_alarms_widen_the_bound():
    draw = np.random.default_rng(1)
    even = draw.random(20_000)
    clustered = np.where(np.arange(20_000) < 1000, even * 20, even)
    assert quantile([clustered], 0.98).scatter > 5 * quantile([even], 0.98).scatter


def test_the_threshold_is_the_lowest_that_keeps_the_rate_and_looser_rates_lower_it():
    score = ar1(np.random.default_rng(2), 30_000)
    values = [false_alarms([score], rate).value for rate in (1 / 2000, 1 / 500, 1 / 100)]
    assert values == sorted(values, reverse=True)
    assert all(false_alarms([score], rate).upper_bound <= rate for rate in (1 / 2000, 1 / 500, 1 / 100))
    more = false_alarms([score], 1 / 500, confidence=0.99)
    assert more.value > false_alarms([score], 1 / 500).value


def test_too_short_data_are_refused_and_the_length_named_would_do():
    draw = np.random.default_rng(0)
    score = draw.random(2000)
    with pytest.raises(
        ValueError, match=r"At 90% confidence, a rate of one alarm in 1000 steps takes \d+ steps"
    ) as caught:
        false_alarms([score], 1 / 1000)
    assert "got 2000. Pass more normal data, or lower `confidence`, or allow one alarm in" in str(caught.value)
    needed = int(str(caught.value).split(" takes ")[1].split()[0])
    assert 2303 <= needed < 4000
    allowed = int(str(caught.value).split("allow one alarm in ")[1].split()[0])
    assert false_alarms([score], 1 / allowed).upper_bound <= 1 / allowed


def test_stretches_are_not_joined_and_steps_without_a_score_do_not_count():
    ends = [np.r_[np.zeros(500), 2.0], np.r_[2.0, np.zeros(500), [np.nan] * 99], np.full(3, np.nan), []]
    found = quantile(ends, 0.99)
    assert (found.alarms, found.steps, found.value) == (2, 1002, 0.0)
    draw, rules = np.random.default_rng(3), {"merge_within": 7, "cool_down": 30}
    stretches = [ar1(draw, steps) for steps in (3000, 50, 4000)]
    found = quantile(stretches, 0.97, **rules)
    assert found.alarms == sum(len(alarms(one, found.value, **rules)) for one in stretches)


def test_equal_scores_have_no_alarm():
    found = false_alarms([np.ones(5000)], 1 / 1000)
    assert (found.value, found.alarms) == (1.0, 0)


def test_best_f1_flags_what_it_was_chosen_on_and_promises_no_rate():
    score, label = np.array([0.1, 0.9, 0.2, 0.8, 0.3, np.nan]), np.array([0, 1, 0, 1, 0, 0])
    found = best_f1(score, label)
    np.testing.assert_array_equal(score > found.value, label)
    assert found.alarms == 2
    assert "chosen with labels" in found.describe()
    with pytest.raises(ValueError, match="got one by labels"):
        found.expected(100)


def test_a_threshold_says_what_it_promises():
    found = Threshold(1.5, "false_alarms", 1 / 1000, 1 / 1250.4, 20_000, 10)
    assert found.describe() == (
        "Threshold 1.5 by false_alarms: one alarm in 1000 steps was asked for; 10 alarms in 20000 steps of normal "
        "data, so that with 90% confidence there is no more than one alarm in 1250 steps as long as normal data stay "
        "as they were."
    )
    assert found.expected(20_000) > 10


@pytest.mark.parametrize(
    ("text", "seconds", "rate"),
    [
        ("1/1000", None, 0.001),
        (0.01, None, 0.01),
        ("0.01", None, 0.01),
        ("2/day", 3600, 2 / 24),
        ("1/Hour", 60, 1 / 60),
    ],
)
def test_rates_are_read(text, seconds, rate):
    assert parse_rate(text, seconds) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("text", "seconds", "error"),
    [
        ("1/day", None, "A rate per day needs `step_seconds`, got none"),
        ("1/day", 0, "`step_seconds` must be a finite number above 0, got 0"),
        ("one", None, "at most 1 a step, got 'one'"),
        ("1/0", None, "at most 1 a step, got '1/0'"),
        ("1/month", 60, "at most 1 a step, got '1/month'"),
        ("-1/1000", None, "at most 1 a step, got '-1/1000'"),
        ("1/second", 60, "at most 1 a step, got '1/second'"),
    ],
)
def test_rates_that_cannot_be_read_are_named(text, seconds, error):
    with pytest.raises(ValueError, match=error):
        parse_rate(text, seconds)


@pytest.mark.parametrize(
    ("stretches", "rate", "options", "text"),
    [
        ([], 0.1, {}, "`score_stretches` must have scores of normal data, got none"),
        ([[]], 0.1, {}, "`score_stretches` must have scores of normal data, got none"),
        ([np.ones(9)], 0, {}, "`rate` must be above 0 and at most 1 alarm a step, got 0"),
        ([np.ones(9)], 0.1, {"confidence": 1}, "`confidence` must lie between 0 and 1, got 1"),
        ([[1, np.inf, 2]], 0.1, {}, "got inf at step 1"),
        ([[np.nan, np.nan]], 0.1, {}, "`score_stretches` must have scores of normal data, got none"),
        ([[1.0]], 0.1, {}, "takes 24 steps of held-out normal data, got 1. .* or allow an alarm at every step"),
        ([np.ones((2, 2))], 0.1, {}, r"`score` must be one row of steps, got shape \(2, 2\)"),
    ],
)
def test_data_that_cannot_be_calibrated_on_are_named(stretches, rate, options, text):
    with pytest.raises(ValueError, match=text):
        false_alarms(stretches, rate, **options)
