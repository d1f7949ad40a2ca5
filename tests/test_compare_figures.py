"""Figures of many runs: which are drawn, and why others are not."""

import logging
import math
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from lstm_ae.compare import figures, heat_map, series, table
from lstm_ae.run_dir import RunDir
from tests.run_dirs import METRICS

ALL = {"learning_curves.png", "heat_map.png", "effects.png", "parallel_coordinates.png", "cost_score.png"}
NO_EFFECTS = pd.DataFrame({"setting": [], "explained": [], "source": []})


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


@pytest.fixture
def effects():
    def of(setting, values, explained):
        return [
            {"setting": setting, "value": value, "mean": mean, "low": mean / 2, "high": mean * 2, "n": 2, "diverged": 0,
             "explained": explained, "best": place == 0, "source": "ours"}
            for place, (value, mean) in enumerate(values)
        ]  # fmt: skip

    return pd.DataFrame([*of("model.hidden_size", [(8, 0.1), (16, 0.2)], 0.1), *of("optimizer.lr", [(0.1, 1.0)], 0.8)])


def test_a_grid_gives_every_figure(frame, effects, tmp_path):
    written = figures.write(frame, "validation.loss", tmp_path / "new" / "folder", effects)
    assert {path.name for path in written} == ALL
    for path in written:
        assert matplotlib.image.imread(path).shape[1] > 800


def test_a_figure_that_cannot_be_drawn_is_left_out_with_the_reason(tmp_path, caplog):
    write_run(tmp_path / "only", 0.1)
    with caplog.at_level(logging.WARNING):
        written = figures.write(table.load(tmp_path), "validation.loss", tmp_path / "out", NO_EFFECTS)
    assert {path.name for path in written} == {"learning_curves.png", "cost_score.png"}
    assert "heat_map.png is left out: it needs two settings that differ" in caplog.text
    assert "effects.png is left out: no setting differs" in caplog.text


def test_runs_without_scores_or_histories_give_reasons_and_no_exception(tmp_path, caplog):
    for name in "ab":
        RunDir(tmp_path / name).write_json("status.json", {"state": "failed", "error": "why"})
        RunDir(tmp_path / name).write_json("config.json", {"a": name, "b": name})
    assert figures.write(table.load(tmp_path), "validation.loss", tmp_path / "out", NO_EFFECTS) == []
    assert "learning_curves.png is left out: no run has a history with validation.loss" in caplog.text


def test_groups_over_seeds_are_ranked_with_the_diverged_last(frame, effects):
    groups = series.compare(frame, "validation.loss", effects).groups
    assert [group.label for group in groups] == [
        "lr 0.01, hidden_size 8", "lr 0.01, hidden_size 16", "lr 0.1, hidden_size 8", "lr 0.1, hidden_size 16",
    ]  # fmt: skip
    assert [group.mean for group in groups] == pytest.approx([0.015, 0.015, 0.105, math.inf])
    assert [group.rows for group in groups] == [(4, 5), (6, 7), (0, 1), (2, 3)]
    assert series.compare(frame, "validation.accuracy", effects).groups[-1].mean == -math.inf


def test_settings_that_explain_most_come_first(frame, effects):
    assert series.compare(frame, "validation.loss", effects).keys == ["optimizer.lr", "model.hidden_size"]


def test_the_heat_map_has_the_means_of_the_effects_and_never_averages_two_sources(tmp_path):
    for number, (lr, hidden, loss) in enumerate(
        [(1, 8, 1.0), (1, 8, 100.0), (2, 8, 4.0), (1, 9, 5.0), (2, 9, 6.0)] * 2
    ):
        write_run(tmp_path / str(number), loss + 1000 * (number > 4), lr, hidden, seed=number)
    frame = table.load(tmp_path).assign(source=["ours"] * 5 + ["published"] * 5)
    comparison = series.compare(frame, "validation.loss")
    assert comparison.log_means == {"ours": True, "published": False}
    means, _ = heat_map.cells(comparison, "model.hidden_size", "optimizer.lr")
    assert means == pytest.approx(np.array([[10, 5], [4, 6], [1050.5, 1005], [1004, 1006]]))
    drawn = heat_map.heat_map(comparison)
    assert {"1 (ours)", "2 (published)"} <= {
        label.get_text() for axis in ("x", "y") for label in getattr(drawn.axes[0], f"get_{axis}ticklabels")()
    }


def test_a_source_has_one_colour_in_every_panel_of_the_effects(tmp_path):
    for number, (lr, hidden) in enumerate([(1, 8), (2, 8), (1, 8), (2, 8), (1, 9), (2, 9)]):
        write_run(tmp_path / str(number), 0.1 + lr + hidden, lr, hidden, seed=number)
    frame = table.load(tmp_path).assign(source=["ours"] * 2 + ["published"] * 4)
    drawn = figures.effect_panels(series.compare(frame, "validation.loss"))
    panels = {ax.get_title(): {line.get_color() for line in ax.lines} & set(series.COLOURS) for ax in drawn.axes}
    assert panels == {"lr": set(series.COLOURS[:2]), "hidden_size": {series.COLOURS[1]}}
    hidden = next(ax for ax in drawn.axes if ax.get_title() == "hidden_size")
    assert "(published)" in hidden.get_xlabel()
    assert [entry.get_text() for entry in drawn.legends[0].get_texts()] == ["ours", "published"]


def test_runs_of_two_sources_are_two_groups(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 0.1)
    frame = table.load(tmp_path).assign(source=["ours", "published"])
    assert [group.label for group in series.compare(frame, "validation.loss", NO_EFFECTS).groups] == [
        "ours",
        "published",
    ]


def test_the_best_groups_with_a_curve_get_the_colours(tmp_path):
    for number in range(9):
        write_run(tmp_path / str(number), 0.1 + number, lr=number)
    (tmp_path / "0" / "history.csv").unlink()
    groups = series.compare(table.load(tmp_path), "validation.loss", NO_EFFECTS).groups
    assert [group.colour for group in groups] == [None, *series.COLOURS, None]


def test_an_unreadable_history_is_reported(frame):
    broken = frame["run"][0] + "/history.csv"
    for content in ("epoch,validation.loss\n1,0.1\n2", "epoch,validation.loss\n1,abc\n", "\x00\xff"):
        with open(broken, "w", encoding="latin-1") as file:  # noqa: PTH123
            file.write(content)
        comparison = series.compare(frame, "validation.loss", NO_EFFECTS)
        assert comparison.curves[0] is None or len(comparison.curves[0].values) == 1
        assert comparison.curves[1] is not None
        assert len(comparison.problems) <= 1
        assert all(problem.startswith(f"{broken}: cannot be read") for problem in comparison.problems)


def test_a_heat_map_of_too_many_values_is_left_out(tmp_path):
    for number in range(30):
        write_run(tmp_path / str(number), 0.1, lr=number, hidden=number)
    drawn = figures.heat_map(series.compare(table.load(tmp_path), "validation.loss", NO_EFFECTS))
    assert drawn == "it needs two settings that differ, with at most 24 values each"


def test_cells_show_the_mean_and_diverged_runs(frame, effects):
    comparison = series.compare(frame, "validation.loss", effects)
    means, notes = heat_map.cells(comparison, "optimizer.lr", "model.hidden_size")
    np.testing.assert_allclose(means, np.sqrt([[0.01 * 0.02, 0.1 * 0.11], [0.01 * 0.02, np.nan]]))
    assert notes == [["0.0141", "0.105"], ["0.0141", "diverged"]]


def test_a_value_with_only_failed_runs_is_not_in_the_effects(tmp_path):
    for number, lr in enumerate((0.1, 0.1, 0.2, 0.2, 9)):
        write_run(tmp_path / str(number), 1.0 + number, lr, state="failed" if lr == 9 else "finished", seed=number)
    drawn = figures.effect_panels(series.compare(table.load(tmp_path), "validation.loss"))
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["0.1", "0.2"]


def test_numbers_too_large_for_an_axis_are_not_drawn(tmp_path, caplog):
    for number, loss in enumerate((1e308, -1e308, 1.0)):
        write_run(tmp_path / str(number), loss, lr=number)
    assert figures.write(table.load(tmp_path), "validation.loss", tmp_path / "out", NO_EFFECTS) == []
    assert "No figure is drawn: a score of magnitude 1e+308 is too large" in caplog.text


def test_dollar_signs_are_not_parsed_as_mathematics(tmp_path, effects):
    write_run(tmp_path / "a", 0.1, note="$\\frac{", other=1)
    write_run(tmp_path / "b", 0.2, note="x" * 300, other=2)
    assert len(figures.write(table.load(tmp_path), "validation.loss", tmp_path / "out", NO_EFFECTS)) == 4


def test_effects_of_published_runs_and_ours_share_a_panel(frame, effects, tmp_path):
    both = pd.concat([effects, effects.assign(source="published", diverged=1, low=math.nan, high=math.nan)])
    drawn = figures.effect_panels(series.compare(frame, "validation.loss", both))
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["ours", "published"]
    assert drawn.axes[0].get_xlabel() == "explains 80% (ours), 80% (published)"
    assert [label.get_text() for label in drawn.axes[1].get_xticklabels()] == ["8\n1 diverged", "16\n1 diverged"]


def test_figures_and_page_do_not_import_torch():
    code = "import sys, lstm_ae.compare.figures, lstm_ae.compare.report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
