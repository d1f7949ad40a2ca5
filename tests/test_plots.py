"""Figures: drawn from a run directory alone, with titles, units and legends."""

import json
import re
import shutil
import sys
import zipfile

import numpy as np
import pytest

from lstm_ae import drawing, files, plots
from lstm_ae.data.frames import from_frame
from lstm_ae.printable import Formatter
from lstm_ae.run_dir import RunDir
from lstm_ae.tasks import samples
from tests.conftest import SMALL
from tests.damage import DAMAGES
from tests.test_frames import table


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("dataset", ["toy", "digits"])
def test_a_directory_that_was_moved_is_drawn_again(run_in, runs, dataset):
    options = SMALL if dataset == "toy" else [option for option in SMALL if "sequences" not in option]
    run_in(runs / dataset, f"dataset={dataset}", *options, "figures=true")
    shutil.copytree(runs / dataset, runs / f"{dataset}_moved")
    shutil.rmtree(runs / f"{dataset}_moved" / "figures")
    moved = RunDir(runs / f"{dataset}_moved")
    names = plots.draw(moved, plots.figures_of(moved))
    assert names == ["figures/data.png", "figures/loss.png", "figures/reconstruction.png"]
    for name in names:
        assert (runs / f"{dataset}_moved" / name).read_bytes() == (runs / dataset / name).read_bytes()


def test_the_command_draws_the_runs_it_is_given_and_says_what_is_none(run_in, runs, capsys, monkeypatch):
    run_in(runs / "bare", *SMALL)
    assert plots.main([str(runs / "bare")]) == 0
    assert capsys.readouterr().out.split() == [str(path) for path in
        (runs / "bare" / "figures" / f"{name}.png" for name in ("data", "loss", "reconstruction"))]  # fmt: skip
    assert plots.main([str(runs)]) == 1
    assert f"must be the directory of a finished run, and {runs} has no samples.npz" in capsys.readouterr().err


@pytest.fixture
def finished(run_in, runs, tmp_path):
    """A copy of a run that has ended."""
    if not (runs / "whole").exists():
        run_in(runs / "whole", *SMALL)
    return shutil.copytree(runs / "whole", tmp_path / "run")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "metrics.json", "samples.npz", "history.csv"])
def test_a_damaged_directory_costs_one_line_that_names_the_file_and_a_cure(finished, capsys, name, damage):
    DAMAGES[damage](finished / name)
    assert plots.main([str(finished)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert "Restore it from a copy" in line or line.endswith("has no samples.npz.")


def relisted(run, name, write):
    """Writes a file anew, which no list in status.json forbids."""
    write(run / name)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"files": {}}))


def too_large(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", b"0" * 1_000_000)


HOSTILE = {
    "a bomb": ("samples.npz", too_large, r"samples.npz unpacks to 1000000 bytes, and no run writes so much"),
    "many panels": ("samples.npz", lambda path: np.savez(path, inputs=np.zeros((10**5, 1, 1))), "at most 64 samples"),
    "no task": ("config.json", lambda path: path.write_text('{"task": 1}'), "Only the common figures are drawn"),
    "no module": ("config.json", lambda path: path.write_text('{"task": {"_target_": "lstm_ae.tasks.a\\u001b.B"}}'),
        r"lstm_ae.tasks.a\\x1b cannot be imported"),
    "no numbers": ("metrics.json", lambda path: path.write_text('{"test": 0, "validation": 1}'), "KeyError|TypeError"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "write", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_directory_costs_a_line(finished, name, write, message, monkeypatch, capsys, caplog):
    monkeypatch.setattr(files, "ARRAY_BYTES", 900_000)
    relisted(finished, name, write)
    plots.main([str(finished)])
    shown = capsys.readouterr().err + "\n".join(map(Formatter("%(message)s").format, caplog.records))
    assert re.search(message, shown)
    assert "Traceback" not in shown
    assert "\x1b" not in shown


def test_a_folder_of_figures_that_is_a_link_is_not_written_into(finished, tmp_path, capsys):
    (tmp_path / "outside").mkdir()
    (finished / "figures").symlink_to(tmp_path / "outside")
    assert plots.main([str(finished)]) == 1
    assert "figures is a link, and a run writes in its own directory only. Remove the link." in capsys.readouterr().err
    assert not list((tmp_path / "outside").iterdir())


class Written:
    """A run directory as figures read it, made up."""

    def __init__(self, samples=None, history=None, metrics=None, config=None):
        self.samples, self.history = samples or {}, history or {}
        self.files = {
            "metrics.json": {"test": {"loss": 0.5}, "parameters": 1234, "best_epoch": 1, "skill": {}} | (metrics or {}),
            "config.json": config or {},
        }

    def read_json(self, name):
        return self.files[name]

    def read_history(self):
        return self.history

    def read_arrays(self, name):
        return self.samples

    def read_table(self, name):
        raise FileNotFoundError(name)


def test_series_are_drawn_in_their_unit_against_times():
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    values = np.stack([np.linspace(1, 50, len(days)), np.full(len(days), 5.0)])
    values[0, 3] = np.nan
    samples = {
        "is_image": np.array(False), "unit": np.array("USD"), "feature_names": np.array(["price"]), "series": values,
        "series_times": days, "series_names": np.array(["AAA", "BBB"]), "series_total": np.array(7),
        "test_from": days[40],
    }  # fmt: skip
    ax = drawing.data(Written(samples)).axes[0]
    assert ax.figure.get_suptitle() == "Series: 2 of 7"
    assert ax.get_ylabel() == "price (USD), logarithmic"
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["AAA", "BBB", "test subset"]
    samples |= {"series": np.full((2, len(days)), -5.0), "series_total": np.array(2)}
    ax = drawing.data(Written(samples)).axes[0]
    assert (ax.figure.get_suptitle(), ax.get_ylabel(), ax.get_yscale()) == ("Series", "price (USD)", "linear")


def test_losses_are_drawn_with_the_epoch_whose_weights_were_kept():
    history = {"epoch": [1.0, 2.0], "train.loss": [0.5, 0.4], "validation.loss": [0.6, 0.7]}
    model = {"_target_": "lstm_ae.models.Autoencoder", "hidden_size": 3}
    figure = drawing.curves(Written(history=history, config={"model": model, "optimizer": {"lr": 0.01}}))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["train", "validation", "weights kept: epoch 1"]
    assert "Autoencoder (hidden_size 3; 1,234 parameters), lr 0.01" in figure.get_suptitle()


def test_sequences_of_several_features_have_a_row_a_feature_and_name_them():
    shape = (2, 5, 8)
    samples = {
        "is_image": np.array(False), "unit": np.array("value"), "names": np.array(["sequence 0", "sequence 9"]),
        "feature_names": np.array([f"sensor {n}" for n in range(8)]), "inputs": np.random.default_rng(0).random(shape),
        "reconstruction": np.zeros(shape),
    }  # fmt: skip
    figure = drawing.reconstruction(Written(samples, metrics={"test": {"reconstruction_mse": 0.25}}))
    assert len(figure.axes) == 6 * 2
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == [f"sensor {n}" for n in range(6)]
    assert "the first 6 of 8 features" in figure.get_suptitle()
    assert "mean squared error 0.25" in figure.get_suptitle()


def test_a_model_that_reconstructs_nothing_has_no_figure_of_reconstructions():
    assert drawing.reconstruction(Written({"inputs": np.zeros((1, 2, 1))})) is None


def test_a_figure_that_cannot_be_drawn_costs_a_warning_and_the_others_are_drawn(run_in, runs, caplog):
    def broken(run_dir):
        raise KeyError("colour")

    run_in(runs / "warned", *SMALL)
    names = plots.draw(RunDir(runs / "warned"), {"broken": broken, "nothing": lambda run_dir: None})
    assert names == ["figures/data.png", "figures/loss.png"]
    assert caplog.messages == ["The figure broken could not be drawn: KeyError: 'colour'"]


def test_a_module_that_a_directory_names_is_imported_only_where_it_is_allowed(tmp_path, monkeypatch, caplog):
    (tmp_path / "own_task.py").write_text("class Own:\n    figures = {'mine': print}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = RunDir(tmp_path / "run")
    run.write_json("config.json", {"task": {"_target_": "own_task.Own"}})
    assert plots.figures_of(run) == plots.figures_of(run, ["own"]) == {}
    assert "own_task" not in sys.modules
    assert "the task is own_task.Own. Use --allow own_task for its own." in caplog.messages[0]
    assert plots.figures_of(run, ["own_task"]) == {"mine": print}
    run.write_json("config.json", {"task": {"_target_": "lstm_ae.tasks.Classification"}})
    assert set(plots.figures_of(run)) == {"reconstruction", "confusion"}


def test_the_series_of_a_figure_reach_from_the_first_to_the_last():
    frame = table(machines=20, rows=10)
    data = from_frame(frame, series="machine", time="time", window=4)
    found = samples._series(data)
    names = found["series_names"].tolist()
    assert (len(names), names[0], names[-1]) == (8, data.series_names[0], data.series_names[-1])
    for name, values in zip(names, found["series"], strict=True):
        own = frame[frame["machine"] == name]["sensor_0"].to_numpy(np.float32)
        assert np.array_equal(values[np.isfinite(values)], own)


def test_a_narrow_panel_shows_few_dates():
    figure, axes = drawing.figure(1, 3, 2.0, "three")
    hours = np.datetime64("2025-03-01") + np.arange(320).astype("timedelta64[h]")
    axes[0, 0].plot(hours, hours.astype(int))
    drawing.few_dates(axes[0, 0], hours)
    figure.canvas.draw()
    assert 2 <= len(axes[0, 0].get_xticks()) <= 5
