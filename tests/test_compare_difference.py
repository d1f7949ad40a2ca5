"""Differences between two runs, by key."""

import pytest

from lstm_ae.compare.difference import MISSING, difference
from lstm_ae.compare.selection import CompareError
from lstm_ae.run_dir import RunDir
from tests.run_dirs import write


@pytest.fixture
def found(tmp_path):
    a = write(tmp_path / "a", 0.1, model__size=8, model__name="x", losses=[3, 2, 1])
    b = write(tmp_path / "b", 0.3, model__size=16, model__name="x", model__extra=None, losses=[3, 2.5, 1, 0])
    RunDir(a).write_json("environment.json", {"commit": "c1", "dirty": False, "packages": {"torch": "1", "numpy": "2"}})
    RunDir(b).write_json("environment.json", {"commit": "c2", "dirty": False, "packages": {"torch": "2", "numpy": "2"}})
    return difference(a, b, []).set_index(["section", "key"])


def test_settings_are_listed_by_key_and_missing_ones_are_marked(found):
    settings = found.loc["settings"]
    assert list(settings.index) == ["model.size", "model.extra"]
    assert tuple(settings.loc["model.size"]) == (8, 16, 8)
    assert tuple(settings.loc["model.extra"][:2]) == (MISSING, "null")


def test_differences_in_the_environment(found):
    assert found.loc["environment"]["second"].to_dict() == {"commit": "c2", "packages.torch": "2"}


def test_all_metrics_are_listed_with_their_difference(found):
    assert found.loc["metrics"]["difference"].to_dict() == pytest.approx(
        {"validation.loss": 0.2, "test.loss": 0.2, "seconds": 0}
    )


def test_the_first_epoch_at_which_the_curves_differ(found, tmp_path):
    assert tuple(found.loc[("history", "differs from epoch 2: validation.loss")]) == (2, 2.5, 0.5)
    same = difference(tmp_path / "a", write(tmp_path / "c", 0.1, losses=[3 + 1e-12, 2]), [])
    assert same["key"].iloc[-1] == "identical for 2 epochs"


def test_a_path_that_is_not_a_single_run_is_refused(tmp_path):
    write(tmp_path / "a", 0.1)
    write(tmp_path / "b", 0.1)
    with pytest.raises(
        CompareError, match=r"`--diff` needs two run directories. .* must be one run, but contains 2. Name one"
    ):
        difference(tmp_path / "a", tmp_path, [])
    with pytest.raises(CompareError, match="but does not exist"):
        difference(tmp_path / "a", tmp_path / "c", [])
