"""How often the bounds of `lstm_ae.anomaly.thresholds` hold, measured; prints the table of docs/statistics.md.

python -m tests.simulations.false_alarms 1000
"""

import sys

import numpy as np
from scipy.signal import lfilter

from lstm_ae.anomaly.events import alarms
from lstm_ae.anomaly.thresholds import false_alarms


def ar1(draw, steps):
    """The size of an autoregression with a correlation of 0.95 from step to step."""
    return np.abs(lfilter([1], [1, -0.95], draw.standard_normal(steps + 500))[500:])


def seasonal(draw, steps):
    """A correlation of 0.8, and a spread with a period of 288 steps, from a random time of day on."""
    day = 2 * np.pi * (np.arange(steps) / 288 + draw.random())
    return np.abs(lfilter([1], [1, -0.8], draw.standard_normal(steps + 500))[500:]) * (1 + 0.5 * np.sin(day))


RULES = {"one step": {}, "merged": {"minimum_length": 2, "merge_within": 10, "cool_down": 20}}


def within(process, rules, rate, trials, first_seed=0, steps=5000, long=0):
    """Counts the trials whose new stretch has no more alarms than its bound. Each trial is calibrated anew.

    Also counts those where `long` steps keep the rate that was asked for, and the calibrations that were refused.
    """
    inside = kept = refused = 0
    for seed in range(first_seed, first_seed + trials):
        draw = np.random.default_rng(seed)
        stretches = [process(draw, steps) for _ in range(2)]
        try:
            found = false_alarms(stretches, rate, **rules)
        except ValueError:  # alarms that cluster much: too short
            refused += 1
            continue
        new = alarms(process(draw, steps), found.value, **rules)
        inside += len(new) <= found.expected(steps)
        kept += len(alarms(process(draw, long), found.value, **rules)) <= rate * long
    return inside, kept, refused


def main(trials):
    print("| scores | alarms | within the prediction bound | rate kept | refused |\n| --- | --- | --- | --- | --- |")
    for process in (ar1, seasonal):
        for name, rules in RULES.items():
            inside, kept, refused = within(process, rules, 1 / 1000, trials, first_seed=1000, long=100_000)
            tried = trials - refused
            print(
                f"| {process.__name__} | {name} | {inside / tried:.3f} | {kept / tried:.3f} | {refused / trials:.3f} |"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
