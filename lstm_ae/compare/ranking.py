"""The ranking: settings that differ, metrics, verdicts from paired tests, and the state of each run."""

import math
import os
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from lstm_ae.compare.selection import CompareError, column
from lstm_ae.compare.statistics import MAX_FOLDS, in_order, verdicts
from lstm_ae.compare.table import (
    KIND,
    REPEATS,
    comparable,
    groups,
    is_metric,
    means,
    recorded,
    scores,
    settings,
)

SPLIT_SEED = "split.random_state"  # usually follows the seed
SPLIT = "split._target_"  # some splits validate on training data, or on windows that overlap with them
LAST = ["state", "reason", "run"]


def repeats_of(frame: pd.DataFrame, metric: str, asked: str | None) -> tuple[str, ...]:
    """Returns the settings to average over.

    Args:
        frame: The runs.
        metric: The ranking metric.
        asked: Comma-separated names, `none`, or None for those of seed and fold that vary.
    """
    if asked is None:
        return tuple(key for key in settings(comparable(frame, metric)) if key in REPEATS)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    return () if names == ["none"] else tuple(column(name, recorded(frame), "--group-by") for name in names)


def ranked(frame: pd.DataFrame, metric: str, repeats: Sequence[str], everything: bool = False) -> pd.DataFrame:
    """Returns a row for each combination of settings, the best first; runs that cannot be compared come last.

    The columns are the settings that differ, the metric (mean over the repeats), `std`, `n` and `verdict` if some row
    has more than one run, `state`, `reason`, other metrics and `run`.

    Args:
        frame: The runs.
        metric: The ranking metric.
        repeats: Settings to average over.
        everything: Whether to include all settings and all metrics.
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
    others = others if everything else _informative_metrics(part, metric, others)
    outcomes = _outcomes(part, metric, labels)
    table = table.join(outcomes[["state", "reason"]]).join(part[others].groupby(labels).mean()).join(outcomes["run"])
    rest = frame.drop(part.index)
    separate = pd.Series(range(len(rest)), index=rest.index)
    last = rest[[key for key in shown if key in rest]].set_axis(separate).join(_outcomes(rest, metric, separate))
    return pd.concat([table, last], ignore_index=True) if len(rest) else table.reset_index(drop=True)


def _verdicts(
    table: pd.DataFrame, part: pd.DataFrame, metric: str, labels: pd.Series, repeats: Sequence[str]
) -> pd.Series:
    """Returns the verdict on each group; published runs record no seed, so they and ours are tested separately."""
    found = []
    for source, runs in part.groupby("source"):
        own = labels[runs.index]
        best = table.index[table.index.isin(own)][0]
        words: pd.Series = verdicts(runs, metric, own, int(best), repeats)
        found.append(words.replace("best", f"best of {source}") if part["source"].nunique() > 1 else words)
    together: pd.Series = pd.concat(found)
    return together


def _follows_seed(key: str, frame: pd.DataFrame) -> bool:
    """Returns whether a setting is the split's random state and has one value per seed."""
    return key == SPLIT_SEED and "seed" in frame.columns and bool(frame.groupby("seed")[key].nunique().max() <= 1)


def _counts(table: pd.DataFrame, part: pd.DataFrame, labels: pd.Series, repeats: Sequence[str]) -> list[object]:
    """Returns each group's number of scores, as `2/3 folds` where some are missing."""
    vary = [key for key in repeats if part[key].nunique() > 1 and not _follows_seed(key, part)]
    size = labels.map(labels.value_counts())
    due = size.groupby(groups(part, vary)).transform("max").groupby(labels).max()
    if vary == ["fold"] and "split.n_splits" in part.columns:
        splits = pd.to_numeric(part["split.n_splits"], errors="coerce").groupby(labels).max()
        due = due.where(~splits.between(due + 1, MAX_FOLDS), splits)
    unit = {"fold": "folds", "seed": "seeds"}.get(",".join(vary), "runs")
    pairs = zip(table["n"].astype(int), due[table.index].astype(int), strict=True)
    return [f"{n}/{of} {unit}" if n < of else n for n, of in pairs]


def _informative_metrics(part: pd.DataFrame, metric: str, columns: list[str]) -> list[str]:
    """Returns the metrics worth a column: not of the training part, not constant, not a copy of another metric."""
    name = metric.split(".", 1)[-1]
    order = [f"test.{name}", *(c for c in columns if c.startswith(("validation.", "test.", "skill.")))]
    seen = {part[metric].to_numpy().tobytes()}
    informative_metrics = []
    for key in dict.fromkeys([*order, "parameters", "seconds"]):
        if key in columns and part[key].nunique() > int(len(part) > 1):
            content = part[key].to_numpy().tobytes()
            informative_metrics += [key] if content not in seen else []
            seen.add(content)
    return informative_metrics


def _outcomes(frame: pd.DataFrame, metric: str, labels: pd.Series) -> pd.DataFrame:
    """Returns the outcome of each group: the states of its runs, why some have no score, and their directories."""
    lacking = scores(frame, metric).isna() & frame["state"].isin(["finished", "reached", "unknown"])
    by_label: dict[int, tuple[Counter[str], dict[str, None], list[str]]] = {}
    rows = zip(labels, frame["state"], frame["error"], lacking, frame["run"], strict=True)
    for label, state, error, lacks, run in rows:
        states, reasons, runs = by_label.setdefault(label, (Counter(), {}, []))
        states[state] += 1
        reasons |= {error: None} if isinstance(error, str) else {f"no {metric}": None} if lacks else {}
        runs.append(run)
    cells = {
        label: (
            next(iter(states)) if len(states) == 1 else ", ".join(f"{n} {state}" for state, n in states.items()),
            "; ".join(reasons),
            _brace_list(runs),
        )
        for label, (states, reasons, runs) in by_label.items()
    }
    return pd.DataFrame.from_dict(cells, orient="index", columns=LAST)


def _brace_list(runs: list[str]) -> str:
    """Returns directories in the shell's brace notation, such as `sweep/{0,1}`."""
    if len(runs) == 1:
        return runs[0]
    parents = {run.rpartition("/")[0] for run in runs}
    if len(parents) > 1:
        return " ".join(runs)
    parent, names = parents.pop(), ",".join(run.rpartition("/")[2] for run in runs)
    return f"{parent}/{{{names}}}" if parent else f"{{{names}}}"


def short_run_names(runs: Sequence[str]) -> list[str]:
    """Returns the directories without their common parent.

    Example:
        >>> short_run_names(["multirun/a/0", "multirun/a/1", "multirun/b/0"])
        ['a/0', 'a/1', 'b/0']
    """
    if len({os.path.isabs(run) for run in runs}) > 1:  # noqa: PTH117
        return list(runs)
    common = os.path.commonpath([os.path.dirname(run.rstrip("/")) for run in runs])  # noqa: PTH120
    return [os.path.relpath(run, common) if common else os.path.normpath(run) for run in runs]


def notes(table: pd.DataFrame, metric: str, repeats: Sequence[str], higher: bool) -> list[str]:
    """Returns notes on a ranking, of a metric of which a higher value is better or not."""
    order = "highest" if higher else "lowest"
    mixed = [key for key in (*KIND, SPLIT) if key in table and table.loc[table[metric].notna(), key].nunique() > 1]
    lines = (
        [f"Runs differ in {' and '.join(mixed)}: their scores may not be comparable. Select some with --where."]
        if mixed
        else []
    )
    if "verdict" not in table:
        lines.append(f"Ranked by {metric}, {order} first.")
        once = "Every combination ran once, so differences cannot be tested. Run several seeds of each (seed=0,1,2)."
        return lines + [once] * (len(table) > 1)
    over = f", mean over {' and '.join(key for key in repeats if key != SPLIT_SEED)}" if repeats else ""
    verdict = "verdict: each row against the best by a paired test, at a family-wise level of 5 %."
    return [*lines, f"Ranked by {metric}{over}, {order} first; {verdict}"]


def sort(table: pd.DataFrame, by: str, shown: Sequence[str]) -> pd.DataFrame:
    """Returns the rows sorted by a column, in descending order after a `-`; missing values come last.

    Args:
        table: The table with all its columns.
        by: Name of a column.
        shown: Columns among which a short name is looked up first.

    Raises:
        CompareError: there is no such column.
    """
    key = _named(by.removeprefix("-"), shown, list(table.columns), "--sort")
    order = [in_order(_leading(value)) for value in table[key]]
    present = [i for i in range(len(table)) if order[i][0] != 2]
    present.sort(key=lambda i: order[i], reverse=by.startswith("-"))
    return table.iloc[present + [i for i in range(len(table)) if order[i][0] == 2]]


def _named(name: str, shown: Sequence[str], known: Sequence[str], argument: str) -> str:
    """Returns the column that a name refers to, one of those shown if that is unambiguous."""
    try:
        return column(name, shown, argument)
    except CompareError:
        return column(name, known, argument)


def _leading(value: object) -> object:
    """Returns the 2 of `2/3 folds`, and NaN for an empty text."""
    if not isinstance(value, str):
        return value
    number = value.split("/")[0]
    return math.nan if not value else int(number) if number.isdecimal() and "/" in value else value


def select(columns: str, shown: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the named columns.

    Args:
        columns: Comma-separated names.
        shown: Columns among which a short name is looked up first.
        known: All columns.

    Raises:
        CompareError: there is no such column.
    """
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if not names:
        raise CompareError("`--columns` must be comma-separated names of columns, got none. Use --columns=lr,loss.")
    return list(dict.fromkeys(_named(name, shown, known, "--columns") for name in names))


def informative(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table without `state` if all runs finished, and without `reason` if there is none."""
    plain = {"state": "finished", "reason": ""}
    return table.drop(columns=[key for key, value in plain.items() if (table[key] == value).all()])
