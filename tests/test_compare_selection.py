"""Names on the command line are found, or refused with the closest match."""

import math

import pandas as pd
import pytest

from lstm_ae.compare import load, selection
from lstm_ae.compare.selection import CompareError
from tests.run_dirs import write


@pytest.fixture
def frame(tmp_path):
    write(tmp_path / "0", 0.1, model__hidden_size=8, model___target_="a.b.Small", losses=[3, 2])
    write(tmp_path / "1", 0.2, model__hidden_size=16, model___target_="a.b.Large", losses=[1, 1, 1])
    write(tmp_path / "2", None, "failed", model__hidden_size=32, trainer__epochs=5, losses=[9])
    write(tmp_path / "3", None, "diverged", trainer__epochs=None)
    return load(tmp_path)


def jobs(frame):
    return "".join(run[-1] for run in frame["run"])


@pytest.mark.parametrize(
    ("condition", "kept"),
    [("model.hidden_size=16", "1"), ("hidden_size==16.0", "1"), ("hidden_size!=16", "023"), ("hidden_size<16", "0"),
     ("hidden_size >= 16", "12"), ("model=Small", "0"), ("model=a.b.Small", "0"), ("epochs=null", "3"),
     ("state=failed", "2"), ("validation.loss<=0.1", "0")],
)  # fmt: skip
def test_a_condition_keeps_the_runs_that_meet_it(frame, condition, kept):
    assert jobs(selection.where(frame, condition)) == kept


@pytest.mark.parametrize(
    ("condition", "message"),
    [("hidden=", "`--where` must match a run"), ("hiden_size=3", "`hiden_size`. Did you mean `model.hidden_size`"),
     ("loss=1", "`loss` matches validation.loss, test.loss"), ("hidden_size", "`--where` must be SETTING=VALUE"),
     ("hidden_size<a", "`--where` must have a number after <"),
     ("hidden_size=7", "none of 4 has hidden_size=7. Available: 16")],
)  # fmt: skip
def test_a_condition_that_cannot_be_met_is_refused_with_the_alternatives(frame, condition, message):
    frame = frame.rename(columns={}) if condition != "hidden=" else frame.assign(hidden=1)
    with pytest.raises(CompareError, match=message):
        selection.filtered(frame, [condition])


def test_the_metric_is_the_requested_one_or_the_runs_own_objective(frame):
    remarks = []
    assert selection.choose_metric(frame, None, remarks) == "validation.loss"
    assert selection.choose_metric(frame, "test.loss", remarks) == "test.loss"
    assert selection.choose_metric(
        frame.assign(objective="accuracy", **{"validation.accuracy": 0.5}), None, remarks
    ) == ("validation.accuracy")
    assert remarks == []
    assert selection.choose_metric(frame.drop(columns="validation.loss"), None, remarks) == "test.loss"
    assert remarks == ["No run has validation.loss: ranked by test.loss. Choose another with --metric."]


def test_a_metric_that_no_run_has_is_refused_with_the_existing_ones_and_the_closest(frame):
    message = (
        r"no run has `validation.los`. Did you mean `validation.loss`\? Available: validation.loss, test.loss, seconds"
    )
    with pytest.raises(CompareError, match=message):
        selection.choose_metric(frame, "validation.los", [])
    assert selection.metrics(frame[frame["state"] == "failed"]) == []


def test_at_an_epoch_all_runs_count_that_reached_it(frame):
    then = selection.at_epoch(frame, 2, [])
    assert list(then["state"]) == ["reached", "reached", "failed", "diverged"]
    assert list(then["validation.loss"][:2]) == [2, 1]
    assert "test.loss" not in then
    first = selection.at_epoch(frame, 1, [])
    assert (first["state"][2], first["error"][2]) == ("reached", "failed later: why it failed")
    with pytest.raises(
        CompareError, match=r"`--epoch` must be an epoch in some history.csv, but none has epoch 7. Use a lower one."
    ):
        selection.at_epoch(frame, 7, [])


def test_any_column_sorts_with_missing_values_last():
    shown = pd.DataFrame({"model.size": [8, 16, math.nan, 9], "n": [3, "2/3 folds", 5, ""]})
    assert list(selection.sort(shown, "size", []).index) == [0, 3, 1, 2]
    assert list(selection.sort(shown, "-size", []).index) == [1, 3, 0, 2]
    assert list(selection.sort(shown, "n", []).index) == [0, 2, 3, 1]
    with pytest.raises(
        CompareError, match=r"`--sort` must name a column, but no run has `sise`. Did you mean `model.size`\?"
    ):
        selection.sort(shown, "sise", [])


def test_columns_are_chosen_by_name_or_ending():
    known = ["validation.loss", "test.loss", "optimizer.lr"]
    assert selection.columns("lr, validation.loss", known[:1], known) == ["optimizer.lr", "validation.loss"]
    assert selection.columns("loss", known[:1], known) == ["validation.loss"]
    with pytest.raises(CompareError, match="`--columns` must be comma-separated names of columns, got none"):
        selection.columns(",", known, known)
