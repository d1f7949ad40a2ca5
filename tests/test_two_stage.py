"""Two-stage KFold: the same survivors and winner as a plain loop, also after interruptions."""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

from hydra_plugins.lstm_ae_sweeper import _results as results
from hydra_plugins.lstm_ae_sweeper import _stages as stages
from hydra_plugins.lstm_ae_sweeper._job import Job
from lstm_ae.experiment.overrides import parse
from lstm_ae.run_dir import RunDir
from lstm_ae.statistics import mean_interval
from tests.conftest import ROOT, SMALL, write_mnist
from tests.run_dirs import METRICS

GRID = {"model.hidden_size": ("3", "6"), "optimizer.lr": ("0.1", "0.01", "0.0001")}


def combinations(*means, stage="stage_one"):
    return [
        stages.Combination(number, parse(f"a={number}"), [()], {stage: {f"{number}_0": mean}})
        for number, mean in enumerate(means)
    ]


def numbers(found):
    return [each.number for each in found]


class TestSurvivors:
    def test_a_count_keeps_the_best(self):
        assert numbers(stages.survivors(combinations(0.3, 0.1, 0.2), keep=2, higher=False)) == [1, 2]
        assert numbers(stages.survivors(combinations(0.3, 0.1, 0.2), keep=2, higher=True)) == [0, 2]

    def test_a_share_is_of_all_and_rounded_up(self):
        assert numbers(stages.survivors(combinations(0.3, 0.1, 0.2), keep=0.5, higher=False)) == [1, 2]

    def test_diverged_and_failed_combinations_are_dropped_with_the_reason(self):
        given = combinations(math.inf, 0.1, None)
        assert numbers(stages.survivors(given, keep=3, higher=False)) == [1]
        assert [each.dropped for each in given] == ["diverged: 0_0", None, "failed: 2_0"]
        assert stages.survivors(combinations(math.inf, None), keep=1, higher=False) == []

    def test_one_standard_error_keeps_all_within_that_of_the_best(self):
        given = combinations(0.0, 0.0, 0.0)
        for each, scores in zip(given, ((0.1, 0.3), (0.29, 0.31), (0.31, 0.31)), strict=True):
            each.scores["stage_one"] = {"a": scores[0], "b": scores[1]}
        error = statistics.stdev([0.1, 0.3]) / math.sqrt(2)  # 0.1
        assert error == pytest.approx(0.1)
        assert numbers(stages.survivors(given, keep="one_standard_error", higher=False)) == [0, 1]
        assert given[2].dropped == "more than one standard error (0.1) from the best (0.2): rank 3 of 3 in stage one"

    @pytest.mark.parametrize("keep", [0, -1, 1.0, True, "best"])
    def test_an_invalid_rule_is_refused(self, keep):
        with pytest.raises(ValueError, match=r"keep` must be a count, a share below 1, or one_standard_error, got"):
            stages.check_keep(keep, jobs=5)

    def test_one_fold_has_no_standard_error(self):
        with pytest.raises(ValueError, match=r"needs at least two jobs per combination in stage one, got 1\. Use "):
            stages.check_keep("one_standard_error", jobs=1)


def test_the_winner_is_the_best_of_stage_two():
    given = combinations(0.3, 0.1, math.inf, stage="stage_two")
    assert stages.choose(given, higher=False) is given[1]
    assert [each.dropped for each in given] == ["rank 2 of 3 in stage two", None, "diverged: 2_0"]
    assert stages.choose([], higher=False) is None


def plain_loop(run_in, folder):
    """The expected result of the sweep: survivors, the winner's settings, its mean score and its mean best epoch."""
    common = [*SMALL, "split=kfold", "split.n_splits=3", "evaluate_test=false"]
    grid = [(f"model.hidden_size={size}", f"optimizer.lr={lr}") for size in GRID["model.hidden_size"]
            for lr in GRID["optimizer.lr"]]  # fmt: skip
    scores = {each: run_in(folder / f"one_{number}", *common, *each, "fold=0", "split.random_state=0")
              for number, each in enumerate(grid)}  # fmt: skip
    kept = sorted(scores, key=scores.__getitem__)[:2]
    means, epochs = {}, {}
    for number, each in enumerate(kept):
        runs = [folder / f"two_{number}_{fold}" for fold in range(3)]
        means[each] = statistics.fmean(
            run_in(run, *common, *each, f"fold={fold}", "split.random_state=1") for fold, run in enumerate(runs)
        )
        epochs[each] = statistics.fmean(json.loads((run / "metrics.json").read_text())["best_epoch"] for run in runs)
    winner = min(means, key=means.__getitem__)
    return set(kept), winner, means[winner], round(epochs[winner])


@pytest.fixture(scope="module")
def arguments():
    grid = [f"{key}={','.join(values)}" for key, values in GRID.items()]
    return [
        "sweep=two_stage_kfold",
        *(word for word in SMALL if not word.startswith("model.")),
        "split.n_splits=3",
        "hydra.sweeper.two_stage.keep=2",
        *grid,
    ]


@pytest.fixture(scope="module")
def three():
    """A grid of three combinations, of which two survive."""
    return ["sweep=two_stage_kfold", *SMALL, "split.n_splits=2", "hydra.sweeper.two_stage.keep=2",
            f"optimizer.lr={','.join(GRID['optimizer.lr'])}"]  # fmt: skip


@pytest.mark.slow
def test_the_same_combinations_survive_and_win_as_in_a_plain_loop(run_in, command, tmp_path, arguments):
    kept, winner, mean, epochs = plain_loop(run_in, tmp_path / "loop")
    folder = tmp_path / "sweep"
    done = command(*arguments, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "two_stage.json").read_text())
    settings = {
        tuple(word for word in each["overrides"] if word.split("=")[0] in GRID): each
        for each in summary["combinations"]
    }
    assert {each for each, entry in settings.items() if entry["stage_two"]["scores"]} == kept
    assert settings[winner]["number"] == summary["winner"]
    assert settings[winner]["dropped"] is None
    assert settings[winner]["stage_two"]["mean"] == pytest.approx(mean, rel=1e-6)
    assert (
        sum(entry["dropped"].endswith("of 6 in stage one") for one, entry in settings.items() if one not in kept) == 4
    )
    finals = [json.loads((folder / "final" / f"{summary['winner']}_{place}" / "config.json").read_text()) for place in
        range(3)]  # fmt: skip
    assert [config["seed"] for config in finals] == [0, 1, 2]
    assert {config["trainer"]["epochs"] for config in finals} == {epochs}
    assert {config["split"]["_target_"] for config in finals} == {"lstm_ae.splits.Whole"}
    assert "outcome" in done.stdout
    assert f"More: python -m lstm_ae.compare {folder}" in done.stdout
    assert len((folder / "comparison.csv").read_text().splitlines()) == 1 + 6 + 2 * 3 + 3


def test_only_the_last_training_uses_the_test_data(command, tmp_path, three):
    folder = tmp_path / "sweep"
    assert command(*three, f"hydra.sweep.dir={folder}").returncode == 0
    tested = {
        str(path.parent.relative_to(folder))
        for path in folder.rglob("metrics.json")
        if json.loads(path.read_text())["test"]
    }
    summary = json.loads((folder / "two_stage.json").read_text())
    finals = [f"final/{summary['winner']}_{place}" for place in range(3)]
    assert tested == set(finals) == set(summary["final"]["jobs"])
    losses = [json.loads((folder / path / "metrics.json").read_text())["test"]["loss"] for path in finals]
    found = summary["final"]["test"]["loss"]
    assert summary["test"]["loss"] == found["mean"] == pytest.approx(statistics.fmean(losses))
    assert (found["n"], found["std"]) == (3, pytest.approx(statistics.stdev(losses)))
    interval = mean_interval(losses)
    assert found["interval"] == [pytest.approx(interval.low), pytest.approx(interval.high)]
    assert summary["stage_one"]["random_state"] != summary["stage_two"]["random_state"]


@pytest.mark.parametrize(
    "killed_at",
    [
        pytest.param("stage_one/1_0/status.json", marks=pytest.mark.exhaustive),
        pytest.param("stage_two/0_1/status.json", marks=pytest.mark.slow),
        pytest.param("final/*/status.json", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_in_any_stage_and_started_again_it_selects_the_same(command, tmp_path, killed_at):
    grid = ["sweep=two_stage_kfold", *SMALL, "dataset.sequences=200", "trainer.epochs=12", "split.n_splits=3",
            "optimizer.lr=0.1,0.001"]  # fmt: skip
    assert command(*grid, f"hydra.sweep.dir={tmp_path}/undisturbed").returncode == 0
    folder = tmp_path / "killed"
    words = [sys.executable, str(ROOT / "run.py"), *grid, f"hydra.sweep.dir={folder}"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while not list(folder.glob(killed_at)) and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "two_stage.json").exists()
    again = command(*grid, f"hydra.sweep.dir={folder}")
    assert again.returncode == 0, again.stderr
    assert (folder / "two_stage.json").read_text() == (tmp_path / "undisturbed" / "two_stage.json").read_text()


def test_a_failed_job_drops_its_combination_and_the_others_go_on(command, tmp_path, three):
    folder = tmp_path / "sweep"
    (folder / "stage_one" / "2_0" / "history.csv").mkdir(parents=True)
    done = command(*three, f"hydra.sweep.dir={folder}")
    assert done.returncode == 1
    assert f"{folder}/stage_one/2_0: failed" in done.stderr
    summary = json.loads((folder / "two_stage.json").read_text())
    assert {each["number"]: each["dropped"] for each in summary["combinations"]}[2] == "failed: stage_one/2_0"
    assert summary["test"]


@pytest.mark.slow
def test_a_combination_that_wins_after_a_retry_gets_its_own_test_score(command, tmp_path, arguments):
    folder = tmp_path / "sweep"
    assert command(*arguments, f"hydra.sweep.dir={tmp_path}/undisturbed").returncode == 0
    expected = json.loads((tmp_path / "undisturbed" / "two_stage.json").read_text())
    broken = folder / "stage_two" / f"{expected['winner']}_1" / "history.csv"
    broken.mkdir(parents=True)
    assert command(*arguments, f"hydra.sweep.dir={folder}").returncode == 1
    before = json.loads((folder / "two_stage.json").read_text())
    assert before["winner"] != expected["winner"]
    broken.rmdir()
    done = command(*arguments, "retry_failed=true", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "two_stage.json").read_text())
    assert (summary["winner"], summary["test"]) == (expected["winner"], expected["test"])
    assert summary["test"] != before["test"]


def test_the_epochs_of_the_last_training_do_not_include_the_curriculum(tmp_path):
    for fold, best in enumerate((12, 14)):
        run = RunDir(tmp_path / str(fold))
        run.write_json("config.json", {"trainer": {"curriculum": [[4, 6], [2, 4]], "epochs": 9}})
        run.write_json("metrics.json", {"best_epoch": best})
    assert results.mean_best_epoch(tmp_path, ["0", "1"]) == 3


def test_a_diverged_job_has_the_worst_score(tmp_path):
    for state, loss in (("finished", 0.5), ("diverged", 0.01), ("failed", 0.1)):
        run = RunDir(tmp_path / state)
        run.write_json("status.json", {"state": state})
        run.write_json(
            "metrics.json", {"metrics": METRICS, "validation": {"loss": loss, "accuracy": loss}, "test": {"loss": loss}}
        )
    jobs = [Job(state, ()) for state in ("finished", "diverged", "failed")]
    assert [results.outcome(tmp_path, job, "loss").score for job in jobs] == [0.5, math.inf, None]
    assert [results.outcome(tmp_path, job, "accuracy").score for job in jobs] == [0.5, -math.inf, None]
    assert [results.test_metrics(tmp_path, job) for job in jobs] == [{"loss": 0.5}, None, None]


def test_the_test_metrics_over_seeds_say_how_many_and_without_two_no_interval(tmp_path):
    for place, (state, loss) in enumerate((("finished", 0.4), ("finished", 0.6), ("diverged", 9.0))):
        run = RunDir(tmp_path / str(place))
        run.write_json("status.json", {"state": state})
        run.write_json("metrics.json", {"metrics": METRICS, "test": {"loss": loss, "accuracy": None}})
    jobs = [Job(str(place), ()) for place in range(3)]
    found = results.over_seeds(tmp_path, jobs)
    assert (found["loss"]["mean"], found["loss"]["n"]) == (0.5, 2)
    assert results.said(found["loss"]).startswith("0.5 ± 0.14 (95 % interval -0.7")
    assert "accuracy" not in found  # no job has it
    single = results.over_seeds(tmp_path, jobs[:1])["loss"]
    assert (single["interval"], single["std"], results.said(single)) == (None, None, "0.4")


def test_fail_fast_starts_no_more_jobs(command, tmp_path, three):
    folder = tmp_path / "sweep"
    (folder / "stage_one" / "2_0" / "history.csv").mkdir(parents=True)
    done = command(*three, "fail_fast=true", "hydra.launcher.n_jobs=1", f"hydra.sweep.dir={folder}")
    assert done.returncode == 1
    assert {path.parent.name for path in folder.rglob("status.json")} == {"0_0", "1_0", "2_0"}
    assert "not started, as another job failed and fail_fast=true" in done.stderr


def test_if_the_last_training_fails_the_winner_has_no_test_score(command, tmp_path, three):
    for number in range(3):
        (tmp_path / "sweep" / "final" / f"{number}_0" / "history.csv").mkdir(parents=True)
    done = command(*three, "hydra.sweeper.two_stage.final_seeds=1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    summary = json.loads((tmp_path / "sweep" / "two_stage.json").read_text())
    assert f"{tmp_path}/sweep/final/{summary['winner']}_0: failed" in done.stderr
    assert summary["winner"] == summary["combinations"][0]["number"]
    assert summary["test"] is None


def test_seeds_repeat_a_combination(command, tmp_path):
    folder = tmp_path / "sweep"
    done = command("sweep=two_stage_kfold", *SMALL, "split.n_splits=2", "seed=0,1", "optimizer.lr=0.1,0.01",
                   "hydra.sweeper.two_stage.keep=one_standard_error", f"hydra.sweep.dir={folder}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "two_stage.json").read_text())
    assert [len(each["stage_one"]["scores"]) for each in summary["combinations"]] == [2, 2]
    configs = [json.loads(path.read_text()) for path in folder.glob("stage_one/*/config.json")]
    assert {(config["seed"], config["split"]["random_state"]) for config in configs} == {(0, 0), (1, 0)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["fold=0,1"], "`fold` is set by the two stages"),
        (["split=holdout"], "`split` must have folds for two stages"),
        (["hydra.sweeper.two_stage.folds=[5]"], "folds` must be folds in 0..4, each once, got [5]. Use [0]."),
        (["hydra.sweeper.two_stage.folds=[0,0]"], "folds` must be folds in 0..4, each once, got [0, 0]. Use [0]."),
        (["hydra.sweeper.two_stage.final_seeds=0"], "final_seeds` must be at least 1, got 0. The default is 3."),
        (["hydra.sweeper.two_stage.keep=0"], "keep` must be a count, a share below 1, or one_standard_error, got 0"),
        (["model.hidden_size=3,0"], "No job was started because some cannot run:\n  job stage_one/1_0"),
    ],
)
def test_invalid_settings_are_refused_before_any_job_starts(command, tmp_path, more, message):
    done = command("sweep=two_stage_kfold", *SMALL, *more, f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_prices_with_walk_forward_folds(command, tmp_path):
    small = ["dataset.symbols=[AAPL,MSFT]", "dataset.start=2019-01-01", "trainer.epochs=1", "model.hidden_size=2"]
    done = command("sweep=two_stage_kfold", "dataset=sp500", "split=walk_forward", "split.n_splits=3",
                   "split.embargo=30", *small, "optimizer.lr=0.1,0.01",
                   f"hydra.sweep.dir={tmp_path}/sweep")  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "sweep" / "two_stage.json").read_text())
    assert summary["stage_two"] == {"folds": [0, 1, 2], "random_state": None}
    assert len(list((tmp_path / "sweep").glob("final/*/figures/reconstruction.png"))) == 1  # of the best seed


def test_list_jobs_shows_both_stages_and_the_last_training(command, tmp_path):
    done = command("sweep=two_stage_kfold", *SMALL, "optimizer.lr=0.1,0.01", "list_jobs=true",
                   f"hydra.sweep.dir={tmp_path}/sweep")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f"{tmp_path}/sweep/{stage}/") for stage in ("stage_one", "stage_two")] == [2, 10]
    assert f"Last training (of the winner): {tmp_path}/sweep/final" in done.stdout
    assert not (tmp_path / "sweep").exists()


def test_digits_row_by_row(tmp_path):
    """The MD5 sums are replaced by those of small files in the process that runs the sweep."""
    sums = write_mnist(tmp_path / "MNIST" / "raw")
    patch = f"from lstm_ae.data import mnist; mnist.FILES = {sums!r}"
    run = f"{patch}; import runpy; runpy.run_path('run.py', run_name='__main__')"
    words = ["sweep=two_stage_kfold", "dataset=mnist_rows", "task=classification", "model=v1,v3_experimental",
             "model.hidden_size=2", "trainer.epochs=1", "split.n_splits=2", "objective=accuracy",
             "hydra/launcher=basic", f"hydra.sweep.dir={tmp_path}/sweep"]  # fmt: skip
    options = {"capture_output": True, "text": True, "cwd": ROOT, "env": os.environ | {"LSTM_AE_DATA": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-c", run, *words], check=False, **options)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "sweep" / "two_stage.json").read_text())
    means = {each["number"]: each["stage_one"]["mean"] for each in summary["combinations"]}
    assert summary["winner"] == max(means, key=means.__getitem__)
