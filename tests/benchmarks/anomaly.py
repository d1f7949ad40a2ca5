"""Alarms of trained models: planted faults found, blamed and dated, and false alarms against the bound on them.

python -m tests.benchmarks.anomaly                  faults in one of 12 channels, and false alarms on synthetic signals
python -m tests.benchmarks.anomaly --spread both    the same with another task.spread
python -m tests.benchmarks.anomaly --runs DIR...    false alarms of runs of experiment=anomaly before the first label
"""

import argparse
import functools
import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.signal import lfilter

import lstm_ae
from lstm_ae.anomaly.events import alarms
from lstm_ae.anomaly.thresholds import Threshold, false_alarms
from lstm_ae.models import BottleneckAutoencoder
from lstm_ae.statistics import proportion_interval
from lstm_ae.tasks import Anomaly, detection
from lstm_ae.tasks.alarms import described
from lstm_ae.trained import Trained

CHANNELS, WINDOW, TRAINING = 12, 24, 8000
START, LENGTH, ROWS = 200, 60, 400  # of a fault, and of the signal around it
FAULTS = ("spike", "noise", "drift", "freeze")
RATE = "1/500"


def channels(rows: int, seed: int) -> np.ndarray:
    """Returns a machine: 12 channels that follow two loads, each with its own phase and autocorrelated noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(rows) + draw.integers(10_000)
    loads = np.sin(2 * np.pi * time / 48), np.sin(2 * np.pi * time / 30 + 1)
    fixed = np.random.default_rng(99)  # the same machine for every seed
    mix, lag = fixed.normal(0, 1, (2, CHANNELS)), fixed.integers(0, 12, CHANNELS)
    clean = np.stack([mix[0, one] * np.roll(loads[0], lag[one]) + mix[1, one] * np.roll(loads[1], lag[one])
                      for one in range(CHANNELS)], axis=1)  # fmt: skip
    noise = lfilter([np.sqrt(1 - 0.6**2)], [1, -0.6], draw.standard_normal((rows, CHANNELS)), axis=0)
    return (clean / clean.std(axis=0) + 0.15 * noise)[: rows or None]


def plant(values: np.ndarray, fault: str, channel: int, draw: np.random.Generator) -> None:
    """Puts a fault into one channel, in units of its standard deviation."""
    rows = slice(START, START + LENGTH)
    if fault == "spike":
        values[START, channel] += 4 * draw.choice([-1, 1])
    elif fault == "noise":
        values[rows, channel] += draw.normal(0, 1.5, LENGTH)
    elif fault == "drift":
        values[rows, channel] += np.linspace(0, 3, LENGTH)
    else:
        values[rows, channel] = values[START, channel]


@functools.cache
def machine(spread: str, epochs: int = 40) -> Trained:
    """Returns a model of the machine without faults."""
    names = [f"channel_{one}" for one in range(CHANNELS)]
    frame = pd.DataFrame(channels(TRAINING, 0), columns=names)
    data = lstm_ae.SequenceData.from_frame(frame, window=WINDOW, test_share=0.05)
    model = functools.partial(BottleneckAutoencoder, hidden_size=48, latent_size=8)
    task = functools.partial(Anomaly, rate=RATE, spread=spread, merge_within=6)
    adam = functools.partial(torch.optim.Adam, lr=0.005)
    return lstm_ae.fit(data, model, task, epochs=epochs, optimizer=adam, run_dir=tempfile.mkdtemp()).trained


def found(trained: Trained, fault: str, seed: int) -> tuple[bool, int | None, int | None]:
    """Plants a fault, and returns whether the right channel is blamed first, how far off the onset is, and the delay.

    The first alarm that meets the fault is taken; what is not found is not right.
    """
    draw = np.random.default_rng([seed, FAULTS.index(fault)])
    values, channel = channels(ROWS, 1000 + seed), int(draw.integers(CHANNELS))
    plant(values, fault, channel, draw)
    scores = trained.score_samples([values])
    parts, errors = scores.values[0], scores.own[0]
    raised = alarms(parts.sum(axis=1), trained.threshold(), **trained.alarm_rules)
    end = START + (1 if fault == "spike" else LENGTH)
    meets = raised[(raised[:, 0] < end) & (raised[:, 1] > START)]
    if not len(meets):
        return False, None, None
    of = described(parts, errors, meets[0].tolist(), trained.fitted["usual_errors"], trained.schema.feature_names,
                   int(trained.fitted["reach"]))  # fmt: skip
    right = of["features"].split()[0] == f"channel_{channel}"
    return right, of["onset"] - START, max(0, of["start"] - START)


def faults(trials: int, spread: str) -> pd.DataFrame:
    """Returns a row a kind of fault: the share found, the share blamed on the right channel, and the onsets."""
    rows = []
    for fault in FAULTS:
        results = [found(machine(spread), fault, seed) for seed in range(trials)]
        right = proportion_interval(sum(one for one, _, _ in results), trials)
        off = np.array([one for _, one, _ in results if one is not None])
        delay = np.array([one for _, _, one in results if one is not None])
        rows.append({"fault": fault, "trials": trials, "found": len(off) / trials, "right first": right.estimate,
                     "low": right.low, "high": right.high, "onset, median": np.median(off),
                     "onset within 2 steps": np.mean(np.abs(off) <= 2), "delay, median": np.median(delay)})  # fmt: skip
    return pd.DataFrame(rows)


def calibrated(trained: Trained, rate: float) -> Threshold:
    """Returns the threshold of a rate, with its bounds."""
    stretches = np.split(trained.fitted["calibration"], np.cumsum(trained.fitted["calibration_lengths"])[:-1])
    return false_alarms(stretches, rate, **detection.rules(trained.fitted))


def clean(seed: int, spread: str, stretches: int = 100, rows: int = 1500) -> tuple[int, float, float]:
    """Returns how many clean stretches are within the prediction bound, the rate on all, and the one asked for."""

    def signal(count: int, of: int) -> np.ndarray:
        draw = np.random.default_rng([seed, of])
        noise = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], draw.standard_normal(count + 100))[100:]
        return np.sin(2 * np.pi * np.arange(count) / 40) + 0.3 * noise

    frame = pd.DataFrame({"value": signal(8000, 0)})
    data = lstm_ae.SequenceData.from_frame(frame, window=40, test_share=0.02)
    model = functools.partial(BottleneckAutoencoder, hidden_size=16, latent_size=3)
    task = functools.partial(Anomaly, rate=RATE, spread=spread, merge_within=10)
    trained = lstm_ae.fit(data, model, task, epochs=10, seed=seed, run_dir=tempfile.mkdtemp()).trained
    threshold = calibrated(trained, 1 / 500)
    steps = rows - 2 * (40 - 1)
    counts = [
        len(alarms(trained.score_samples([signal(rows, 1 + one)[:, None]]).steps[0], threshold.value, merge_within=10))
        for one in range(stretches)
    ]
    return int((np.array(counts) <= threshold.expected(steps)).sum()), sum(counts) / stretches / steps, 1 / 500


def before_the_first_label(path: Path) -> dict[str, object]:
    """Returns the false alarms of a run on a labelled series, after its training rows and before the first label."""
    run, trained = lstm_ae.run_dir.RunDir(path), lstm_ae.load_run(path)
    arrays, config = run.read_arrays("samples.npz"), run.read_json("config.json")
    data = config["dataset"]
    begin = int(data["normal"] or _train_rows(data))
    end = int(np.argmax(arrays["signal_label"]))
    row = {"series": data["series"], "seed": config["seed"], "steps": max(0, end - begin)}
    for steps in (1000, 500, 200, 100, 50, 20):
        try:
            threshold = calibrated(trained, 1 / steps)
        except ValueError:
            continue
        score = arrays["signal_score"][begin : max(begin, end)]
        count = len(alarms(score, threshold.value, **trained.alarm_rules))
        expected = threshold.expected(len(score)) if len(score) else 0
        return row | {"asked": f"1/{steps}", "false alarms": count, "bound": expected}
    return row | {"asked": "none"}


def _train_rows(data: dict[str, object]) -> int:
    index = pd.read_csv(Path(str(data["path"])) / "index.csv")
    return int(index.train_rows[index.series == data["series"]].iloc[0])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--spread", default="step", choices=["step", "window", "both"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lstm_ae").setLevel(logging.ERROR)
    pd.set_option("display.width", 160)
    if options.runs:
        print(pd.DataFrame(map(before_the_first_label, options.runs)).to_string(index=False))
        return
    print(faults(options.trials, options.spread).round(3).to_string(index=False))
    for seed in range(options.seeds):
        within, rate, asked = clean(seed, options.spread)
        print(f"seed {seed}: {within} of 100 clean stretches within the bound; one alarm in {1 / max(rate, 1e-9):.0f} "
              f"steps, no more than one in {1 / asked:.0f} was asked for")  # fmt: skip


if __name__ == "__main__":
    main()
