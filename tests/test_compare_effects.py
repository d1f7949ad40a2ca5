"""What each setting does to the score: the table and the sentences agree with `lstm_ae.statistics`."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lstm_ae import statistics
from lstm_ae.compare import load
from lstm_ae.compare.effects import effects
from lstm_ae.compare.ranking import rank
from tests.run_dirs import write
from tests.test_compare_blocks import runs

METRIC = "validation.loss"
VALUES = {"optimizer.lr": (0.1, 0.01, 0.001), "trainer.clip": (1, 5)}


def grid(score, seeds=5, values=VALUES, **more):
    """A grid with seeds; `score` is called with a combination and a seed."""
    rows = [
        dict(zip(values, combination, strict=True)) | {"seed": seed, METRIC: score(combination, seed)}
        for combination in itertools.product(*values.values()) for seed in range(seeds)
    ]  # fmt: skip
    return runs(rows, **more)


def found(frame):
    """The table of effects, and the sentences by setting."""
    table, lines = effects(rank(frame, METRIC))
    return table, {line.split(": ")[0].strip(): line for line in lines}


def noisy(means, sd=0.05, seed=0):
    draw = np.random.default_rng(seed)
    return lambda combination, _: means[combination[0]] + sd * draw.normal()


MEANS = {0.1: 1.0, 0.01: 1.0, 0.001: 2.0}


def test_a_worse_value_is_found_and_an_equal_one_not_told_apart():
    frame = grid(noisy(MEANS))
    table, lines = found(frame)
    rates = table[table["setting"] == "optimizer.lr"].set_index("value")
    best = rates.index[rates["best"]][0]
    other = {0.1: 0.01, 0.01: 0.1}[best]
    assert (rates["p"][0.001] < 0.05, rates["p"][other] >= 0.05) == (True, True)
    assert f"best at {best:g} (" in lines["optimizer.lr"]
    assert f"not told apart: {other:g} (p = " in lines["optimizer.lr"]
    assert "worse: 0.001 (p < 0.001)" in lines["optimizer.lr"]
    share = rates["omega_squared"].iloc[0]
    assert f"explains {100 * share:.1f}".rstrip("0").rstrip(".") in lines["optimizer.lr"]
    clip = table[table["setting"] == "trainer.clip"]
    assert clip["omega_squared"].isna().all()  # shown only where the test rejects
    assert "best mean at" in lines["trainer.clip"]
    assert "explains" not in lines["trainer.clip"]


def test_p_values_and_intervals_are_those_of_the_statistics():
    frame = grid(noisy(MEANS))
    table, _ = found(frame)
    settings = {key: list(frame[key]) for key in VALUES}
    expected = statistics.effects(frame[METRIC], settings, list(frame["seed"]), higher_is_better=False)
    for _, row in table.iterrows():
        value = next(v for v in expected[row["setting"]].values if v.value == row["value"])
        assert (row["mean"], row["low"], row["high"]) == (value.mean.estimate, value.mean.low, value.mean.high)
        assert row["p"] == pytest.approx(value.p, nan_ok=True)


def test_intervals_of_accuracies_stay_between_0_and_1():
    scores = {(0, 0): 0.9, (0, 1): 1.0, (0, 2): 0.98, (1, 0): 0.5, (1, 1): 0.12, (1, 2): 0.1}
    rows = [{"model.a": a, "seed": seed, "validation.accuracy": score} for (a, seed), score in scores.items()]
    frame = runs(rows, higher="accuracy", proportions="accuracy", **{"subsets.validation.sequences": 200})
    table = effects(rank(frame, "validation.accuracy"))[0].set_index("value")
    free = effects(rank(frame.assign(proportions=""), "validation.accuracy"))[0].set_index("value")
    assert free["high"][0] > 1
    assert free["low"][1] < 0
    assert (table["high"][0], table["low"][1]) == (1, 0)
    assert table["low"][0] == free["low"][0]


@pytest.mark.slow
def test_settings_without_effect_rarely_give_a_finding():
    """Four settings of two values: p values hold for all of them together (20 % of trials before)."""
    draw, trials, false = np.random.default_rng(3), 300, 0
    for _ in range(trials):
        frame = grid(lambda *_: draw.normal(), values={f"model.{name}": (1, 2) for name in "abcd"})
        false += bool((found(frame)[0]["p"] < 0.05).any())
    assert false <= stats.binom.ppf(0.999, trials, 0.06)


def test_intervals_are_over_seeds_and_not_over_runs():
    """Runs that share a seed share its luck: their mean is one value for each seed."""
    luck = np.random.default_rng(4).normal(size=5)
    table, _ = found(grid(lambda combination, seed: 5 + combination[1] / 10 + luck[seed]))
    row = table[(table["setting"] == "trainer.clip") & (table["value"] == 1)].iloc[0]
    half = stats.t.ppf(0.975, 4) * luck.std(ddof=1) / math.sqrt(5)
    assert (row["low"], row["high"]) == pytest.approx((5.1 + luck.mean() - half, 5.1 + luck.mean() + half))


def test_too_few_seeds_give_the_reason_once_and_no_p_value():
    table, lines = found(grid(noisy(MEANS), seeds=2))
    assert table["p"].isna().all()
    assert "Nothing was tested: 2 blocks (seeds or folds) are too few for a test: 1 more is needed." in lines["ours"]
    assert "best mean at" in lines["optimizer.lr"]
    assert not any(" p " in line for line in lines.values())


def test_values_that_give_the_same_scores_have_no_best():
    table, lines = found(grid(lambda combination, seed: MEANS[combination[0]] + seed))
    assert not table[table["setting"] == "trainer.clip"]["best"].any()
    assert "all means are equal" in lines["trainer.clip"]


def test_both_means_are_named_where_their_best_values_differ():
    scores = {0.1: (0.001, 0.9, 0.001), 0.01: (0.05, 0.06, 0.05), 0.001: (0.2, 0.3, 0.2)}
    table, lines = found(grid(lambda combination, seed: scores[combination[0]][seed], seeds=3))
    rates = table[table["setting"] == "optimizer.lr"].set_index("value")
    assert rates["difference"].to_numpy() == pytest.approx(rates["mean"].to_numpy() / rates["mean"][0.1])
    assert f"a factor of {rates['detectable'].iloc[0]:.4g} between two values" in lines["optimizer.lr"]
    assert "means are geometric, as errors span more than a factor of ten" in lines["ours"]
    arithmetic, geometric = "0.01 (0.05333)", "0.1 (0.009655)"
    assert (
        f"the best arithmetic mean is at {arithmetic}, the best geometric mean at {geometric}" in lines["optimizer.lr"]
    )


def test_where_no_setting_differs_it_is_said():
    frame = grid(noisy(MEANS))
    one = frame[
        (frame["optimizer.lr"] == frame["optimizer.lr"][0]) & (frame["trainer.clip"] == frame["trainer.clip"][0])
    ]
    table, lines = effects(rank(one.reset_index(drop=True), METRIC))
    assert table.empty
    assert "no setting differs between rows: there is nothing to compare" in lines[-1]


def test_unbalanced_means_and_diverged_runs_are_mentioned():
    frame = grid(noisy(MEANS))
    frame.loc[frame.index[:2], "state"] = "diverged"
    table, lines = found(frame)
    assert "unbalanced: means are only over what all values share" in lines["optimizer.lr"]
    assert "diverged and left out: 2 at 0.1" in lines["optimizer.lr"]
    assert table[table["value"] == 0.1]["diverged"].iloc[0] == 2


def test_values_beyond_the_first_few_are_counted():
    draw = np.random.default_rng(5)
    frame = grid(lambda combination, _: combination[0] + draw.normal() / 50, values={"model.a": range(1, 10)})
    assert "(p < 0.001), 2 more" in found(frame)[1]["model.a"]


def test_settings_that_only_change_together_are_not_compared(tmp_path):
    for job in range(6):
        write(tmp_path / str(job), 1.0 + job, model__a=job // 3, model__b=job // 3, seed=job % 3)
    line = effects(rank(load(tmp_path), METRIC))[1][0]
    assert "Nothing was tested: no run has the same other settings for all values." in line


def test_published_runs_and_ours_have_separate_effects():
    ours = grid(noisy(MEANS))
    both = runs([*ours.to_dict("records"), *ours.assign(seed=math.nan).to_dict("records")])
    both["source"] = ["ours"] * len(ours) + ["published"] * len(ours)
    table, _ = found(both)
    assert table.groupby("source")["n"].sum().to_dict() == {"ours": 60, "published": 60}
    assert table[table["source"] == "published"]["p"].isna().all()


def test_values_of_mixed_kinds_have_effects():
    values = {"model.a": ("null", 1, 0.5, "auto", "false")}
    draw = np.random.default_rng(6)
    frame = grid(lambda combination, _: 1 + values["model.a"].index(combination[0]) + draw.normal() / 50, values=values)
    table, lines = found(frame)
    assert list(table["value"]) == [0.5, 1, "auto", "false", "null"]
    assert "best at null" in lines["model.a"]
