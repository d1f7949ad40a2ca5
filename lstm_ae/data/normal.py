"""What counts as normal: values of the label column, or the first rows of each series."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lstm_ae.data.rows import Rows
from lstm_ae.data.sequences import SequenceData
from lstm_ae.types import present

Normal = str | int | float | Sequence[str | int] | None


def divide(
    normal: Normal, table: Rows, label: str | None, labels: tuple[np.ndarray, tuple[str, ...]] | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns which rows are the test subset's, where normal ones come first, and which rows are abnormal, if labelled.

    Args:
        normal: Values of the label that mean normal; or a number of rows, or a share below 1 of them.
        table: The rows.
        label: The column of the label.
        labels: The code of each row, and the names of the codes.

    Raises:
        ValueError: nothing is normal, or nothing is left to test.
    """
    if normal is None:
        return None, None
    names = () if labels is None else labels[1]
    wanted = [
        str(one) for one in (normal if isinstance(normal, Sequence) and not isinstance(normal, str) else [normal])
    ]
    if labels is not None and set(wanted) & set(names):
        if unknown := sorted(set(wanted) - set(names)):
            raise ValueError(
                f"`normal` must be values of {label!r}, and {unknown[0]!r} is none. Use some of {names[:8]}."
            )
        return None, ~np.isin(np.array(names), wanted)[labels[0]]
    if isinstance(normal, bool) or not isinstance(normal, int | float) or normal <= 0:
        hint = f"values of {label!r} such as {names[0]!r}" if names else "dataset.label=COLUMN for values of a label"
        raise ValueError(
            f"`normal` must say what is normal: a number of first rows, a share of them below 1, or values of the "
            f"label column, got {normal!r}. There would be no normal data. Use {hint}, or normal=1000."
        )
    lengths = table.ends - table.begins
    first = np.round(normal * lengths) if normal < 1 else np.full(len(lengths), int(normal))
    if (first >= lengths).all():
        raise ValueError(
            f"`normal` must leave rows to test, got {normal} of {int(lengths.max())}. Use a smaller number."
        )
    series = np.repeat(np.arange(len(lengths)), lengths)
    return np.arange(len(table.values)) - table.begins[series] >= first[series], None


def held_out(data: SequenceData, normal: Normal) -> SequenceData:
    """Returns a dataset of classes with those that are not normal in the test subset, and their rows flagged.

    Args:
        data: With a class a sequence.
        normal: The classes that are normal.

    Raises:
        ValueError: a class is not there, or none or all are normal.
    """
    names = [normal] if isinstance(normal, str) or not isinstance(normal, Sequence) else normal
    wanted = {str(name) for name in names}
    if not wanted or not wanted < set(data.classes):
        raise ValueError(
            f"`normal` must name some of the classes {', '.join(data.classes)}, and not all, got {sorted(wanted)}. "
            f"Use normal=[{','.join(data.classes[:-1])}] to hold {data.classes[-1]} out as abnormal."
        )
    abnormal = ~np.isin(np.array(data.classes), sorted(wanted))[present(data.labels, "classes").numpy()]
    flags = np.zeros(len(data.values), dtype=bool)
    for begin, end in zip(data.starts.numpy()[abnormal], data.ends[abnormal], strict=True):
        flags[begin:end] = True
    return dataclasses.replace(data, labels=None, classes=(), label_of_step=flags, test=data.test | abnormal)


def without_abnormal(
    abnormal: np.ndarray, starts: np.ndarray, lengths: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the sequences without those that are not tested and hold an abnormal row.

    Raises:
        ValueError: none is left to train on.
    """
    before = np.concatenate([[0], np.cumsum(abnormal)])
    kept = test | (before[starts + lengths] == before[starts])
    if not (kept & ~test).any():
        raise ValueError(
            "`normal` leaves no normal data: every sequence that is not tested holds an abnormal row. "
            "Use a smaller window, or other values of the label."
        )
    return starts[kept], lengths[kept], test[kept]
