"""What the page draws of a ranking: its labels, colours, curves and axes."""

import subprocess
import sys

from lstm_ae.compare import load, series
from lstm_ae.compare.ranking import rank
from tests.run_dirs import write_run


def compared(frame, metric="validation.loss", problems=None):
    return series.page_data(rank(frame, metric), [] if problems is None else problems)[0]


def labels(data):
    return [group["label"] for group in data["groups"]]


def test_combinations_are_drawn_in_the_order_of_the_ranking_with_the_diverged_last(frame):
    data = compared(frame)
    assert labels(data) == [
        "lr 0.01, hidden_size 8", "lr 0.01, hidden_size 16", "lr 0.1, hidden_size 8", "lr 0.1, hidden_size 16",
    ]  # fmt: skip
    groups = {run["id"]: run["group"] for run in data["runs"]}
    assert [groups[row] for row in range(8)] == [2, 2, 3, 3, 0, 0, 1, 1]
    assert labels(compared(frame, "validation.accuracy"))[-1] == "lr 0.1, hidden_size 16"


def test_settings_whose_means_differ_most_come_first(frame):
    assert compared(frame)["keys"] == ["optimizer.lr", "model.hidden_size"]


def test_runs_of_two_sources_are_two_combinations(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 0.1)
    frame = load(tmp_path).assign(source=["ours", "published"])
    assert labels(compared(frame)) == ["ours", "published"]


def test_the_first_combinations_with_a_curve_get_the_colours(tmp_path):
    for number in range(9):
        write_run(tmp_path / str(number), 0.1 + number, lr=number)
    (tmp_path / "0" / "history.csv").unlink()
    colours = [group["colour"] for group in compared(load(tmp_path))["groups"]]
    assert colours == [None, *range(series.MAX_COLOURS), None]


def test_an_unreadable_history_is_reported(frame):
    broken = frame["run"][0] + "/history.csv"
    for content in ("epoch,validation.loss\n1,0.1\n2", "epoch,validation.loss\n1,abc\n", "\x00\xff"):
        with open(broken, "w", encoding="latin-1") as file:  # noqa: PTH123
            file.write(content)
        problems = []
        curves = {run["id"]: run["curve"] for run in compared(frame, problems=problems)["runs"]}
        assert len(curves[0]) <= 1
        assert len(curves[1]) > 1
        assert len(problems) == 1
        assert problems[0].startswith(f"{broken}: cannot be read")


def test_the_heat_map_has_two_settings_of_few_values_and_geometric_means_where_scores_span_decades(tmp_path):
    for number in range(30):
        write_run(tmp_path / str(number), 0.1 + number, lr=number, hidden=number % 2, other=number % 3)
    data = compared(load(tmp_path))
    assert data["grid"] == ["model.hidden_size", "other"]  # and not the 30 learning rates
    assert data["logMeans"] == {"ours": True}


def test_a_value_with_only_failed_runs_has_no_place_on_an_axis(tmp_path):
    for number, lr in enumerate((0.1, 0.1, 0.2, 0.2, 9)):
        write_run(tmp_path / str(number), 1.0 + number, lr, state="failed" if lr == 9 else "finished", seed=number)
    data = compared(load(tmp_path))
    assert data["levels"]["optimizer.lr"] == ["0.1", "0.2"]
    assert [run["levels"]["optimizer.lr"] for run in data["runs"] if run["state"] == "failed"] == [None]


def test_the_page_does_not_import_torch():
    code = "import sys, lstm_ae.compare.report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
