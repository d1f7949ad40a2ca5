"""The table that is shown: settings that differ, metrics, how sure the order is, and what became of each run."""

import math
import os
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from lstm_ae.compare.selection import CompareError, column
from lstm_ae.compare.statistics import MOST_FOLDS, in_order, verdicts
from lstm_ae.compare.table import (
    KIND,
    REPEATS,
    comparable,
    groups,
    higher_is_better,
    is_metric,
    means,
    recorded,
    scores,
    settings,
)

FOLLOWER = "split.random_state"  # of the seed
SPLIT = "split._target_"  # some splits validate on the training data, or on windows that overlap with them
LAST = ["state", "reason", "run"]


def repeats_of(frame: pd.DataFrame, metric: str, asked: str | None) -> tuple[str, ...]:
    """Returns the settings over which a mean is taken.

    Args:
        frame: The runs.
        metric: By which they are ranked.
        asked: Names with commas between them, `none`, or None for those of seed and fold that vary.
    """
    if asked is None:
        return tuple(key for key in settings(comparable(frame, metric)) if key in REPEATS)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    return () if names == ["none"] else tuple(column(name, recorded(frame), "--group-by") for name in names)


def ranked(frame: pd.DataFrame, metric: str, repeats: Sequence[str], everything: bool = False) -> pd.DataFrame:
    """Returns a row for each combination of settings, the best first; runs that cannot be compared are the last rows.

    The columns are the settings that differ, the metric (a mean over the repeats), `std`, `n` and `verdict` where
    there is more than one run to a row, `state`, `reason`, other metrics and `run`.

    Args:
        frame: The runs.
        metric: By which they are ranked.
        repeats: Settings over which the mean is taken.
        everything: Whether to give all settings and all metrics.
    """
    part = comparable(frame, metric)
    keys = [key for key in settings(part) if key not in repeats and not _follows_seed(key, part)]
    labels = groups(part, keys)
    shown = [key for key in recorded(part) if key not in repeats] if everything else keys
    table = means(part, metric, shown, labels)
    if table["of"].max() > 1:
        table["verdict"] = _verdicts(table, part, metric, labels, repeats)
        table["n"] = pd.Series(_counts(table, part, labels, repeats), index=table.index, dtype=object)
        table = table.drop(columns="of")
    else:
        table = table.drop(columns=["std", "n", "of"])
    others = [key for key in frame.columns if is_metric(key) and key != metric]
    others = others if everything else _telling(part, metric, others)
    fates = _fates(part, metric, labels)
    table = table.join(fates[["state", "reason"]]).join(part[others].groupby(labels).mean()).join(fates["run"])
    rest = frame.drop(part.index)
    alone = pd.Series(range(len(rest)), index=rest.index)
    last = rest[[key for key in shown if key in rest]].set_axis(alone).join(_fates(rest, metric, alone))
    return pd.concat([table, last], ignore_index=True) if len(rest) else table.reset_index(drop=True)


def _verdicts(
    table: pd.DataFrame, part: pd.DataFrame, metric: str, labels: pd.Series, repeats: Sequence[str]
) -> pd.Series:
    """Returns each group's word beside the best one; published runs name no seed, so they and ours are judged apart."""
    found = []
    for source, runs in part.groupby("source"):
        own = labels[runs.index]
        best = table.index[table.index.isin(own)][0]
        words = verdicts(runs, metric, own, int(best), repeats)
        found.append(words.replace("best", f"best of {source}") if part["source"].nunique() > 1 else words)
    return pd.concat(found)


def _follows_seed(key: str, frame: pd.DataFrame) -> bool:
    """Says whether a setting only repeats what the seed says."""
    return key == FOLLOWER and "seed" in frame.columns and bool(frame.groupby("seed")[key].nunique().max() <= 1)


def _counts(table: pd.DataFrame, part: pd.DataFrame, labels: pd.Series, repeats: Sequence[str]) -> list[object]:
    """Returns each group's number of runs, as `2/3 folds` where others that share some have more, or have a score."""
    vary = [key for key in repeats if part[key].nunique() > 1 and not _follows_seed(key, part)]
    size = labels.map(labels.value_counts())
    due = size.groupby(groups(part, vary)).transform("max").groupby(labels).max()
    if vary == ["fold"] and "split.n_splits" in part.columns:
        splits = pd.to_numeric(part["split.n_splits"], errors="coerce").groupby(labels).max()
        due = due.where(~splits.between(due + 1, MOST_FOLDS), splits)
    unit = {"fold": "folds", "seed": "seeds"}.get(",".join(vary), "runs")
    pairs = zip(table["n"].astype(int), due[table.index].astype(int), strict=True)
    return [f"{n}/{of} {unit}" if n < of else n for n, of in pairs]


def _telling(part: pd.DataFrame, metric: str, columns: list[str]) -> list[str]:
    """Returns the metrics worth a column: of the parts that judge a run, and neither constant nor a copy of another."""
    name = metric.split(".", 1)[-1]
    order = [f"test.{name}", *(c for c in columns if c.startswith(("validation.", "test.", "skill.")))]
    seen = {part[metric].to_numpy().tobytes()}
    telling = []
    for key in dict.fromkeys([*order, "parameters", "seconds"]):
        if key in columns and part[key].nunique() > int(len(part) > 1):
            content = part[key].to_numpy().tobytes()
            telling += [key] if content not in seen else []
            seen.add(content)
    return telling


def _fates(frame: pd.DataFrame, metric: str, labels: pd.Series) -> pd.DataFrame:
    """Returns what became of each group: the states of its runs, the reasons where they count for nothing, the runs."""
    lacking = scores(frame, metric).isna() & frame["state"].isin(["finished", "reached", "unknown"])
    told: dict[int, tuple[Counter[str], dict[str, None], list[str]]] = {}
    rows = zip(labels, frame["state"], frame["error"], lacking, frame["run"], strict=True)
    for label, state, error, lacks, run in rows:
        states, reasons, runs = told.setdefault(label, (Counter(), {}, []))
        states[state] += 1
        reasons |= {error: None} if isinstance(error, str) else {f"no {metric}": None} if lacks else {}
        runs.append(run)
    cells = {
        label: (
            next(iter(states)) if len(states) == 1 else ", ".join(f"{n} {state}" for state, n in states.items()),
            "; ".join(reasons),
            _together(runs),
        )
        for label, (states, reasons, runs) in told.items()
    }
    return pd.DataFrame.from_dict(cells, orient="index", columns=LAST)


def _together(runs: list[str]) -> str:
    """Returns several directories as one word that a shell would take apart again."""
    if len(runs) == 1:
        return runs[0]
    parents = {run.rpartition("/")[0] for run in runs}
    if len(parents) > 1:
        return " ".join(runs)
    parent, names = parents.pop(), ",".join(run.rpartition("/")[2] for run in runs)
    return f"{parent}/{{{names}}}" if parent else f"{{{names}}}"


def nicknames(runs: Sequence[str]) -> list[str]:
    """Returns the directories less what all have in common.

    Example:
        >>> nicknames(["multirun/a/0", "multirun/a/1", "multirun/b/0"])
        ['a/0', 'a/1', 'b/0']
    """
    if len({os.path.isabs(run) for run in runs}) > 1:  # noqa: PTH117
        return list(runs)
    common = os.path.commonpath([os.path.dirname(run.rstrip("/")) for run in runs])  # noqa: PTH120
    return [os.path.relpath(run, common) if common else os.path.normpath(run) for run in runs]


def about(table: pd.DataFrame, metric: str, repeats: Sequence[str]) -> list[str]:
    """Returns what there is to say of a ranking."""
    order = "most" if higher_is_better(metric) else "least"
    mixed = [key for key in (*KIND, SPLIT) if key in table and table.loc[table[metric].notna(), key].nunique() > 1]
    lines = (
        [f"Ranked together: several of {' and '.join(mixed)}, whose scores may not compare. See --where."]
        if mixed
        else []
    )
    if "verdict" not in table:
        lines.append(f"Ranked by {metric}, the {order} first.")
        once = (
            "Every combination ran once: whether they differ cannot be tested. Run several seeds of each (seed=0,1,2)."
        )
        return lines + [once] * (len(table) > 1)
    over = f", mean over {' and '.join(key for key in repeats if key != FOLLOWER)}" if repeats else ""
    told = "verdict: each row against the best, by a paired test over what they share, 5 % level for all."
    return [*lines, f"Ranked by {metric}{over}, the {order} first; {told}"]


def sort(table: pd.DataFrame, by: str, shown: Sequence[str]) -> pd.DataFrame:
    """Returns the rows in the order of a column, from the largest where a `-` stands before it; what is missing last.

    Args:
        table: With all its columns.
        by: A column's name.
        shown: Columns that a short name means first.

    Raises:
        CompareError: there is no such column.
    """
    key = _named(by.removeprefix("-"), shown, list(table.columns), "--sort")
    order = [in_order(_leading(value)) for value in table[key]]
    there = [i for i in range(len(table)) if order[i][0] != 2]
    there.sort(key=lambda i: order[i], reverse=by.startswith("-"))
    return table.iloc[there + [i for i in range(len(table)) if order[i][0] == 2]]


def _named(name: str, shown: Sequence[str], known: Sequence[str], argument: str) -> str:
    """Returns the column that a name means, of those shown if it is clear there."""
    try:
        return column(name, shown, argument)
    except CompareError:
        return column(name, known, argument)


def _leading(value: object) -> object:
    """Returns the 2 of `2/3 folds`, and nothing for an empty text."""
    if not isinstance(value, str):
        return value
    number = value.split("/")[0]
    return math.nan if not value else int(number) if number.isdecimal() and "/" in value else value


def select(columns: str, shown: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the columns that are named.

    Args:
        columns: Names with commas between them.
        shown: Columns that a short name means first.
        known: All columns.

    Raises:
        CompareError: there is no such column.
    """
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if not names:
        raise CompareError("`--columns` must name columns with commas between them, got nothing.")
    return list(dict.fromkeys(_named(name, shown, known, "--columns") for name in names))


def informative(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table without a state or a reason that says the same of every row."""
    plain = {"state": "finished", "reason": ""}
    return table.drop(columns=[key for key, value in plain.items() if (table[key] == value).all()])
