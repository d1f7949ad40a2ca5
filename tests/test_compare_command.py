"""The command line `python -m lstm_ae.compare`."""

import json
import os
import subprocess
import sys

import pytest

from lstm_ae.compare import __main__ as command_line
from lstm_ae.compare.reference import REFERENCE
from tests.conftest import ROOT
from tests.run_dirs import write

TOY = REFERENCE / "ours" / "origin_toy"


@pytest.fixture
def compare(capsys):
    def call(*arguments):
        code = command_line.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


def test_effects_are_shown_for_our_runs_and_the_published_ones(compare):
    code, out, err = compare(TOY, REFERENCE / "published", "--effects")
    assert (code, err) == (0, "")
    assert "source     hidden_size     lr  gradient_clipping  validation.loss" in out
    ours, published = out.split("Effects on")[1].split("\nours: ")[1].split("\npublished: ")
    assert "trainer.gradient_clipping: all means are equal" in ours
    assert "best mean at 0.1 (" in ours
    assert "the best arithmetic mean is at 0.01 (0.0009462), the best geometric mean at 0.1 (0.0005106)" in ours
    assert "best mean at 0.01 (" in published
    assert " p " not in ours + published
    assert out.count("no validation.loss") == 6
    assert "ours: Nothing was tested: 1 block (seed or fold) is too few for a test: 2 more are needed." in out


def test_the_excerpt_in_the_docs_is_the_output_of_the_command(compare):
    columns = "source,hidden_size,lr,gradient_clipping,loss"
    printed = " ".join(compare(TOY, REFERENCE / "published", "--effects", "--columns", columns)[1].split())
    excerpt = (ROOT / "docs" / "comparing.md").read_text().split("```text\n")[1].split("\n```")[0]
    table, sentences = (part.split() for part in excerpt.split("\n\n"))
    assert " ".join(table) in printed
    assert " ".join(sentences) in printed


def test_options_select_sort_and_cut_the_table(compare):
    options = ("--where", "clip=1", "--where", "lr>0.001", "--sort", "-seconds", "--top", 2, "--columns", "lr,seconds")
    assert compare(TOY, *options)[0] == 1
    options = ("--where", "gradient_clipping=1", *options[2:])
    code, out, _ = compare(TOY, *options, "--format", "csv")
    header, first, second = out.splitlines()
    assert (code, header) == (0, "optimizer.lr,seconds")
    assert float(first.split(",")[1]) > float(second.split(",")[1])


def test_other_formats_and_only_the_effects_in_csv_and_json(compare, tmp_path):
    rows = json.loads(compare(TOY, "--format", "json", "--effects")[1])
    assert {row["setting"] for row in rows} == {"model.hidden_size", "optimizer.lr", "trainer.gradient_clipping"}
    assert compare(TOY, "--format", "markdown", "--all-columns", "--top", 1)[1].count("\n| ") == 2
    code, out, err = compare(TOY, "--output", tmp_path / "runs.csv")
    assert (code, out) == (0, "")
    assert (tmp_path / "runs.csv").read_text().startswith("model.hidden_size,optimizer.lr,")
    assert f"Written: {tmp_path}/runs.csv" in err


def test_two_runs_are_compared(compare):
    code, out, _ = compare("--diff", TOY / "0", TOY / "2")
    assert code == 0
    assert "model.hidden_size" in out
    assert "differs from epoch 1" in out


def test_the_exit_code_is_1_only_if_nothing_could_be_compared(compare, tmp_path):
    run = write(tmp_path / "run", 0.1)
    (run / "config.json").write_text("{")
    code, out, err = compare(tmp_path, tmp_path / "none")
    assert (code, "0.1" in out) == (0, True)
    assert f"{run}/config.json: cannot be read as JSON" in err
    code, out, err = compare(tmp_path / "none")
    assert (code, out) == (1, "")
    assert "Nothing to compare: no run was found." in err
    assert compare(tmp_path, "--metric", "los")[0] == 1


def test_if_every_run_failed_they_are_listed_and_the_exit_code_is_1(compare, tmp_path):
    write(tmp_path / "0", None, "failed", model__size=3)
    write(tmp_path / "1", 0.1, "failed", model__size=4)
    code, out, err = compare(tmp_path)
    assert code == 1
    assert "No run has a metric yet" in err
    assert [line.split()[:2] for line in out.splitlines()] == [["size", "state"], ["3", "failed"], ["4", "failed"]]


def test_wrong_options_are_refused_with_the_rule(capsys):
    for arguments, message in (
        ([], "name at least one DIR, or two runs with --diff"),
        (["x", "--top", "0"], "argument --top: must be a whole number of at least 1, got '0'"),
        (["x", "--epoch", "a"], "argument --epoch: must be a whole number"),
        (
            ["--diff", "a", "b", "--where", "lr=1", "--top", "2"],
            "only be combined with --format and --output; leave out --top, --where",
        ),
        (["x", "--diff", "a", "b", "--effects"], "leave out DIR, --effects"),
    ):
        with pytest.raises(SystemExit, match="2"):
            command_line.main(arguments)
        assert message in capsys.readouterr().err


def test_the_page_shows_the_runs_that_the_table_shows_and_the_problems(compare, tmp_path):
    *_, err = compare(TOY, tmp_path / "none", "--where", "lr=0.1", "--report", tmp_path / "page")
    assert f"Report: {tmp_path}/page/report.html" in err
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Comparison of 6 runs by validation.loss" in page
    assert f"{tmp_path}/none: must be a run or a folder of runs, but does not exist." in page


def test_the_page_shows_the_epoch_that_the_table_shows(compare, tmp_path):
    write(tmp_path / "failed", None, "failed")
    compare(TOY / "0", tmp_path, "--epoch", 1, "--where", "state=reached", "--report", tmp_path / "page")
    assert "1 run, all compared at the same epoch." in (tmp_path / "page" / "report.html").read_text()


def test_an_unwritable_folder_gives_an_error_and_the_table(compare, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = compare(TOY, "--report", tmp_path / "file")
    assert (code, out.split("\n\n")[0].count("\n")) == (1, 18)
    assert f"`--report` must be a writable folder, got {tmp_path}/file: File exists. Use another" in err


def test_effects_on_a_narrow_terminal_keep_the_means_and_the_best_values(compare, monkeypatch):
    monkeypatch.setattr(command_line, "_width", lambda options: 80)
    printed = compare(TOY, REFERENCE / "published", "--effects")[1].split("Effects on")[1]
    assert printed.splitlines()[2].split() == ["setting", "value", "mean", "n", "best", "source"]


def called(*arguments, **options):
    command = [sys.executable, "-m", "lstm_ae.compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **options)


def test_a_closed_pipe_ends_the_program_quietly():
    line = f"'{sys.executable}' -m lstm_ae.compare '{TOY}' --all-columns --format csv | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_it_works_in_an_ascii_locale(tmp_path):
    write(tmp_path / "é\udcff", 0.1)
    done = called(tmp_path / "é\udcff", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert "\\xe9" in done.stdout


def test_it_imports_neither_torch_nor_hydra_and_help_not_even_pandas():
    code = "import sys; from lstm_ae.compare.__main__ import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    code += "print({name for name in ('torch', 'hydra', 'omegaconf', 'pandas') if name in sys.modules})"
    for arguments, needed in ((["--help"], "set()"), ([str(TOY), "--effects"], "{'pandas'}")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert done.stdout.splitlines()[-1] == needed
