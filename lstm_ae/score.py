"""Scores the rows of a table by a trained model: which steps, and which features of them, it gets wrong.

python -m lstm_ae.score RUN data.csv --output scores.csv
python -m lstm_ae.score RUN data.csv --output scores.csv --figure worst.png
python -m lstm_ae.score RUN data.csv --output scores.csv --alarms alarms.csv --false-alarms 1/day

FILE has the columns of the training table. The output has a row a time step: its place in FILE (from 0), its series
and time, its `score` (the task's error, such as the squared error of scaled values, summed over the features), the
`feature` that contributes most and its `share`. Models of windows read the file in chunks: a score
is known `window - 1` rows later, and rows of several series come out in that order. Models of whole series, of
interpolated ones, or of ones that are scaled by their own first rows read a series at a time.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from lstm_ae.files import replacing
from lstm_ae.printable import printable
from lstm_ae.trained import Stream, Trained
from lstm_ae.trained.alarms import Events, SequenceAlarms
from lstm_ae.trained.files import chunks, loaded, located, parser, reported, whole_series, writing
from lstm_ae.trained.scoring import StepScores

WORST = 10  # steps that are shown
FEATURES = 3  # of each, in the table and in the figure


@dataclass
class Block:
    """Consecutive steps of one series that are scored.

    Attributes:
        keys: Of each step `row`, and the series and time where the table has them.
        errors: (lead + steps, features); the first `lead` were scored before.
        own: (steps, features), the errors of the steps themselves, see `lstm_ae.trained.scoring.StepScores`.
        values: (lead + steps + later, features), in their own units.
        lead: Steps before these, for the figure.
        series: The name of the series.
    """

    keys: pd.DataFrame
    errors: np.ndarray
    own: np.ndarray
    values: np.ndarray
    lead: int = 0
    series: str = ""


@dataclass
class Signal:
    """One series of a file, as its rows come in."""

    stream: Stream
    name: str
    errors: np.ndarray  # of the steps before
    values: np.ndarray
    keys: list[pd.DataFrame] = field(default_factory=list)  # of rows that have no score yet
    last_time: Any = None
    seen: int = 0  # rows


@dataclass
class Worst:
    """The steps with the highest scores so far, and the surroundings of the first."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    around: tuple[np.ndarray, np.ndarray, int] | None = None  # errors, values, and the step's place in both


def blocks(trained: Trained, path: Path) -> Iterator[Block]:
    """Yields the scored steps of a file."""
    schema = trained.schema
    if schema.needs_whole_series:
        for frame in whole_series(chunks(path, schema), schema):
            found = schema.labelled(schema.series_of(frame), frame)
            scores = trained.score_samples(found)
            if scores.values is None:
                raise ValueError("The task has one error a sequence, and a row cannot be scored. Use score_samples.")
            of_each = zip(found.names, found.rows, scores.values, scores.own, found.values, strict=True)
            for name, rows, errors, own, values in of_each:
                yield Block(_keys(trained, frame, rows), errors, own, values.numpy(), series=name)
        return
    signals: dict[str, Signal] = {}
    for frame in chunks(path, schema):
        yield from _windows(trained, frame, signals)
    for signal in signals.values():
        signal.stream.require(signal.seen)
        yield _block(signal, signal.stream.finish())


def _windows(trained: Trained, frame: pd.DataFrame, signals: dict[str, Signal]) -> Iterator[Block]:
    """Yields what is known after a chunk of a file."""
    schema, clock = trained.schema, trained.schema.clock(frame)
    found, nothing = schema.series_of(frame), np.empty((0, len(schema.feature_names)), dtype=np.float32)
    for place, (name, rows, values) in enumerate(zip(found.names, found.rows, found.values, strict=True)):
        if name not in signals:
            stream = trained.stream(None if found.series is None else found.series[place], name)
            signals[name] = Signal(stream, name, nothing, nothing)
        signal = signals[name]
        if clock is not None:
            if signal.last_time is not None and clock[rows[0]] <= signal.last_time:
                row = frame.index[rows[0]]
                raise ValueError(f"Times of a series must rise, and that of row {row} does not. Sort the file by time.")
            signal.last_time = clock[rows[-1]]
        signal.seen += len(values)
        signal.keys.append(_keys(trained, frame, rows))
        signal.values = np.concatenate([signal.values, values.numpy()])
        known = signal.stream.extend(values)
        if len(known.values):
            yield _block(signal, known)


def _block(signal: Signal, known: StepScores) -> Block:
    """Returns the steps that now have errors; the signal keeps a window of them for the next figure."""
    keys, errors, before = pd.concat(signal.keys), known.values, len(signal.errors)
    joined = np.concatenate([signal.errors, errors])
    block = Block(keys.iloc[: len(errors)], joined, known.own, signal.values, before, signal.name)
    dropped = max(0, len(block.errors) - signal.stream.window)
    signal.keys = [keys.iloc[len(errors) :]]
    signal.errors, signal.values = block.errors[dropped:], block.values[dropped:]
    return block


def _keys(trained: Trained, frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    layout = trained.schema.layout
    named = {str(layout[name]): frame[layout[name]].to_numpy()[rows] for name in ("series", "time") if layout.get(name)}
    if layout.get("steps"):  # of a wide table, of which a row holds many
        named["step"] = np.arange(len(rows))
    return pd.DataFrame({"row": frame.index.to_numpy()[rows], **named})


def write(
    block: Block, names: Sequence[str], file: IO[str], header: bool, every: bool, threshold: float | None, whole: bool
) -> pd.DataFrame:
    """Writes the steps of a block, and returns them; with a threshold, whether each, or the `whole`, is above it."""
    errors = block.errors[block.lead :]
    scores, most = errors.sum(axis=1), errors.argmax(axis=1)
    largest = errors[np.arange(len(errors)), most]
    table = block.keys.assign(score=scores, feature=np.array(names, dtype=object)[most])
    table["share"] = np.round(np.divide(largest, scores, out=np.zeros_like(scores), where=scores > 0), 4)
    if threshold is not None:
        table["alarm"] = np.where((scores.sum() if whole else scores) > threshold, 1, 0)
    if every:
        table = table.assign(**{f"error.{name}": errors[:, place] for place, name in enumerate(names)})
    table.to_csv(file, header=header, index=False, lineterminator="\n")
    return table


def note(worst: Worst, block: Block, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Takes note of a block's highest scores."""
    scores = table["score"].to_numpy()
    if len(worst.table) >= WORST and scores.max() <= worst.table["score"].iloc[-1]:
        return
    places = np.argsort(-scores, kind="stable")[:WORST]
    errors = block.errors[block.lead + places]
    shares = errors / np.maximum(errors.sum(axis=1, keepdims=True), 1e-300)
    contributing = [", ".join(f"{names[one]} {of[one]:.0%}" for one in np.argsort(-of)[:FEATURES]) for of in shares]
    chosen = table.iloc[places].drop(columns=["feature", "share"]).assign(features=contributing)
    chosen = chosen[[name for name in chosen if not str(name).startswith("error.")]]
    if not len(worst.table) or scores[places[0]] > worst.table["score"].iloc[0]:
        worst.around = block.errors, block.values, block.lead + int(places[0])
    joined = chosen if not len(worst.table) else pd.concat([worst.table, chosen])
    worst.table = joined.sort_values("score", ascending=False, kind="stable").head(WORST)


def like(trained: Trained, values: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the normal window that is nearest to the one around a step, and its steps from there; or empty arrays."""
    window = trained.schema.window or 0
    begin = max(0, min(place - window // 2, len(values) - window))
    if not len(trained.fitted.get("normal_windows", ())) or len(values) < window:
        return np.empty((0, values.shape[1])), np.empty(0)
    return trained.nearest_normal(values[None, begin : begin + window])[0], np.arange(window) + begin - place


def draw(worst: Worst, trained: Trained, path: Path) -> None:
    """Draws the surroundings of the highest score: the features that contribute most, and their errors."""
    from lstm_ae import drawing

    errors, values, place = worst.around or (np.empty((0, 1)), np.empty((0, 1)), 0)
    reach = 2 * (trained.schema.window or 50)
    begin, end = max(0, place - reach), place + reach
    chosen = np.argsort(-errors[place])[:FEATURES]
    names = trained.schema.feature_names
    first = worst.table.iloc[0]
    title = ", ".join(f"{name} {first[name]}" for name in first.index.drop(["score", "features"]))
    figure, axes = drawing.figure(
        len(chosen) + 1, 1, 1.8 * (len(chosen) + 1) + 0.6, f"Highest score: {title}", sharex=True
    )
    steps = np.arange(begin, min(end, len(values))) - place
    normal, at = like(trained, values, place)
    for ax, one in zip(axes[:-1, 0], chosen, strict=True):
        ax.plot(steps, values[begin:end, one], color=drawing.ORIGINAL, linewidth=1)
        ax.plot(at, normal[:, one], color="#7570b3", linewidth=1, linestyle=":")  # the nearest normal window
        ax.axvline(0, color=drawing.MODEL, linewidth=1)
        ax.set_ylabel(f"{names[one]} ({trained.schema.unit})", fontsize=8)
    known = np.arange(begin, min(end, len(errors))) - place
    for one, colour in zip(chosen, drawing.COLOURS, strict=False):
        axes[-1, 0].plot(known, errors[begin:end, one], color=colour, label=names[one])
    axes[-1, 0].set(xlabel="steps from the one with the highest score", ylabel="error")
    axes[-1, 0].legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:] or "png", dpi=110)


def score(arguments: Sequence[str] | None) -> None:
    """Scores a file."""
    made = parser("lstm_ae.score", __doc__)
    made.add_argument("--output", type=Path, metavar="FILE", required=True, help="CSV, a row a time step")
    made.add_argument("--figure", type=Path, metavar="FILE", help="draw the surroundings of the highest score")
    made.add_argument("--alarms", type=Path, metavar="FILE", help="CSV, a row an alarm (a run of task=anomaly)")
    made.add_argument("--false-alarms", metavar="RATE", help="the threshold of another rate: 1/1000 steps, or 1/day")
    made.add_argument("--every-feature", action="store_true", help="also write each feature's error")
    options = made.parse_args(arguments)
    trained, worst, count = loaded(options), Worst(), 0
    names = trained.schema.feature_names
    asked = options.alarms or options.false_alarms or "threshold" in trained.fitted
    threshold = trained.threshold(options.false_alarms) if asked else None
    whole = trained.scores_sequences
    events = None if threshold is None else (SequenceAlarms if whole else Events)(trained, threshold)
    with writing(options.output) as file:
        try:
            for block in blocks(trained, options.file):
                table = write(block, names, file, count == 0, options.every_feature, threshold, whole)
                if events:
                    events.add(block.series, block.keys, block.errors[block.lead :], block.own)
                note(worst, block, table, names)
                count += len(table)
        except ValueError as error:
            raise located(options.file, error) from error
        if options.figure:
            draw(worst, trained, options.figure)
    if events:
        found = events.finish()
        if options.alarms:
            with writing(options.alarms) as file:
                found.to_csv(file, index=False, lineterminator="\n")
        print(f"{len(found):,} alarms above {threshold:.6g}{f': {options.alarms}' if options.alarms else ''}.")
    print(f"{count:,} steps scored: {options.output}. The highest scores, and the features that contribute most:\n")
    print(printable(worst.table.to_string(index=False, float_format=lambda value: f"{value:.4g}"), keep="\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Scores the file that the command line names, and returns the exit code."""
    return reported(score, arguments)


if __name__ == "__main__":
    sys.exit(main())
