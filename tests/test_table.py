"""The user's own table: what is read, what is guessed, and what bad input says."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold

from lstm_ae.data import files
from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.data.sequences import SequenceSubset
from lstm_ae.data.table import load_table
from lstm_ae.experiment.configured import JobError
from lstm_ae.splits import Holdout, WalkForward, select
from tests.tables import machines

ROLES = {"series": "machine", "time": "timestamp", "features": ["temp", "vibration"]}


@pytest.fixture
def write(tmp_path):
    """A function that writes a table as CSV and returns its path."""

    def call(frame, name="machines.csv", **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        frame.to_csv(path, index=False, **options)
        return str(path)

    return call


def same(data, other):
    assert torch.equal(data.values.nan_to_num(-9), other.values.nan_to_num(-9))
    for name in ("classes", "series_names", "feature_names", "missing"):
        assert getattr(data, name) == getattr(other, name)
    for name in ("starts", "lengths", "test", "series_of_step", "time_of_step", "times"):
        assert np.array_equal(getattr(data, name), getattr(other, name)), name


@pytest.mark.parametrize("rows", [7, 250_000])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_file_gives_what_its_frame_gives(write, monkeypatch, rows, separator):
    monkeypatch.setattr(files, "ROWS", rows)
    frame = machines(holes=0.1).sample(frac=1, random_state=0)
    options = {**ROLES, "label": "state", "window": 8, "missing": "mask"}
    same(load_table(write(frame, sep=separator), **options), from_frame(frame, **options))


def test_times_that_are_whole_in_one_stretch_and_not_in_the_next_are_kept(write, monkeypatch):
    monkeypatch.setattr(files, "ROWS", 7)
    at = pd.Series([*range(10), 10.5, 11.75], dtype=object)  # written as 0, not as 0.0
    frame = pd.DataFrame({"at": at, "temp": np.arange(12.0)})
    data = load_table(write(frame), time="at", window=3)
    assert data.times.tolist() == at.tolist()


def test_guesses_are_said_as_the_overrides_that_fix_them(write):
    path = write(machines().drop(columns="state"))
    data = load_table(path, window=8)
    assert data.notes[0] == (
        "Guessed from the columns: dataset.time=timestamp dataset.series=machine dataset.features=[temp,vibration]"
    )
    same(data, load_table(path, window=8, **ROLES))
    assert not load_table(path, window=8, **ROLES).notes


def test_a_label_leaves_one_text_column_to_be_the_series(write):
    data = load_table(write(machines()), label="state")
    assert data.series_names == tuple(f"m{n}" for n in range(6))
    assert data.classes == ("good", "worn, badly")
    assert data.is_ragged


def test_a_pattern_names_columns(write):
    frame = machines().rename(columns={"temp": "sensor_a", "vibration": "sensor_b"}).assign(noise=range(405))
    assert load_table(write(frame), label="state", features="sensor_*").feature_names == ("sensor_a", "sensor_b")


def test_a_folder_holds_a_series_a_file(write, tmp_path):
    frame = machines()
    for name, rows in frame.groupby("machine"):
        write(rows.drop(columns="machine"), f"folder/{name}.csv")
    data = load_table(str(tmp_path / "folder"), label="state", time="timestamp")
    same(data, load_table(write(frame), label="state"))


def test_a_wide_table_holds_a_sequence_a_row(write):
    frame = pd.DataFrame({"kind": ["a", "b", "a", "b"], **{f"t{n}": np.arange(4.0) + n for n in range(5)}})
    frame.loc[1, ["t3", "t4"]] = np.nan
    data = load_table(write(frame), layout="wide", label="kind", features="t*")
    assert data.lengths.tolist() == [5, 3, 5, 5]
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.values[5:8, 0].tolist() == [1, 2, 3]


def test_each_pattern_of_a_wide_table_is_a_feature(write):
    frame = pd.DataFrame(
        {"id": ["x", "y", "z"], **{f"{f}_{n}": np.arange(3.0) * n for f in ("up", "on") for n in range(4)}}
    )
    frame["on_0"] = [5.0, 6, 7]
    data = load_table(write(frame), layout="wide", series="id", features=["up_*", "on_*"])
    assert (data.feature_names, data.series_names, data.lengths) == (("up", "on"), ("x", "y", "z"), 4)
    assert data.values[0].tolist() == [0, 5]
    with pytest.raises(ValueError, match=r"match equally many columns, a step each, got 'up_.': 4, 'on_0.': 1"):
        load_table(write(frame), layout="wide", series="id", features=["up_*", "on_0*"])


def test_a_series_may_be_called_na_and_a_number_keeps_its_zeros(write):
    frame = machines(2).drop(columns="state")
    frame["machine"] = frame["machine"].map({"m0": "NA", "m1": "007"})
    assert load_table(write(frame), **ROLES).series_names == ("007", "NA")


@pytest.mark.parametrize("missing", ["mask", "interpolate", "forward"])
def test_missing_values_are_passed_over_or_filled_in_within_their_series(write, missing):
    frame = machines(3, rows=20, holes=0.2)
    frame.loc[20, "temp"] = np.nan  # the first row of a series has nothing before it
    data = load_table(write(frame), **ROLES, missing=missing)
    own = frame.assign(machine=frame["machine"]).groupby("machine")[["temp", "vibration"]]
    expected = {
        "mask": frame[["temp", "vibration"]],
        "interpolate": own.transform(lambda column: column.interpolate(limit_direction="both")),
        "forward": own.ffill(),
    }[missing]
    assert np.allclose(data.values.numpy(), expected.to_numpy(), equal_nan=True, atol=1e-4)
    assert data.has_holes == (missing != "interpolate")


def test_arrays_are_filled_in_each_by_itself():
    data = from_arrays([np.array([1, np.nan, 3]), np.array([np.nan, 7])], missing="forward", scaling="none")
    assert data.values[:, 0].nan_to_num(-1).tolist() == [1, 1, 3, -1, 7]


def test_interpolation_goes_by_time_and_never_across_the_border_of_the_test_subset():
    frame = pd.DataFrame({"at": [0, 1, 4, 5, 6, 7, 8, 9, 10, 11], "heat": [0.0, np.nan, 4, 5, 6, 7, 8, np.nan, 50, 51]})
    data = from_frame(frame, time="at", window=2, missing="interpolate", test_share=0.2, scaling="none")
    assert data.values[:, 0].tolist() == [0, 1, 4, 5, 6, 7, 8, 8, 50, 51]  # 8: the test subset begins at 50


def test_the_test_subset_may_be_whole_series_of_windows(write):
    data = load_table(write(machines()), label="state", window=8, test_by="series", test_share=0.3)
    tested = set(data.series[data.test])
    assert tested
    assert not tested & set(data.series[~data.test])
    assert len(data) == sum(60 + 3 * n - 7 for n in range(6))  # no window is lost at a border
    assert {int(data.labels[data.series == one][0]) for one in tested} == {0, 1}


@pytest.mark.parametrize("test_by", ["time", "series"])
def test_an_unseen_series_gets_the_pooled_scaler_or_one_of_its_own_first_rows(test_by):
    frame = machines(4).drop(columns=["state", "vibration"])
    new = frame["machine"] == "m3"
    if test_by == "time":
        frame.loc[new, "timestamp"] += pd.Timedelta(days=60)  # it begins after training has ended
    else:
        frame["part"] = np.where(new, "test", "train")
    for unseen in ("pooled", 5):
        options = {"part": "part"} if test_by == "series" else {}
        data = from_frame(frame, series="machine", time="timestamp", features="temp", window=4, scaling_per="series",
                          unseen=unseen, test_share=0.5, **options)  # fmt: skip
        train = np.flatnonzero(~data.test)
        assert 3 not in data.series[train]
        scaling = data.fit_scaling(train)
        rows = data.steps_of(train) if unseen == "pooled" else np.flatnonzero(data.series_of_step == 3)[:5]
        own = data.values.numpy()[rows].astype(np.float64)
        assert scaling.stored["series_shift"][3] == pytest.approx(own.mean(), rel=1e-5)
        assert scaling.stored["series_scale"][3] == pytest.approx(own.std(), rel=1e-4)
        seen = data.values.numpy()[data.steps_of(train) & (data.series_of_step == 0)].astype(np.float64)
        assert scaling.stored["series_shift"][0] == pytest.approx(seen.mean(), rel=1e-5)


def test_no_scaler_sees_a_row_of_the_test_subset(write):
    frame = machines(3, rows=40)
    frame.loc[frame.groupby("machine").tail(4).index, "temp"] = 1e6
    for scaling_per in ("pooled", "series"):
        data = load_table(write(frame), **ROLES, window=4, scaling_per=scaling_per, test_share=0.3)
        stored = data.fit_scaling(np.flatnonzero(~data.test)).stored
        assert all(np.abs(stored[name][..., 0]).max() < 100 for name in stored if name.endswith("shift"))


@pytest.mark.parametrize("step", ["250ms", "1s", "7min", "1D", "1YE"])
def test_times_of_any_resolution_keep_their_order(write, step):
    frame = machines(2).drop(columns="state")
    frame["timestamp"] = (
        frame.groupby("machine").cumcount().map(dict(enumerate(pd.date_range("2020", periods=70, freq=step))))
    )
    data = load_table(write(frame.sample(frac=1, random_state=1)), window=4)
    assert np.array_equal(data.times, np.sort(frame["timestamp"].unique()))


def test_times_of_a_zone_with_daylight_saving_are_kept_in_utc_and_said_so(write):
    frame = machines(2).drop(columns="state")
    berlin = pd.date_range("2024-03-30T00:00", periods=63, freq="h", tz="Europe/Berlin")
    frame["timestamp"] = [str(berlin[n]) for n in frame.groupby("machine").cumcount()]
    data = load_table(write(frame), window=4)
    assert data.times[0] == np.datetime64("2024-03-29T23:00")
    assert set(np.diff(data.times)) == {np.timedelta64(1, "h")}
    assert data.notes[1:] == (
        "The times of 'timestamp' are kept in UTC (written with +01:00 and +02:00, one zone with daylight saving).",
    )


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M"),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
        ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"),
        ("%Y-%m-%d %H:%M", None),
    ],
)
def test_dates_are_read_in_the_format_that_fits_all_rows(write, form, read):
    frame = machines(2, rows=400).drop(columns="state")
    data = load_table(write(frame.assign(timestamp=frame["timestamp"].dt.strftime(form))), **ROLES, window=4)
    assert np.array_equal(data.times, np.sort(frame["timestamp"].unique()))
    assert data.notes == (() if read is None else (
        f"The dates of 'timestamp' are read as {read}; write 2024-12-31 if that is wrong.",
    ))  # fmt: skip


def test_an_index_that_was_written_with_the_table_is_no_feature(write, tmp_path):
    machines().to_csv(tmp_path / "indexed.csv")
    data = load_table(str(tmp_path / "indexed.csv"), label="state", series="machine")
    assert data.feature_names == ("temp", "vibration")


def test_irregular_sampling_is_said(write):
    frame = machines(3).drop(columns="state").drop(index=[5, 6])
    notes = load_table(write(frame), **ROLES, window=4).notes
    assert notes == (
        "The time steps of 1 of 3 series are irregular (m0: 0 days 01:00:00 to 0 days 03:00:00); a window counts rows, "
        "whatever lies between them.",
    )


def test_short_series_may_be_left_out(write):
    frame = machines(3).drop(index=range(5, 60))
    data = load_table(write(frame), **ROLES, window=10, short_series="drop")
    assert "m0 is left out: its 5 rows hold no window of 10." in data.notes
    assert set(data.series) == {1, 2}


SPLITS = {
    "holdout": (Holdout(), None),
    "walk_forward": (WalkForward(4, embargo=8), 3),
    "group_kfold": (GroupKFold(3), 1),
    "group_holdout": (GroupShuffleSplit(1, test_size=0.25, random_state=0), None),
    "kfold": (KFold(3), 1),
}


@pytest.mark.parametrize("test_by", ["time", "series"])
@pytest.mark.parametrize("split", SPLITS)
def test_windows_of_a_series_that_overlap_never_stand_on_two_sides(split, test_by):
    frame = machines(8)
    data = from_frame(frame, **ROLES, window=8, test_by=test_by)
    splitter, fold = SPLITS[split]
    train, validation, _ = select(splitter, fold, data)
    test = np.flatnonzero(data.test)
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not data.sharing_steps(one, other).any()
    if split.startswith("group"):
        assert not set(data.series[train]) & set(data.series[validation])
    if split == "walk_forward":
        assert data.spans[train].max() + 8 < data.spans[validation].min()


def edited(row, column, value):
    def edit(frame):
        frame = frame.astype({column: object}) if not isinstance(value, float) else frame
        frame.loc[row, column] = value
        return frame

    return edit


@pytest.mark.parametrize(
    ("edit", "options", "message"),
    [
        (None, {"series": "machin"}, "`series` must name a column of the table, got 'machin'. Did you mean 'machine'?"),
        (None, {"features": ["tmep"]}, "`features` must name a column of the table, got 'tmep'. Did you mean 'temp'?"),
        (None, {"features": "sensor_*"}, "`features` must match columns, and none is like 'sensor_*'"),
        (None, {"features": []}, "`features` must name a column, got none"),
        (None, {"label": "stat"}, "`label` must name a column of the table, got 'stat'. Did you mean 'state'?"),
        (None, {"window": 62}, "`window` must fit into every series, got 62, and 'm0' has 60 rows, from line 2 of "
                               "machines.csv on. Use dataset.window=60, or dataset.short_series=drop"),
        (None, {"window": 99}, "`window` must fit into a series, got 99, and the longest has 75 rows"),
        (None, {"layout": "tall"}, "`layout` must be one of long, wide, got 'tall'"),
        (None, {"missing": "drop"}, "`missing` must be one of error, mask, interpolate, forward, got 'drop'"),
        (None, {"unseen": 1}, "`unseen` must be at least 2, got 1"),
        (edited(7, "temp", "hot"), {}, "line 9 of machines.csv of 'temp' holds 'hot'. Leave the column out, or mend"),
        (edited(7, "temp", np.inf), {}, "line 9 of machines.csv of 'temp' is infinite (1 rows are)"),
        (edited(7, "temp", np.nan), {}, "'temp' has no value at line 9 of machines.csv (1 rows). Use dataset.missing"),
        (edited(7, "machine", None), {}, "`series` must name the series of every row, and line 9 of machines.csv"),
        (edited(7, "timestamp", "2024-01-01"), {}, "and line 9 of machines.csv repeats 2024-01-01 00:00:00 in "
                                                   "'timestamp', after line 2 of machines.csv. Keep one row"),
        (edited(7, "timestamp", "soon"), {}, "line 9 of machines.csv has 'soon' in 'timestamp'"),
        (edited(7, "timestamp", "2024-01-01T07:00+02:00"), {},
         "time zone in every row of 'timestamp' or in none, and line 9 of machines.csv has +02:00 where line 2"),
        (lambda frame: frame.assign(temp=5.0), {}, "'temp' is 5 in single precision from line 2 of machines.csv to"),
        (lambda frame: frame.assign(temp=np.nan), {}, "'temp' is all missing, from line 2 of machines.csv to line 406"),
        (lambda frame: frame.assign(part="dev"), {"part": "part"}, "line 2 of machines.csv holds 'dev'. Mend"),
        (lambda frame: frame[:0], {}, "machines.csv has only a header"),
        (lambda frame: frame[["machine", "timestamp"]], {"features": None}, "the table has none to spare among"),
    ],
)  # fmt: skip
def test_bad_tables_are_named_with_file_line_column_and_cure(write, edit, options, message):
    path = write(machines() if edit is None else edit(machines().astype({"timestamp": str})))
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(path, **ROLES | {"window": 4} | options)


def test_times_of_several_zones_are_refused(write):
    frame = (
        machines(1)
        .drop(columns="state")
        .assign(timestamp=[f"2024-01-{1 + n // 24:02}T{n % 24:02}:00Z" for n in range(60)])
    )
    frame.loc[9, "timestamp"] = "2024-01-01T09:00-05:00"
    with pytest.raises(
        ValueError, match=r"line 11 of .* has -05:00 where line 2 .* has \+00:00, which daylight saving"
    ):
        load_table(write(frame), **ROLES, window=4)


def test_paths_that_hold_no_table_are_named(write, tmp_path):
    write(machines())
    cases = {
        None: "`path` must name a CSV or Parquet file, or a folder",
        str(tmp_path / "machine.csv"): "there is none at .*machine.csv. Did you mean .*machines.csv",
        str(tmp_path / "empty"): "the folder .*empty has no .csv",
        str(tmp_path / "empty.csv"): "empty.csv is empty",
        str(tmp_path / "bytes.csv"): "bytes.csv cannot be read as one",
        str(tmp_path / "more.csv"): "more.csv cannot be read as one",
        str(tmp_path / "longer.csv"): "longer.csv cannot be read as one: its rows have more cells than the header's 2",
    }
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "more.csv").write_text("a,b\n1,2\n3,4,5\n")
    (tmp_path / "longer.csv").write_text("a,b\nx,1,2\nx,4,5\n")
    (tmp_path / "bytes.csv").write_bytes(b"a,b\n\xff\xfe\x00,1\n")
    for path, message in cases.items():
        with pytest.raises(ValueError, match=message):
            load_table(path, window=4)


def test_files_of_a_folder_that_differ_are_named(write, tmp_path):
    frame = machines(1).drop(columns=["machine", "state"])
    write(frame, "folder/a.csv")
    write(frame.rename(columns={"temp": "tmp"}), "folder/b.csv")
    with pytest.raises(ValueError, match=r"same columns, and b.csv and a.csv differ in temp, tmp"):
        load_table(str(tmp_path / "folder"))
    with pytest.raises(
        ValueError, match=r"b.csv must have the column 'temp', as a.csv has it, and has none. Did you mean 'tmp'"
    ):
        load_table(str(tmp_path / "folder"), features=["temp"])


def test_several_text_columns_are_not_guessed_among(write):
    with pytest.raises(
        ValueError, match=r"several text columns: machine, state. Use dataset.series=machine, or dataset.s"
    ):
        load_table(write(machines()), window=4)


def test_a_table_of_one_series_needs_a_window(write):
    path = write(machines(1).drop(columns=["machine", "state"]))
    with pytest.raises(ValueError, match=r"`window` must be given where all 60 rows are one series.*Guessed from"):
        load_table(path)
    assert load_table(path, window=4).series_of_step is None


def test_parquet_is_read_where_pyarrow_is_there_and_else_the_cure_is_said(write, tmp_path, monkeypatch):
    path = tmp_path / "machines.parquet"
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        path.write_bytes(b"")
        with pytest.raises(
            ValueError, match=r"reading machines.parquet needs pyarrow. Use pip install 'lstm_ae\[parquet"
        ):
            load_table(str(path), window=4)
    else:
        frame = machines(holes=0.1)
        frame.to_parquet(path)
        options = {**ROLES, "label": "state", "window": 8, "missing": "mask"}
        same(load_table(str(path), **options), from_frame(frame, **options))


def test_batches_of_a_table_are_scaled_and_masked(write):
    data = load_table(write(machines(holes=0.1)), **ROLES, missing="mask")
    index = np.flatnonzero(~data.test)
    batch = SequenceSubset(data, index, data.fit_scaling(index)).batch(torch.arange(len(index)))
    known = batch.inputs[batch.target_observed.expand_as(batch.inputs)]
    assert known.isfinite().all()
    assert batch.inputs[~batch.observed].abs().max() == 0


TASKS = {
    "reconstruction": ["model=bottleneck"],
    "denoising": ["model=bottleneck"],
    "imputation": ["model=bottleneck"],
    "prediction": ["model=residual_predictor"],
    "classification": ["model=pooled_classifier", "dataset.label=state", "split=stratified"],
}


@pytest.mark.parametrize(("task", "window"), [*((task, "null") for task in TASKS), ("reconstruction", "12")])
def test_every_task_works_on_a_table_with_holes(run_in, write, tmp_path, task, window):
    path, drawn = write(machines(16, rows=20, holes=0.1)), task == "classification"
    run_in(tmp_path / "run", "dataset=table", f"dataset.path={path}", "dataset.series=machine", f"task={task}",
           "dataset.features=[temp,vibration]", "dataset.missing=mask", f"dataset.window={window}", *TASKS[task],
           "model.hidden_size=3", "trainer=smoke", f"figures={drawn}")  # fmt: skip
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert np.isfinite(metrics["test"]["loss"])
    assert all(np.isfinite(value) for of in metrics["baseline"].values() for value in of.values() if value is not None)
    if drawn:
        table = pd.read_csv(tmp_path / "run" / "confusion.csv")
        assert list(table["class"]) == list(table.columns[1:]) == ["good", "worn, badly"]
        assert {"balanced_accuracy", "macro_f1"} <= set(metrics["test"]) & set(
            metrics["baseline"]["logistic_regression"]
        )
        assert {"data.png", "loss.png", "confusion.png"} <= {
            one.name for one in (tmp_path / "run" / "figures").iterdir()
        }


def test_a_table_that_cannot_be_used_ends_the_run_before_anything_is_made(run_in, write, tmp_path):
    frame = machines().astype({"temp": object})
    frame.loc[7, "temp"] = "hot"
    with pytest.raises(JobError, match=r"line 9 of machines.csv of 'temp' holds 'hot'"):
        run_in(tmp_path / "run", "dataset=table", f"dataset.path={write(frame)}", "dataset.label=state")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left <= {"status.json", "run.log", ".lock"}
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"
