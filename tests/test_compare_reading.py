"""Run directories are found once each, and read in any state."""

import json
import math
import os
import socket

import pytest

from lstm_ae.compare import load, reading
from lstm_ae.run_dir import RunDir
from tests.run_dirs import write


def read(path):
    problems = []
    rows = [reading.read_run(folder, files, problems) for folder, files in reading.find([path], problems)]
    return rows, problems


def test_runs_are_found_in_any_mix_of_directories_and_only_once(tmp_path):
    for job in (0, 2, 10):
        write(tmp_path / "day" / "sweep" / str(job), 0.1)
    write(tmp_path / "day" / "single", 0.1)
    (tmp_path / "day" / "sweep" / "again").symlink_to(tmp_path / "day")
    frame = load(
        tmp_path / "day" / "sweep" / "2", tmp_path / "day", f"{tmp_path}/day/sweep/", tmp_path / "day" / "single"
    )
    assert [run.removeprefix(f"{tmp_path}/day/") for run in frame["run"]] == [
        "sweep/2", "single", "sweep/0", "sweep/10",
    ]  # fmt: skip


def test_folders_inside_a_run_and_hidden_folders_are_not_searched(tmp_path):
    write(tmp_path / "run", 0.1)
    write(tmp_path / "run" / "copy", 0.1)
    write(tmp_path / ".trash" / "old", 0.1)
    assert len(load(tmp_path)) == 1


def test_a_path_without_a_run_gives_a_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    problems = []
    assert list(reading.find([tmp_path / name for name in ("none", "file", "empty")], problems)) == []
    assert problems == [
        f"{tmp_path}/none: must be a run or a folder of runs, but does not exist.",
        f"{tmp_path}/file: must be a run or a folder of runs, but is a file. Name its folder.",
        f"{tmp_path}/empty: contains no run (no status.json in it or below it).",
    ]


BROKEN = {
    "metrics.json": {
        '{"train"': "metrics.json: cannot be read as JSON: Expecting ':' delimiter",
        "[1, 2]": "metrics.json: must hold an object, got [1, 2]",
        '{"validation": {"loss": "0.1"}}': "metrics.json: `validation.loss` must be a number, got '0.1'",
        '{"validation": {"loss": [0.1]}}': "metrics.json: `validation.loss` must be a number, got [0.1]",
        "[" * 100_000: "metrics.json: cannot be read as JSON: maximum recursion depth",
    },
    "config.json": {"": "config.json: cannot be read as JSON", "3": "config.json: must hold an object, got 3"},
    "status.json": {
        '{"state": ["x"]}': "status.json: `state` must be one of diverged, failed, finished,",
        "\0": "status.json: cannot be read as JSON",
    },
}


@pytest.mark.parametrize(
    ("name", "content", "line"), [(n, c, t) for n, each in BROKEN.items() for c, t in each.items()]
)
def test_an_unreadable_file_gives_a_line_and_the_other_files_are_used(tmp_path, name, content, line):
    write(tmp_path / "run", 0.1, model__hidden_size=8)
    (tmp_path / "run" / name).write_text(content)
    rows, problems = read(tmp_path)
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path}/run/{line}")
    assert "\n" not in problems[0]
    assert (rows[0].get("model.hidden_size") == 8) == (name != "config.json")
    assert (rows[0].get("validation.loss") == 0.1) == (name != "metrics.json")


def test_a_run_of_an_older_layout_is_read_as_far_as_it_goes(tmp_path):
    run = RunDir(tmp_path / "run")
    run.write_text(".hydra/config.yaml", "model:\n  hidden_size: 8\n")
    run.write_json("metrics.json", {"validation": {"loss": 0.5}})
    rows, problems = read(tmp_path)
    assert (rows[0]["state"], rows[0]["validation.loss"]) == ("unknown", 0.5)
    assert problems == [
        f"{tmp_path}/run: has no status.json: an older layout, or not a run of lstm_ae.",
        f"{tmp_path}/run: has no config.json: its settings are unknown.",
    ]


def test_a_running_run_shows_whether_its_process_still_exists(tmp_path):
    for name, host, pid in (("alive", socket.gethostname(), os.getpid()), ("gone", socket.gethostname(), 2**31 - 1),
                            ("elsewhere", "another", 2**31 - 1), ("odd", socket.gethostname(), "1")):  # fmt: skip
        write(tmp_path / name, None)
        RunDir(tmp_path / name).write_json("status.json", {"state": "running", "host": host, "pid": pid})
    rows, problems = read(tmp_path)
    assert problems == []
    assert {os.path.basename(row["run"]): row["error"] for row in rows} == {  # noqa: PTH119
        "alive": None, "gone": f"its process {2**31 - 1} no longer exists", "elsewhere": None, "odd": None,
    }  # fmt: skip


def test_null_differs_from_not_recorded_and_numbers_of_any_size_are_read(tmp_path):
    write(tmp_path / "0", 0.1, trainer__patience=None, model__sizes=[1, 2], optimizer__lr=1.0, huge=10**30)
    (tmp_path / "0" / "metrics.json").write_text('{"validation": {"loss": 1' + "0" * 400 + '}, "skill": {"pca": NaN}}')
    write(tmp_path / "1", 0.1)
    frame = load(tmp_path)
    assert frame["trainer.patience"][0] == "null"
    assert isinstance(frame["trainer.patience"][1], float)
    assert (frame["model.sizes"][0], frame["optimizer.lr"][0]) == ("[1, 2]", 1)
    assert frame["validation.loss"][0] == math.inf


def test_a_setting_named_like_a_reserved_column_is_renamed(tmp_path):
    write(tmp_path / "run", 0.1)
    RunDir(tmp_path / "run").write_json(
        "config.json", {"run": "x", "state": "y", "validation": {"loss": 3}, "seconds": 9}
    )
    row = load(tmp_path).iloc[0]
    assert (row["run"], row["state"], row["validation.loss"], row["seconds"]) == (f"{tmp_path}/run", "finished", 0.1, 1)
    assert (row["config.run"], row["config.state"], row["config.validation.loss"]) == ("x", "y", 3)


def test_published_runs_are_distinguished_from_ours(tmp_path):
    write(tmp_path / "0", 0.1)
    write(tmp_path / "1", 0.1)
    RunDir(tmp_path / "1").write_json("status.json", {"state": "finished", "published": True})
    assert list(load(tmp_path)["source"]) == ["ours", "published"]


def test_a_named_pipe_in_place_of_a_file_does_not_block(tmp_path):
    write(tmp_path / "run", 0.1)
    (tmp_path / "run" / "metrics.json").unlink()
    os.mkfifo(tmp_path / "run" / "metrics.json")
    (problem,) = read(tmp_path)[1]
    assert problem.startswith(f"{tmp_path}/run/metrics.json is not a regular file.")


def test_a_truncated_history_is_read_up_to_the_last_complete_line(tmp_path):
    write(tmp_path, 0.1, losses=[3, 2, 1])
    path = tmp_path / "history.csv"
    path.write_text(path.read_text().rstrip()[:-2])
    problems = []
    assert reading.read_history(str(tmp_path), problems) == {"epoch": [1, 2], "validation.loss": [3, 2]}
    assert problems == [
        f"{path}: cannot be read as CSV: line 4 has 1 values but the header has 2; the 2 epochs before it are used."
    ]
    assert json.loads((tmp_path / "metrics.json").read_text())
