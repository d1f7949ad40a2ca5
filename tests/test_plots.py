"""Figures: drawn from a run directory alone, with titles, units and legends."""

import shutil

import numpy as np
import pytest

from lstm_ae import plots
from lstm_ae.run_dir import RunDir
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("dataset", ["toy", "digits"])
def test_a_directory_that_was_moved_is_drawn_again(run_in, runs, dataset):
    options = SMALL if dataset == "toy" else [option for option in SMALL if "sequences" not in option]
    run_in(runs / dataset, f"dataset={dataset}", *options, "figures=true")
    shutil.copytree(runs / dataset, runs / f"{dataset}_moved")
    shutil.rmtree(runs / f"{dataset}_moved" / "figures")
    names = plots.draw(RunDir(runs / f"{dataset}_moved"))
    assert names == ["figures/data.png", "figures/loss.png", "figures/reconstruction.png"]
    for name in names:
        assert (runs / f"{dataset}_moved" / name).read_bytes() == (runs / dataset / name).read_bytes()


def test_the_command_draws_the_runs_it_is_given_and_says_what_is_none(run_in, runs, capsys, monkeypatch):
    run_in(runs / "bare", *SMALL)
    monkeypatch.setattr("sys.argv", ["plots", str(runs / "bare")])
    plots.main()
    assert capsys.readouterr().out.split() == [str(path) for path in
        (runs / "bare" / "figures" / f"{name}.png" for name in ("data", "loss", "reconstruction"))]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["plots", str(runs)])
    with pytest.raises(SystemExit):
        plots.main()
    assert f"must be the directory of a finished run, and {runs} has no samples.npz" in capsys.readouterr().err


def test_prices_are_drawn_in_dollars_against_dates():
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    samples = {
        "kind": np.array("price"), "unit": np.array("USD"), "series": np.full((2, len(days)), 5.0),
        "series_dates": days,
        "series_names": np.array(["AAA", "BBB"]), "series_total": np.array(7), "test_from": days[40],
    }  # fmt: skip
    figure = plots._prices(samples)
    ax = figure.axes[0]
    assert figure.get_suptitle() == "Prices of 2 of the 7 companies"
    assert ax.get_ylabel() == "price (USD, logarithmic)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["AAA", "BBB", "test part"]


def test_losses_are_drawn_with_the_epoch_whose_weights_were_kept():
    history = {"epoch": [1.0, 2.0], "train.loss": [0.5, 0.4], "validation.loss": [0.6, 0.7]}
    figure = plots._curves(history, {"best_epoch": 1, "test": {"loss": 0.5}}, "Autoencoder (hidden_size 3)")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["train", "validation", "weights kept: epoch 1"]
    assert "Autoencoder (hidden_size 3)" in figure.get_suptitle()
