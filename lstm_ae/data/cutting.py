"""Which stretches of a table are sequences, and which of them are the test subset."""

import numpy as np
import pandas as pd

from lstm_ae.data import columns
from lstm_ae.data.rows import Rows
from lstm_ae.data.times import Place

TEST_SEED = 0  # of the draw of a test subset, the same for every run of every seed
PARTS = ("train", "test")


def cut(table: Rows, window: int | None, stride: int, short_series: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns where sequences start, and how long they are."""
    if window is None:
        if len(table.begins) < 2:
            raise ValueError(
                f"`window` must be given where all {len(table.values)} rows are one series: without, they are one "
                "sequence. Use dataset.window=48, or name the column of the series."
            )
        return table.begins, table.ends - table.begins
    lengths = table.ends - table.begins
    longest, shortest = int(lengths.max()), int(lengths.argmin())
    if longest < window:
        raise ValueError(f"`window` must fit into a series, got {window}, and the longest has {longest} rows.")
    if lengths[shortest] < window and short_series == "error":
        raise ValueError(
            f"`window` must fit into every series, got {window}, and {table.series_names[shortest]!r} has "
            f"{lengths[shortest]} rows, from {table.named(int(table.begins[shortest]))} on. "
            f"Use dataset.window={lengths[shortest]}, or dataset.short_series=drop to leave short series out."
        )
    stretches = zip(table.begins.tolist(), table.ends.tolist(), strict=True)
    starts = np.concatenate([np.arange(begin, end - window + 1, stride) for begin, end in stretches])
    return starts, np.broadcast_to(window, len(starts))


def tested_part(column: pd.Series, place: Place) -> np.ndarray:
    """Returns which rows a column calls test."""
    codes, names = columns.codes(column, "part", place)
    known = np.array([name.lower() for name in names])
    wrong = ~np.isin(known, PARTS)[codes]
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"`part` must hold {' or '.join(PARTS)}, and {place(row)} holds {column.iloc[row]!r}. Mend the column."
        )
    tested: np.ndarray = (known == "test")[codes]
    return tested


def drawn(count: int, share: float, classes: np.ndarray | None = None) -> np.ndarray:
    """Returns which are drawn for the test subset; of each class the same share, and never all."""
    rng, test = np.random.default_rng(TEST_SEED), np.zeros(count, dtype=bool)
    groups = np.zeros(count, dtype=int) if classes is None else classes
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        most = len(members) - (classes is not None)
        test[members[rng.permutation(len(members))[: min(max(1, round(share * len(members))), most)]]] = True
    return test


def tested_rows(
    table: Rows,
    part: pd.Series | None,
    test_by: str,
    test_share: float,
    time_of_step: np.ndarray,
    class_of_step: np.ndarray | None,
) -> np.ndarray:
    """Returns which rows are the test subset's: those a column says, whole series, or the latest times."""
    if part is not None:
        return tested_part(table.of(part), table.named)
    if test_by == "series":
        classes = None if class_of_step is None else class_of_step[table.begins]
        tested: np.ndarray = drawn(len(table.begins), test_share, classes)[table.series_of_step]
    else:
        tested = time_of_step >= round((int(time_of_step.max()) + 1) * (1 - test_share))
    return tested


def on_one_side(
    tested: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the sequences whose rows are all tested or all not, and which of them are the test subset."""
    count = _count(tested, starts, lengths)
    test = count == lengths
    kept = test | (count == 0)
    return starts[kept], lengths[kept], test[kept]


def _count(tested: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns how many rows of each sequence are tested."""
    before = np.zeros(len(tested) + 1, dtype=np.int32)
    np.cumsum(tested, out=before[1:])
    count: np.ndarray = before[starts + lengths]
    count -= before[starts]
    return count


def left_out(table: Rows, window: int | None) -> tuple[str, ...]:
    """Returns a note on each series that is too short for a window."""
    lengths = (table.ends - table.begins).tolist()
    return tuple(
        f"{name} is left out: its {rows} rows hold no window of {window}."
        for name, rows in zip(table.series_names, lengths, strict=True)
        if window and rows < window
    )
