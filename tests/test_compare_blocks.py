"""What makes the blocks of a comparison, and that verdicts over them keep their error rates."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lstm_ae.compare import load
from lstm_ae.compare.blocks import blocks_of
from lstm_ae.compare.ranking import rank
from lstm_ae.compare.table import groups
from lstm_ae.run_dir import RunDir
from lstm_ae.statistics import fold_overlap, walk_forward_overlap
from tests.run_dirs import write

METRIC = "validation.loss"
DRAWN = {"split.validation": 0.25, "split._target_": "lstm_ae.splits.Holdout"}


def runs(rows, higher="", proportions="", **more):
    """A frame as `load` gives it, of finished runs."""
    fixed = {"state": "finished", "source": "ours", "error": None, "higher_is_better": higher}
    frame = pd.DataFrame(rows).assign(**fixed, proportions=proportions, **more)
    return frame.assign(run=[str(i) for i in range(len(frame))])


def scored(scores, metric=METRIC, block="seed", **more):
    """Runs of groups (rows) in blocks (columns)."""
    rows = [{"model.a": a, block: b, metric: value} for (a, b), value in np.ndenumerate(np.asarray(scores, float))]
    return runs(rows, **more)


def words(frame, metric=METRIC):
    table = rank(frame, metric).table
    return dict(zip(table["model.a"], table["verdict"], strict=True))


def blocks(frame, *repeats, metric=METRIC):
    return blocks_of(frame, metric, groups(frame, ["model.a"]), repeats)


def test_seeds_on_one_split_are_blocks_that_share_nothing():
    found = blocks(scored(np.ones((2, 3)), **DRAWN, **{"split.random_state": 0}), "seed")
    assert (found.unit, found.labels.nunique(), found.overlap) == ("seeds", 3, 0)
    assert "All have the same split: a verdict holds for this split only." in found.note


def test_seeds_that_draw_their_holdout_share_training_data():
    frame = scored(np.ones((2, 3)), **DRAWN)
    frame["split.random_state"] = frame["seed"]
    assert blocks(frame, "seed").overlap == pytest.approx(1 / 3)
    assert "n_validation / n_train = 0.3333" in blocks(frame, "seed").note
    sizes = {"subsets.train.sequences": 800, "subsets.validation.sequences": 200}
    assert blocks(frame.assign(**sizes), "seed").overlap == 0.25  # what the runs record comes first


def test_what_the_runs_record_of_their_sequences_says_whether_the_split_was_drawn_again():
    frame = scored(np.ones((2, 3)), **DRAWN)
    frame["split.random_state"] = frame["seed"]
    same = frame.assign(**{"subsets.train.digest": "a", "subsets.validation.digest": "b"})  # a split by time
    assert blocks(same, "seed").overlap == 0
    drawn = same.assign(**{"subsets.validation.digest": frame["seed"].astype(str)})
    assert blocks(drawn.drop(columns="split.random_state"), "seed").overlap == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("target", "overlap"),
    [("sklearn.model_selection.KFold", fold_overlap(5)), ("lstm_ae.splits.WalkForward", walk_forward_overlap(5))],
)
def test_folds_share_training_data(target, overlap):
    frame = scored(np.ones((2, 5)), block="fold", **{"split.n_splits": 5, "split._target_": target})
    assert blocks(frame, "fold").overlap == overlap
    assert (blocks(frame, "fold").unit, blocks(frame, "fold").due) == ("folds", 5)
    assert blocks(frame.drop(columns="split.n_splits"), "fold").due == 0


def folds_of_seeds(**more):
    rows = [
        {"model.a": a, "seed": s, "fold": f, METRIC: a + s + f}
        for a, s, f in itertools.product((0, 1), range(2), range(3))
    ]
    return runs(rows, **{"split.n_splits": 3, "split._target_": "sklearn.model_selection.KFold"}, **more)


def test_several_seeds_of_the_same_folds_are_averaged():
    found = blocks(folds_of_seeds(), "seed", "fold")
    assert (found.unit, found.labels.nunique(), found.overlap) == ("folds", 3, 0.5)
    assert "Blocks are folds, each averaged over its seeds." in found.note
    assert list(rank(folds_of_seeds(), METRIC).table["n"]) == [3, 3]


def test_where_each_seed_draws_its_own_folds_every_fold_of_every_seed_is_a_block():
    frame = folds_of_seeds()
    frame["split.random_state"] = frame["seed"]
    found = blocks(frame, "seed", "fold")
    assert (found.unit, found.labels.nunique(), found.overlap) == ("folds of seeds", 6, 0.5)


def test_a_share_of_sequences_has_a_resolution_and_a_loss_has_none():
    frame = scored(
        np.ones((2, 3)), "validation.accuracy", proportions="accuracy", **{"subsets.validation.sequences": 200}
    )
    assert blocks(frame, "seed", metric="validation.accuracy").resolution == 1 / 200
    assert blocks(frame, "seed", metric="validation.loss").resolution is None
    assert (
        blocks(frame.drop(columns="subsets.validation.sequences"), "seed", metric="validation.accuracy").resolution
        is None
    )
    twice = pd.concat([frame, frame], ignore_index=True)
    assert blocks(twice, "seed", metric="validation.accuracy").resolution == pytest.approx(1 / 200 / np.sqrt(2))


def test_the_facts_are_read_from_the_run_directories(tmp_path):
    for seed in range(3):
        run = RunDir(write(tmp_path / str(seed), 0.1, seed=seed))
        subsets = {"train": {"sequences": 60, "digest": "x"}, "validation": {"sequences": 20, "digest": str(seed)}}
        metrics = {"accuracy": {"unit": "share", "higher_is_better": True, "proportion": True}}
        run.write_json("metrics.json", {"subsets": subsets, "metrics": metrics, "validation": {"accuracy": seed / 20}})
    found = blocks_of(load(tmp_path), "validation.accuracy", pd.Series(0, range(3)), ["seed"])
    assert (found.overlap, found.resolution) == (pytest.approx(1 / 3), 1 / 20)


# Findings about verdicts, each with what was called `worse` before


def test_two_seeds_of_accuracies_that_differ_by_the_same_are_no_verdict():
    pair = scored([[0.97, 0.95], [0.96, 0.94]], "validation.accuracy", higher="accuracy")
    assert set(words(pair, "validation.accuracy").values()) == {"too few blocks"}
    assert "2 blocks (seeds or folds) are too few for a test: 1 more is needed" in " ".join(
        rank(pair, "validation.accuracy").notes
    )
    three = scored([[0.97, 0.95, 0.93], [0.96, 0.94, 0.92]], "validation.accuracy", higher="accuracy")
    sizes = {"proportions": "accuracy", "subsets.validation.sequences": 100}
    for frame in (three, three.assign(**sizes)):
        assert words(frame, "validation.accuracy") == {0: "best", 1: "not told apart"}


def rate(trials, draw):
    """The number of trials in which some group is called worse."""
    return sum("worse" in words(*draw()).values() for _ in range(trials))


@pytest.mark.parametrize(("groups", "seeds", "sequences"), [(20, 3, 100), (5, 5, 360)])
def test_equal_accuracies_are_rarely_called_worse(groups, seeds, sequences):
    rng, trials = np.random.default_rng(0), 20
    more = {"higher": "accuracy", "proportions": "accuracy", "subsets.validation.sequences": sequences}

    def draw():
        scores = rng.binomial(sequences, 0.95, size=(groups, seeds)) / sequences
        return scored(scores, "validation.accuracy", **more), "validation.accuracy"

    assert rate(trials, draw) <= stats.binom.ppf(0.999, trials, 0.06)


def test_redrawn_holdouts_are_tested_with_their_overlap():
    """Noise of the training data that all seeds share: without the correction 0.45 of tables had a false verdict."""
    rng, trials = np.random.default_rng(1), 20

    def draw():
        frame = scored(rng.normal(size=(2, 20)) + np.sqrt(1 / 3) * rng.normal(size=(2, 1)), **DRAWN)
        return (frame.assign(**{"split.random_state": frame["seed"]}),)

    assert rate(trials, draw) <= stats.binom.ppf(0.999, trials, 0.06)
    trials_without = rate(trials, lambda: (draw()[0].drop(columns="split.random_state"),))
    assert trials_without > stats.binom.ppf(0.999, trials, 0.06)  # the same scores on one split


def test_worse_groups_of_a_grid_are_found_and_the_notes_say_what_could_be():
    rng, found = np.random.default_rng(2), []
    for _ in range(12):
        scores = rng.normal(size=(5, 3)) + np.array([[0], [3], [3], [3], [3]]) + 3 * rng.normal(size=3)
        found += [word == "worse" for word in words(scored(scores)).values()]
    assert np.mean(found) * 5 / 4 > 0.5  # 0.07 before
    notes = " ".join(rank(scored(scores), METRIC).notes)
    assert "If the noise is as in these 3 seeds, a difference of " in notes
    assert "is found with a probability of at least 0.8" in notes


def test_errors_that_span_decades_are_compared_by_their_logarithms_and_accuracies_are_not():
    rng = np.random.default_rng(3)
    errors = np.array([[1e-4], [2e-3], [3e-2], [3e-2]]) * np.exp(0.3 * rng.normal(size=(4, 5)))
    assert list(words(scored(errors)).values()) == ["best", "worse", "worse", "worse"]
    said = " ".join(rank(scored(errors), METRIC).notes)
    assert "each complete row against the best, by geometric means, as errors span more than a factor of ten; " in said
    assert "seeds, a factor of " in said
    assert "by geometric means" not in " ".join(rank(scored(errors, higher="loss"), METRIC).notes)
    even = np.repeat([1.0, 2.0, 20.0, 20.0], 5).reshape(4, 5) + 0.1 * rng.normal(size=(4, 5))
    assert "by geometric means" not in " ".join(rank(scored(even), METRIC).notes)
    accuracies = scored(1 - errors / errors.max(), "validation.accuracy", higher="accuracy", proportions="accuracy",
                        **{"subsets.validation.sequences": 100})  # fmt: skip
    accuracies["validation.accuracy"] += 0.001
    said = " ".join(rank(accuracies, "validation.accuracy").notes)
    assert "each complete row against the best; " in said
    assert "seeds, a difference of " in said


def test_a_row_that_is_much_noisier_is_named_and_hides_no_differences_of_others():
    scores = np.random.default_rng(4).normal(size=(5, 5)) + np.array([[0], [0], [9], [9], [9]])
    assert "Much noisier" not in " ".join(rank(scored(scores), METRIC).notes)
    scores[4] = 20 + 40 * (scores[4] - scores[4].mean())
    said = " ".join(rank(scored(scores), METRIC).notes)
    assert "Much noisier than the others, tested by their own differences, and found less often: a=4." in said
    assert list(words(scored(scores)).values()) == ["best", "not told apart", "worse", "worse", "not told apart"]


def test_the_notes_name_rows_that_may_hide_differences_and_say_how_much_outliers_cost():
    scores = np.random.default_rng(5).normal(size=(5, 5)) + np.array([[0], [0], [9], [9], [20]])
    scores[4, 1] += 8  # one bad seed
    frame = scored(scores, **DRAWN)
    frame["split.random_state"] = frame["seed"]
    said = " ".join(rank(frame, METRIC).notes)
    assert "Noisier, so that small differences of others may go unseen: a=4. Leave them out with --where" in said
    assert float(said.partition("which makes the test's errors ")[2].split()[0]) > 1.2
    calm = rank(frame[frame["model.a"] < 4], METRIC).notes
    assert "Noisier" not in " ".join(calm)
    assert "outliers" not in " ".join(calm)


def test_folds_of_companies_on_the_same_days_make_no_blocks():
    """Two forecasts of one market: what differs is the market's luck, the same in every fold."""
    scores = np.array([[1.0, 1.1, 0.9, 1.2, 1.0], [1.3, 1.42, 1.18, 1.5, 1.31]])
    more = {"split._target_": "sklearn.model_selection.GroupKFold", "split.n_splits": 5}
    over_time = scored(scores, block="fold", **more, **{"dataset.window": 30})
    assert words(over_time) == {0: "too few blocks", 1: "too few blocks"}
    assert "they are averaged, and a verdict holds for these times only" in " ".join(rank(over_time, METRIC).notes)
    assert words(scored(scores, block="fold", **more))[1] == "worse"  # patients, say: nothing is shared


def test_an_incomplete_combination_is_never_best_and_comes_after_complete_ones():
    scores = np.array([[0.1, 0.2, np.nan], [1.0, 1.1, 1.2], [2.0, 2.1, 2.3]])
    table = rank(scored(scores, block="fold", **{"split.n_splits": 3}), METRIC).table
    assert list(zip(table["model.a"], table["verdict"], table["n"], strict=True)) == [
        (1, "best", 3), (2, "worse", 3), (0, "incomplete", "2/3 folds"),
    ]  # fmt: skip
