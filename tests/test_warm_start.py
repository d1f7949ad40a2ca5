"""`init_from`: a finished run's weights are the initial ones, where they fit."""

import functools

import numpy as np
import pytest
import torch

import lstm_ae
from lstm_ae.data.frames import from_arrays
from lstm_ae.models import Autoencoder, BottleneckAutoencoder
from lstm_ae.tasks import Denoising, Reconstruction
from tests.test_fit import waves

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=4)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source")
    return lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=15, run_dir=path).path


def test_training_begins_where_the_other_run_ended(source, tmp_path):
    before = lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=1, run_dir=tmp_path / "cold")
    after = lstm_ae.fit(
        from_arrays(waves()), SMALL, Reconstruction, epochs=1, run_dir=tmp_path / "warm", init_from=source
    )
    losses = [run.history["train.loss"][0] for run in (before, after)]
    assert losses[1] < 0.9 * losses[0]
    assert after.history["train.loss"][0] < 1.2 * lstm_ae.run_dir.RunDir(source).read_history()["train.loss"][-1]


def test_what_fits_is_taken_and_what_does_not_is_said(source, tmp_path, caplog):
    caplog.set_level("INFO", logger="lstm_ae")
    values = np.concatenate([waves(), waves()[:, :, :1]], axis=2)  # a third sensor
    run = lstm_ae.fit(from_arrays(values), SMALL, Denoising, epochs=1, run_dir=tmp_path, init_from=source)
    assert "Initial weights: 7 of 10 from" in caplog.text
    assert "encoder.weight_ih_l0 (16, 2) there, (16, 3) here" in caplog.text
    assert run.metrics["epochs"] == 1


def test_weights_that_fit_are_those_of_the_run(source, run_in, tmp_path):
    from lstm_ae.experiment.assembly import _warm

    model = BottleneckAutoencoder(features=2, hidden_size=4)
    _warm(model, str(source))
    given = torch.load(source / "model.pt", weights_only=True)
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())
    small = ("dataset=toy", "dataset.sequences=60", "model.hidden_size=4", "trainer.epochs=1", "figures=false")
    run_in(tmp_path, *small, f"init_from={source}")


def test_a_run_that_does_not_fit_is_refused(source, tmp_path):
    wide = functools.partial(Autoencoder, hidden_size=9)
    with pytest.raises(ValueError, match=r"`init_from`: nothing of .* fits this model, neither names nor shapes"):
        lstm_ae.fit(from_arrays(waves()[:, :, :1]), wide, Reconstruction, epochs=1, run_dir=tmp_path, init_from=source)
    with pytest.raises(ValueError, match="`init_from` must be the directory of a finished run, and nowhere has no"):
        lstm_ae.fit(from_arrays(waves()), SMALL, Reconstruction, epochs=1, run_dir=tmp_path / "b", init_from="nowhere")
