"""A finished run's model in the user's own Python: what goes in, what comes out, and what is refused."""

import functools
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import lstm_ae
from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.models import (
    Autoencoder,
    BottleneckAutoencoder,
    InputClassifier,
    NextStepPredictor,
    PooledClassifier,
    ResidualPredictor,
    VariationalAutoencoder,
)
from lstm_ae.run_dir import RunDir
from lstm_ae.tasks import Classification, Denoising, Imputation, Prediction, Reconstruction
from lstm_ae.trained.scoring import summed
from tests.test_fit import Stranger, waves
from tests.test_frames import table

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=4)
NEVER = "lstm_ae.experiment", "hydra", "omegaconf"


def fitted(folder, data, model, task=Reconstruction, **options):
    return lstm_ae.fit(data, model, task, epochs=1, run_dir=folder, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("waves"), from_arrays(waves(), unit="bar"), SMALL)


@pytest.fixture(scope="module")
def trained(run):
    return run.trained


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """Whole series of unequal length, with holes."""
    frame = table(machines=12)
    frame.loc[frame.index[::9], "sensor_1"] = np.nan
    data = from_frame(frame, series="machine", time="time", missing="mask")
    return fitted(tmp_path_factory.mktemp("ragged"), data, functools.partial(Autoencoder, hidden_size=3)).trained, frame


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    frame = table(machines=3, rows=60)
    data = from_frame(frame, series="machine", time="time", window=8, stride=4)
    return fitted(tmp_path_factory.mktemp("windows"), data, SMALL).trained, frame


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    labels = np.array(["down", "level", "up"])[np.arange(60) % 3]
    model = functools.partial(PooledClassifier, hidden_size=3)
    return fitted(tmp_path_factory.mktemp("classes"), from_arrays(waves(), labels), model, Classification).trained


def test_results_are_those_of_the_run_itself_in_the_datas_own_units(run, trained):
    """The mean score of the test sequences is the test error that the run recorded, and units are undone."""
    data = from_arrays(waves(), unit="bar")
    test = waves()[data.test]
    values = trained.score_samples(test).values
    assert values.shape == test.shape
    assert values.mean() == pytest.approx(run.metrics["test"]["reconstruction_mse"], rel=1e-5)
    with np.load(run.path / "scaler.npz") as scaler:
        scaled = (trained.reconstruct(test) - test) / scaler["scale"]
    assert np.square(scaled).mean() == pytest.approx(run.metrics["test"]["reconstruction_mse"], rel=1e-4)
    assert trained.schema.unit == "bar"


def test_it_needs_no_hydra_no_experiment_and_no_training_data(run, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in NEVER or name.startswith("lstm_ae.experiment")]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises
    assert lstm_ae.load_run(run.path).encode(waves()).shape == (60, 4)


def test_loading_draws_no_random_number(run):
    torch.manual_seed(3)
    lstm_ae.load_run(run.path)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_a_sequence_of_a_ragged_list_gives_what_it_gives_by_itself(ragged):
    trained, frame = ragged
    values = [own[["sensor_0", "sensor_1"]].to_numpy() for _, own in frame.groupby("machine")]
    together, scores = trained.reconstruct(values), trained.score_samples(values)
    assert [len(one) for one in together] == [len(one) for one in values]
    for place in (0, 5, 11):
        assert np.allclose(together[place], trained.reconstruct([values[place]])[0], atol=1e-6)
        by_itself = trained.score_samples([values[place]])
        assert scores.sequences[place] == pytest.approx(by_itself.sequences[0], rel=1e-6)
    assert not scores.values[0][np.isnan(values[0])].any()  # a missing value has no error
    assert np.isfinite(together[0]).all()


def test_a_table_is_read_by_its_columns_names_whatever_their_order_and_that_of_its_rows(ragged):
    trained, frame = ragged
    scores = trained.score_samples(frame)
    other = frame.sample(frac=1, random_state=0)[["sensor_1", "time", "sensor_0", "machine"]].assign(comment="fine")
    again = trained.score_samples(other)
    assert again.names == scores.names == tuple(sorted(frame["machine"].unique()))
    assert np.array_equal(again.sequences, scores.sequences)


def test_a_models_of_windows_reads_a_table_in_windows_and_scores_every_step(windows):
    trained, frame = windows
    counts = [(len(own) - 8) // 4 + 1 for _, own in frame.groupby("machine")]
    assert trained.encode(frame).shape == (sum(counts), 4)
    assert trained.reconstruct(frame).shape == (sum(counts), 8, 2)
    scores = trained.score_samples(frame)
    assert [len(one) for one in scores.steps] == [60, 61, 62]


def test_a_steps_error_is_the_mean_over_all_windows_that_contain_it(windows):
    trained, frame = windows
    signal = frame[frame["machine"] == "m0"][["sensor_0", "sensor_1"]].to_numpy()
    each = np.stack(trained.score_samples(np.stack([signal[s : s + 8] for s in range(53)])).values)
    scores = trained.score_samples([signal])
    for step in (0, 3, 20, 59):
        containing = [each[s, step - s] for s in range(53) if 0 <= step - s < 8]
        assert np.allclose(scores.values[0][step], np.mean(containing, axis=0), rtol=1e-6)


@pytest.mark.parametrize("source", ["ragged", "windows"])
def test_errors_of_steps_and_features_add_up_exactly(source, request):
    trained, frame = request.getfixturevalue(source)
    frame = frame.copy()
    frame.loc[3, "sensor_0"] = 1e6  # an outlier, so that the sums span many magnitudes
    scores = trained.score_samples(frame)
    for score, steps, features, values in zip(*(getattr(scores, name) for name in ("sequences", "steps", "features",
                                                "values")), strict=True):  # fmt: skip
        assert score == steps.sum() == features.sum() == values.sum() == sum(values.ravel()[::-1].tolist())
        assert np.array_equal(values.sum(axis=1), steps)
        assert np.array_equal(values.sum(axis=0), features)


def test_exact_sums_change_an_error_by_less_than_float32_resolves():
    rng = np.random.default_rng(0)
    values = rng.exponential(0.01, (500, 7)) * 10 ** rng.uniform(-6, 6, (500, 7))
    score, steps, features, exact = summed(values, 2.0**-31)
    assert score == steps.sum() == features.sum() == exact.sum()
    assert np.abs(exact - values).max() <= max(2.0**-32, 2.0**-52 * score)


def test_classes_come_back_by_name_with_their_probabilities(classified):
    probabilities = classified.predict_proba(waves())
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    named = classified.predict(waves())
    assert set(named) <= {"down", "level", "up"}
    scores = classified.score_samples(waves(), named).sequences
    assert np.allclose(scores, -np.log(probabilities.max(axis=1)), atol=1e-5)


def test_a_label_that_training_did_not_show_is_named_with_those_it_did(classified):
    with pytest.raises(ValueError, match=r"`y` must hold classes of training, got 'odd'. They were: down, level, up"):
        classified.score_samples(waves(2), ["up", "odd"])
    with pytest.raises(ValueError, match="`y` must hold a class for each of the 2 sequences, got 1"):
        classified.score_samples(waves(2), ["up"])
    with pytest.raises(ValueError, match="labels are missing"):
        classified.score_samples(waves(2))


def test_the_classes_of_a_table_are_its_label_column(tmp_path):
    frame = table(machines=12).assign(kind=lambda one: np.where(one["machine"].str[1:].astype(int) % 2, "odd", "even"))
    data = from_frame(frame, series="machine", time="time", label="kind")
    model = functools.partial(PooledClassifier, hidden_size=3)
    trained = fitted(tmp_path, data, model, Classification).trained
    scores = trained.score_samples(frame).sequences
    expected = trained.score_samples(
        frame.drop(columns="kind"), ["even", "odd"] * 6
    ).sequences  # m0, m1, m10, m11, m2...
    assert sorted(scores.tolist()) == pytest.approx(sorted(expected.tolist()))
    with pytest.raises(ValueError, match=r"`kind` must hold classes of training, got 'strange'. They were: even, odd"):
        trained.score_samples(frame.replace({"kind": {"odd": "strange"}}))


def test_forecasts_go_on_from_each_prediction(tmp_path):
    model = functools.partial(ResidualPredictor, hidden_size=3)
    data = from_frame(table(machines=4, rows=30), series="machine", time="time", window=6)
    trained = fitted(tmp_path, data, model, Prediction).trained
    assert trained.reads == 5
    x = np.random.default_rng(0).normal(0, 1, (3, 9, 2))
    found = trained.forecast(x, 4)
    seen = x[:, -5:]
    for step in range(4):
        following = trained.predict(seen)[:, -1]
        assert np.allclose(found[:, step], following, atol=1e-5)
        seen = np.concatenate([seen[:, 1:], following[:, None]], axis=1)
    assert trained.forecast(table(machines=2), 3).shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("task", "model"),
    [
        (Denoising, SMALL),
        (Imputation, SMALL),
        (functools.partial(Prediction, steps="last"), functools.partial(NextStepPredictor, hidden_size=3)),
        (Reconstruction, functools.partial(VariationalAutoencoder, hidden_size=3, latent_size=2)),
    ],
)
def test_a_score_does_not_depend_on_what_else_is_scored(tmp_path, task, model):
    """Noise and hidden values are drawn by the place in the sequence only."""
    trained = fitted(tmp_path, from_arrays(waves()), model, task).trained
    together, by_itself = trained.score_samples(waves()), trained.score_samples(waves()[7:8])
    assert together.sequences[7] == pytest.approx(by_itself.sequences[0], rel=1e-6)
    assert together.sequences[7] > 0


@pytest.mark.parametrize(("scaling", "missing"), [("relative", "error"), ("minmax", "mask"), ("none", "error")])
def test_every_scaling_is_undone(tmp_path, scaling, missing):
    data = from_arrays(waves() + 3, scaling=scaling, missing=missing)
    trained = fitted(tmp_path, data, SMALL).trained
    scaled = trained.schema.scaler.batch(torch.from_numpy(waves(5) + 3).float())
    assert torch.allclose(scaled.unscaled(scaled.batch.inputs), torch.from_numpy(waves(5) + 3).float(), atol=1e-5)
    index = np.flatnonzero(~data.test)
    own = data.fit_scaling(index)
    assert torch.allclose(scaled.batch.scale[0] if scaling != "relative" else scaled.batch.scale,
        own.scale[0] if scaling != "relative" else own.scale[:5], rtol=0.2)  # fmt: skip


def test_a_scaler_a_series_is_found_by_the_series_name_and_a_new_one_gets_the_pooled(run_in, tmp_path):
    prices = ("dataset=sp500", "dataset.symbols=[AAPL,KO]", "dataset.scaling=standard", "dataset.start=2021-01-01")
    run_in(tmp_path, *prices, "model.hidden_size=2", "trainer.epochs=1", "figures=false")
    schema = lstm_ae.load_run(tmp_path).schema
    raw = torch.full((3, 30, 1), 100.0)
    scales = schema.scaler.batch(raw, series=["AAPL", "KO", "NEW"]).batch.scale[:, 0].tolist()
    stored = schema.scaler.stored
    assert scales == [*stored["series_scale"][:, 0].tolist(), float(stored["scale"][0])]


class Own(Stranger):
    """A module of the user's own, with a layer that is chosen by its class."""

    def __init__(self, features, activation):
        super().__init__(features)
        self.activation = activation()

    def forward(self, inputs):
        return self.activation(super().forward(inputs))


def test_missing_values_are_filled_in_and_a_new_series_scaled_by_its_own_first_rows_as_in_training(tmp_path):
    frame = table(machines=4, rows=30)
    frame.loc[frame.index[4::7], "sensor_1"] = np.nan
    words = {"series": "machine", "time": "time", "missing": "interpolate", "scaling_per": "series", "unseen": 6}
    data = from_frame(frame, **words, test_share=0.25)
    trained = fitted(tmp_path, data, SMALL).trained
    found = trained.schema.read(frame)
    assert not any(bool(one.isnan().any()) for one in found.values)
    new = frame[frame["machine"] == frame["machine"].iloc[0]].assign(machine="new")
    rows = new.sort_values("time")["sensor_0"].to_numpy()[:6]
    _, scaled = next(trained.schema.batches(trained.schema.read(new), True))
    assert float(scaled.shift[0, 0]) == pytest.approx(rows.mean(), rel=1e-5)
    assert float(scaled.batch.scale[0, 0]) == pytest.approx(rows.std(), rel=1e-5)


def test_a_model_of_ones_own_module_is_imported_only_where_it_is_named(tmp_path):
    run = fitted(tmp_path, from_arrays(waves()), functools.partial(Own, activation=torch.nn.Tanh))
    with pytest.raises(ValueError, match=r"trained with tests.test_trained.Own, .* Use allow=\['tests.test_trained'\]"):
        lstm_ae.load_run(tmp_path)
    loaded = lstm_ae.load_run(tmp_path, allow=["tests"])
    assert np.array_equal(loaded.reconstruct(waves()), run.trained.reconstruct(waves()))
    with pytest.raises(ValueError, match="latents are missing"):
        loaded.encode(waves())
    described = json.loads((tmp_path / "model.json").read_text())
    rewrite(tmp_path, described | {"class": "tests.test_trained.Gone"})
    with pytest.raises(ValueError, match=r"cannot be imported: .*'Gone'. Put its folder on Python's path"):
        lstm_ae.load_run(tmp_path, allow=["tests"])


def rewrite(path, described):
    """Writes a model.json as an attacker, or another version, would: listed with its digest."""
    run = RunDir(path)
    with run.rewriting(["model.json"]):
        run.write_json("model.json", described)


@pytest.mark.parametrize("target", ["os.system", "lstm_ae.models.kernel.processor.os", "lstm_ae.models.layers.torch"])
def test_a_directory_imports_nothing_of_its_own_accord(run, tmp_path, target):
    shutil.copytree(run.path, tmp_path / "run")
    described = RunDir(tmp_path / "run").read_json("model.json")
    rewrite(tmp_path / "run", described | {"class": target})
    with pytest.raises(ValueError, match=r"imported only where you name it|must be a class or a function"):
        lstm_ae.load_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, r"must have the format 1, which this version reads, and .* has 0. Train it again"),
        ({"format": 9}, r"has 9. Install a newer lstm_ae"),
        (
            {"arguments": {"hidden_size": 5}},
            "do not fit .*BottleneckAutoencoder, which has changed since: size mismatch",
        ),
        ({"unit": None, "model": None}, "something is missing: 'unit'"),
    ],
)
def test_a_run_of_another_version_is_refused_with_the_cure(run, tmp_path, change, message):
    shutil.copytree(run.path, tmp_path / "run")
    described = RunDir(tmp_path / "run").read_json("model.json") | change
    rewrite(tmp_path / "run", {k: v for k, v in described.items() if v is not None})
    with pytest.raises(ValueError, match=message):
        lstm_ae.load_run(tmp_path / "run")


def test_a_directory_without_a_model_says_why(run, tmp_path):
    with pytest.raises(ValueError, match=r"must be the directory of a finished run, got .*: there is no model.json"):
        lstm_ae.load_run(tmp_path)
    RunDir(tmp_path).write_json("status.json", {"state": "failed"})
    with pytest.raises(ValueError, match="that one is failed"):
        lstm_ae.load_run(tmp_path)
    shutil.copy(run.path / "model.pt", tmp_path)
    with pytest.raises(ValueError, match=r"of an older version, without model.json: train it again"):
        lstm_ae.load_run(tmp_path)
    shutil.copytree(run.path, tmp_path / "copy")
    (tmp_path / "copy" / "model.pt").unlink()
    with pytest.raises(ValueError, match=r"there is no model.pt: restore it from a copy, or train it again"):
        lstm_ae.load_run(tmp_path / "copy")


def test_latest_is_the_run_that_finished_last(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there is none under multirun/"):
        lstm_ae.load_run()
    for place, end in enumerate(["2024-01-02", "2024-01-03", "2024-01-01"]):
        shutil.copytree(run.path, tmp_path / "multirun" / str(place))
        status = RunDir(run.path).status() | {"end": end}
        RunDir(tmp_path / "multirun" / str(place)).write_json("status.json", status)
    assert lstm_ae.load_run("latest").path.name == "1"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.ones((2, 12, 3)),
            r"shape \(time, 2\), the features being feature 0, feature 1, and x\[0\] has .*\(12, 3\)",
        ),
        (np.ones((12, 2)), r"x\[0\] has the shape \(2,\). A single sequence is passed as \[sequence\]"),
        ([], "must hold at least one sequence"),
        (
            [np.array([[1.0, np.nan]])],
            r"Step 0 of x\[0\] must be a number, and 'feature 1' is missing. Train with missing",
        ),
        ([np.array([[1.0, 2], [np.inf, 1]])], r"Step 1 of x\[0\] must be a number, and 'feature 0' is infinite. Mend"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(trained, x, message):
    with pytest.raises(ValueError, match=message):
        trained.encode(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.rename(columns={"sensor_1": "sensor1"}),
            "must have the column 'sensor_1'.* Did you mean 'sensor1'",
        ),
        (lambda frame: frame.drop(columns="machine"), "must have the column 'machine'"),
        (lambda frame: frame.assign(sensor_0="hot"), "row 0 of 'sensor_0' holds 'hot'"),
        (lambda frame: frame.iloc[:0], "must have rows, got none"),
        (lambda frame: frame.iloc[:7], "at least 8 steps, as those of training, and m0 has 7"),
    ],
)
def test_tables_that_do_not_fit_are_refused(windows, change, message):
    trained, frame = windows
    with pytest.raises(ValueError, match=message):
        trained.score_samples(change(frame))


def test_what_a_model_does_not_do_is_said(trained, classified, ragged):
    with pytest.raises(ValueError, match=r"this one produces only a reconstruction. Train with task=forecast"):
        trained.forecast(waves(), 3)
    with pytest.raises(ValueError, match="`steps` must be at least 1, got 0"):
        trained.forecast(waves(), 0)
    with pytest.raises(ValueError, match="`predict_proba` needs a model with classes"):
        trained.predict_proba(waves())
    with pytest.raises(ValueError, match="predictions are missing"):
        trained.predict(waves())
    with pytest.raises(ValueError, match="needs a model that was trained on windows"):
        ragged[0].stream()


def test_a_model_of_a_fixed_length_is_loaded_with_it(tmp_path):
    labels = np.arange(60) % 3
    model = functools.partial(InputClassifier, hidden_size=3)
    trained = fitted(tmp_path, from_arrays(waves(), labels), model, Classification).trained
    assert set(trained.predict(waves())) <= {"0", "1", "2"}


def test_a_table_of_one_series_needs_no_column_of_series(tmp_path):
    frame = pd.DataFrame({"heat": np.sin(np.arange(80) / 5)})
    trained = fitted(tmp_path, from_frame(frame, window=10), SMALL).trained
    assert len(trained.score_samples(frame).steps[0]) == 80
