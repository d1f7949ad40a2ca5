"""Datasets: what they hold, what a scaler may see, what bad files say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_ae.data.digits import load_digits
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.data.sp500 import load_sp500
from lstm_ae.data.toy import load_toy

PRICES = {
    "path": None, "column": "close", "symbols": None, "start": None, "end": None, "window": 5, "stride": 1,
    "test_share": 0.2, "test_part": "latest", "scaling": "minmax", "scaler_sees": "training",
}  # fmt: skip


def write_prices(path, days=40, symbols=("AAA", "BBB"), **columns):
    dates = pd.bdate_range("2020-01-01", periods=days).strftime("%Y-%m-%d")
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"date": dates, "symbol": symbol, "close": 10 + rng.random(days).cumsum(), **columns})
        for symbol in symbols
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame.to_csv(path, index=False)
    return frame


def raw(data):
    """The sequences, unscaled, each read off the table by itself."""
    return torch.stack([data.values[start:end] for start, end in zip(data.starts.tolist(), data.ends, strict=True)])


def part_of(data, index):
    return SequenceSubset(data, index, data.fit_scaling(index))


class TestToy:
    data = load_toy(sequences=2000, length=50, seed=3, test_share=0.2)
    values = data.values.view(2000, 50).numpy()

    def test_values_are_uniform_outside_the_window(self):
        edges = np.concatenate([self.values[:, :15], self.values[:, 36:]], axis=1)
        assert edges.min() >= 0
        assert edges.max() < 1
        assert edges.mean() == pytest.approx(0.5, abs=0.01)

    def test_every_sequence_has_one_damped_window_around_a_centre_in_20_to_30(self):
        # Undamped, eleven values in a row below 0.1 have a chance of 1e-11.
        runs = np.lib.stride_tricks.sliding_window_view(self.values < 0.1, 11, axis=1).all(axis=-1)
        centres = np.array([np.flatnonzero(row)[[0, -1]] + 5 for row in runs])
        assert ((centres[:, 0] <= 30) & (centres[:, 1] >= 20)).all()
        assert set(np.unique(centres[:, 0])) >= set(range(21, 30))

    def test_the_seed_decides_everything(self):
        again = load_toy(sequences=2000, length=50, seed=3, test_share=0.2)
        other = load_toy(sequences=2000, length=50, seed=4, test_share=0.2)
        assert again.fingerprint() == self.data.fingerprint() != other.fingerprint()

    def test_the_test_part_has_its_share(self):
        assert self.data.test.sum() == 400

    @pytest.mark.parametrize(
        ("argument", "value", "message"),
        [
            ("length", 20, "`length` must be at least 36, got 20. The damped window"),
            ("sequences", 0, "`sequences` must be at least 3, got 0"),
            ("test_share", 1.5, "`test_share` must lie between 0 and 1, got 1.5"),
        ],
    )
    def test_bad_values_are_named(self, argument, value, message):
        arguments = {"sequences": 10, "length": 50, "seed": 0, "test_share": 0.2, argument: value}
        with pytest.raises(ValueError, match=message):
            load_toy(**arguments)


class TestDigits:
    data = load_digits(test_share=0.2, seed=0)

    def test_images_are_sequences_of_rows_scaled_to_minus_one_to_one(self):
        batch = part_of(self.data, np.arange(1797)).batch(torch.arange(1797))
        assert batch.inputs.shape == (1797, 8, 8)
        assert (batch.inputs.min(), batch.inputs.max()) == (-1, 1)
        assert sorted(set(batch.labels.tolist())) == list(range(10))

    def test_every_class_is_tested(self):
        counts = np.bincount(self.data.labels.numpy()[self.data.test], minlength=10)
        assert counts.min() >= 34


class TestPrices:
    def test_the_shipped_prices_are_twenty_companies_over_33_years(self):
        data = load_sp500(**PRICES | {"window": 30})
        assert len(data.series_names) == 20
        assert str(data.times[0]) == "1990-01-02"
        assert str(data.times[-1]) == "2022-12-28"

    def test_windows_are_consecutive_days_of_one_company(self, tmp_path):
        frame = write_prices(tmp_path / "p.csv")
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})
        windows = raw(data)
        closes = {name: rows["close"].to_numpy(np.float32) for name, rows in frame.groupby("symbol")}
        for window, series, (first, last) in zip(windows, data.series, data.spans, strict=True):
            assert np.array_equal(window[:, 0], closes[data.series_names[series]][first : last + 1])

    def test_windows_share_the_memory_of_the_table(self, tmp_path):
        write_prices(tmp_path / "p.csv")
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})
        assert part_of(data, np.arange(len(data)))._windows.data_ptr() == data.values.data_ptr()

    def test_the_test_part_is_the_latest_days_and_shares_none_with_the_rest(self, tmp_path):
        write_prices(tmp_path / "p.csv")
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})
        assert data.spans[~data.test].max() < data.spans[data.test].min() == 32

    def test_no_window_crosses_a_day_without_a_price_and_the_log_names_it(self, tmp_path):
        frame = write_prices(tmp_path / "p.csv")
        frame.loc[7, "close"] = np.nan
        frame.drop(index=20).to_csv(tmp_path / "gap.csv", index=False)
        data = load_sp500(**PRICES | {"path": str(tmp_path / "gap.csv")})
        days = data.spans[data.series == 0]
        for gap in (7, 20):
            assert not ((days[:, 0] <= gap) & (days[:, 1] >= gap)).any()
        assert data.notes == ("AAA has no price on 2 of its days; no window crosses them.",)

    def test_a_company_with_too_few_days_is_left_out_and_named(self, tmp_path):
        long, short = write_prices(tmp_path / "p.csv", symbols=("AAA",)), write_prices(tmp_path / "p.csv", days=4)
        pd.concat([long, short[short["symbol"] == "BBB"]]).to_csv(tmp_path / "p.csv", index=False)
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})
        assert set(data.series) == {0}
        assert data.notes == ("BBB is left out: its 4 days hold no window of 5.",)

    def test_a_gap_stays_a_gap_where_the_other_companies_are_left_out(self, tmp_path):
        frame = write_prices(tmp_path / "p.csv")
        frame.loc[7, "close"] = np.nan
        frame.to_csv(tmp_path / "p.csv", index=False)
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), "symbols": ["AAA"]})
        assert not ((data.spans[:, 0] <= 7) & (data.spans[:, 1] >= 7)).any()

    def test_a_company_called_na_is_a_company(self, tmp_path):
        write_prices(tmp_path / "p.csv", symbols=("NA", "BBB"))
        assert load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")}).series_names == ("BBB", "NA")

    @pytest.mark.parametrize("content", [True, [True, ""]], ids=["a column of them", "with empty cells"])
    def test_truth_values_are_no_prices(self, tmp_path, content):
        frame = write_prices(tmp_path / "p.csv")
        frame["close"] = content * 40 if isinstance(content, list) else content
        frame.to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(ValueError, match=r"`column` must .* line 2 of .* of 'close' holds True"):
            load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})

    def test_symbols_keep_their_leading_zeros(self, tmp_path):
        write_prices(tmp_path / "p.csv", symbols=("0001", "1", "01.0"))
        assert load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")}).series_names == ("0001", "01.0", "1")

    @pytest.mark.parametrize("zone", ["Z", "+01:00", "-0500"])
    def test_a_day_is_that_of_the_files_own_clock(self, tmp_path, zone):
        frame = write_prices(tmp_path / "p.csv")
        frame["date"] += f"T23:30:00{zone}"
        frame.to_csv(tmp_path / "p.csv", index=False)
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), "start": "2020-01-02"})
        assert str(data.times[0]) == "2020-01-02"

    def test_a_column_needs_a_file(self):
        with pytest.raises(ValueError, match="`column` needs a file of prices, got 'volume'"):
            load_sp500(**PRICES | {"column": "volume"})

    def test_relative_names_the_row_of_a_price_of_zero(self, tmp_path):
        frame = write_prices(tmp_path / "p.csv")
        frame.loc[3, "close"] = 0.0
        frame.to_csv(tmp_path / "p.csv", index=False)
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), "scaling": "relative"})
        with pytest.raises(ValueError, match=r"is 0 in the sequence that begins at row 3 \(AAA, 2020-01-06\). Use min"):
            data.fit_scaling(np.arange(4))

    def test_the_reports_own_protocol_tests_on_windows_that_training_overlaps(self, tmp_path):
        write_prices(tmp_path / "p.csv")
        leaky = {"test_part": "shuffled", "scaler_sees": "everything"}
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), **leaky})
        test, rest = np.flatnonzero(data.test), np.flatnonzero(~data.test)
        assert data.sharing_steps(test, rest).mean() > 0.9
        scaled = SequenceSubset(data, test, data.fit_scaling(rest)).batch(torch.arange(len(test))).inputs
        assert scaled.min() >= 0
        assert scaled.max() <= 1

    def test_symbols_start_and_end_choose(self, tmp_path):
        write_prices(tmp_path / "p.csv", symbols=("AAA", "BBB", "CCC"))
        chosen = {"symbols": ["CCC", "AAA"], "start": "2020-01-06", "end": "2020-02-10"}
        data = load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), **chosen})
        assert data.series_names == ("AAA", "CCC")
        assert (str(data.times[0]), str(data.times[-1])) == ("2020-01-06", "2020-02-10")

    def test_the_column_called_name_serves_as_symbol(self, tmp_path):
        write_prices(tmp_path / "p.csv").rename(columns={"symbol": "Name"}).to_csv(tmp_path / "p.csv", index=False)
        assert load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")}).series_names == ("AAA", "BBB")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"date": "31/12/2020"}, r"line 4 of .* has a date that cannot be read: '31/12/2020'. Write days as"),
            ({"close": "n.a. today"}, r"`column` must .* line 4 of .* of 'close' holds 'n.a. today'"),
            ({"close": "inf"}, r"line 4 of .* of 'close' is infinite"),
            ({"close": "1e300"}, r"line 4 of .* of 'close' is infinite .* Mend the data"),
            ({"close": "True"}, r"line 4 of .* of 'close' holds 'True'"),
            ({"date": "2020-01-03T00:00+01:00"}, r"line 4 of .* has a date of another time zone than the first"),
            ({"symbol": ""}, r"line 4 of .* has no symbol"),
            ({"date": "2020-01-01"}, r"line 4 of .* repeats a day of a company: 'AAA'. Keep one"),
        ],
    )
    def test_a_bad_row_is_named_with_its_line(self, tmp_path, change, message):
        frame = write_prices(tmp_path / "p.csv").astype(str)
        for column, value in change.items():
            frame.loc[2, column] = value
        frame.to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(ValueError, match=message):
            load_sp500(**PRICES | {"path": str(tmp_path / "p.csv")})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "`path` must name a file or a folder, and there is none at"),
            ("", "`path` must name a file with rows, and .* is empty"),
            ("date,symbol,close\n", "`path` must name files with rows, and .* has only a header"),
            ("date,symbol,Close\n2020-01-01,A,1\n", "must have the column 'close', and has none. Did you mean 'Close'"),
            ("date,close\n2020-01-01,1\n", "must have the column 'symbol'"),
        ],
    )
    def test_a_bad_file_is_named_with_the_cure(self, tmp_path, content, message):
        path = tmp_path / "prices.csv"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ValueError, match=message):
            load_sp500(**PRICES | {"path": str(path)})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"window": 41}, "`window` is longer than every company's unbroken history: 41 days.* 40 days with"),
            ({"symbols": ["ZZZ"]}, "`symbols` must name companies of the data, got 'ZZZ'. Use some of: AAA, BBB"),
            ({"start": "soon"}, "`start` must be a day, got 'soon'. Use dataset.start=2010-01-31"),
            (
                {"start": "2030-01-01"},
                "`start` and `end` must enclose days with prices of the companies, got 2030-01-01 to None",
            ),
            ({"window": 1}, "`window` must be at least 2, got 1"),
            ({"scaling": "max"}, "`scaling` must be one of relative, minmax, standard, none, got 'max'"),
        ],
    )
    def test_bad_values_are_named(self, tmp_path, change, message):
        write_prices(tmp_path / "p.csv")
        with pytest.raises(ValueError, match=message):
            load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), **change})


class TestScaling:
    @pytest.fixture
    def data(self, tmp_path):
        write_prices(tmp_path / "p.csv")
        return lambda scaling: load_sp500(**PRICES | {"path": str(tmp_path / "p.csv"), "scaling": scaling})

    def test_minmax_takes_the_training_days_of_each_company_to_zero_and_one(self, data):
        data = data("minmax")
        train = np.flatnonzero(~data.test)
        part = part_of(data, train)
        inputs = part.batch(torch.arange(len(train))).inputs
        for group in (0, 1):
            chosen = inputs[data.series[train] == group]
            assert (chosen.min(), chosen.max()) == (0, 1)

    def test_standard_centres_the_training_days_of_each_company(self, data):
        data = data("standard")
        train = np.flatnonzero(~data.test)
        fitted = data.fit_scaling(train)
        for group in (0, 1):
            days = data.values[data.steps_of(train) & (data.series_of_step == group)]
            scaled = (days - fitted.shift[group]) / fitted.scale[group]
            assert scaled.mean() == pytest.approx(0, abs=1e-5)
            assert scaled.std(unbiased=False) == pytest.approx(1, abs=1e-5)

    def test_relative_is_the_change_since_the_first_day_over_the_largest_in_training(self, data):
        data = data("relative")
        train = np.flatnonzero(~data.test)
        fitted = data.fit_scaling(train)
        windows = raw(data)
        change = windows / windows[:, :1] - 1
        inputs = SequenceSubset(data, np.arange(len(data)), fitted).batch(torch.arange(len(data))).inputs
        assert torch.allclose(inputs, change / change[train].abs().max(), atol=1e-5)
        assert inputs[train].abs().max() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("scaling", ["none", "minmax", "standard", "relative"])
    def test_values_come_back_in_dollars(self, data, scaling):
        data = data(scaling)
        part, positions = part_of(data, np.arange(len(data))), torch.arange(len(data))
        assert torch.allclose(part.unscaled(part.batch(positions).inputs, positions), raw(data))

    @pytest.mark.parametrize("scaling", ["minmax", "standard", "relative"])
    def test_what_the_scaler_was_not_fitted_on_does_not_move_it(self, data, scaling):
        data = data(scaling)
        train = np.flatnonzero(~data.test)
        before = SequenceSubset(data, train, data.fit_scaling(train)).batch(torch.arange(len(train)))
        data.values[~torch.from_numpy(data.steps_of(train))] *= 100
        after = SequenceSubset(data, train, data.fit_scaling(train)).batch(torch.arange(len(train)))
        assert torch.equal(before.inputs, after.inputs)

    def test_a_constant_series_is_not_divided_by_zero(self):
        values = torch.full((6, 1), 3.0)
        fitted = Scaling("minmax").fit(values, torch.arange(2), np.full(2, 5), None, np.ones(6, dtype=bool))
        assert fitted.scale.item() == 1

    def test_relative_refuses_a_window_that_begins_at_zero(self):
        with pytest.raises(ValueError, match="and that of feature 0 is 0 in the sequence that begins at row 0"):
            Scaling("relative").fit(torch.zeros(6, 1), torch.arange(2), np.full(2, 5), None, np.ones(6, dtype=bool))


def make(**changes):
    """Three sequences of 4, 2 and 6 steps with two features, and all that a dataset may know of them."""
    known = {
        "values": torch.arange(24.0).reshape(12, 2),
        "starts": torch.tensor([0, 4, 6]),
        "lengths": np.array([4, 2, 6]),
        "test": np.array([False, False, True]),
        "labels": torch.tensor([0, 1, 1]),
        "classes": ("still", "moving"),
        "label_of_step": np.arange(12) > 7,
        "series_of_step": np.repeat([0, 1], [6, 6]),
        "series_names": ("a", "b"),
        "time_of_step": np.tile(np.arange(6), 2),
        "times": np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]"),
        "feature_names": ("heat", "speed"),
    }
    return SequenceData(**known | changes)


def with_holes(*places):
    values = torch.arange(24.0).reshape(12, 2)
    for place in places:
        values[place] = torch.nan
    return values


class TestSequences:
    def test_equal_lengths_without_holes_pay_nothing_for_masks(self):
        data = make(lengths=2, starts=torch.tensor([0, 3, 8]))
        batch = part_of(data, np.arange(3)).batch(torch.arange(3))
        assert (batch.lengths, batch.observed, batch.target_observed, batch.there) == (None, None, None, None)

    def test_lengths_that_are_all_the_same_are_one_length(self):
        data = make(lengths=np.array([2, 2, 2]))
        assert data.lengths == 2
        assert not data.is_ragged

    def test_a_batch_of_unequal_lengths_holds_each_sequence_and_then_zeros(self):
        data = make()
        batch = part_of(data, np.arange(3)).batch(torch.tensor([2, 1]))
        assert batch.lengths.tolist() == [6, 2]
        assert batch.observed is None  # nothing is missing
        assert torch.equal(batch.inputs[0], data.values[6:12])
        assert torch.equal(batch.inputs[1, :2], data.values[4:6])
        assert not batch.inputs[1, 2:].any()
        inside = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]], dtype=torch.bool).unsqueeze(2).expand(2, 6, 2)
        assert torch.equal(batch.there, inside)
        assert torch.equal(batch.target_observed, inside)
        assert (batch.index.tolist(), batch.starts.tolist()) == ([2, 1], [6, 4])

    def test_missing_values_are_zero_and_marked_whatever_the_scaler(self):
        data = make(values=with_holes((1, 0), (7, 1)), missing="mask", scaling=Scaling("standard"))
        batch = part_of(data, np.arange(3)).batch(torch.arange(3))
        assert batch.inputs.isfinite().all()
        gone = ~batch.observed
        assert gone[0, 1, 0]
        assert gone[2, 1, 1]
        assert gone.sum() == 2 + (2 + 4) * 2  # the two, and the padding of the first two sequences
        assert not batch.inputs[gone].any()
        assert torch.equal(batch.target_observed, batch.observed)

    @pytest.mark.parametrize("scaling", ["none", "minmax", "standard", "relative"])
    def test_a_scaler_passes_over_missing_values(self, scaling):
        """A row that is missing whole moves no scale: as if the table had never had it."""
        whole = make(values=1 + torch.arange(24.0).reshape(12, 2).sqrt(), scaling=Scaling(scaling))
        values = torch.cat([whole.values[:2], torch.full((1, 2), torch.nan), whole.values[2:]])
        one_more = {name: np.insert(getattr(whole, name), 2, 0) for name in ("label_of_step", "series_of_step")}
        holed = make(
            values=values,
            starts=torch.tensor([0, 5, 7]),
            lengths=np.array([5, 2, 6]),
            time_of_step=None,
            times=None,
            missing="mask",
            scaling=Scaling(scaling),
            **one_more,
        )
        first, second = (part_of(data, np.arange(3)).batch(torch.arange(3)) for data in (whole, holed))
        assert torch.allclose(second.inputs[1:, :6], first.inputs[1:], atol=1e-6)
        assert torch.allclose(second.inputs[0][[0, 1, 3, 4]], first.inputs[0, :4], atol=1e-6)

    def test_a_series_of_which_training_shows_nothing_gets_the_pooled_scaler(self):
        data = make(scaling=Scaling("minmax", per="series"))
        fitted = data.fit_scaling(np.array([0, 1]))  # both of series a
        seen = data.values[:6]
        for row in (0, 1):
            assert torch.equal(fitted.shift[row], seen.amin(dim=0))
            assert torch.equal(fitted.scale[row], seen.amax(dim=0) - seen.amin(dim=0))

    def test_a_column_major_table_is_read_as_the_same_rows(self):
        columns = torch.arange(24.0).reshape(12, 2).T.contiguous().T
        assert not columns.is_contiguous()
        equal = {"lengths": 2, "starts": torch.tensor([0, 3, 8])}
        batches = [part_of(data, np.arange(3)).batch(torch.arange(3)) for data in (make(**equal),
            make(values=columns, **equal))]  # fmt: skip
        assert torch.equal(batches[0].inputs, batches[1].inputs)

    def test_spans_are_there_only_where_sequences_follow_one_another_in_a_series(self):
        assert make().spans.tolist() == [[0, 3], [4, 5], [0, 5]]
        alone = {"starts": torch.tensor([0, 6]), "lengths": np.array([4, 6]), "test": np.array([False, True])}
        assert make(labels=None, classes=(), **alone).spans is None
        assert make(time_of_step=None, times=None).spans is None

    def test_sequences_share_steps_where_their_rows_meet_whatever_their_lengths(self):
        data = make(starts=torch.tensor([0, 3, 4]), lengths=np.array([4, 1, 6]))
        pairs = [[bool(data.sharing_steps(np.array([a]), np.array([b]))[0]) for b in range(3)] for a in range(3)]
        assert pairs == [[True, True, False], [True, True, False], [False, False, True]]

    def test_steps_of_ragged_sequences_are_their_own_rows(self):
        assert np.flatnonzero(make().steps_of(np.array([1, 2]))).tolist() == list(range(4, 12))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"starts": torch.tensor([0, 4, 7])}, "`starts` must lie within the 12 rows of `values`, got one beyond"),
            ({"lengths": np.array([4, 2])}, "`lengths` must have 3 values, got 2"),
            ({"lengths": np.array([4, 0, 6])}, "`lengths` must be at least 1, got 0. Leave out sequences without a"),
            ({"test": np.array([False, True])}, "`test` must have 3 values, one a sequence, got 2"),
            ({"labels": torch.tensor([0, 1, 2])}, r"`labels` must lie in 0..1, the places of `classes`, got 0..2"),
            ({"label_of_step": np.zeros(3, dtype=bool)}, "`label_of_step` must have 12 values, one a row, got 3"),
            ({"series_names": ("a",)}, r"`series_of_step` must lie in 0..0, the places of `series_names`, got 0..1"),
            ({"time_of_step": np.arange(12)}, r"`time_of_step` must lie in 0..5, the places of `times`, got 0..11"),
            ({"feature_names": ("heat",)}, "`feature_names` must have 2 names, got 1"),
            ({"image_shape": (2, 3)}, r"`image_shape` must hold the 12 values of a sequence, got \(2, 3\)"),
            ({"values": with_holes((1, 0))}, r"row 1 \(a, 2020-01-02\) of feature 'heat' is missing \(NaN\) \(1 val"),
            ({"values": with_holes((1, 0)) + torch.inf, "missing": "mask"}, r"row 0 \(a, 2020-01-01\) of fea"),
            ({"values": with_holes((slice(None), 1)), "missing": "mask"}, "each feature, and 'speed' is all missing"),
            ({"missing": "ignore"}, "`missing` must be one of error, mask, interpolate, forward, got 'ignore'"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, changes, message):
        with pytest.raises(ValueError, match=message):
            make(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": torch.arange(24.0).reshape(12, 2) + torch.eye(12)[:, :2]},
        {"starts": torch.tensor([0, 4, 5])},
        {"lengths": np.array([4, 1, 6])},
        {"test": np.array([False, True, True])},
        {"labels": torch.tensor([0, 1, 0])},
        {"classes": ("still", "shaking")},
        {"label_of_step": np.arange(12) > 8},
        {"series_of_step": np.repeat([0, 1], [5, 7])},
        {"series_names": ("a", "c")},
        {"time_of_step": np.tile(np.arange(6), 2)[::-1].copy()},
        {"times": np.arange("2021-01-01", "2021-01-07", dtype="datetime64[D]")},
        {"feature_names": ("heat", "force")},
        {"scaling": Scaling("minmax")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_sees_whatever_changes(changes):
    assert make().fingerprint() == make().fingerprint() != make(**changes).fingerprint()


def test_the_fingerprint_sees_a_changed_value():
    data = load_toy(sequences=10, length=50, seed=0, test_share=0.2)
    before = data.fingerprint()
    data.values[3] += 1
    assert data.fingerprint() != before


def test_the_digest_of_a_subset_sees_its_sequences_and_their_values_but_no_scaling():
    data, other = (load_toy(sequences=10, length=50, seed=seed, test_share=0.2) for seed in (0, 1))
    digest = data.digest(np.array([1, 4]))
    assert digest == data.digest(np.array([4, 1]))
    assert digest == dataclasses.replace(data, scaling=Scaling("standard")).digest(np.array([1, 4]))
    assert digest != data.digest(np.array([1, 5]))
    assert digest != other.digest(np.array([1, 4]))
