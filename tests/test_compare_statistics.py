"""Tests and effects agree with textbook formulas."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lstm_ae.compare import statistics
from lstm_ae.compare.table import groups


def frame(rows, **more):
    result = pd.DataFrame(rows).assign(state="finished", source="ours", **more)
    return result.assign(run=[str(i) for i in range(len(result))], error=None)


def test_without_overlap_the_paired_test_is_the_ordinary_one():
    a, b = np.random.default_rng(0).normal(size=(2, 9))
    assert statistics.paired_p(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_with_overlap_the_variance_is_nadeau_and_bengios():
    differences = np.array([0.1, 0.3, 0.2, 0.4, -0.1])
    t = differences.mean() / math.sqrt(differences.var(ddof=1) * (1 / 5 + 1 / 4))
    assert statistics.paired_p(differences, 1 / 4) == pytest.approx(2 * stats.t.sf(t, 4))
    assert statistics.paired_p(differences, 1 / 4) > statistics.paired_p(differences)


def test_one_pair_gives_nan_and_equal_pairs_give_one():
    assert math.isnan(statistics.paired_p(np.array([0.1])))
    assert statistics.paired_p(np.zeros(5)) == 1
    assert statistics.paired_p(np.ones(5)) == 0


def test_p_values_are_adjusted_as_holm_does_for_all_pairs_of_the_groups():
    adjusted = statistics.holm_against_best([0.001, 0.006, math.nan, 0.002])
    assert adjusted == pytest.approx([0.006, 0.024, math.nan, 0.010], nan_ok=True)
    assert statistics.holm_against_best([0.03]) == 0.03


def test_equal_groups_rarely_differ_significantly_from_the_best_of_them():
    random, found, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        scores = random.normal(size=(6, 12))
        worse_by = np.delete(scores - scores[:, [scores.mean(axis=0).argmin()]], scores.mean(axis=0).argmin(), axis=1)
        found += (statistics.holm_against_best([statistics.paired_p(gaps) for gaps in worse_by.T]) < 0.05).any()
    assert found / trials < 0.06


def test_folds_overlap_by_their_number_and_seeds_do_not():
    runs = pd.DataFrame({"fold": [0, 1, 2], "split.n_splits": 5, "split._target_": "sklearn.model_selection.KFold"})
    assert statistics.overlap(runs) == 1 / 4
    assert statistics.overlap(runs.drop(columns="split.n_splits")) == 1 / 2
    assert statistics.overlap(runs.assign(**{"split._target_": "a.WalkForward"})) == pytest.approx(137 / 60 / 5)
    assert statistics.overlap(pd.DataFrame({"seed": [0, 1], "fold": "null"})) == 0


def verdicts(scores, **more):
    rows = [
        {"lr": lr, "seed": s, "m": v} for lr, values in scores.items() for s, v in enumerate(values) if v is not None
    ]
    runs = frame(rows, **more).rename(columns={"m": "validation.loss"})
    runs.loc[np.isinf(runs["validation.loss"]), "state"] = "diverged"
    labels = groups(runs, ["lr"])
    best = int(runs["validation.loss"].groupby(labels).mean().idxmin())
    return dict(zip(scores, statistics.verdicts(runs, "validation.loss", labels, best).sort_index(), strict=True))


def test_each_group_has_a_verdict():
    scores = {0.1: [1, 1.1, 0.9], 0.2: [2, 2.1, 1.95], 0.3: [0.9, 1.3, 1.0], 0.4: [1.2], 0.5: [math.inf, 1, 1]}
    assert verdicts(scores) == {
        0.1: "best", 0.2: "worse", 0.3: "not significant", 0.4: "too few pairs", 0.5: "diverged",
    }  # fmt: skip


def test_a_significant_difference_over_seeds_may_not_be_significant_over_folds():
    scores = {0.1: [1, 1.1, 0.9], 0.2: [1.2, 1.5, 1.3]}
    differences = np.array([0.2, 0.4, 0.4])
    assert stats.ttest_1samp(differences, 0).pvalue < 0.05 < statistics.paired_p(differences, 0.5)
    assert verdicts(scores)[0.2] == "worse"
    rows = [{"lr": lr, "fold": f, "validation.loss": v} for lr, values in scores.items() for f, v in enumerate(values)]
    runs = frame(rows, **{"split.n_splits": 3})
    assert list(statistics.verdicts(runs, "validation.loss", groups(runs, ["lr"]), 0)) == ["best", "not significant"]


def grid():
    """An additive grid: a changes the score by -3, -1 or 4, b by -1 or 1."""
    cells = itertools.product({1: -3, 2: -1, 3: 4}.items(), {"x": -1, "y": 1}.items(), (0, 1))
    return frame(
        [{"model.a": a, "model.b": b, "seed": s, "validation.loss": 20 + u + v} for (a, u), (b, v), s in cells]
    )


def test_the_effects_of_an_additive_grid_are_recovered():
    found = statistics.effects(grid(), "validation.loss")
    assert list(found.columns[:9]) == [
        "setting", "value", "mean", "low", "high", "n", "diverged", "explained", "best",
    ]  # fmt: skip
    shares = found.groupby("setting")["explained"].first()
    squares_a, squares_b = 4 * (9 + 1 + 16), 12 * 1
    assert shares["model.a"] == pytest.approx(squares_a / (squares_a + squares_b))
    assert shares.sum() == pytest.approx(1)
    rows = found.set_index(["setting", "value"])
    assert rows["mean"]["model.a"].to_dict() == {1: 17, 2: 19, 3: 24}
    assert rows["best"]["model.a"].to_dict() == {1: True, 2: False, 3: False}
    scores = [16, 16, 18, 18]
    assert tuple(rows.loc[("model.a", 1), ["low", "high"]]) == pytest.approx(
        stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    )


def test_the_interval_over_folds_is_corrected_for_their_overlap():
    runs = grid().rename(columns={"seed": "fold"}).assign(**{"split.n_splits": 2})
    row = statistics.effects(runs, "validation.loss").set_index(["setting", "value"]).loc[("model.a", 1)]
    scores = np.array([16, 16, 18, 18])
    half = stats.t.ppf(0.975, 3) * scores.std(ddof=1) * math.sqrt(1 / 4 + 1)
    assert (row["low"], row["high"]) == pytest.approx((17 - half, 17 + half))


def test_scores_that_span_more_than_a_factor_of_ten_use_a_log_scale():
    runs = grid()
    runs["validation.loss"] = np.exp(runs["validation.loss"])
    assert statistics.on_log_scale(runs, "validation.loss")
    assert not statistics.on_log_scale(grid(), "validation.loss")
    found = statistics.effects(runs, "validation.loss").set_index(["setting", "value"])
    assert found["mean"]["model.a"].to_dict() == pytest.approx({1: math.exp(17), 2: math.exp(19), 3: math.exp(24)})
    shares = statistics.effects(grid(), "validation.loss").set_index(["setting", "value"])["explained"]
    pd.testing.assert_series_equal(found["explained"], shares)


def test_a_diverged_run_is_counted_and_not_in_the_mean():
    runs = grid()
    runs.loc[0, "state"] = "diverged"
    row = statistics.effects(runs, "validation.loss").set_index(["setting", "value"]).loc[("model.a", 1)]
    assert (row["n"], row["diverged"], row["mean"]) == (3, 1, pytest.approx((16 + 18 + 18) / 3))


def test_published_runs_and_ours_have_separate_effects():
    both = pd.concat([grid(), grid().assign(source="published")], ignore_index=True)
    found = statistics.effects(both, "validation.loss")
    assert found.groupby("source")["n"].sum().to_dict() == {"ours": 24, "published": 24}


def test_nothing_is_explained_if_no_value_was_run_twice():
    runs = frame([{"model.a": i, "validation.loss": 1.0 + i} for i in range(4)])
    assert statistics.effects(runs, "validation.loss")["explained"].isna().all()
