"""Splits: disjoint, covering, and never letting overlapping windows face each other."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold

from lstm_ae.data.sp500 import load_sp500
from lstm_ae.data.toy import load_toy
from lstm_ae.splits import Holdout, OverlappingHoldout, WalkForward, Whole, select

TOY = load_toy(sequences=100, length=50, seed=0, test_share=0.2)


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "p.csv"
    dates = pd.bdate_range("2020-01-01", periods=120).strftime("%Y-%m-%d")
    rng = np.random.default_rng(0)
    pd.concat(
        pd.DataFrame({"date": dates, "symbol": symbol, "close": 10 + rng.random(120)}) for symbol in "ABCDE"
    ).to_csv(path, index=False)
    return load_sp500(str(path), "close", None, None, None, 6, 1, 0.1, "latest", "minmax", "training")


def steps(data, index):
    return set(np.flatnonzero(data.steps_of(index)))


SPLITTERS = {
    "holdout": (Holdout(0.25, 0), None),
    "kfold": (KFold(3, shuffle=False), 1),
    "group_kfold": (GroupKFold(3), 2),
    "walk_forward": (WalkForward(3, embargo=6), 1),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_no_time_step_stands_on_two_sides(prices, name):
    train, validation, _ = select(*SPLITTERS[name], prices)
    test = np.flatnonzero(prices.test)
    assert len(train) > 100
    assert len(validation) > 50
    assert not steps(prices, train) & steps(prices, validation)
    assert not steps(prices, test) & (steps(prices, train) | steps(prices, validation))


def test_folds_are_disjoint_and_cover_everything_but_the_test_part():
    folds = [select(KFold(5, shuffle=True, random_state=0), fold, TOY) for fold in range(5)]
    assert np.array_equal(
        np.sort(np.concatenate([validation for _, validation, _ in folds])), np.flatnonzero(~TOY.test)
    )
    for train, validation, _ in folds:
        assert not set(train) & set(validation)
        assert len(train) + len(validation) == 80


def test_holdout_draws_by_seed_where_there_are_no_dates():
    first, again, other = (select(Holdout(0.25, seed), None, TOY)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(first) == 20


def test_holdout_and_walk_forward_validate_on_later_days(prices):
    for splitter, fold in (SPLITTERS["holdout"], SPLITTERS["walk_forward"]):
        train, validation, _ = select(splitter, fold, prices)
        assert prices.spans[train].max() < prices.spans[validation].min()


def test_walk_forward_leaves_out_the_embargo_and_grows(prices):
    sizes = []
    for fold in range(3):
        train, validation, _ = select(WalkForward(3, embargo=6), fold, prices)
        assert prices.spans[validation].min() - prices.spans[train].max() > 6
        sizes.append(len(train))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_group_kfold_keeps_a_company_on_one_side(prices):
    train, validation, _ = select(*SPLITTERS["group_kfold"], prices)
    assert not set(prices.series[train]) & set(prices.series[validation])


def test_without_a_fold_another_splitter_gives_a_holdout_run():
    train, validation, notes = select(KFold(5, shuffle=True, random_state=3), None, TOY)
    expected = select(Holdout(random_state=3), None, TOY)
    assert np.array_equal(train, expected[0])
    assert np.array_equal(validation, expected[1])
    assert notes == ("fold=null: a quarter validates, once; KFold is used with fold=0, 1, ...",)
    assert expected[2] == select(KFold(5), 0, TOY)[2] == ()  # nothing to say where the splitter itself is used


def test_a_splitter_of_ones_own_with_one_split_is_used_without_a_fold():
    class Alternating:
        def get_n_splits(self, X=None, y=None, groups=None):
            return 1

        def split(self, X, y=None, groups=None):
            yield np.arange(0, len(X), 2), np.arange(1, len(X), 2)

    train, validation, notes = select(Alternating(), None, TOY)
    rest = np.flatnonzero(~TOY.test)
    assert np.array_equal(train, rest[::2])
    assert np.array_equal(validation, rest[1::2])
    assert notes == ()


@pytest.mark.parametrize(
    ("splitter", "fold", "message"),
    [
        (KFold(5), 7, r"`fold` must lie in 0..4, got 7. Use `fold=null` for a holdout run."),
        (KFold(5), -1, r"`fold` must lie in 0..4, got -1"),
        (
            Holdout(0.2),
            1,
            r"`fold` must be null with a split that has no folds \(Holdout\), got 1. Use fold=null, or split=kfold.",
        ),
        (
            WalkForward(3),
            0,
            "`split=walk_forward` needs sequences that follow one another in time, .* has none. Use split=kfold.",
        ),
        (GroupKFold(3), 0, "`split` by groups needs a dataset with series, and this one has none. Use split=kfold."),
    ],
)
def test_what_does_not_fit_is_said_with_the_cure(splitter, fold, message):
    with pytest.raises(ValueError, match=message):
        select(splitter, fold, TOY)


def test_shuffled_folds_of_overlapping_windows_are_refused(prices):
    with pytest.raises(ValueError, match=r"leaves \d+ training .* overlapped with validation.*walk_forward"):
        select(KFold(2, shuffle=True, random_state=0), 0, _dense(prices))


def _dense(prices):
    """Windows of half the history: none is free of every other."""
    return load_like(prices, window=50)


def load_like(prices, window):
    import dataclasses

    starts = prices.starts[:0].new_tensor([s for g in range(5) for s in range(g * 120, g * 120 + 120 - window + 1)])
    return dataclasses.replace(prices, lengths=window, starts=starts, test=np.zeros(len(starts), dtype=bool))


def test_the_reports_own_split_overlaps_and_the_others_do_not(prices):
    train, validation, _ = select(OverlappingHoldout(0.2), None, prices)
    assert prices.sharing_steps(validation, train).mean() > 0.9


def test_bad_shares_and_counts_are_named():
    with pytest.raises(ValueError, match="`validation` must lie between 0 and 1, got 1"):
        Holdout(1)
    with pytest.raises(ValueError, match="`n_splits` must be at least 1, got 0"):
        WalkForward(0)
    with pytest.raises(ValueError, match="`embargo` must be at least 0, got -1"):
        WalkForward(3, embargo=-1)


def test_whole_trains_on_all_that_is_not_test(prices):
    train, validation, _ = select(Whole(), None, prices)
    assert list(train) == list(validation) == list(np.flatnonzero(~prices.test))
    with pytest.raises(ValueError, match="`fold` must be null"):
        select(Whole(), 0, prices)


def test_validation_may_not_overlap_with_the_test_subset_either():
    import dataclasses

    from lstm_ae.data.frames import from_arrays

    windows = from_arrays(np.zeros((1, 100)))
    starts = TOY.starts[:0].new_tensor(range(91))
    test = np.zeros(91, dtype=bool)
    test[85::2] = True
    data = dataclasses.replace(
        windows, starts=starts, lengths=10, test=test, time_of_step=np.arange(100), values=windows.values
    )
    with pytest.raises(ValueError, match="must keep validation apart from the test subset"):
        select(Holdout(0.2), None, data)
