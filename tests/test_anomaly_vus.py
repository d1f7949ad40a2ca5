"""VUS equals the reference implementation and is fast."""

import itertools
import time

import numpy as np
import pytest

from lstm_ae.anomaly.measures import vus
from tests import nab


@nab.needed
def test_the_reference_file_is_met_in_every_row():
    index = nab.table("index").set_index("series")
    compared = 0
    for row in nab.table("vus_reference").itertuples():
        series = nab.table(row.series)
        score = nab.scores(series["value"].to_numpy(float), index.loc[row.series, "train_rows"])[row.score]
        np.testing.assert_allclose(
            vus(score, series["anomaly"], row.window), (row.vus_roc, row.vus_pr), rtol=0, atol=1e-9
        )
        compared += 1
    assert compared == 21


def slow_vus(score, label, window):
    """The definition, one step, one threshold and one length at a time."""
    steps = len(score)
    ordered = sorted(score, reverse=True)
    starts = [t for t in range(steps) if label[t] and (t == 0 or not label[t - 1])]
    ends = [t for t in range(steps) if label[t] and (t == steps - 1 or not label[t + 1])]
    rocs, prs = [], []
    for length in range(window + 1):
        half = length // 2
        ramp = np.zeros(steps)
        groups = []
        for start, end in zip(starts, ends, strict=True):
            if groups and start - half <= groups[-1][1]:
                groups[-1][1] = end + half
            else:
                groups.append([max(start - half, 0), end + half])
            for t in range(steps):
                away = max(start - t, t - end)
                if not label[t] and 1 <= away <= half:
                    ramp[t] = min(1, ramp[t] + (1 - away / length) ** 0.5)
        points = [(0.0, 0.0, 1.0)]
        for rank in range(250):
            flag = np.array([one >= ordered[int(rank * (steps - 1) / 249)] for one in score])
            hits = flag[label == 1].sum() + ramp[flag].sum()
            positives = label.sum() + ramp[flag].sum() / 2
            found = np.mean([flag[first : last + 1].any() for first, last in groups])
            points.append(
                (min(hits / positives, 1) * found, (flag.sum() - hits) / (steps - positives), hits / flag.sum())
            )
        prs.append(sum((b[0] - a[0]) * b[2] for a, b in itertools.pairwise(points)))
        points.append((1.0, 1.0, 0.0))
        rocs.append(sum((b[1] - a[1]) * (a[0] + b[0]) / 2 for a, b in itertools.pairwise(points)))
    return np.mean(rocs), np.mean(prs)


@pytest.mark.parametrize("seed", range(4))
def test_meeting_ramps_edges_and_ties_are_as_in_the_definition(seed):
    draw = np.random.default_rng(seed)
    label = (draw.random(60) < 0.12).astype(int)
    label[[0, 59]] = seed % 2  # events at both edges, or none
    score = draw.integers(0, 12, 60).astype(float)
    np.testing.assert_allclose(vus(score, label, 9), slow_vus(score, label, 9), atol=1e-12)


def test_only_the_order_of_scores_counts_and_no_score_is_the_lowest():
    draw = np.random.default_rng(0)
    score, label = draw.random(300), np.zeros(300, int)
    label[100:120] = 1
    missing = np.where(np.arange(300) < 20, np.nan, score)
    lowest = np.where(np.arange(300) < 20, -1.0, score)
    assert vus(score, label, 20) == vus(np.exp(score), label, 20)
    assert vus(missing, label, 20) == vus(lowest, label, 20)


def test_4000_points_take_less_than_the_goal():
    draw = np.random.default_rng(0)
    score, label = draw.random(4000), np.zeros(4000, int)
    for start in range(200, 4000, 400):
        label[start : start + 40] = 1
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        vus(score, label, 125)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.3


@pytest.mark.parametrize(
    ("score", "label", "text"),
    [
        ([1, 2, 3], [0, 0, 0], "`label` must have both 0 and 1, got 0 at all 3 steps"),
        ([1, 2, 3], [1, 1, 1], "`label` must have both 0 and 1, got 1 at all 3 steps"),
        ([1, 2, 3], [0, 2, 1], "`label` must be 0 or 1 at each step, got 2"),
        ([1, 2, 3], [0, float("nan"), 1], "`label` must be 0 or 1 at each step, got nan"),
        ([1, 2, 3], [0, 1], r"one value a step, got shape \(2,\) for 3 scores"),
        ([1, float("inf"), 3], [0, 1, 0], "got inf at step 1"),
        ([float("nan")] * 3, [0, 1, 0], "a number at one step at least"),
        ([1], [1], "at least 2 steps, got 1"),
    ],
)
def test_what_cannot_be_measured_is_named(score, label, text):
    with pytest.raises(ValueError, match=text):
        vus(score, label, 3)


def test_a_window_below_zero_is_refused():
    with pytest.raises(ValueError, match="`window` must be at least 0, got -1"):
        vus([1, 2], [0, 1], -1)
