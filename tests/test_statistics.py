"""Error rates hold, power is that of the textbook's tests, intervals cover; and exact small cases.

pytest -m slow tests/test_statistics.py          # 1,000 trials a cell
pytest -m exhaustive tests/test_statistics.py    # 10,000 trials a cell
"""

import math

import numpy as np
import pytest
from scipy import stats

from lstm_ae import statistics
from lstm_ae.statistics.verdicts import critical_range
from tests.simulations import best_test
from tests.simulations import statistics as simulations
from tests.simulations.statistics import BLOCKS, GROUPS, KINDS, LOSS, OVERLAP, PROCESSES, RATE, STATISTICS

COVERAGE = (0.92, 0.97)
CELLS = [(groups, blocks) for groups in GROUPS for blocks in BLOCKS]


def at_most(rate, bound, trials):
    """Whether the trials are compatible with a true rate of at most the bound (they are once in 1,000 by chance)."""
    return rate * trials <= stats.binom.ppf(0.999, trials, bound)


def verdicts(scores, **options):
    return statistics.verdicts(np.array(scores, dtype=float), **{"higher_is_better": False} | options)


def words(*scores, **options):
    return [group.word for group in verdicts(*scores, **options).groups]


# Verdicts, exactly


def test_the_statistic_of_two_groups_is_the_paired_t_test():
    scores = np.random.default_rng(0).normal(size=(2, 6))
    found = verdicts(scores)
    expected = stats.ttest_rel(scores[1 - found.best], scores[found.best])
    other = found.groups[1 - found.best]
    assert other.difference / other.error == pytest.approx(expected.statistic)
    assert found.p[1 - found.best] == pytest.approx(expected.pvalue, abs=1e-6)


def test_several_groups_are_compared_by_tukeys_test_on_the_residuals_of_both_ways():
    scores = np.array([[1.0, 1.4, 2.1, 3.0], [1.9, 2.0, 3.2, 3.7], [2.1, 2.2, 3.0, 4.2]])
    residuals = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    error = math.sqrt((residuals**2).sum() / 6 / 4)
    found = verdicts(scores)
    assert [group.error for group in found.groups[1:]] == pytest.approx([error * math.sqrt(2)] * 2)
    ranges = [group.difference / error for group in found.groups[1:]]
    largest = stats.studentized_range.sf(max(ranges), 3, 6)
    assert found.p[1:] == pytest.approx([max(largest, stats.studentized_range.sf(min(ranges), 2, 6)), largest])


def test_once_a_group_is_worse_the_rest_are_tested_as_a_smaller_table():
    noise = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1], [1, -1, 1, -1]]) / 1.0
    error, degrees = math.sqrt((noise - noise.mean(axis=0)).ravel() @ (noise - noise.mean(axis=0)).ravel() / 12 / 4), 12
    middle = error * np.mean([critical_range(n, degrees) for n in (4, 5)])  # told apart among four, not among five
    among = [words(noise + np.array([[0, 0, 0, middle, last]]).T)[3:] for last in (middle, 100.0)]
    assert among == [["not told apart"] * 2, ["worse", "worse"]]


def test_the_p_values_are_below_the_level_where_the_word_is_worse():
    rng = np.random.default_rng(3)
    for trial in range(40):
        sign = 1 if rng.random() < 0.5 else -1
        scores = rng.normal(size=(6, 4)) + 2 * rng.random((6, 1))
        scores[5] = scores[5] * 30 + 60 if trial % 2 else scores[5]  # set apart, with other degrees of freedom
        found = verdicts(sign * scores, overlap=1 / 4, higher_is_better=sign < 0)
        assert [p < statistics.LEVEL for p in found.p] == [group.word == "worse" for group in found.groups]


def test_blocks_that_share_training_data_widen_the_error_as_nadeau_and_bengio_do():
    scores = np.random.default_rng(1).normal(size=(3, 5))
    plain, widened = (verdicts(scores, overlap=overlap) for overlap in (0, 1 / 4))
    errors = [[group.error for group in found.groups if group.word != "best"] for found in (plain, widened)]
    assert np.divide(errors[1], errors[0]) == pytest.approx(math.sqrt((1 / 5 + 1 / 4) * 5))
    assert widened.detectable / plain.detectable == pytest.approx(math.sqrt((1 / 5 + 1 / 4) * 5))


def test_two_seeds_are_refused_and_the_number_that_is_missing_is_said():
    found = verdicts([[0.97, 0.95], [0.96, 0.94]], higher_is_better=True)
    assert [group.word for group in found.groups] == ["too few blocks"] * 2
    assert found.best == 0
    assert found.reason == "2 blocks (seeds or folds) are too few for a test: 1 more is needed"
    assert math.isnan(found.detectable)
    assert math.isnan(found.p[1])
    assert verdicts([[1], [2]]).reason == "1 block (seed or fold) is too few for a test: 2 more are needed"


def test_a_difference_without_spread_is_not_significant():
    found = verdicts([[0.97, 0.95, 0.96], [0.96, 0.94, 0.95]], higher_is_better=True)
    assert [group.word for group in found.groups] == ["best", "not told apart"]
    assert found.p[1] == 1
    assert found.reason == "the scores have no spread: nothing is known of their noise"


def test_of_errors_that_span_decades_the_logarithms_are_tested():
    scores = 10.0 ** np.array([[-4, -4.2, -3.9, -4.1], [-3, -3.2, -2.8, -3.1], [-1, -2, -1.5, -0.5]])
    assert words(scores) == ["best", "not told apart", "not told apart"]
    found = verdicts(scores, log=True)
    logs = verdicts(np.log(scores))
    assert [group.word for group in found.groups] == ["best", "worse", "worse"]
    assert str([group.difference for group in found.groups]) == str([group.difference for group in logs.groups])
    assert (found.p[1:], found.detectable) == (logs.p[1:], logs.detectable)
    assert [group.mean for group in found.groups] == pytest.approx(scores.mean(axis=1))
    with pytest.raises(ValueError, match=r"`log` takes positive scores, got -4.2\. Use log=False\."):
        verdicts(np.log10(scores), log=True)


@pytest.mark.parametrize(("wild", "higher_is_better", "best"), [(0.001, False, 0), (0.5, True, 1)])
def test_a_group_whose_logarithms_are_better_than_the_bests_is_not_worse(wild, higher_is_better, best):
    scores = np.array([[1.0, 1.1, 0.9, 1.0, 1.0, 1.1, 1.0, 0.9], [wild] * 7 + [100.0]])
    assert abs(verdicts(np.log(scores), higher_is_better=higher_is_better).best - best) == 1
    found = verdicts(scores, log=True, higher_is_better=higher_is_better)
    assert (found.best, found.groups[1 - best].word, found.p[1 - best]) == (best, "not told apart", 1)


@pytest.mark.parametrize(("kind", "rate"), [("normal", 0.01), ("heavy", 0.02)])
def test_a_group_that_is_much_noisier_is_set_apart(kind, rate):
    tables = simulations.tables(kind, 5, 5, 0, 300, simulations.random("noisy", kind))
    assert np.mean([bool(verdicts(scores).noisy) for scores in tables]) <= rate
    tables[:, 2] *= 40
    assert np.mean([verdicts(scores).noisy == (2,) for scores in tables]) > 0.9


def test_the_others_are_tested_without_a_noisy_group_and_it_by_its_own_differences():
    scores = np.random.default_rng(4).normal(size=(5, 6)) + np.array([[0], [0], [9], [9], [9]])
    calm = verdicts(scores[:4])
    scores[4] = 20 + 100 * (scores[4] - scores[4].mean())
    found = verdicts(scores)
    assert found.noisy == (4,)
    assert [group.word for group in found.groups] == [*(group.word for group in calm.groups), "not told apart"]
    assert str(found.groups[1:4]) == str(calm.groups[1:4])
    expected = stats.ttest_rel(scores[4], scores[found.best])
    assert found.groups[4].difference / found.groups[4].error == pytest.approx(expected.statistic)
    assert found.groups[4].degrees == expected.df
    best = verdicts(np.vstack([scores[:4], scores[4] - 10_000]))
    assert (best.best, {group.degrees for group in best.groups[:4]}) == (4, {5})  # every pair has the noisy one
    assert best.detectable > 10 * calm.detectable


def test_with_many_blocks_ordinary_groups_are_not_set_apart():
    assert verdicts(np.random.default_rng(9).normal(size=(6, 300))).noisy == ()


@pytest.mark.parametrize(("gap", "word"), [(1, "not told apart"), (10, "worse")])
def test_with_a_resolution_the_noise_is_at_least_that_of_rounding(gap, word):
    scores = np.array([[97, 95, 96], [97 - gap, 95 - gap, 96 - gap]]) / 100
    assert words(scores, higher_is_better=True, resolution=1 / 100) == ["best", word]


def test_scores_that_are_all_the_same_are_not_told_apart():
    assert words(np.ones((3, 4))) == ["best", "not told apart", "not told apart"]
    assert words(np.ones((3, 4)), resolution=0.01) == ["best", "not told apart", "not told apart"]


def test_an_incomplete_group_is_never_best_and_does_not_disturb_the_others():
    complete = [[1.0, 1.1, 0.9, 1.0], [2.0, 2.2, 1.9, 2.1]]
    found = verdicts([*complete, [0.1, 0.1, math.nan, 0.1]])
    assert [group.word for group in found.groups] == ["best", "worse", "incomplete"]
    assert found.order == (0, 1, 2)
    assert str(found.groups[:2]) == str(verdicts(complete).groups)
    assert found.groups[2].difference == pytest.approx(0.1 - (1.0 + 1.1 + 1.0) / 3)
    assert math.isnan(found.p[2])


def test_extra_seeds_of_one_group_make_no_other_one_incomplete():
    scores = [[1.0, 1.1, 0.9, 5.0], [2.0, 2.2, 1.9, math.nan], [2.1, 2.2, 2.0, math.nan]]
    found = verdicts(scores)
    assert [group.word for group in found.groups] == ["best", "worse", "worse"]
    assert (found.blocks, found.groups[0].mean) == (3, pytest.approx(1.0))


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_diverged_group_is_ranked_last_and_left_out_of_the_test(higher_is_better):
    bad = -math.inf if higher_is_better else math.inf
    sign = -1 if higher_is_better else 1
    complete = sign * np.array([[1.0, 1.1, 0.9], [2.0, 2.2, 1.9]])
    found = verdicts([[bad, sign * 0.1, sign * 0.1], *complete, [math.nan] * 3], higher_is_better=higher_is_better)
    assert [group.word for group in found.groups] == ["diverged", "best", "worse", "incomplete"]
    assert found.order == (1, 2, 0, 3)
    assert str(found.groups[1:3]) == str(verdicts(complete, higher_is_better=higher_is_better).groups)
    assert found.groups[0].mean == bad


def test_where_no_or_one_group_is_left_nothing_is_tested():
    assert words([[1, math.inf, 1], [math.inf, 1, 1]]) == ["diverged", "diverged"]
    found = verdicts([[1, 2, 3], [1, math.inf, 1]])
    assert [group.word for group in found.groups] == ["best", "diverged"]
    assert found.reason == "fewer than two groups have a score in every block"
    assert verdicts(np.empty((0, 3))).groups == ()
    assert verdicts(np.full((2, 3), math.nan)).best is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scores": [1.0, 2.0]}, r"`scores` must be \(groups, blocks\), got the shape \(2,\)"),
        ({"overlap": -1.0}, "`overlap` must be a finite number of at least 0, got -1.0"),
        ({"resolution": math.nan}, "`resolution` must be a finite number of at least 0, got nan"),
    ],
)
def test_impossible_arguments_are_refused(options, error):
    with pytest.raises(ValueError, match=error):
        verdicts(**{"scores": np.zeros((2, 3))} | options)


@pytest.mark.parametrize("others", [0.0, 0.5, 1.0])
def test_the_detectable_difference_is_found_at_least_four_times_in_five(others):
    rng, trials = np.random.default_rng(0), 400
    scores = rng.normal(size=(trials, 5, 5))
    gap = np.mean([verdicts(one).detectable for one in scores])
    scores += gap * np.array([0, others, others, others, 1])[:, None]
    found = simulations.judged(scores, "normal", 0)[:, -1].mean()
    assert found == pytest.approx(0.8, abs=0.04) if others == 0.5 else found >= 0.8


# Holm, overlap


def test_holm_adjusts_in_steps_and_keeps_what_is_missing():
    adjusted = statistics.holm([0.01, 0.04, math.nan, 0.03])
    assert adjusted == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)
    assert statistics.holm([]).tolist() == []


def test_overlaps():
    assert statistics.fold_overlap(5) == statistics.holdout_overlap(20, 80) == 1 / 4
    assert statistics.walk_forward_overlap(5) == pytest.approx(137 / 60 / 5)
    with pytest.raises(ValueError, match="`n_splits` must be at least 2, got 1"):
        statistics.fold_overlap(1)
    with pytest.raises(ValueError, match="`n_train` must be at least 1, got 0"):
        statistics.holdout_overlap(5, 0)


# Intervals


@pytest.mark.parametrize("successes", [0, 3, 60, 100])
def test_the_interval_of_a_proportion_is_wilsons(successes):
    expected = stats.binomtest(successes, 100).proportion_ci(method="wilson")
    found = statistics.proportion_interval(successes, 100)
    assert (found.estimate, found.low, found.high) == pytest.approx((successes / 100, expected.low, expected.high))


def test_intervals_that_cannot_be_had_say_why():
    assert statistics.proportion_interval(0, 0).reason == "no trials"
    assert statistics.mean_interval([]).reason == "no values"
    assert statistics.mean_interval([1.0, math.nan]).reason == "one value has no spread"
    assert statistics.mean_interval([1.0, math.inf]).reason == "not all values are finite"
    days = np.ones((2, 100))
    assert "make 19 blocks of 5, an interval takes 20 (100 times)" in statistics.interval_over_time(
        days[:, :99], statistics.skill, 5
    ).reason  # fmt: skip
    assert statistics.interval_over_time(days, statistics.ratio, 5).reason == "the statistic is the same at every time"
    nothing = days * [[1], [0]]
    assert "a sum is zero" in statistics.interval_over_time(nothing, statistics.ratio, 5).reason


def test_the_interval_over_time_follows_scale_and_sign_and_keeps_its_bounds():
    days = np.random.default_rng(0).chisquare(3, size=(2, 200))
    skill = statistics.interval_over_time(days, statistics.skill, 5)
    ratio = statistics.interval_over_time(1e6 * days, statistics.ratio, 5)
    assert (1 - skill.low, 1 - skill.high) == pytest.approx((ratio.high, ratio.low))
    assert skill.estimate == pytest.approx(1 - days[0].sum() / days[1].sum())
    assert statistics.interval_over_time(days, statistics.ratio, 5, bounds=(0, ratio.estimate)).high == ratio.estimate


def test_the_interval_over_time_of_independent_days_is_about_students():
    days = np.random.default_rng(0).normal(size=(1, 2000))
    found = statistics.interval_over_time(days, lambda sums: sums[0] / 2000, 1)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)


# Effects


def effect(scores, values, blocks, **options):
    """The effect of the only setting."""
    return statistics.effects(scores, {"only": values}, blocks, higher_is_better=False, **options)["only"]


def additive(seeds=5):
    """A moves the score by -3, -1 and 4, b by -1 and 1; seeds have an effect, and there is a little noise."""
    rng = np.random.default_rng(0)
    runs = [(a, b, s) for a in (1, 2, 3) for b in ("x", "y") for s in range(seeds)]
    a, b, seed = zip(*runs, strict=True)
    scores = 20 + np.array([{1: -3, 2: -1, 3: 4}[v] for v in a]) + np.array([{"x": -1, "y": 1}[v] for v in b])
    return scores + np.array(seed) * 0.1 + rng.normal(0, 0.01, len(runs)), {"a": a, "b": b}, seed


def test_the_effects_of_an_additive_grid_are_recovered():
    scores, settings, seed = additive()
    found = statistics.effects(scores, settings, seed, higher_is_better=False)
    squares_a, squares_b = 9 + 1 + 16, 3
    assert found["a"].omega_squared == pytest.approx(squares_a / (squares_a + squares_b), abs=0.01)
    assert found["b"].omega_squared == pytest.approx(squares_b / (squares_a + squares_b), abs=0.01)
    assert (found["a"].best, found["b"].best, found["a"].blocks, found["a"].balanced) == (1, "x", 5, True)
    assert [round(value.mean.estimate, 1) for value in found["a"].values] == [17.2, 19.2, 24.2]
    assert all(effect.significant for effect in found.values())


def test_seeds_are_the_unit_of_an_effects_interval_and_not_runs():
    scores, settings, seed = additive()
    means = [scores[(np.array(settings["a"]) == 1) & (np.array(seed) == s)].mean() for s in range(5)]
    low, high = stats.t.interval(0.95, 4, np.mean(means), stats.sem(means))
    interval = statistics.effects(scores, settings, seed, higher_is_better=False)["a"].values[0].mean
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_p_values_hold_for_all_settings_together():
    scores, settings, seed = additive()
    together = statistics.effects(scores, settings, seed, higher_is_better=False)
    raw = {name: one.pair_p for name, one in together.items()}
    adjusted = statistics.holm([*raw["a"].values(), *raw["b"].values()])
    assert together["b"].values[1].p == pytest.approx(adjusted[-1])
    assert math.isnan(together["b"].values[0].p)


def test_the_detectable_effect_is_found_four_times_in_five():
    """The only difference is that of one value of one setting; two settings of three values, twenty blocks, noise 1."""
    rng, found = np.random.default_rng(0), []
    a, b, seed = zip(*[(a, b, s) for a in range(3) for b in range(3) for s in range(20)], strict=True)
    settings = {"a": a, "b": b}
    noise = rng.normal(size=(200, len(a)))
    sizes = [statistics.effects(row, settings, seed, higher_is_better=False)["a"].detectable for row in noise]
    for row in noise:
        shifted = row - np.mean(sizes) * (np.array(a) == 2)
        one = statistics.effects(shifted, settings, seed, higher_is_better=False)["a"]
        found.append(bool(one.best == 2 and one.values[0].p < statistics.LEVEL))
    assert np.std(sizes) < 0.2 * np.mean(sizes)
    assert 0.72 < np.mean(found) < 0.88
    assert math.isnan(effect([1.0, 2.0], [0, 1], [0, 0]).detectable)


def test_arithmetic_and_geometric_means_may_disagree_and_both_are_named():
    scores = [0.5, 1.0, 0.5, 1.1, 4.0, 1.2, 0.6, 1.0, 3.0, 1.1, 0.4, 1.0]
    seed, value = [s for s in range(6) for _ in range(2)], ["spread", "even"] * 6
    found = effect(scores, value, seed)
    logs = effect(scores, value, seed, log=True)
    assert (found.best_by_mean, found.best_by_geometric) == ("even", "spread")
    assert (found.best, logs.best) == ("even", "spread")
    spread = found.values[0]
    assert spread.geometric.estimate == pytest.approx(np.exp(np.log(scores[::2]).mean()))
    assert spread.geometric.low < spread.geometric.estimate < spread.geometric.high
    with pytest.raises(ValueError, match="`log` takes positive scores"):
        effect([-1.0, 1.0], ["a", "b"], [0, 0], log=True)


def test_runs_are_compared_only_where_all_else_is_equal():
    scores, settings, seed = additive()
    holes = scores.copy()
    holes[0] = math.inf  # a=1, b=x, seed 0
    found = statistics.effects(holes, settings, seed, higher_is_better=False)["a"]
    assert not found.balanced
    assert (found.values[0].runs, found.values[0].diverged) == (9, 1)
    assert [round(v.difference, 1) for v in found.values] == [0, 2, 7]
    lost = np.where(np.array(settings["a"]) == 3, math.inf, scores)
    found = statistics.effects(lost, settings, seed, higher_is_better=False)["a"]
    assert found.values[2].diverged == 10
    assert math.isnan(found.values[2].mean.estimate)
    assert found.values[1].p < 0.05


def test_two_seeds_or_one_value_test_no_effect():
    scores, settings, seed = additive(seeds=2)
    found = statistics.effects(scores, settings, seed, higher_is_better=False)["a"]
    assert found.reason == "2 blocks (seeds or folds) are too few for a test: 1 more is needed"
    assert found.best == 1
    assert not found.significant
    assert math.isnan(found.omega_squared)
    only = effect([1.0, 2.0, 3.0], ["a"] * 3, range(3))
    assert only.reason == "only one value has runs"
    never = effect([1.0, 2.0], ["a", "b"], [0, 1])
    assert never.reason == "no run has the same other settings for all values"
    diverged = effect([math.inf] * 2, ["a", "b"], [0, 0])
    assert diverged.best is None


def test_labels_must_match_the_scores():
    with pytest.raises(ValueError, match="labels must be given for each of 2 `scores`, got 1"):
        effect([1.0, 2.0], ["a", "b"], [0])


@pytest.mark.parametrize("overlap", [0.0, OVERLAP])
@pytest.mark.parametrize("kind", KINDS)
def test_the_simulations_say_of_many_tables_what_verdicts_says_of_each(kind, overlap):
    scores = simulations.tables(kind, 5, 4, overlap, 40, simulations.random("same"))
    scores[:, 1:] += 2 * scores[:, 1:].std()
    each = [words(one, overlap=overlap, resolution=simulations.resolution(kind)) for one in scores]
    together = simulations.judged(scores, kind, overlap)
    assert (np.array(each) == "worse").tolist() == together.tolist()
    assert together.any()


# Simulations, quick: the cells that failed worst before this module


@pytest.mark.parametrize(("kind", "groups"), [("accuracy of 100", 20), ("accuracy of 360", 5), ("normal", 20)])
def test_equal_groups_are_rarely_told_apart(kind, groups):
    assert at_most(simulations.false_worse(kind, groups, 3, 0, 200), RATE, 200)


def test_one_bad_run_makes_no_verdict_where_it_makes_one_of_tukeys():
    scores = simulations.tables("heavy", 20, 10, 0, 1000, simulations.random("bad runs"))
    assert at_most(simulations.judged(scores, "heavy", 0).any(axis=1).mean(), RATE, 1000)
    assert not at_most(simulations.tukey(scores, 0).any(axis=1).mean(), RATE, 1000)


def test_three_seeds_of_five_groups_have_power():
    ours, tukey = simulations.power("normal", 5, 3, 0, 200)
    assert ours > 0.5
    assert ours >= tukey - LOSS


def test_refitted_ridge_regressions_of_equal_quality_are_rarely_told_apart():
    assert at_most(simulations.ridge(5, 5, 200, folds=False), RATE, 200)
    assert not at_most(simulations.ridge(5, 5, 200, folds=False, corrected=False), RATE, 200)


def test_the_interval_of_a_skill_covers_it_where_a_percentile_bootstrap_does_not():
    ours, bootstrap = simulations.over_time_coverage("skill", "windows 10", 10, 20, 500)
    assert 0.91 <= ours <= 0.98
    assert bootstrap < 0.91


def test_null_settings_are_rarely_found_to_matter():
    false, coverage, omega, eta = simulations.effect_rates((3, 3), 5, 200)
    assert at_most(false, RATE, 200)
    assert 0.92 <= coverage <= 0.97
    assert omega < eta


# Simulations, in full


def sizes(test):
    """Runs a test with 1,000 trials as `slow` and with 10,000 as `exhaustive`."""
    marked = [pytest.param(1000, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.exhaustive)]
    return pytest.mark.parametrize("trials", marked)(test)


@sizes
@pytest.mark.parametrize("overlap", [0.0, OVERLAP])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_of_false_verdicts_is_kept(kind, overlap, trials):
    rates = [simulations.false_worse(kind, *cell, overlap, trials) for cell in CELLS]
    assert np.mean(rates) <= RATE
    assert max(rates) <= RATE if trials == 10_000 else all(at_most(rate, RATE, trials) for rate in rates)


@sizes
@pytest.mark.parametrize("best", [2, 4])
@pytest.mark.parametrize("overlap", [0.0, OVERLAP])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_is_kept_among_the_best_where_the_others_are_worse(kind, overlap, best, trials):
    rates = [simulations.false_among_best(kind, *cell, overlap, trials, best) for cell in CELLS if cell[0] > best]
    assert max(rates) <= RATE if trials == 10_000 else all(at_most(rate, RATE, trials) for rate in rates)


@sizes
def test_up_to_an_overlap_of_a_third_and_with_more_blocks_heavy_tails_are_allowed_for(trials):
    rates = [simulations.false_worse("heavy", *cell, overlap, trials) for cell in (*CELLS, (5, 20), (20, 20))
             for overlap in (1 / 9, 1 / 3)]  # fmt: skip
    assert all(at_most(rate, RATE, trials) for rate in rates)


@pytest.mark.slow
@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("proportional", [False, True])
def test_errors_that_span_decades_are_compared_on_the_scale_of_equal_noise(proportional, blocks):
    chosen, as_they_are, logarithms = simulations.over_decades(proportional, blocks, 1000)
    assert at_most(chosen, RATE, 1000)
    assert chosen == pytest.approx(logarithms if proportional else as_they_are, abs=0.005)


@pytest.mark.slow
def test_the_best_test_under_normal_noise_is_the_t_test():
    assert best_test.best_power(5, "normal", 4000) == pytest.approx(best_test.t_test_power(5), abs=0.04)


@pytest.mark.exhaustive
def test_what_is_asked_for_under_heavy_runs_is_about_the_most_that_any_test_could_do():
    asked = simulations.power("normal", 2, 5, OVERLAP, 20_000)[1] - LOSS
    assert best_test.best_power(5, "heavy runs", 20_000) < asked + 0.03


@sizes
@pytest.mark.parametrize("gap", [2.0, 3.0])
@pytest.mark.parametrize("overlap", [0.0, OVERLAP])
def test_the_power_is_tukeys_less_a_little(overlap, gap, trials):
    for cell in CELLS:
        ours, tukey = simulations.power("normal", *cell, overlap, trials, gap)
        assert ours >= tukey - LOSS
        assert cell[0] == 2 or gap < 3 or ours > tukey  # steps find more than one


@sizes
@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("noise", ["normal", "heavy"])
def test_refitting_on_redrawn_splits_keeps_the_rate(noise, folds, trials):
    rates = [simulations.ridge(*cell, trials, folds, noise=noise) for cell in CELLS]
    assert np.mean(rates) <= RATE
    assert max(rates) <= RATE if trials == 10_000 else all(at_most(rate, RATE, trials) for rate in rates)


@sizes
@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process[0])
@pytest.mark.parametrize("name", STATISTICS)
def test_intervals_over_time_cover(name, process, trials):
    for blocks in (20, 40, 100):
        ours, _ = simulations.over_time_coverage(name, *process, blocks, trials, with_bootstrap=False)
        assert COVERAGE[0] <= ours <= COVERAGE[1]


@sizes
def test_intervals_of_means_and_proportions_cover(trials):
    rates = [simulations.mean_coverage("normal", n, overlap, trials) for n in BLOCKS for overlap in (0, OVERLAP)]
    rates += [simulations.proportion_coverage(n, trials) for n in (20, 100, 360, 6000)]
    assert COVERAGE[0] <= min(rates)
    assert max(rates) <= COVERAGE[1]


@sizes
@pytest.mark.parametrize("grid", [((3, 3), 5), ((2, 2, 2, 2), 5), ((3, 3), 3)], ids=str)
def test_effects_keep_the_rate_and_cover(grid, trials):
    false, coverage, omega, eta = simulations.effect_rates(*grid, trials)
    assert at_most(false, RATE, trials)
    assert COVERAGE[0] <= coverage <= COVERAGE[1]
    assert omega < eta
