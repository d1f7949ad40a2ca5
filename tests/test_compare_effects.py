"""The sentences agree with the statistical tests."""

import pytest
from scipy import stats

from lstm_ae.compare import load
from lstm_ae.compare.conclusions import conclusions
from lstm_ae.compare.statistics import settings_without_effect
from tests.run_dirs import write

METRIC = "validation.loss"
NOISE = {0: 0.0, 1: 0.02, 2: -0.01}


@pytest.fixture
def grid(tmp_path):
    """A function that writes a grid of lr, clip and three seeds, in which clip has no effect."""

    def make(score, state=lambda lr: "finished"):
        for lr in (0.1, 0.01, 0.001):
            for clip in (1, 5):
                for seed, noise in NOISE.items():
                    write(tmp_path / f"{lr}_{clip}_{seed}", score(lr, seed) + noise, state(lr), seed=seed,
                          optimizer__lr=lr, trainer__clip=clip)  # fmt: skip
        return load(tmp_path)

    return make


SCORES = {0.1: (1.0, 1.0, 1.0), 0.01: (1.02, 0.98, 1.01), 0.001: (2.0, 2.1, 2.05)}


def test_the_best_value_is_better_or_does_not_differ_significantly(grid):
    heading, lr, clip = conclusions(grid(lambda lr, seed: SCORES[lr][seed]), METRIC)
    assert heading == "ours: 18 runs; 3 seeds."
    assert lr.startswith("  optimizer.lr explains 99")
    p = stats.ttest_1samp([1.0, 1.1, 1.05], 0).pvalue
    assert "0.1 and 0.01 do not differ significantly (p = 1, 3 pairs)" in lr
    assert f"0.1 is better than 0.001 (p = {3 * p:.2g}, 3 pairs)" in lr
    assert "explains 0 % of the variation; no value is better (mean 1" in clip
    assert "1 and 5 do not differ (identical in 9 pairs over 3 seeds)" in clip


def test_copies_that_differ_only_in_a_setting_without_effect_count_once(grid):
    frame = grid(lambda lr, seed: SCORES[lr][seed])
    assert settings_without_effect(frame, METRIC) == ["trainer.clip"]
    assert "6 pairs" not in "".join(conclusions(frame, METRIC))
    frame.loc[0, METRIC] += 1e-9
    assert settings_without_effect(frame, METRIC) == ["trainer.clip"]


def test_pairs_that_share_a_seed_are_averaged(tmp_path):
    for seed, gap in enumerate((0.2, 0.3, -0.1)):
        for size in range(1, 9):
            for a in (0, 1):
                loss = 1 + size / 10 + a * (gap + size / 1000)
                write(tmp_path / f"{seed}{size}{a}", loss, seed=seed, model__size=size, model__a=a)
    gaps = [gap + 0.0045 for gap in (0.2, 0.3, -0.1)]
    sentence = next(line for line in conclusions(load(tmp_path), METRIC) if "model.a" in line)
    assert f"(p = {stats.ttest_1samp(gaps, 0).pvalue:.2g}, 24 pairs over 3 seeds)" in sentence
    assert "do not differ significantly" in sentence


def test_a_best_value_with_diverged_runs_shows_their_number(tmp_path):
    for seed in range(3):
        write(tmp_path / f"a{seed}", 0.1 + seed / 100, "diverged" if seed else "finished", seed=seed, optimizer__lr=0.5)
        write(tmp_path / f"b{seed}", 0.2 + seed / 100, seed=seed, optimizer__lr=0.1)
    assert (
        "best at 0.5, over the runs that did not diverge (2 did) (mean 0.1)" in conclusions(load(tmp_path), METRIC)[1]
    )


def test_unbalanced_means_give_a_warning(tmp_path):
    for seed in range(3):
        for number, (lr, size, loss) in enumerate([(0.1, 8, 1.0), (0.1, 9, 5.0), (0.2, 8, 2.0)]):
            write(tmp_path / f"{number}{seed}", loss + seed / 10, seed=seed, optimizer__lr=lr, model__size=size)
    sentence = next(line for line in conclusions(load(tmp_path), METRIC) if "optimizer.lr" in line)
    assert "best at 0.2" in sentence
    assert "0.1 is better than 0.2" in sentence
    assert "unbalanced: means may not be comparable" in sentence


def test_values_beyond_the_first_few_are_counted(tmp_path):
    for value in range(9):
        for seed in range(2):
            write(tmp_path / f"{value}{seed}", 1.0 + value + seed / 10, seed=seed, model__a=value)
    assert conclusions(load(tmp_path), METRIC)[1].endswith("2 other values with a worse mean.")


def test_diverged_runs_are_counted_by_value(grid):
    lines = conclusions(grid(lambda lr, seed: 1.0, lambda lr: "diverged" if lr == 0.1 else "finished"), METRIC)
    assert lines[0] == "ours: 18 runs; 3 seeds; 6 diverged, excluded from means and pairs."
    assert lines[1].endswith("diverged: 6 at 0.1.")


def test_settings_that_only_change_together_are_not_compared(tmp_path):
    for job in range(4):
        write(tmp_path / str(job), 1.0 + job, model__a=job // 2, model__b=job // 2, seed=job % 2)
    assert "0 and 1 were never run with all other settings equal" in conclusions(load(tmp_path), METRIC)[1]


def test_the_effect_of_a_setting_without_repeated_values_cannot_be_estimated(tmp_path):
    for job in range(3):
        write(tmp_path / str(job), 1.0 + job, optimizer__lr=0.1 / (job + 1))
    assert "optimizer.lr: no value was run twice" in conclusions(load(tmp_path), METRIC)[1]


def test_a_log_scale_is_stated(grid):
    assert "; log scale, as scores span" in conclusions(grid(lambda lr, seed: 1 / lr), METRIC)[0]


def test_settings_with_only_diverged_or_equal_scores_have_no_effect(grid):
    assert (
        "optimizer.lr: every run diverged." in conclusions(grid(lambda lr, seed: 1.0, lambda lr: "diverged"), METRIC)[1]
    )
    frame = grid(lambda lr, seed: 1.0).assign(**{METRIC: 2.0})
    assert "optimizer.lr: every run has the same score." in conclusions(frame, METRIC)[1]


def test_values_of_mixed_kinds_have_effects(tmp_path):
    for job, value in enumerate([None, 1, 0.5, "auto", False] * 2):
        write(tmp_path / str(job), 1.0 + job, model__a=value, seed=job // 5)
    sentence = conclusions(load(tmp_path), METRIC)[1]
    assert "best at null" in sentence
    assert "null is better than auto" in sentence
