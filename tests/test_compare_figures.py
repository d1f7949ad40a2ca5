"""Figures of many runs: which are drawn, and why others are not."""

import logging
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lstm_ae.compare import figures, series, table
from lstm_ae.compare.ranking import rank
from lstm_ae.run_dir import RunDir
from tests.run_dirs import METRICS

ALL = {"learning_curves.png", "heat_map.png", "effects.png", "cost_score.png"}


def write_run(path, loss, lr=0.1, hidden=8, seed=0, state="finished", error=None, **config):
    """A run directory with a history of three epochs."""
    run = RunDir(path)
    run.write_json("config.json", {"seed": seed, "model": {"hidden_size": hidden}, "optimizer": {"lr": lr}, **config})
    run.write_json("status.json", {"state": state, "error": error})
    metrics = {
        "metrics": METRICS,
        "validation": {"loss": loss, "accuracy": 1 - loss},
        "parameters": 100 * hidden,
        "seconds": 1.5 * hidden,
    }
    run.write_json("metrics.json", metrics)
    part = {"validation.loss": loss, "validation.accuracy": 1 - loss}
    run.write_history([{"epoch": epoch, **{key: value / epoch for key, value in part.items()}} for epoch in (1, 2, 3)])


@pytest.fixture
def frame(tmp_path):
    """A grid of two by two over two seeds, in which one combination diverged."""
    for number, (lr, hidden, seed) in enumerate((a, b, c) for a in (0.1, 0.01) for b in (8, 16) for c in (0, 1)):
        bad = lr == 0.1 and hidden == 16
        write_run(tmp_path / str(number), lr + seed / 100, lr, hidden, seed, "diverged" if bad else "finished")
    return table.load(tmp_path)


def compared(frame, metric="validation.loss"):
    return series.compare(rank(frame, metric))


def test_a_grid_gives_every_figure(frame, tmp_path):
    written = figures.write(rank(frame, "validation.loss"), tmp_path / "new" / "folder")
    assert {path.name for path in written} == ALL
    for path in written:
        assert matplotlib.image.imread(path).shape[1] > 800


def test_a_figure_that_cannot_be_drawn_is_left_out_with_the_reason(tmp_path, caplog):
    write_run(tmp_path / "only", 0.1)
    with caplog.at_level(logging.WARNING):
        written = figures.write(rank(table.load(tmp_path), "validation.loss"), tmp_path / "out")
    assert {path.name for path in written} == {"learning_curves.png", "cost_score.png"}
    assert "heat_map.png is left out: it needs two settings that differ" in caplog.text
    assert "effects.png is left out: no setting differs" in caplog.text


def test_runs_without_scores_or_histories_give_reasons_and_no_exception(tmp_path, caplog):
    for name in "ab":
        RunDir(tmp_path / name).write_json("status.json", {"state": "failed", "error": "why"})
        RunDir(tmp_path / name).write_json("config.json", {"a": name, "b": name})
    assert figures.write(rank(table.load(tmp_path), "validation.loss"), tmp_path / "out") == []
    assert "learning_curves.png is left out: no run has a history with validation.loss" in caplog.text


def test_combinations_are_drawn_in_the_order_of_the_ranking_with_the_diverged_last(frame):
    comparison = compared(frame)
    assert comparison.labels == [
        "lr 0.01, hidden_size 8", "lr 0.01, hidden_size 16", "lr 0.1, hidden_size 8", "lr 0.1, hidden_size 16",
    ]  # fmt: skip
    assert [list(comparison.rows(place)) for place in range(4)] == [[4, 5], [6, 7], [0, 1], [2, 3]]
    assert compared(frame, "validation.accuracy").labels[-1] == "lr 0.1, hidden_size 16"


def test_settings_whose_means_differ_most_come_first(frame):
    assert compared(frame).keys == ["optimizer.lr", "model.hidden_size"]


def test_the_heat_map_has_the_means_of_the_effects_and_never_averages_two_sources(tmp_path):
    for number, (lr, hidden, loss) in enumerate(
        [(1, 8, 1.0), (1, 8, 100.0), (2, 8, 4.0), (1, 9, 5.0), (2, 9, 6.0)] * 2
    ):
        write_run(tmp_path / str(number), loss + 1000 * (number > 4), lr, hidden, seed=number)
    frame = table.load(tmp_path).assign(source=["ours"] * 5 + ["published"] * 5)
    comparison = compared(frame)
    assert comparison.log_means == {"ours": True, "published": False}
    _, means, _ = figures.cells(comparison, "model.hidden_size", "optimizer.lr")
    assert means == pytest.approx(np.array([[10, 5], [4, 6], [1050.5, 1005], [1004, 1006]]))
    drawn = figures.heat_map(comparison)
    assert {"8 (ours)", "9 (published)"} <= {
        label.get_text() for axis in ("x", "y") for label in getattr(drawn.axes[0], f"get_{axis}ticklabels")()
    }


def test_a_source_has_one_colour_in_every_panel_of_the_effects(tmp_path):
    for number, (lr, hidden) in enumerate([(1, 8), (2, 8), (1, 8), (2, 8), (1, 9), (2, 9)]):
        write_run(tmp_path / str(number), 0.1 + lr + hidden, lr, hidden, seed=0)
    frame = table.load(tmp_path).assign(source=["ours"] * 2 + ["published"] * 4)
    drawn = figures.effect_panels(compared(frame))
    panels = {
        ax.get_title(): {to_hex(line.get_color()) for line in ax.lines} & set(series.COLOURS) for ax in drawn.axes
    }
    assert panels == {"lr": set(series.COLOURS[:2]), "hidden_size": {series.COLOURS[1]}}
    assert [entry.get_text() for entry in drawn.legends[0].get_texts()] == ["ours", "published"]


def test_runs_of_two_sources_are_two_combinations(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 0.1)
    frame = table.load(tmp_path).assign(source=["ours", "published"])
    assert compared(frame).labels == ["ours", "published"]


def test_the_first_combinations_with_a_curve_get_the_colours(tmp_path):
    for number in range(9):
        write_run(tmp_path / str(number), 0.1 + number, lr=number)
    (tmp_path / "0" / "history.csv").unlink()
    assert compared(table.load(tmp_path)).colours == [None, *series.COLOURS, None]


def test_an_unreadable_history_is_reported(frame):
    broken = frame["run"][0] + "/history.csv"
    for content in ("epoch,validation.loss\n1,0.1\n2", "epoch,validation.loss\n1,abc\n", "\x00\xff"):
        with open(broken, "w", encoding="latin-1") as file:  # noqa: PTH123
            file.write(content)
        comparison = compared(frame)
        assert 0 not in comparison.curves or len(comparison.curves[0][1]) == 1
        assert 1 in comparison.curves
        assert len(comparison.problems) <= 1
        assert all(problem.startswith(f"{broken}: cannot be read") for problem in comparison.problems)


def test_a_heat_map_of_too_many_values_is_left_out(tmp_path):
    for number in range(30):
        write_run(tmp_path / str(number), 0.1, lr=number, hidden=number)
    drawn = figures.heat_map(compared(table.load(tmp_path)))
    assert drawn == "it needs two settings that differ, with at most 24 values each"


def test_cells_show_the_mean_and_diverged_runs(frame):
    comparison = compared(frame)
    _, means, notes = figures.cells(comparison, "optimizer.lr", "model.hidden_size")
    np.testing.assert_allclose(means, np.sqrt([[0.01 * 0.02, 0.1 * 0.11], [0.01 * 0.02, np.nan]]))
    assert notes == [["0.0141", "0.105"], ["0.0141", "diverged"]]


def test_a_value_with_only_failed_runs_is_not_in_the_effects(tmp_path):
    for number, lr in enumerate((0.1, 0.1, 0.2, 0.2, 9)):
        write_run(tmp_path / str(number), 1.0 + number, lr, state="failed" if lr == 9 else "finished", seed=number)
    drawn = figures.effect_panels(compared(table.load(tmp_path)))
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["0.1", "0.2"]


def test_numbers_too_large_for_an_axis_are_not_drawn(tmp_path, caplog):
    for number, loss in enumerate((1e308, -1e308, 1.0)):
        write_run(tmp_path / str(number), loss, lr=number)
    assert figures.write(rank(table.load(tmp_path), "validation.loss"), tmp_path / "out") == []
    assert "No figure is drawn: a score of magnitude 1e+308 is too large" in caplog.text


def test_dollar_signs_are_not_parsed_as_mathematics(tmp_path):
    write_run(tmp_path / "a", 0.1, note="$\\frac{", other=1)
    write_run(tmp_path / "b", 0.2, note="x" * 300, other=2)
    assert len(figures.write(rank(table.load(tmp_path), "validation.loss"), tmp_path / "out")) == 4


def test_effects_of_published_runs_and_ours_share_a_panel(tmp_path):
    for number, (lr, seed) in enumerate((lr, seed) for lr in (1, 2, 3) for seed in range(4)):
        bad = number == 8
        write_run(tmp_path / str(number), lr + seed**lr / 100, lr, seed=seed, state="diverged" if bad else "finished")
    frame = table.load(tmp_path)
    both = pd.concat([frame, frame.assign(source="published")])
    drawn = figures.effect_panels(compared(both))
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["ours", "published"]
    assert re.fullmatch(r"explains \d+% \(ours\), \d+% \(published\) of the variance", drawn.axes[0].get_xlabel())
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["1", "2", "3\n2 diverged"]


def test_figures_and_page_do_not_import_torch():
    code = "import sys, lstm_ae.compare.figures, lstm_ae.compare.report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
