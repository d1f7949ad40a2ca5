"""The command line: mistakes name what exists and what is nearest; a project of one's own needs no installation."""

import copy
import os
import subprocess
import sys
import textwrap

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.errors import ConfigCompositionException, MissingConfigException

from lstm_ae import cli
from tests.conftest import ROOT, SMALL


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setattr(cli, "_keys", lambda: ["model.hidden_size", "trainer.epochs", "trainer.device", "seed"])


@pytest.mark.parametrize(
    ("option", "nearest"),
    [("dataset/mnist", "dataset=mnist_rows"), ("dataset/digit", "dataset=digits"), ("dataset/toi", "dataset=toy")],
)
def test_a_mistyped_option_names_the_nearest_and_all(option, nearest):
    error = MissingConfigException(f"Could not find '{option}'", option, ["digits", "mnist_rows", "sp500", "toy"])
    text = cli.explain(error)
    assert f"Did you mean {nearest}? There are: digits, mnist_rows, sp500, toy." in text
    assert "free some space" not in text.lower()


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("model.hiden_size", "model.hidden_size"), ("epochs", "trainer.epochs"), ("trainer.epoch", "trainer.epochs")],
)
def test_a_mistyped_key_or_one_without_its_group_names_the_nearest(keys, key, nearest):
    error = ConfigCompositionException(f"Could not override '{key}'.\nTo append to your config use +{key}=8")
    assert cli.explain(error) == (
        f"There is no key '{key}'. Did you mean {nearest}? (+{key}=VALUE adds a key, if the component takes it.)"
    )


def test_the_keys_are_those_of_what_was_chosen(monkeypatch):
    # Composing anew ends what Hydra holds in this process, which other tests still need.
    monkeypatch.setitem(Singleton._instances, GlobalHydra, copy.copy(GlobalHydra.instance()))
    monkeypatch.setattr(sys, "argv", ["run.py", "model=bottleneck", "model.hiden_size=8"])
    assert "model.reverse_target" in cli._keys()


def test_a_folder_that_cannot_be_written_is_still_named():
    text = cli.explain(OSError(28, "No space left on device", "multirun"))
    assert "`hydra.run.dir` must be a folder that can be written" in text


@pytest.fixture
def project(python, tmp_path):
    """A folder with a model and a sweep of the user's own, outside this repository."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "sweep").mkdir()
    (tmp_path / "mymodels.py").write_text(
        textwrap.dedent("""
        from lstm_ae.models import BottleneckAutoencoder

        class Mine(BottleneckAutoencoder):
            def __init__(self, features: int, width: int = 3) -> None:
                super().__init__(features, hidden_size=width)
        """)
    )
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("_target_: mymodels.Mine\nwidth: 3\n")
    (tmp_path / "conf" / "sweep" / "mysweep.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      model.width: 2,3\n"
    )

    def call(*words):
        return python([str(ROOT / "run.py"), "--config-dir", "conf", *words], tmp_path, None)

    return tmp_path, call


@pytest.mark.parametrize("words", [("-sc", "install=bash"), ("--cfg", "job")])
def test_a_reader_that_ends_early_is_no_error(words):
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does when it has seen enough
    with os.fdopen(writing, "w") as gone:
        command = [sys.executable, str(ROOT / "run.py"), *words]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


OWN = ("model=mine", *(word for word in SMALL if not word.startswith("model.")), "trainer.epochs=1")


def test_own_options_run_on_our_sweeper_which_lists_and_trains_them(project):
    path, call = project
    listed = call(*OWN, "sweep=mysweep", "list_jobs=true")
    assert listed.returncode == 0, listed.stderr
    assert not list(path.glob("multirun/*/*/0/metrics.json"))  # nothing was trained
    done = call(*OWN, "sweep=mysweep", "hydra.launcher.n_jobs=1")
    assert done.returncode == 0, done.stderr
    assert len(list(path.glob("multirun/*/*_mysweep/*/metrics.json"))) == 2
    assert len(list(path.glob("multirun/*/*_mysweep/comparison.csv"))) == 1


def test_a_changed_component_is_said_where_its_finished_run_is_started_again(project):
    path, call = project
    first = call(*OWN, "hydra.run.dir=run")
    assert first.returncode == 0, first.stderr
    again = call(*OWN, "hydra.run.dir=run")
    assert "This run ended before" in again.stdout
    assert "The code has changed" not in again.stdout
    with (path / "mymodels.py").open("a") as file:
        file.write("\n# another idea\n")
    changed = call(*OWN, "hydra.run.dir=run")
    assert "The code has changed since: these are the old code's numbers. Name another directory" in changed.stdout
