"""The sentences say what the tests found, and no more."""

import pytest
from scipy import stats

from lstm_ae.compare import load
from lstm_ae.compare.conclusions import conclusions
from lstm_ae.compare.statistics import inert
from tests.run_dirs import write

METRIC = "validation.loss"
NOISE = {0: 0.0, 1: 0.02, 2: -0.01}


@pytest.fixture
def grid(tmp_path):
    """A writer of a grid of lr, clip and three seeds, of which clip changes nothing."""

    def make(score, state=lambda lr: "finished"):
        for lr in (0.1, 0.01, 0.001):
            for clip in (1, 5):
                for seed, noise in NOISE.items():
                    write(tmp_path / f"{lr}_{clip}_{seed}", score(lr, seed) + noise, state(lr), seed=seed,
                          optimizer__lr=lr, trainer__clip=clip)  # fmt: skip
        return load(tmp_path)

    return make


SCORES = {0.1: (1.0, 1.0, 1.0), 0.01: (1.02, 0.98, 1.01), 0.001: (2.0, 2.1, 2.05)}


def test_the_best_value_is_better_or_cannot_be_told_apart(grid):
    heading, lr, clip = conclusions(grid(lambda lr, seed: SCORES[lr][seed]), METRIC)
    assert heading == "ours: 18 runs; 3 seeds."
    assert lr.startswith("  optimizer.lr explains 99")
    p = stats.ttest_1samp([1.0, 1.1, 1.05], 0).pvalue
    assert "0.1 and 0.01 cannot be told apart (p = 1, 3 pairs)" in lr
    assert f"0.1 is better than 0.001 (p = {3 * p:.2g}, 3 pairs)" in lr
    assert "explains 0 % of the variation; no value is better (mean 1" in clip
    assert "1 and 5 cannot be told apart (identical in 9 pairs over 3 seeds)" in clip


def test_copies_along_a_setting_that_changes_nothing_are_no_evidence(grid):
    frame = grid(lambda lr, seed: SCORES[lr][seed])
    assert inert(frame, METRIC) == ["trainer.clip"]
    assert "6 pairs" not in "".join(conclusions(frame, METRIC))
    frame.loc[0, METRIC] += 1e-9
    assert inert(frame, METRIC) == ["trainer.clip"]


def test_pairs_that_share_a_seed_are_no_independent_evidence(tmp_path):
    for seed, gap in enumerate((0.2, 0.3, -0.1)):
        for size in range(1, 9):
            for a in (0, 1):
                loss = 1 + size / 10 + a * (gap + size / 1000)
                write(tmp_path / f"{seed}{size}{a}", loss, seed=seed, model__size=size, model__a=a)
    gaps = [gap + 0.0045 for gap in (0.2, 0.3, -0.1)]
    said = next(line for line in conclusions(load(tmp_path), METRIC) if "model.a" in line)
    assert f"(p = {stats.ttest_1samp(gaps, 0).pvalue:.2g}, 24 pairs over 3 seeds)" in said
    assert "cannot be told apart" in said


def test_a_best_value_at_which_runs_diverged_is_said_to_be_of_those_that_did_not(tmp_path):
    for seed in range(3):
        write(tmp_path / f"a{seed}", 0.1 + seed / 100, "diverged" if seed else "finished", seed=seed, optimizer__lr=0.5)
        write(tmp_path / f"b{seed}", 0.2 + seed / 100, seed=seed, optimizer__lr=0.1)
    assert "best at 0.5, of the runs that did not diverge (2 did) (mean 0.1)" in conclusions(load(tmp_path), METRIC)[1]


def test_means_over_other_settings_that_are_not_the_same_are_said_to_be_so(tmp_path):
    for seed in range(3):
        for number, (lr, size, loss) in enumerate([(0.1, 8, 1.0), (0.1, 9, 5.0), (0.2, 8, 2.0)]):
            write(tmp_path / f"{number}{seed}", loss + seed / 10, seed=seed, optimizer__lr=lr, model__size=size)
    said = next(line for line in conclusions(load(tmp_path), METRIC) if "optimizer.lr" in line)
    assert "best at 0.2" in said
    assert "0.1 is better than 0.2" in said
    assert "not every value has a score with all the same other settings, so that means may mislead" in said


def test_values_beyond_the_first_few_are_counted(tmp_path):
    for value in range(9):
        for seed in range(2):
            write(tmp_path / f"{value}{seed}", 1.0 + value + seed / 10, seed=seed, model__a=value)
    assert conclusions(load(tmp_path), METRIC)[1].endswith("2 other values with a mean further off.")


def test_diverged_runs_are_said_by_value(grid):
    lines = conclusions(grid(lambda lr, seed: 1.0, lambda lr: "diverged" if lr == 0.1 else "finished"), METRIC)
    assert lines[0] == "ours: 18 runs; 3 seeds; 6 that diverged are in no mean and no pair."
    assert lines[1].endswith("diverged: 6 at 0.1.")


def test_settings_that_only_change_together_are_not_compared(tmp_path):
    for job in range(4):
        write(tmp_path / str(job), 1.0 + job, model__a=job // 2, model__b=job // 2, seed=job % 2)
    assert "0 and 1 were never run with all else equal" in conclusions(load(tmp_path), METRIC)[1]


def test_a_setting_of_which_no_value_was_tried_twice_has_no_effect_to_speak_of(tmp_path):
    for job in range(3):
        write(tmp_path / str(job), 1.0 + job, optimizer__lr=0.1 / (job + 1))
    assert "optimizer.lr: no value was tried twice" in conclusions(load(tmp_path), METRIC)[1]


def test_a_log_scale_is_said(grid):
    assert "all is on a log scale" in conclusions(grid(lambda lr, seed: 1 / lr), METRIC)[0]


def test_where_every_run_diverged_or_scored_the_same_that_is_said(grid):
    assert (
        "optimizer.lr: every run diverged." in conclusions(grid(lambda lr, seed: 1.0, lambda lr: "diverged"), METRIC)[1]
    )
    frame = grid(lambda lr, seed: 1.0).assign(**{METRIC: 2.0})
    assert "optimizer.lr: every run has the same score." in conclusions(frame, METRIC)[1]


def test_values_of_mixed_kinds_have_effects(tmp_path):
    for job, value in enumerate([None, 1, 0.5, "auto", False] * 2):
        write(tmp_path / str(job), 1.0 + job, model__a=value, seed=job // 5)
    said = conclusions(load(tmp_path), METRIC)[1]
    assert "best at null" in said
    assert "null is better than auto" in said
