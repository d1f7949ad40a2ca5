"""The ranking: settings that differ, in order, with the outcome of each run."""

import math

import pandas as pd
import pytest

from lstm_ae.compare import load, table
from lstm_ae.compare.ranking import rank
from lstm_ae.compare.reference import REFERENCE
from lstm_ae.run_dir import RunDir
from tests.run_dirs import METRICS, write, write_run

METRIC = "validation.loss"


def ranked(*paths, by=None, metric=METRIC):
    """The columns that are shown."""
    found = rank(load(*paths), metric, by)
    return found.table[found.columns]


def notes(path):
    return " ".join(rank(load(path), METRIC).notes)


def test_our_toy_runs_and_the_published_ones_are_ranked_in_one_table():
    shown = ranked(REFERENCE / "ours" / "origin_toy", *(REFERENCE / "published").glob("toy_*"))
    assert list(shown.columns[:5]) == [
        "source", "model.hidden_size", "optimizer.lr", "trainer.gradient_clipping", METRIC,
    ]  # fmt: skip
    assert len(shown) == 36
    assert shown[METRIC].is_monotonic_increasing
    assert dict(shown["source"].value_counts()) == {"ours": 18, "published": 18}


def test_runs_of_other_datasets_are_listed_last_and_add_no_columns():
    toy_only = ranked(REFERENCE / "ours" / "origin_toy", *(REFERENCE / "published").glob("toy_*"))
    shown = ranked(REFERENCE / "ours" / "origin_toy", REFERENCE / "published")
    assert set(shown.columns) - set(toy_only.columns) == {"reason"}
    assert set(shown["reason"][36:]) == {"no validation.loss"}
    assert len(shown) == 42


def test_means_are_over_the_seeds_and_missing_ones_are_counted(tmp_path):
    for seed, (a, b) in enumerate([(1, 3), (2, 3), (3, 6)]):
        write(tmp_path / f"a{seed}", a, seed=seed, model__size=8, split__random_state=seed)
        write(tmp_path / f"b{seed}", b, "failed" if seed == 2 else "finished", seed=seed, model__size=9,
              split__random_state=seed)  # fmt: skip
    shown = ranked(tmp_path)
    assert list(shown["model.size"]) == [8, 9]
    assert list(shown[METRIC]) == [2, 3]
    assert list(shown["n"]) == [3, "2/3 seeds"]
    assert list(shown["state"]) == ["finished", "2 finished, 1 failed"]
    assert shown["reason"][1] == "why it failed"
    assert shown["run"][0] == f"{tmp_path}/{{a0,a1,a2}}"
    ungrouped = ranked(tmp_path, by="none")
    assert list(ungrouped.columns[:3]) == ["seed", "model.size", METRIC]
    assert len(ungrouped) == 6


def test_a_fold_that_was_never_started_is_counted_as_missing(tmp_path):
    for fold in (0, 1, 3):
        write(tmp_path / str(fold), 1.0, fold=fold, split__n_splits=5)
    assert list(ranked(tmp_path)["n"]) == ["3/5 folds"]


def test_without_common_seeds_no_combination_is_best(tmp_path):
    for seed in range(5):
        write(tmp_path / f"a{seed}", 1.0 + seed, seed=seed, model__size=8)
    for seed in (8, 9):
        write(tmp_path / f"b{seed}", 9.0, seed=seed, model__size=9)
    assert list(ranked(tmp_path)["n"]) == ["5/7 seeds", "2/7 seeds"]
    assert list(ranked(tmp_path)["verdict"]) == ["incomplete", "incomplete"]
    assert "fewer than two groups have a score in every block" in notes(tmp_path)


def test_extra_seeds_of_one_combination_make_no_other_incomplete(tmp_path):
    for size, seeds in ((7, 6), (8, 3), (9, 3)):
        for seed in range(seeds):
            write(tmp_path / f"{size}{seed}", size + 0.1 * seed**size % 1 + 9 * (seed > 2), seed=seed, model__size=size)
    shown = ranked(tmp_path)
    assert list(shown["n"]) == [3, 3, 3]
    assert list(shown["verdict"]) == ["best", "worse", "worse"]  # the mean is over the seeds that all have


def test_failed_running_and_diverged_runs_are_rows_with_their_reason(tmp_path):
    write(tmp_path / "0", 0.5, model__size=1)
    write(tmp_path / "1", 0.1, "diverged", model__size=2)
    write(tmp_path / "2", None, "failed", model__size=3)
    write(tmp_path / "3", None, "running", model__size=4)
    shown = ranked(tmp_path)
    assert list(shown["model.size"]) == [1, 2, 3, 4]
    assert list(shown[METRIC][:2]) == [0.5, math.inf]
    assert list(shown["state"]) == ["finished", "diverged", "failed", "running"]
    assert list(shown["reason"]) == ["", "why it diverged", "why it failed", "why it running"]


def test_a_metric_that_copies_another_or_is_constant_gets_no_column(tmp_path):
    for job in range(2):
        write(tmp_path / str(job), 0.1 + job, model__size=job)
        part = {"loss": 0.1 + job, "reconstruction_mse": 0.1 + job}
        RunDir(tmp_path / str(job)).write_json(
            "metrics.json", {"validation": part, "parameters": 7, "seconds": 1 + job}
        )
    assert list(ranked(tmp_path).columns) == ["model.size", METRIC, "seconds", "run"]
    every = rank(load(tmp_path), METRIC).table.columns
    assert {"seed", "validation.reconstruction_mse", "parameters"} <= set(every)


def test_a_setting_that_only_some_runs_record_differs_if_these_disagree(tmp_path):
    write(tmp_path / "0", 0.1, trainer__patience=None, model__size=8)
    write(tmp_path / "1", 0.2, trainer__patience=None, optimizer__lr=0.1, model__size=8)
    write(tmp_path / "2", 0.3, model__size=9)
    assert table.settings(load(tmp_path)) == ["model.size"]
    write(tmp_path / "3", 0.3, trainer__patience=3)
    assert table.settings(load(tmp_path)) == ["trainer.patience", "model.size"]


def test_a_ranking_of_several_datasets_gives_a_warning(tmp_path):
    write(tmp_path / "0", 0.1, dataset___target_="a.toy")
    write(tmp_path / "1", 0.1, dataset___target_="a.mnist")
    assert "Runs differ in dataset._target_" in notes(tmp_path)


def test_evaluate_test_does_not_separate_groups(tmp_path):
    for job in range(4):
        write(tmp_path / str(job), 1.0 + job, seed=job % 2, model__a=job // 2, evaluate_test=job == 0)
    assert list(ranked(tmp_path)["n"]) == [2, 2]


def test_a_ranking_of_several_splits_gives_a_warning(tmp_path):
    write(tmp_path / "0", 0.1, split___target_="a.Whole", fold=None)
    write(tmp_path / "1", 0.1, split___target_="a.KFold", fold=0)
    assert "Runs differ in split._target_" in notes(tmp_path)


def test_pairs_share_the_settings_that_a_row_averages_over(tmp_path):
    for fold in (0, 1):
        for seed in range(4):
            write(tmp_path / f"{fold}{seed}", 1.0 + fold + 0.1 * seed**fold, fold=fold, seed=seed)
    assert list(ranked(tmp_path, by="seed")["verdict"]) == ["best", "worse"]
    assert list(ranked(tmp_path, by="seed")["fold"]) == [0, 1]


def test_a_higher_accuracy_is_better(tmp_path):
    for size in (8, 9):
        for seed in range(3):
            run = RunDir(write(tmp_path / f"{size}{seed}", 0.1, seed=seed, model__size=size))
            run.write_json(
                "metrics.json", {"metrics": METRICS, "validation": {"accuracy": size / 10 + seed / 100 * (size - 8)}}
            )
    shown = ranked(tmp_path, metric="validation.accuracy")
    assert list(zip(shown["model.size"], shown["verdict"], strict=True)) == [(9, "best"), (8, "worse")]


def test_published_runs_and_ours_each_have_a_best(tmp_path):
    for size in (8, 9):
        for seed in range(3):
            write(tmp_path / f"{size}{seed}", size + seed / 10 * (size - 8), seed=seed, model__size=size)
        run = RunDir(write(tmp_path / f"p{size}", size - 5.0, model__size=size))
        run.write_json("config.json", {"model": {"size": size}})
        run.write_json("status.json", {"state": "finished", "published": True})
    assert list(ranked(tmp_path)["verdict"]) == ["too few blocks", "too few blocks", "best of ours", "worse"]
    assert list(ranked(tmp_path)["n"]) == [1, 1, 3, 3]


def test_a_source_with_only_failed_runs_has_no_best(tmp_path):
    for seed in range(3):
        write(tmp_path / f"a{seed}", 1.0, seed=seed)
        RunDir(write(tmp_path / f"p{seed}", None, seed=seed)).write_json(
            "status.json", {"state": "failed", "published": True, "error": "why"}
        )
    assert list(ranked(tmp_path)["verdict"]) == ["best of ours", "incomplete"]


def test_choosing_by_a_test_metric_is_warned_of(tmp_path):
    for job in range(2):
        write(tmp_path / str(job), 0.1 + job, model__size=job)
    warning = "Choosing by the test part uses it up"
    assert warning in " ".join(rank(load(tmp_path), "test.loss").notes)
    assert warning not in notes(tmp_path)


def test_a_setting_of_the_task_is_said_to_change_the_loss(tmp_path):
    for job in range(2):
        write_run(tmp_path / str(job), 0.1 + job, task={"reconstruction_dominance": 0.1 + job})
    warning = (
        "task.reconstruction_dominance may change what the loss is. "
        "Rank by a metric that stays the same, such as validation.accuracy."
    )
    assert warning in rank(load(tmp_path), METRIC).notes
    assert warning not in rank(load(tmp_path), "validation.accuracy").notes


def test_a_ranking_of_no_runs_is_refused():
    with pytest.raises(ValueError, match="`frame` must have a run, got none"):
        rank(pd.DataFrame(), METRIC)


def test_runs_of_one_row_in_several_folders_are_listed_by_folder(tmp_path):
    for folder, seeds in (("first", (0, 1)), ("second", (2,))):
        for seed in seeds:
            write_run(tmp_path / folder / str(seed), 0.1 + seed, seed=seed)
    run = rank(load(tmp_path), METRIC).table["run"].item()
    assert run == f"{tmp_path}/first/{{0,1}} {tmp_path}/second/2"
