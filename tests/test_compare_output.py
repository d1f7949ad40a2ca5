"""Tables as text fit the terminal and contain no control characters."""

import csv
import io
import json
import math

import pandas as pd
import pytest

from lstm_ae.compare import output
from lstm_ae.compare.selection import CompareError

TABLE = pd.DataFrame(
    {"model._target_": ["a.Small", "a.Large"], "optimizer.lr": [0.1, "null"], "validation.loss": [1 / 3, math.inf],
     "n": [3, "2/3 folds"], "reason": ["", "it \x1b[31mfailed\n[red]"], "test.loss": [math.nan, 1.0]}
)  # fmt: skip


def test_a_table_is_aligned_with_short_names_and_four_digits():
    text, left_out = output.render(TABLE, "table")
    assert text.splitlines() == [
        "model    lr  validation.loss  n          reason                    test.loss",
        "Small   0.1           0.3333  3",
        "Large  null              inf  2/3 folds  it \\x1b[31mfailed\\n[red]          1",
    ]
    assert left_out == []


@pytest.mark.parametrize("width", [8, 20, 40, 60, 70])
def test_no_line_is_wider_than_the_terminal_and_omitted_columns_are_named(width):
    text, left_out = output.render(TABLE, "table", width, keep=("validation.loss",))
    assert max(map(len, text.splitlines())) <= width
    assert left_out
    if width > 15:
        assert "validation.loss" in text.splitlines()[0]
    assert len(text.splitlines()[0].split()) + len(left_out) >= 6


def test_wide_characters_take_two_columns():
    lines = output.render(pd.DataFrame({"a": ["模型", "m"], "b": ["x", "y"]}), "table")[0].splitlines()
    assert lines == ["a     b", "模型  x", "m     y"]


def test_csv_has_full_names_all_digits_and_no_control_characters():
    rows = list(csv.DictReader(io.StringIO(output.render(TABLE, "csv")[0])))
    assert float(rows[0]["validation.loss"]) == 1 / 3
    assert rows[0]["test.loss"] == ""
    assert rows[1] == {"model._target_": "a.Large", "optimizer.lr": "null", "validation.loss": "inf", "n": "2/3 folds",
                       "reason": "it \\x1b[31mfailed\\n[red]", "test.loss": "1"}  # fmt: skip


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "=\x1b[31m"])
def test_no_text_is_a_formula_in_a_csv(text):
    (cells,) = csv.DictReader(io.StringIO(output.render(pd.DataFrame({text: [text], "lr": ["-1e-3"]}), "csv")[0]))
    ((name, cell), number) = cells.items()
    assert name == cell == f"'{output.printable(text)}"
    assert number == ("lr", "-1e-3")


def test_json_is_strict():
    rows = json.loads(output.render(TABLE, "json")[0], parse_constant=lambda name: pytest.fail(name))
    assert rows[1]["validation.loss"] is None
    assert rows[0]["optimizer.lr"] == 0.1


def test_markdown_escapes_special_characters():
    text = output.render(pd.DataFrame({"a": ["x|<b>y"]}), "markdown")[0]
    assert text == "| a |\n| --- |\n| x\\|&lt;b>y |\n"


def test_a_file_is_written_atomically(tmp_path):
    output.write(tmp_path / "out.csv", "old")
    output.write(tmp_path / "out.csv", "new \udcff")
    assert (tmp_path / "out.csv").read_text() == "new \\udcff"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    with pytest.raises(CompareError, match=r"`--output` must be a file, but .* is a directory. Name a file."):
        output.write(tmp_path, "x")
    with pytest.raises(CompareError, match=r"must be a writable file, got .*: File exists. Name another"):
        output.write(tmp_path / "out.csv" / "out.csv", "x")


def test_long_sentences_are_wrapped_only_on_a_terminal():
    assert output.wrapped(["a " * 20], 21) == ["a a a a a a a a a a a", "    a a a a a a a a a"]
    assert output.wrapped(["a " * 20], None) == ["a " * 20]
