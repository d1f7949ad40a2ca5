"""The ranking of combinations of settings, which the closing table, the command and the page show."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstm_ae.compare.blocks import Blocks, blocks_of
from lstm_ae.compare.selection import column
from lstm_ae.compare.table import (
    KIND,
    REPEATS,
    comparable,
    groups,
    higher_is_better,
    is_metric,
    plain,
    recorded,
    scores,
    settings,
    short_names,
    text,
)
from lstm_ae.statistics import Verdicts, verdicts

SPLIT_SEED = "split.random_state"  # usually follows the seed
SPLIT = "split._target_"  # some splits validate on training data, or on windows that overlap with them
MAX_NOISY = 3  # rows that a note names
WIDER = 1.2  # of the errors, from which on a note says so
CLASSES = {"incomplete": 1, "diverged": 2}  # complete combinations come first
PLAIN = {"state": "finished", "reason": ""}  # columns without news
USES_UP = (
    "Choosing by the test part uses it up: the score of what is chosen is then too good. "
    "Choose by a validation metric, and look at the test part once, at the end."
)


@dataclass(frozen=True)
class Ranking:
    """Combinations of settings, the best first.

    Attributes:
        frame: The runs, with the index 0, 1, ...
        metric: The ranking metric.
        higher: Whether more of it is better.
        keys: The settings that differ.
        repeats: The settings that a combination averages over.
        scores: The score of each run: the worst there is if it diverged, NaN if it has none.
        labels: For each run, the row of its combination in `table`.
        table: A row for each combination: all settings, the metric (mean over blocks), `std`, `n` (blocks), `verdict`,
            `state`, `reason`, all other metrics and `run`. Complete combinations come first, then incomplete ones, then
            those that diverged, then those without a score and runs of other datasets or tasks.
        complete: The number of complete combinations.
        blocks: The blocks of our runs and of published ones: they are never tested together.
        columns: The columns of the table that are worth showing.
        notes: What stands under the table: how it is ranked, what the verdicts hold for, what they could have found.
    """

    frame: pd.DataFrame
    metric: str
    higher: bool
    keys: list[str]
    repeats: list[str]
    scores: pd.Series
    labels: pd.Series
    table: pd.DataFrame
    complete: int
    blocks: Mapping[str, Blocks]
    columns: list[str]
    notes: list[str]

    @property
    def order(self) -> list[int]:
        """The rows of the runs, by the place of their combination and then by their own score."""
        signed = -self.scores if self.higher else self.scores
        return [int(row) for row in np.lexsort((signed, self.labels))]


@np.errstate(all="ignore")  # a file may hold any number
def rank(frame: pd.DataFrame, metric: str, group_by: str | None = None) -> Ranking:
    """Ranks the combinations of settings of runs.

    Args:
        frame: The result of `lstm_ae.compare.load`.
        metric: One of its columns, such as `validation.loss`.
        group_by: Settings to average over: comma-separated names, `none`, or None for those of seed and fold that vary.

    Raises:
        ValueError: there is no run.
    """
    if frame.empty:
        raise ValueError("`frame` must have a run, got none. Name a directory that contains runs.")
    frame = frame.reset_index(drop=True)
    part, higher = comparable(frame, metric), higher_is_better(frame, metric)
    differ = [key for key in settings(part) if not _follows_seed(key, part)]
    repeats = [key for key in differ if key in REPEATS] if group_by is None else _named(group_by, frame)
    keys = [key for key in differ if key not in repeats]
    labels, score = groups(part, keys), scores(frame, metric)
    blocks, judged, notes = {}, [], []
    for source, runs in part.groupby("source"):
        own = labels[runs.index]
        blocks[str(source)] = made = blocks_of(runs, metric, own, repeats)
        rows, found = _judged(score[runs.index], own, made, groups(runs, repeats), metric, higher)
        noisy, uneven = (
            _row_names([runs.loc[own == rows.index[i], keys].iloc[0] for i in positions[:MAX_NOISY]], len(positions))
            for positions in (found.noisy, found.uneven)
        )
        several = part["source"].nunique() > 1
        judged.append(rows.replace({"verdict": {"best": f"best of {source}"}}) if several else rows)
        notes += [f"{source}: {line}" if several else line for line in _tested(found, made, noisy, uneven)]
    empty = pd.DataFrame(columns=[metric, "std", "n", "verdict", "class"])
    table = _table(frame, part, labels, pd.concat(judged) if judged else empty, metric, higher)
    complete = int((table.pop("class") == 0).sum())
    place = pd.Series(range(len(table)), table.index)
    position = labels.map(place).reindex(frame.index)
    position = position.fillna(pd.Series(place[place.index < 0].to_numpy(), frame.index.difference(part.index)))
    table = table.reset_index(drop=True)
    columns = _informative(table, part, keys, metric)
    first = _order_notes(table, frame, metric, keys, repeats)
    return Ranking(frame, metric, higher, keys, repeats, score, position.astype(int), table, complete, blocks, columns,
                   first + (notes if len(table) > 1 else []))  # fmt: skip


def _named(asked: str, frame: pd.DataFrame) -> list[str]:
    names = [name.strip() for name in asked.split(",") if name.strip()]
    return [] if names == ["none"] else [column(name, recorded(frame), "--group-by") for name in names]


def _follows_seed(key: str, frame: pd.DataFrame) -> bool:
    """Returns whether a setting is the split's random state and has one value per seed."""
    several = "seed" in frame.columns and frame["seed"].nunique() > 1
    return key == SPLIT_SEED and several and bool(frame.groupby("seed")[key].nunique().max() <= 1)


def _judged(
    score: pd.Series, labels: pd.Series, blocks: Blocks, jobs: pd.Series, metric: str, higher: bool
) -> tuple[pd.DataFrame, Verdicts]:
    """Returns the mean over blocks and the verdict of each combination of one source."""
    jobs = score.groupby([labels, blocks.labels, jobs]).mean()  # one that failed may have been run again
    by = jobs.groupby(level=[0, 1])
    cells = by.mean().where(by.count() == by.size()).unstack()  # a mean that lacks a job may lack the hardest one
    found = verdicts(
        cells, higher_is_better=higher, overlap=blocks.overlap, resolution=blocks.resolution, log=blocks.log
    )
    counted = cells.loc[:, list(found.counted)]
    due = max(found.blocks, blocks.due)
    means, words = zip(*((group.mean, group.word) for group in found.groups), strict=True)
    table = pd.DataFrame({metric: means, "verdict": words}, index=cells.index)
    table[metric] = table[metric].fillna(score.groupby(labels).mean())  # of blocks that too few others have
    table["n"] = counted.notna().sum(axis=1).astype(object)
    table["n"] = table["n"].map(lambda n: n if n == due or due == 1 else f"{n}/{due} {blocks.unit}")
    table["std"] = counted.where(np.isfinite(table[metric]), axis=0).std(axis=1)
    table["class"] = table["verdict"].map(CLASSES).fillna(0).where(table[metric].notna(), 3)
    return table, found


def _row_names(rows: Sequence[pd.Series], number: int) -> str:
    """Returns the settings of the first of so many rows, such as `lr=0.1 hidden_size=32; lr=1 hidden_size=32; ...`."""
    names = short_names([str(key) for row in rows[:1] for key in row.index])
    each = [" ".join(f"{name}={text(row[key], key)}" for key, name in names.items()) for row in rows]
    return "; ".join([*each, *["..."] * (number > len(each))])


def _tested(found: Verdicts, blocks: Blocks, noisy: str, uneven: str) -> list[str]:
    """Returns what the verdicts of one source hold for, or why there are none.

    Args:
        found: The verdicts.
        blocks: The blocks.
        noisy: The names of rows that were set apart, empty for none.
        uneven: The names of others that may hide differences.
    """
    if found.reason:
        more = " Run every combination with more seeds, such as seed=0,1,2." if "more" in found.reason else ""
        return [f"Nothing was tested: {found.reason}.{more}", *([blocks.note] if blocks.note else [])]
    size = f"factor of {text(np.exp(found.detectable))}" if blocks.log else f"difference of {text(found.detectable)}"
    scale = ", by geometric means, as errors span more than a factor of ten" if blocks.log else ""
    notes = [
        f"Verdicts: each complete row against the best{scale}; the chance of a false `worse` anywhere in the table is "
        f"about 5 %, where all rows are about equally noisy. If the noise is as in these {found.blocks} {blocks.unit}, "
        f"a {size} from the best is found with a probability of at least 0.8."
    ]
    if noisy:
        notes.append(f"Much noisier than the others, tested by their own differences, and found less often: {noisy}.")
    if uneven:
        notes.append(f"Noisier, so that small differences of others may go unseen: {uneven}. "
                     "Leave them out with --where to see these.")  # fmt: skip
    wider = f" The scores have outliers, which makes the test's errors {found.widening:.1f} times as large."
    return [*notes, f"{blocks.note}{wider * (found.widening >= WIDER)}"]


def _table(
    frame: pd.DataFrame, part: pd.DataFrame, labels: pd.Series, judged: pd.DataFrame, metric: str, higher: bool
) -> pd.DataFrame:
    """Returns the rows in order, with their class; runs that cannot be compared have negative labels and come last."""
    rest = frame.index.difference(part.index)
    labels = pd.concat([labels, pd.Series(-1 - np.arange(len(rest)), rest)])
    others = [key for key in frame.columns if is_metric(key) and key != metric]
    rows = frame.loc[labels.index]
    known = rows[recorded(frame)].astype(object)[~labels.duplicated()].set_axis(labels.unique())
    table = known.map(plain).join(judged[[metric, "std", "n", "verdict", "class"]])
    table = table.join(_outcomes(rows, metric, labels)).join(rows.loc[part.index, others].groupby(labels).mean())
    table["class"] = table["class"].fillna(4)
    signed = table[metric].astype(float) * (-1 if higher else 1)
    order = np.lexsort((np.arange(len(table)), signed, table["class"]))
    names = [*known, metric, "std", "n", "verdict", "class", "state", "reason", *others, "run"]
    return table.iloc[order][names]


def _informative(table: pd.DataFrame, part: pd.DataFrame, keys: Sequence[str], metric: str) -> list[str]:
    """Returns the columns worth showing: no metric of training, none that is constant, no copy of another."""
    shown = [*keys, metric]
    counts = table["n"].dropna()
    repeated = [count for count in counts if isinstance(count, str) or count > 1]
    shown += [*(["verdict"] if len(table) > 1 else []), "std", "n"] if repeated else []
    shown += [key for key, value in PLAIN.items() if (table[key] != value).any()]
    name = metric.split(".", 1)[-1]
    others = [str(key) for key in part if str(key).startswith(("validation.", "test.", "skill."))]
    seen = set()
    for key in dict.fromkeys([metric, f"test.{name}", *others, "parameters", "seconds"]):
        content = part[key].to_numpy().tobytes() if key in part else b""
        if key != metric and key in part and part[key].nunique() > int(len(part) > 1) and content not in seen:
            shown.append(key)
        seen.add(content)
    return [*shown, "run"]


def _outcomes(frame: pd.DataFrame, metric: str, labels: pd.Series) -> pd.DataFrame:
    """Returns the outcome of each group: the states of its runs, why some have no score, and their directories."""
    lacking = scores(frame, metric).isna() & frame["state"].isin(["finished", "reached", "unknown"])
    reasons = frame["error"].where(frame["error"].notna(), lacking.map({True: f"no {metric}"}))
    by = frame.assign(reason=reasons).groupby(labels, sort=False)
    return pd.DataFrame({
        "state": by["state"].agg(_counted),
        "reason": by["reason"].agg(lambda each: "; ".join(dict.fromkeys(each.dropna()))),
        "run": by["run"].agg(lambda each: _brace_list(list(each))),
    })  # fmt: skip


def _counted(states: pd.Series) -> str:
    count = Counter(states)
    return str(states.iloc[0]) if len(count) == 1 else ", ".join(f"{n} {state}" for state, n in count.items())


def _brace_list(runs: list[str]) -> str:
    """Returns directories in the shell's brace notation, such as `sweep/{0,1}`, one for each parent."""
    of_parent: dict[str, list[str]] = {}
    for run in runs:
        parent, slash, name = run.rpartition("/")
        of_parent.setdefault(parent + slash, []).append(name)
    each = [(parent, names[0] if len(names) == 1 else f"{{{','.join(names)}}}") for parent, names in of_parent.items()]
    return " ".join(f"{parent}{names}" for parent, names in each)


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


def _order_notes(
    table: pd.DataFrame, frame: pd.DataFrame, metric: str, keys: Sequence[str], repeats: Sequence[str]
) -> list[str]:
    """Returns how the table is ordered, and whether its rows may be compared."""
    mixed = [key for key in (*KIND, SPLIT) if key in table and table.loc[table[metric].notna(), key].nunique() > 1]
    over = f", mean over {' and '.join(key for key in repeats if key != SPLIT_SEED)}" if repeats else ""
    warning = f"Runs differ in {' and '.join(mixed)}: their scores may not be comparable. Select some with --where."
    part, _, name = metric.partition(".")
    varied = [key for key in keys if key.startswith("task.") and key not in KIND] if name == "loss" else []
    others = [key for key in map(str, table) if key.startswith(f"{part}.") and key != metric]
    others = [key for key in others if higher_is_better(frame, key)] or others  # an accuracy is not a part of the loss
    instead = f", such as {others[0]}" if others else ""
    question = f"{' and '.join(varied)} may change what the loss is. Rank by a metric that stays the same{instead}."
    higher = higher_is_better(frame, metric)
    return [
        *([warning] * bool(mixed)),
        *([question] * bool(varied)),
        f"Ranked by {metric}{over}, {'highest' if higher else 'lowest'} first.",
        *([USES_UP] * metric.startswith("test.")),
    ]  # fmt: skip
