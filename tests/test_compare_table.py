"""The table of runs: settings that differ, and means over repeats."""

import math

import pytest

from lstm_ae.compare import table
from lstm_ae.run_dir import RunDir
from tests.run_dirs import METRICS


@pytest.fixture
def runs(tmp_path):
    def write(name, loss, state="finished", **config):
        run = RunDir(tmp_path / name)
        run.write_json("config.json", {"seed": 0, "model": {"hidden_size": 8}, "trainer": {"threads": 1}, **config})
        run.write_json("status.json", {"state": state, "error": None if state == "finished" else "why"})
        if loss is not None:
            run.write_json(
                "metrics.json", {"metrics": METRICS, "validation": {"loss": loss}, "test": {"accuracy": 1 - loss}}
            )
        return tmp_path

    return write


def test_runs_are_ranked_by_their_mean_over_seeds_and_folds(runs):
    for number, (seed, hidden, loss) in enumerate([(0, 8, 0.1), (1, 8, 0.3), (0, 16, 0.1), (1, 16, 0.2)]):
        folder = runs(str(number), loss, seed=seed, split={"random_state": seed}, model={"hidden_size": hidden})
    ranked = table.rank(table.load(folder), "validation.loss")
    assert list(ranked["model.hidden_size"]) == [16, 8]
    assert list(ranked["validation.loss"]) == pytest.approx([0.15, 0.2])
    assert ranked["std"][1] == pytest.approx(0.2 / math.sqrt(2))
    assert list(ranked["n"]) == [2, 2]
    assert list(table.rank(table.load(folder), "test.accuracy")["model.hidden_size"]) == [16, 8]


def test_settings_that_cannot_change_a_result_are_ignored(runs):
    runs("0", 0.1, trainer={"threads": 1}, dataset={"root": "a"})
    folder = runs("1", 0.2, trainer={"threads": 2}, dataset={"root": "b"})
    assert table.settings(table.load(folder)) == []
    ranked = table.rank(table.load(folder), "validation.loss")
    assert list(ranked.columns) == ["validation.loss", "std", "n", "of"]
    assert ranked["n"][0] == 2


def test_a_failed_run_has_no_score_and_a_diverged_one_is_infinitely_bad(runs):
    runs("0", 0.1)
    runs("1", 0.05, state="failed")
    runs("2", 0.3, model={"hidden_size": 2})
    folder = runs("3", 0.01, state="diverged", model={"hidden_size": 4})
    ranked = table.rank(table.load(folder), "validation.loss").set_index("model.hidden_size")
    assert ranked["validation.loss"].to_dict() == {8: 0.1, 2: 0.3, 4: math.inf}
    assert list(ranked.index) == [2, 4, 8]  # incomplete groups come after complete ones
    assert (ranked["n"][8], ranked["of"][8]) == (1, 2)


def test_an_unreadable_run_is_an_empty_row_and_jobs_are_sorted_by_number(runs):
    for number in (10, 9, 0):
        folder = runs(str(number), 0.1)
    (folder / "9" / "metrics.json").write_text("{")
    frame = table.load(folder)
    assert [run.rsplit("/", 1)[-1] for run in frame["run"]] == ["0", "9", "10"]
    assert math.isnan(frame["validation.loss"][1])
