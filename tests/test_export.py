"""One ONNX file that holds scaler, model and schema, and gives what torch gives."""

import functools
import json
import sys

import jaxtyping
import numpy as np
import pytest
import torch

import lstm_ae
from lstm_ae import export
from lstm_ae.data.frames import from_arrays
from lstm_ae.models import (
    Autoencoder,
    BottleneckAutoencoder,
    Forecaster,
    InputClassifier,
    NextStepPredictor,
    PooledClassifier,
    ResidualPredictor,
    ShiftedSequencePredictor,
)
from lstm_ae.tasks import Classification, Denoising, Forecast, Prediction, Reconstruction
from tests.test_fit import waves

pytest.importorskip("onnx", reason="needs the extra `export`")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")

SMALL = functools.partial(Autoencoder, hidden_size=3)
DEEP = functools.partial(BottleneckAutoencoder, hidden_size=4, num_layers=2, bidirectional=True, reverse_target=True)
CASES = {
    "deep": (DEEP, Reconstruction, {}),
    "relative": (SMALL, Reconstruction, {"scaling": "relative"}),
    "holes": (SMALL, Reconstruction, {"missing": "mask"}),
    "residual": (functools.partial(ResidualPredictor, hidden_size=3), Prediction, {}),
    "shifted": (functools.partial(ShiftedSequencePredictor, hidden_size=3, hide_last=True), Prediction, {}),
    "last": (functools.partial(NextStepPredictor, hidden_size=3), functools.partial(Prediction, steps="last"), {}),
    "forecast": (functools.partial(Forecaster, hidden_size=3, horizon=4), functools.partial(Forecast, horizon=4), {}),
}


@pytest.fixture(autouse=True)
def _unchecked():
    """While operations are recorded, sizes are tensors, which the tests' type checks would refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def trained_on(folder, model, task, labels=None, **options):
    data = from_arrays(waves() + 5, labels, **options)
    return lstm_ae.fit(data, model, task, epochs=1, run_dir=folder).trained


def session_of(trained, folder):
    described = export.export(trained, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["schema"]) == described
    return session, described


def outputs(session, x):
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x.astype(np.float32)}), strict=True))


def near(found, expected):
    """Equal up to 1e-6 of the largest."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_what_torch_gives_for_any_batch_and_any_time(tmp_path, case):
    model, task, options = CASES[case]
    trained = trained_on(tmp_path, model, task, **options)
    session, described = session_of(trained, tmp_path)
    for x in (waves(count=1, time=12) + 5, waves(count=7, time=19) + 5):
        if case == "holes":
            x[0, 3] = np.nan
        found = outputs(session, x)
        near(found["latent"], trained.encode(x))
        near(found["reconstruction"], trained.reconstruct(x))
        if "prediction" in found:
            near(found["prediction"], trained.predict(x))
        scores = trained.score_samples(x).sequences
        assert np.allclose(found["errors"].sum(axis=(1, 2), dtype=np.float64), scores, rtol=1e-5)
    assert described["time"] is None
    assert described["features"] == ["feature 0", "feature 1"]


def test_long_sequences_are_exported_unsegmented(tmp_path):
    data = from_arrays(waves(count=12, time=400), np.arange(12) % 2)
    model = functools.partial(PooledClassifier, hidden_size=3, bidirectional=False, reconstruct=False, pooling="both")
    task = functools.partial(Classification, reconstruction_dominance=0.0)
    trained = lstm_ae.fit(data, model, task, epochs=1, run_dir=tmp_path).trained
    session, described = session_of(trained, tmp_path)
    x = waves(count=3, time=700)
    near(outputs(session, x)["probabilities"], trained.predict_proba(x))
    assert described["outputs"] == ["probabilities"]
    assert described["classes"] == ["0", "1"]


def test_a_model_that_fixes_the_time_axis_says_so(tmp_path, capsys):
    model = functools.partial(InputClassifier, hidden_size=3)
    trained = trained_on(tmp_path, model, Classification, labels=np.arange(60) % 3)
    assert export.main([str(tmp_path), "--output", str(tmp_path / "v1.onnx")]) == 0
    said = capsys.readouterr().out
    assert "The model reads sequences of 12 steps only, and so does the export" in said
    assert "errors need labels" in said
    session = onnxruntime.InferenceSession(tmp_path / "v1.onnx", providers=["CPUExecutionProvider"])
    near(outputs(session, waves(5))["probabilities"], trained.predict_proba(waves(5)))
    with pytest.raises(Exception, match="Got invalid dimensions"):
        outputs(session, waves(5, time=13))


def test_errors_with_noise_are_left_out_and_the_rest_is_exported(tmp_path):
    trained = trained_on(tmp_path, SMALL, Denoising)
    session, described = session_of(trained, tmp_path)
    assert described["outputs"] == ["latent", "reconstruction"]
    near(outputs(session, waves(5))["reconstruction"], trained.reconstruct(waves(5)))


def test_a_scaler_of_a_series_can_be_chosen(tmp_path, run_in):
    prices = ("dataset=sp500", "dataset.symbols=[AAPL,KO]", "dataset.scaling=standard", "dataset.start=2021-01-01")
    run_in(tmp_path, *prices, "model.hidden_size=2", "trainer.epochs=1", "figures=false")
    trained, x = lstm_ae.load_run(tmp_path), 100 + np.random.default_rng(0).random((2, 30, 1))
    for series in ("AAPL", None):
        export.export(trained, tmp_path / "model.onnx", series)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        scaled = trained.schema.scaler.batch(torch.from_numpy(x).float(), series=series)
        expected = scaled.unscaled(trained.answer(scaled.batch).reconstruction)
        near(outputs(session, x)["reconstruction"], expected.numpy())


def test_what_cannot_be_exported_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    trained_on(tmp_path, SMALL, Reconstruction, scaling="relative", missing="mask")
    assert export.main([str(tmp_path)]) == 1
    assert "scaling=relative and missing=mask cannot be exported" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export.main([str(tmp_path)]) == 1
    assert "Install lstm_ae[export]" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


def test_a_file_that_differs_from_torch_is_refused(tmp_path, monkeypatch):
    trained = trained_on(tmp_path, SMALL, Reconstruction)
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(ValueError, match="The exported `latent` differs from torch's"):
        export.export(trained, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
