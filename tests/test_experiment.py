"""One job in its directory: complete, repeatable, resumable, and clear about what is wrong."""

import errno
import importlib
import json
import logging
import math

import numpy as np
import pytest
import torch

from lstm_ae.experiment import configured, slow_epochs
from lstm_ae.experiment.configured import JobError
from lstm_ae.run_dir import RunDir
from lstm_ae.trainer import Trainer
from tests.conftest import SMALL

FILES = {
    "checkpoint.pt",
    ".hydra", ".lock", "config.json", "environment.json", "history.csv", "metrics.json", "model.json", "model.pt",
    "samples.npz", "scaler.npz", "status.json",
}  # fmt: skip

RUN = (*SMALL, "model=bottleneck")  # of which there is a skill over PCA


def read(path, name):
    return json.loads((path / name).read_text())


def results(path):
    """What two runs of one configuration must have in common, to the last digit."""
    metrics = {key: value for key, value in read(path, "metrics.json").items() if key != "seconds"}
    history = {key: value for key, value in RunDir(path).read_history().items() if key != "seconds"}
    weights = {name: value.tolist() for name, value in torch.load(path / "model.pt", weights_only=True).items()}
    return metrics, history, weights


def stop_after(monkeypatch, epochs, error):
    """Makes training stop with an error once so many epochs are done."""
    whole = Trainer.train

    def train(self, *args, **kwargs):
        for row in whole(self, *args, **kwargs):
            yield row
            if row["epoch"] == epochs:
                raise error

    monkeypatch.setattr(Trainer, "train", train)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


class TestDirectory:
    """Each test starts the same run in the same directory again: only the first trains."""

    @pytest.fixture(autouse=True)
    def score(self, run_in, path):
        return run_in(path, *RUN)

    def test_it_is_complete(self, path):
        assert {entry.name for entry in path.iterdir()} == FILES
        assert {entry.name for entry in (path / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}

    def test_the_metrics_have_every_part_a_baseline_and_the_skill_over_it(self, path, score):
        metrics = read(path, "metrics.json")
        for part in ("train", "validation", "test"):
            assert set(metrics[part]) == {"loss", "reconstruction_mse"}
        assert score == metrics["validation"]["loss"]
        expected = 1 - metrics["test"]["reconstruction_mse"] / metrics["baseline"]["pca"]["reconstruction_mse"]
        assert metrics["skill"] == {"pca": pytest.approx(expected)}
        assert metrics["epochs"] == 3
        assert metrics["parameters"] == 4 * 3 * (1 + 3 + 2) + 3 * 8 + 8 + 4 * 3 * (8 + 3 + 2) + 3 * 1 + 1

    def test_the_model_is_described_so_that_it_is_built_again_without_the_data(self, path):
        described = read(path, "model.json")
        module, _, name = described["class"].rpartition(".")
        model = getattr(importlib.import_module(module), name)(**described["arguments"], **described["sizes"])
        model.load_state_dict(torch.load(path / "model.pt", weights_only=True))
        assert described["sizes"] == {"features": 1}
        assert (described["format"], described["length"], described["ragged"], described["missing"]) == (
            1, 50, False, "error",
        )  # fmt: skip
        assert described["task"]["class"].rpartition(".")[2] == "Reconstruction"
        with np.load(path / "scaler.npz", allow_pickle=False) as scaler:
            assert described["scaling"] == scaler["method"] == "none"
        with np.load(path / "samples.npz", allow_pickle=False) as samples, torch.no_grad():
            made = model.eval()(torch.from_numpy(samples["inputs"])).reconstruction  # this dataset is not scaled
            assert np.allclose(made, samples["reconstruction"], atol=1e-6)

    def test_the_history_has_a_row_an_epoch(self, path):
        history = RunDir(path).read_history()
        assert list(history) == [
            "epoch", "lr", "train.loss", "train.reconstruction_mse", "validation.loss", "validation.reconstruction_mse",
            "seconds",
        ]  # fmt: skip
        assert history["epoch"] == [1, 2, 3]

    def test_the_status_and_the_environment_say_where_and_how(self, path):
        status, environment = read(path, "status.json"), read(path, "environment.json")
        assert status["state"] == "finished"
        assert status["error"] is None
        assert environment["packages"]["torch"].startswith("2.13")
        assert environment["device"] == "cpu" or environment["device"].startswith("cuda")
        assert environment["threads"] >= 1

    def test_the_samples_are_those_of_the_model(self, path):
        with np.load(path / "samples.npz", allow_pickle=False) as samples:
            assert samples["inputs"].shape == samples["reconstruction"].shape == (3, 50, 1)
            assert not np.array_equal(samples["inputs"], samples["reconstruction"])

    def test_starting_it_again_returns_the_stored_score_and_changes_nothing(self, path, score, run_in):
        before = {entry: entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.name != ".lock"}
        assert run_in(path, *RUN) == score
        assert {entry: entry.stat().st_mtime_ns for entry in before} == before

    def test_starting_it_again_says_so(self, path, run_in, caplog):
        caplog.set_level(logging.INFO)
        run_in(path, *RUN)
        assert f"This run ended before (finished): nothing is trained, and {path} is left as it is" in caplog.messages

    def test_a_number_typed_another_way_is_the_same_run(self, path, score, run_in):
        assert run_in(path, *RUN, "trainer.gradient_clipping=1") == score

    def test_what_goes_wrong_before_it_begins_leaves_its_status_as_it_was(self, path, run_in, monkeypatch):
        monkeypatch.setattr(configured, "load", _fail)
        with pytest.raises(JobError, match="no data"):
            run_in(path, *RUN)
        assert read(path, "status.json")["state"] == "finished"

    def test_another_configuration_is_refused_and_changes_nothing(self, path, run_in):
        before = {entry: entry.read_bytes() for entry in path.rglob("*") if entry.is_file()}
        with pytest.raises(JobError, match=r"holds another:\n  model.hidden_size: 3 there, 4 now"):
            run_in(path, *RUN, "model.hidden_size=4")
        assert {entry: entry.read_bytes() for entry in path.rglob("*") if entry.is_file()} == before


def _fail(config):
    raise ValueError("no data")


def test_another_seed_gives_other_numbers_on_the_same_test_data(run_in, tmp_path):
    for seed in (0, 1):
        run_in(tmp_path / str(seed), *SMALL, f"seed={seed}")
    with np.load(tmp_path / "0" / "samples.npz") as first, np.load(tmp_path / "1" / "samples.npz") as second:
        assert np.array_equal(first["inputs"], second["inputs"])
    assert results(tmp_path / "0") != results(tmp_path / "1")


def test_a_run_that_failed_says_why_and_is_resumed_bit_identically(run_in, tmp_path, monkeypatch):
    run_in(tmp_path / "undisturbed", *SMALL)
    with monkeypatch.context() as patch:
        stop_after(patch, 2, RuntimeError("no luck"))
        with pytest.raises(JobError, match="RuntimeError: no luck"):
            run_in(tmp_path / "run", *SMALL)
    status = read(tmp_path / "run", "status.json")
    assert (status["state"], status["error"]) == ("failed", "RuntimeError: no luck")
    assert "Traceback (most recent call last)" in (tmp_path / "run" / "run.log").read_text()
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    run_in(tmp_path / "run", *SMALL)
    assert read(tmp_path / "run", "status.json")["state"] == "finished"
    assert results(tmp_path / "run") == results(tmp_path / "undisturbed")


def test_ctrl_c_keeps_the_checkpoint_and_names_the_command_that_goes_on(run_in, tmp_path, monkeypatch):
    stop_after(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt, match=rf"goes on from it:\n  python run.py hydra.run.dir={tmp_path}/run "):
        run_in(tmp_path / "run", *SMALL)
    assert read(tmp_path / "run", "status.json")["state"] == "interrupted"
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_full_disk_is_named_with_the_cure_and_loses_no_checkpoint(run_in, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device", "metrics.json")
    stop_after(monkeypatch, 2, full)
    with pytest.raises(JobError, match=r"metrics.json cannot: No space left on device. Free some space"):
        run_in(tmp_path / "run", *SMALL)
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_diverged_run_has_an_infinite_score_and_keeps_what_was_learnt(run_in, tmp_path, monkeypatch):
    train = Trainer._epoch
    epochs = []

    def explode(self, training, task, subset, weights):
        epochs.append(1)
        if len(epochs) == 3:
            training.model.decoder.bias_ih_l0.data.fill_(math.nan)
        return train(self, training, task, subset, weights)

    monkeypatch.setattr(Trainer, "_epoch", explode)
    assert run_in(tmp_path / "run", *SMALL, "trainer.epochs=9") == math.inf
    assert read(tmp_path / "run", "status.json")["state"] == "diverged"
    metrics = read(tmp_path / "run", "metrics.json")
    assert metrics["epochs"] == 3
    assert metrics["best_epoch"] == 2
    assert metrics["test"]["loss"] < 1
    assert run_in(tmp_path / "run", *SMALL, "trainer.epochs=9") == math.inf  # nothing is trained again
    assert len(epochs) == 3


class TestDryRun:
    def test_it_evaluates_the_finished_run_of_the_same_signature_without_training(self, run_in, tmp_path, monkeypatch):
        run_in(tmp_path / "multirun" / "day" / "7", *SMALL, cwd=tmp_path)
        monkeypatch.setattr(Trainer, "train", None)
        path = tmp_path / "multirun" / "again"
        run_in(path, *SMALL, "dry_run=true", "figures=true", cwd=tmp_path)
        assert results(path) == results(tmp_path / "multirun" / "day" / "7")
        assert (path / "figures" / "reconstruction.png").exists()
        assert read(path, "status.json")["reused"] == str(tmp_path / "multirun" / "day" / "7")

    def test_in_the_finished_runs_own_directory_it_evaluates_and_writes_nothing(self, run_in, tmp_path, caplog):
        run_in(tmp_path / "run", *SMALL, cwd=tmp_path)
        before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
        with caplog.at_level("INFO"):
            run_in(tmp_path / "run", *SMALL, "dry_run=true", "figures=true", cwd=tmp_path)
        assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
        assert "Nothing is trained and nothing is written" in caplog.text
        assert "reconstruction_mse" in caplog.text

    def test_without_such_a_run_it_says_what_to_run(self, run_in, tmp_path):
        with pytest.raises(
            JobError, match=r"`dry_run=true` needs a finished run .* there is none. Train it first: pyth"
        ):
            run_in(tmp_path / "multirun" / "run", *SMALL, "dry_run=true", cwd=tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=fast"], r"`optimizer.lr` must be of type float.*, got 'fast'. Its default is 0.001"),
        (["optimizer.lr=-1"], r"`optimizer.lr` must be at least 0, got -1. Use optimizer.lr=0 or more"),
        (
            ["model.hidden_size=0"],
            "`model.hidden_size` must be at least 1, got 0",
        ),
        (["model.hidden_size=1.5"], "`model.hidden_size` must be of type int, got 1.5"),
        (["model.hidden_size=true"], "`model.hidden_size` must be of type int, got True"),
        (["+model.hiden_size=2"], "`model.hiden_size` is no parameter of Autoencoder, got 2. Did you mean model.hid"),
        (["trainer.epochs=-1"], "`trainer.epochs` must be at least 1, got -1. Use trainer.epochs=1 or more"),
        (["trainer.gradient_clipping=0"], "`trainer.gradient_clipping` must be a finite number above 0, got 0"),
        (["split=kfold", "fold=7"], "`fold` must lie in 0..4, got 7. Use `fold=null` for a holdout run"),
        (["split=walk_forward", "fold=0"], "`split=walk_forward` needs sequences that follow one another in time"),
        (["seed=-1"], "`seed` must be at least 0, got -1. Use seed=0"),
        (["objective=accuracy"], "`objective` must be one of loss, reconstruction_mse, got 'accuracy'"),
        (
            ["dataset=sp500", "dataset.path=nowhere.csv"],
            "`dataset.path` must name a file or a folder, and there is none at nowhere.csv",
        ),
        (
            ["dataset=sp500", "dataset.window=9000"],
            "`dataset.window` is longer than every company's unbroken history: 9000",
        ),
        (
            ["dataset=sp500", "dataset.symbols=[AAPL,ZZZ]"],
            "`dataset.symbols` must name companies of the data, got 'ZZZ'",
        ),
        (["dataset=sp500", "dataset.symbols=AAPL"], "`dataset.symbols` must be of type list"),
    ],
)
def test_bad_values_are_named_with_key_rule_value_and_cure(run_in, tmp_path, overrides, message):
    with pytest.raises(JobError, match=message):
        run_in(tmp_path / "run", *(SMALL if "dataset=sp500" not in overrides else ()), *overrides)
    assert read(tmp_path / "run", "status.json")["state"] == "failed"


def test_a_price_file_gives_figures_in_dollars(run_in, tmp_path):
    from tests.test_data import write_prices

    write_prices(tmp_path / "p.csv", days=80)
    overrides = [f"dataset.path={tmp_path / 'p.csv'}", "dataset.window=6", "dataset.scaling=minmax", "trainer=smoke"]
    run_in(tmp_path / "run", "dataset=sp500", *overrides)
    with np.load(tmp_path / "run" / "samples.npz") as samples:
        assert samples["inputs"].min() > 10  # dollars, where the scaled values lie near 0 to 1
        assert list(samples["names"]) == ["AAA", "BBB"]
        assert samples["times"].shape == (2, 6)
        assert samples["series"].shape == (2, 80)
    names = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert names == {"data.png", "loss.png", "reconstruction.png"}


def test_one_company_and_one_test_sequence_are_enough(run_in, tmp_path):
    from tests.test_data import write_prices

    write_prices(tmp_path / "p.csv", days=60, symbols=("AAA",))
    overrides = [f"dataset.path={tmp_path / 'p.csv'}", "dataset.window=6", "trainer=smoke", "figures=false"]
    run_in(tmp_path / "one company", "dataset=sp500", *overrides)
    run_in(tmp_path / "one sequence", *SMALL, "dataset.sequences=5")
    with np.load(tmp_path / "one sequence" / "samples.npz") as samples:
        assert samples["inputs"].shape == (1, 50, 1)


def test_a_curriculum_trains_on_coarser_images_first_and_keeps_weights_of_whole_ones(run_in, small_mnist, tmp_path):
    overrides = ["experiment=mnist_pixels", "trainer.curriculum=[[14,2],[7,1]]", "trainer.epochs=1", "figures=false"]
    run_in(tmp_path / "run", *overrides, "model.hidden_size=3", "split.validation=0.9")
    metrics = read(tmp_path / "run", "metrics.json")
    assert (metrics["epochs"], metrics["best_epoch"]) == (4, 4)


def test_an_occupied_log_is_not_touched(run_in, tmp_path):
    (tmp_path / "run").mkdir()
    RunDir(tmp_path / "run").write_json("config.json", {"seed": 9})
    with pytest.raises(JobError, match="holds another"):
        run_in(tmp_path / "run", *SMALL)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", ".lock"}


def test_the_last_dataset_is_kept_for_the_next_job(composed):
    assert configured.load(composed(*SMALL)) is configured.load(composed(*SMALL, "model.hidden_size=4"))


def test_an_epoch_that_takes_many_times_the_median_is_said_once(caplog):
    slow = slow_epochs.SlowEpochs()
    for seconds in (0.4, 0.4, 0.5, 0.5, 9.0, 9.0, 0.4):
        slow.see(seconds)
    assert [record.message for record in caplog.records] == [
        "Epoch 5 took 9 s, 20 times the median: other work slows this machine down. trainer.threads=1 suffers least."
    ]


class TestMissingTestPart:
    """A sweep's jobs leave the test part alone; it is added to a finished run without training."""

    def test_it_is_added_from_the_weights_and_nothing_else_changes(self, run_in, tmp_path, monkeypatch):
        score = run_in(tmp_path / "run", *RUN, "evaluate_test=false")
        run_in(tmp_path / "whole", *RUN)
        before = read(tmp_path / "run", "metrics.json")
        assert before["test"] == {}
        monkeypatch.setattr(Trainer, "train", None)
        assert run_in(tmp_path / "run", *RUN) == score
        assert results(tmp_path / "run") == results(tmp_path / "whole")
        assert read(tmp_path / "run", "metrics.json")["validation"] == before["validation"]
        with np.load(tmp_path / "run" / "samples.npz") as one, np.load(tmp_path / "whole" / "samples.npz") as other:
            assert all(np.array_equal(one[name], other[name]) for name in other)
        assert read(tmp_path / "run", "status.json")["state"] == "finished"

    def test_without_weights_it_says_so(self, run_in, tmp_path):
        run_in(tmp_path / "run", *RUN, "evaluate_test=false")
        (tmp_path / "run" / "model.pt").unlink()
        with pytest.raises(JobError, match=r"`evaluate_test=true` needs the weights of the run, .* no model.pt in "):
            run_in(tmp_path / "run", *RUN)

    @pytest.mark.parametrize(
        ("mode", "given", "tested"),
        [("RUN", "null", True), ("MULTIRUN", "null", False), ("MULTIRUN", "true", True), ("RUN", "false", False)],
    )
    def test_by_default_a_single_run_evaluates_it_and_a_sweeps_job_does_not(
        self, run_in, tmp_path, mode, given, tested
    ):
        run_in(tmp_path / "run", *RUN, f"hydra.mode={mode}", f"evaluate_test={given}")
        metrics = read(tmp_path / "run", "metrics.json")
        assert bool(metrics["test"]) == tested
        assert metrics["validation"]["loss"] > 0


def test_a_run_is_trained_longer_where_it_ended_as_if_it_had_never_stopped(run_in, tmp_path):
    run_in(tmp_path / "whole", *SMALL, "trainer.epochs=5")
    run_in(tmp_path / "run", *SMALL)
    run_in(tmp_path / "run", *SMALL, "trainer.epochs=5")
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    assert read(tmp_path / "run", "config.json")["trainer"]["epochs"] == 5
    with pytest.raises(JobError, match=r"trainer.epochs: 5 there, 4 now\n.* \(To train longer, more epochs and check"):
        run_in(tmp_path / "run", *SMALL, "trainer.epochs=4")
    with pytest.raises(JobError, match=r"seed: 0 there, 1 now\n(?!.*To train longer)"):
        run_in(tmp_path / "run", *SMALL, "trainer.epochs=6", "seed=1")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    with pytest.raises(JobError, match=r"To train longer, more epochs and checkpoint.pt are needed"):
        run_in(tmp_path / "run", *SMALL, "trainer.epochs=6")


@pytest.mark.parametrize("scheduler", ["one_cycle", "cosine"])
def test_a_course_that_depends_on_the_last_epoch_is_not_trained_longer(run_in, tmp_path, scheduler):
    run_in(tmp_path, *SMALL, f"scheduler={scheduler}")
    before = results(tmp_path)
    with pytest.raises(JobError, match=r"depends on the last epoch, so that the run in .* cannot be trained longer"):
        run_in(tmp_path, *SMALL, f"scheduler={scheduler}", "trainer.epochs=5")
    assert results(tmp_path) == before
    assert read(tmp_path, "status.json")["state"] == "finished"
