"""A job without Hydra: the same directory as one that is configured, and values to look at in a notebook."""

import functools
import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.model_selection import KFold

import lstm_ae
from lstm_ae.data.frames import from_arrays
from lstm_ae.experiment import fit as fitting
from lstm_ae.models import Autoencoder, BottleneckAutoencoder, PooledClassifier, ResidualPredictor
from lstm_ae.run_dir import RunDir
from lstm_ae.tasks import Classification, Prediction, Reconstruction
from lstm_ae.types import Metric, Report, Score
from tests.test_frames import table

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=4)


def waves(count=60, time=12, features=2):
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (count, 1, features))
    return np.sin(np.linspace(0, 6, time)[None, :, None] + phase) + rng.normal(0, 0.1, (count, time, features))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=2, run_dir=tmp_path_factory.mktemp("fit"))


def test_it_leaves_the_directory_of_a_run_and_returns_what_lies_there(run):
    names = {path.name for path in run.path.iterdir()}
    assert {
        "config.json",
        "status.json",
        "metrics.json",
        "model.pt",
        "model.json",
        "scaler.npz",
        "samples.npz",
    } <= names
    assert ".hydra" not in names
    assert RunDir(run.path).status()["state"] == "finished"
    assert list(run.history["epoch"]) == [1, 2]
    assert set(run.metrics["skill"]) == {"pca"}
    assert run.figure("reconstruction").axes


def test_its_configuration_records_classes_and_arguments_with_the_datas_fingerprint(run):
    config = json.loads((run.path / "config.json").read_text())
    assert config["model"] == {"_target_": "lstm_ae.models.autoencoder.BottleneckAutoencoder", "hidden_size": 4}
    assert set(config["dataset"]) == {"fingerprint"}
    assert config["trainer"] == {"_target_": "lstm_ae.trainer.Trainer", "epochs": 2}


def test_the_model_is_described_so_that_it_can_be_built_without_the_data(run):
    described = json.loads((run.path / "model.json").read_text())
    assert described["format"] == 1
    assert described["sizes"] == {"features": 2}
    model = BottleneckAutoencoder(**described["arguments"], **described["sizes"])
    model.load_state_dict(torch.load(run.path / "model.pt", weights_only=True))
    with np.load(run.path / "scaler.npz", allow_pickle=False) as scaler:
        assert scaler["method"] == "standard"
        assert scaler["shift"].shape == (2,)


def test_the_same_call_in_the_same_directory_trains_nothing_and_another_is_refused(run, monkeypatch):
    monkeypatch.setattr(lstm_ae.Trainer, "train", None)
    again = lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=2, run_dir=run.path)
    assert again.metrics == run.metrics
    with pytest.raises(lstm_ae.run_dir.RunDirError, match=r"seed: 0 there, 1 now"):
        lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=2, seed=1, run_dir=run.path)


def test_what_is_left_out_is_what_conf_chooses(composed):
    config = composed()
    for group, factory in (
        ("optimizer", fitting.OPTIMIZER),
        ("scheduler", fitting.SCHEDULER),
        ("split", fitting.SPLIT),
    ):
        node = OmegaConf.to_container(config[group], resolve=True)
        assert node["_target_"].rpartition(".")[2] == factory.func.__name__
        assert factory.keywords.items() <= node.items()
    trainer = OmegaConf.to_container(config.trainer)
    for name in ("batch_size", "gradient_clipping", "patience", "epochs"):
        assert getattr(lstm_ae.Trainer(epochs=50), name) == trainer[name]


def test_a_frame_of_six_sensors_with_holes_and_unequal_lengths(tmp_path):
    frame = table(machines=25, rows=12, sensors=6)
    frame.loc[frame.index[::17], "sensor_3"] = np.nan
    data = lstm_ae.SequenceData.from_frame(frame, series="machine", time="time", missing="mask")
    run = lstm_ae.fit(data, functools.partial(ResidualPredictor, hidden_size=3), Prediction, epochs=1, run_dir=tmp_path)
    assert len(run.table("series")) == 5
    assert run.table("series")["sequences"].tolist() == [1] * 5
    assert "USD" not in (tmp_path / "metrics.json").read_text()
    with np.load(tmp_path / "samples.npz") as samples:
        drawn = np.isfinite(samples["target"][:, :, 0]).sum(axis=1)
    lengths = data.lengths[data.test.nonzero()[0]]
    assert set(drawn.tolist()) <= set((lengths - 1).tolist())  # padding is not drawn
    figure = run.figure("reconstruction")
    names = [ax.get_ylabel() for ax in figure.axes]
    assert [name for name in names if name] == [f"sensor_{n}" for n in range(6)]
    assert len(figure.legends) == 1
    assert len(figure.legends[0].texts) == 2


def test_the_callers_threads_and_generators_are_left_as_they_were(tmp_path):
    torch.set_num_threads(2)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    try:
        lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=1, run_dir=tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_a_fold_of_a_splitter_given_as_a_partial(tmp_path):
    run = lstm_ae.fit(
        from_arrays(waves()), SMALL, Reconstruction, split=functools.partial(KFold, n_splits=3), fold=1, epochs=1,
        run_dir=tmp_path,
    )  # fmt: skip
    assert json.loads((run.path / "config.json").read_text())["split"]["n_splits"] == 3


def test_a_callback_sees_each_epoch_and_may_end_training(tmp_path):
    seen = []

    def stop(row):
        seen.append(row["epoch"])
        if row["epoch"] == 2:
            raise lstm_ae.StopTraining("not promising", state="pruned")

    run = lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=9, run_dir=tmp_path, callbacks=[stop])
    assert seen == [1, 2]
    assert RunDir(run.path).status()["state"] == "pruned"
    assert run.metrics["epochs"] == 2


class OnlyPositive(Reconstruction):
    """A task with a name of its own, and nothing else."""


class Silent(Reconstruction):
    metrics = (*Reconstruction.metrics, Metric("ranking", "share", higher_is_better=True, pool=lambda a, b: 0.0))

    def score(self, batch, output):
        score = super().score(batch, output)
        return Score(score.terms, {**score.metrics, "unlisted": score.metrics["reconstruction_mse"]})


class RaisingReport(Reconstruction):
    def report(self, evaluated):
        raise KeyError("no such column")


class Shortened(torch.nn.Module):
    """Returns one step for all: broadcasting would accept it."""

    def __init__(self, features):
        super().__init__()
        self.linear = torch.nn.Linear(features, features)

    def forward(self, inputs):
        return self.linear(inputs).mean(dim=1, keepdim=True)


class Stranger(torch.nn.Module):
    """Knows nothing of this project: a tensor in, a tensor out."""

    def __init__(self, features):
        super().__init__()
        self.linear = torch.nn.Linear(features, features)

    def forward(self, inputs):
        return self.linear(inputs)


class Odd(Stranger):
    produces = frozenset({"next_sequense"})


class RaisingBaseline:
    def fit(self, train, validation, seed):
        raise RuntimeError("no memory")

    def __call__(self, batch):
        raise AssertionError


def test_a_task_with_a_new_name_and_a_strangers_module_go_all_the_way(tmp_path):
    run = lstm_ae.fit(from_arrays(waves()), Stranger, OnlyPositive, epochs=1, run_dir=tmp_path)
    assert run.metrics["skill"] == {"pca": None}
    assert "not known whether it compresses" in run.metrics["copies"]


@pytest.mark.parametrize(
    ("model", "task", "data", "message"),
    [
        (Shortened, Reconstruction, {}, r"`reconstruction` must have the target's shape \(\d+, 12, 2\), and the model"),
        (Odd, Prediction, {}, "accepts next_sequence, and the model produces next_sequense. Did you mean next_sequenc"),
        (SMALL, Silent, {}, r"`metrics` of the task must list \['unlisted'\]"),
        (SMALL, RaisingReport, {}, "A trial on 64 sequences failed, before training: KeyError: 'no such column'"),
        (SMALL, functools.partial(Reconstruction, baselines={"own": RaisingBaseline}), {}, "RuntimeError: no memory"),
        (SMALL, Classification, {}, "The task needs classes, and the dataset has none"),
        (functools.partial(PooledClassifier, hidden_size=3), Reconstruction, {}, "needs classes, and the dataset has"),
        (Stranger, Reconstruction, {"ragged": True}, "must take `lengths` in its forward, as the .* 9 to 12"),
        (functools.partial(Autoencoder, hidden_size=3), Prediction, {}, "model produces only a reconstruction. Use"),
        (functools.partial(Autoencoder, hidden_size=0), Reconstruction, {}, "`model.hidden_size` must be at least 1"),
        (functools.partial(PooledClassifier, hidden_size=3, reconstruct=False), Classification, {"labels": True},
         "must return what the term `reconstruction` of the task's loss needs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_the_first_epoch(tmp_path, model, task, data, message, monkeypatch):
    monkeypatch.setattr(lstm_ae.Trainer, "_epoch", None)
    values = waves()
    sequences = [one[: 9 + place % 4] for place, one in enumerate(values)] if data.get("ragged") else values
    labels = [place % 3 for place in range(len(values))] if data.get("labels") else None
    with pytest.raises(ValueError, match=message):
        lstm_ae.fit(from_arrays(sequences, labels), model, task, epochs=1, run_dir=tmp_path)


def test_an_instance_in_place_of_a_class_is_refused_with_the_cure(tmp_path):
    fit = lstm_ae.fit.__wrapped__  # without the type checks that only the tests have
    with pytest.raises(ValueError, match=r"`split` must be a class or a functools.partial of one, got KFold"):
        fit(from_arrays(waves()), SMALL, Reconstruction, split=KFold(3), run_dir=tmp_path)
    with pytest.raises(ValueError, match="`data` must be a SequenceData, got ndarray"):
        fit(waves(), SMALL, Reconstruction, run_dir=tmp_path)


def test_tables_and_figures_that_are_not_there_are_named_with_those_that_are(run):
    with pytest.raises(ValueError, match=r"`name` must be a table of the run, got 'classes'. There are: history"):
        run.table("classes")
    with pytest.raises(ValueError, match=r"`name` must be a figure of the run, got 'confusion'. There are: data, loss"):
        run.figure("confusion")


class Falling(Reconstruction):
    """A metric of which more is better, that no list of names knows, and that is a function of all sequences."""

    metrics = (
        *Reconstruction.metrics,
        Metric("area", "share", higher_is_better=True, pool=lambda a, b: float(a.mean())),
    )
    primary_metric = "area"

    def score(self, batch, output):
        score = super().score(batch, output)
        errors = self.errors(batch, output).mean(dim=(1, 2)).detach()
        return Score(score.terms, {**score.metrics, "area": (errors, errors)})

    def report(self, evaluated):
        return Report(fitted={"scale": np.ones(2)})


def test_a_metrics_own_direction_chooses_weights_and_stands_in_metrics_json(tmp_path):
    run = lstm_ae.fit(from_arrays(waves()), SMALL, Falling, epochs=3, objective="area", run_dir=tmp_path)
    best = run.history.loc[run.history["validation.area"].idxmax(), "epoch"]
    assert run.metrics["best_epoch"] == best
    assert run.metrics["metrics"]["area"] == {"unit": "share", "higher_is_better": True}
    model, baseline = run.metrics["test"]["area"], run.metrics["baseline"]["pca"]["area"]
    assert run.metrics["skill"]["pca"] == pytest.approx(1 - (1 - model) / (1 - baseline))
    with np.load(tmp_path / "task.npz") as fitted:
        assert fitted["scale"].tolist() == [1, 1]


def test_a_stop_by_a_callback_is_in_the_checkpoint(tmp_path, monkeypatch):
    """A run that could not write its results after it was stopped does not train on."""

    def stop(row):
        if row["epoch"] == 2:
            raise lstm_ae.StopTraining("enough", state="pruned")

    with monkeypatch.context() as patch:
        patch.setattr("lstm_ae.experiment.outputs.write", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(OSError, match="disk full"):
            lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=6, run_dir=tmp_path, callbacks=[stop])
    run = lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=6, run_dir=tmp_path, callbacks=[stop])
    assert run.metrics["epochs"] == 2
    assert RunDir(run.path).status()["reason"] == "enough"


class Constant:
    """Reconstructs one value."""

    def __init__(self, value):
        self.value = value

    def fit(self, train, validation, seed):
        pass

    def __call__(self, batch):
        from lstm_ae.types import Output

        return Output(reconstruction=torch.full_like(batch.targets, self.value))


def test_baselines_are_kept_by_what_they_are_and_were_given(tmp_path):
    errors = []
    for value in (0.0, 100.0):
        task = functools.partial(Reconstruction, baselines={"constant": functools.partial(Constant, value)})
        run = lstm_ae.fit(from_arrays(waves()), SMALL, task, epochs=1, run_dir=tmp_path / str(value))
        errors.append(run.metrics["baseline"]["constant"]["reconstruction_mse"])
    assert errors[1] > 1000 * errors[0]


class Unequal(Reconstruction):
    def report(self, evaluated):
        return Report(tables={"odd": {"a": [1, 2], "b": [1]}})


class CalledLoss(Reconstruction):
    metrics = (*Reconstruction.metrics, Metric("loss", "none"))

    def score(self, batch, output):
        score = super().score(batch, output)
        return Score(score.terms, {**score.metrics, "loss": score.metrics["reconstruction_mse"]})


@pytest.mark.parametrize(
    ("task", "message"),
    [(Unequal, "columns of the table `odd` must be equally long"), (CalledLoss, "must not be called 'loss'")],
)
def test_what_could_not_be_written_is_refused_before_training(tmp_path, task, message, monkeypatch):
    monkeypatch.setattr(lstm_ae.Trainer, "_epoch", None)
    with pytest.raises(ValueError, match=message):
        lstm_ae.fit(from_arrays(waves()), SMALL, task, epochs=1, run_dir=tmp_path)
