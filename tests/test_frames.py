"""Sequences from tables and arrays: what is cut, what is tested, and what bad input says."""

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.data.sequences import SequenceData, SequenceSubset


def table(machines=3, rows=20, sensors=2, seed=0):
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "machine": f"m{machine}",
                "time": pd.date_range("2024-01-01", periods=rows + machine, freq="h"),
                **{f"sensor_{n}": rng.normal(n, 1 + n, rows + machine) for n in range(sensors)},
            }
        )
        for machine in range(machines)
    ]
    return pd.concat(frames, ignore_index=True)


def batch_of(data, scaled_by=None):
    index = np.arange(len(data))
    return SequenceSubset(data, index, data.fit_scaling(index if scaled_by is None else scaled_by)).batch(
        torch.arange(len(data))
    )


def test_a_column_major_array_is_read_as_it_stands():
    """What `frame[[...]].to_numpy()` gives; read as row-major memory it is scrambled without an error."""
    values = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(6, 2))
    data = SequenceData(torch.from_numpy(values), torch.tensor([0, 2]), 3, np.array([False, True]))
    assert batch_of(data).inputs[1].tolist() == [[4, 5], [6, 7], [8, 9]]


def test_windows_are_consecutive_rows_of_one_series_in_the_order_of_time():
    frame = table()
    shuffled = frame.sample(frac=1, random_state=0)
    data = from_frame(shuffled, series="machine", time="time", window=4, scaling="none")
    inputs = batch_of(data).inputs.numpy()
    for window, start, series in zip(inputs, data.starts.tolist(), data.series, strict=True):
        own = frame[frame["machine"] == data.series_names[series]][["sensor_0", "sensor_1"]].to_numpy(np.float32)
        place = int(data.time_of_step[start])
        assert np.array_equal(window, own[place : place + 4])


def test_data_show_their_size_and_not_their_values():
    data = from_frame(table(machines=3, rows=60), series="machine", time="time", window=8, stride=4)
    tested = int(data.test.sum())
    assert (
        repr(data)
        == f"SequenceData({len(data)} sequences, {tested} of them test, of 8 steps with 2 features: sensor_0, sensor_1)"
    )
    assert "of 4 to 6 steps with 8 features: feature 0" in repr(from_arrays([np.ones((n, 8)) for n in (4, 5, 6)]))
    assert repr(from_arrays(np.ones((4, 3, 8)))).endswith("feature 5, ...)")


def test_without_a_window_each_series_is_one_sequence_of_its_own_length():
    data = from_frame(table(), series="machine", time="time")
    assert data.lengths.tolist() == [20, 21, 22]
    assert data.is_ragged
    assert data.spans is None
    batch = batch_of(data)
    assert batch.lengths.tolist() == [20, 21, 22]
    assert not batch.inputs[0, 20:].any()
    assert batch.observed is None
    assert batch.target_observed.sum(dim=(1, 2)).tolist() == [40, 42, 44]


def test_the_test_subset_is_the_latest_stretch_and_shares_no_row_with_the_rest():
    data = from_frame(table(rows=60), series="machine", time="time", window=5, test_share=0.25)
    test, rest = np.flatnonzero(data.test), np.flatnonzero(~data.test)
    assert data.spans[rest].max() < data.spans[test].min()
    assert not data.sharing_steps(rest, test).any()


def test_a_column_may_say_which_rows_are_tested():
    frame = table()
    frame["part"] = np.where(frame["machine"] == "m1", "test", "train")
    data = from_frame(frame, series="machine", time="time", part="part")
    assert data.test.tolist() == [False, True, False]


def test_equal_lengths_without_holes_pay_for_no_mask():
    batch = batch_of(from_arrays(np.ones((4, 5, 2)) * np.arange(5)[:, None]))
    assert batch.lengths is batch.observed is batch.target_observed is None


def test_missing_values_are_masked_and_no_scaler_sees_them():
    frame = table(sensors=1)
    whole = batch_of(from_frame(frame, series="machine", time="time", window=4))
    holes = frame.copy()
    holes.loc[3, "sensor_0"] = np.nan
    data = from_frame(holes, series="machine", time="time", window=4, missing="mask")
    batch = batch_of(data)
    assert int((~batch.observed).sum()) == 4  # the windows that hold row 3
    assert not batch.inputs[~batch.observed].any()
    assert torch.equal(batch.observed, batch.target_observed)
    assert batch.inputs.isfinite().all()
    assert torch.allclose(batch.inputs[batch.observed], whole.inputs[batch.observed], atol=0.2)
    covered = holes["sensor_0"].to_numpy()[data.steps_of(np.arange(len(data)))]
    assert data.fit_scaling(np.arange(len(data))).shift.item() == pytest.approx(np.nanmean(covered), rel=1e-4)


def test_one_missing_value_does_not_void_its_series():
    frame = table(machines=1, sensors=1)
    frame.loc[0, "sensor_0"] = np.nan
    for scaling in ("standard", "minmax"):
        batch = batch_of(from_frame(frame, window=4, scaling=scaling, missing="mask", features=["sensor_0"]))
        assert batch.inputs.isfinite().all()
        assert batch.inputs.abs().sum() > 0


def test_labels_are_classes_a_series_or_flags_a_row():
    frame = table()
    frame["state"] = frame["machine"].map({"m0": "good", "m1": "bad", "m2": "good"})
    data = from_frame(frame, series="machine", time="time", label="state")
    assert data.classes == ("bad", "good")
    assert data.labels.tolist() == [1, 0, 1]
    frame["flag"] = (np.arange(len(frame)) % 7 == 0).astype(int)
    data = from_frame(frame, series="machine", time="time", label="flag", window=5)
    assert data.labels is None
    assert data.label_of_step.sum() == frame["flag"].sum()


def test_arrays_of_unequal_length_with_string_labels():
    data = from_arrays([np.ones((3, 2)), np.zeros((5, 2))], y=["up", "down"], test=[False, True])
    assert data.classes == ("down", "up")
    assert data.labels.tolist() == [1, 0]
    assert data.lengths.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"series": "machin"}, "`series` must name a column of the table, got 'machin'. Did you mean 'machine'?"),
        ({"sensor_0": "text"}, {"features": ["sensor_0"]}, "row 0 of 'sensor_0' holds 'text'. Leave the column out"),
        ({"time": "soon"}, {"time": "time"}, "`time` must be a date or a number in every row, and row 0 has 'soon'"),
        ({"time": "2024-01-01"}, {"time": "time"}, "`time` must differ within a series, and row 1 repeats"),
        ({}, {"window": 99}, "`window` must fit into a series, got 99, and the longest has 22 rows"),
        ({"sensor_0": np.nan}, {"missing": "mask"}, "'sensor_0' is all missing, from row 0 to row 62. Leave it out"),
        ({"sensor_0": np.inf}, {"missing": "mask"}, "row 0 of 'sensor_0' is infinite"),
        ({"machine": None}, {}, "`series` must name the series of every row, and row 0 has none"),
        ({"part": "dev"}, {"part": "part"}, "`part` must hold train or test, and row 0 holds 'dev'"),
        ({"state": None}, {"label": "state"}, "`label` must be given in every row, and row 0 has none"),
        ({}, {"stride": 0}, "`stride` must be at least 1, got 0"),
    ],
)
def test_bad_tables_are_named_with_row_column_and_cure(change, options, message):
    frame = table().assign(**change)
    with pytest.raises(ValueError, match=message):
        from_frame(frame, **{"series": "machine"} | options)


def test_arrays_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"equally many features, got shapes \[\(3, 1\), \(3, 2\)\]"):
        from_arrays([np.ones((3, 1)), np.ones((3, 2))])
    with pytest.raises(ValueError, match="`y` must hold a class for each sequence, got 1 for 2"):
        from_arrays(np.ones((2, 3, 1)), y=["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0]), "classes": ("a",)}, "`labels` must have 2 values, one a sequence, got 1"),
        (
            {"labels": torch.tensor([0, 3]), "classes": ("a", "b")},
            r"`labels` must lie in 0..1, the places of `classes`",
        ),
        ({"starts": torch.tensor([0, 5])}, "`starts` must lie within the 6 rows of `values`"),
        ({"lengths": 0}, "`lengths` must be at least 1, got 0"),
        ({"test": np.array([True])}, "`test` must have 2 values, one a sequence, got 1"),
        ({"feature_names": ("a", "b")}, "`feature_names` must have 1 names, got 2"),
        ({"series_of_step": np.zeros(5, dtype=int)}, "`series_of_step` must have 6 values, one a row, got 5"),
        ({"image_shape": (2, 2)}, r"`image_shape` must hold the 3 values of a sequence, got \(2, 2\)"),
        ({"missing": "drop"}, "`missing` must be one of error, mask, interpolate, forward, got 'drop'"),
    ],
)
def test_a_dataset_checks_itself(change, message):
    parts = {"values": torch.ones(6, 1), "starts": torch.tensor([0, 3]), "lengths": 3, "test": np.zeros(2, dtype=bool)}
    with pytest.raises(ValueError, match=message):
        SequenceData(**parts | change)


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d %b %Y", "%Y-%m-%d %H:%M:%S+02:00"])
def test_rows_are_in_the_order_of_time_however_it_is_written(form):
    days = pd.date_range("2020-01-28", periods=40)
    frame = pd.DataFrame({"day": days.strftime(form), "heat": np.arange(40.0)}).sample(frac=1, random_state=0)
    data = from_frame(frame, time="day", window=3, scaling="none")
    assert data.values[:, 0].tolist() == list(range(40))
    assert data.times.dtype.kind == "M"


def test_times_with_a_zone_are_kept_in_utc_and_numbers_may_be_texts():
    zoned = pd.DataFrame({"at": pd.date_range("2020-01-01", periods=9, tz="Europe/Berlin"), "heat": np.arange(9.0)})
    assert str(from_frame(zoned, time="at", window=2).times[0])[:19] == "2019-12-31T23:00:00"
    texts = pd.DataFrame({"at": [str(n) for n in range(12)], "heat": np.arange(12.0)})
    assert from_frame(texts, time="at", window=2, scaling="none").values[:, 0].tolist() == list(range(12))


def test_columns_may_be_numbers():
    assert from_frame(pd.DataFrame(np.random.default_rng(0).random((9, 3))), window=2).feature_names == ("0", "1", "2")
