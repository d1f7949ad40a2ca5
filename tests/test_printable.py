"""Text from files reaches the terminal without its control characters, from every command."""

import json
import logging

import pytest

from lstm_ae import cli, plots, score
from lstm_ae.compare import __main__ as compare
from lstm_ae.printable import Formatter, printable
from lstm_ae.run_dir import RunDir
from tests.conftest import SMALL

RED = "\x1b[31m"
SHOWN = r"\x1b[31m"


def test_line_breaks_of_a_message_are_kept_and_nothing_else():
    assert printable(f"a\n{RED}\rb\x07", keep="\n") == "a\n" + SHOWN + r"\rb\x07"
    record = logging.LogRecord("lstm_ae", logging.INFO, "", 0, "%s\nsecond", (RED,), None)
    assert Formatter("%(levelname)s %(message)s").format(record) == f"INFO {SHOWN}\nsecond"


@pytest.fixture
def hostile(tmp_path):
    """A run directory with escape codes in its name, its keys and its values."""
    run = RunDir(tmp_path / f"run{RED}")
    run.write_json("config.json", {f"seed{RED}": RED, "task": {"_target_": f"own{RED}.Task"}})
    run.write_json("status.json", {"state": RED, "error": RED})
    run.write_json("metrics.json", {"validation": {f"loss{RED}": 1, "loss": RED}})
    run.write_text("samples.npz", RED)
    return run.path


COMMANDS = {
    "compare": lambda run: compare.main([str(run), str(run)]),
    "difference": lambda run: compare.main(["--diff", str(run), str(run), "--format", "csv"]),
    "figures": lambda run: plots.main([str(run)]),
    "score": lambda run: score.main([str(run), "no.csv", "--output", str(run.parent / "scores.csv")]),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_that_reads_a_directory_shows_control_characters(hostile, capsys, caplog, command):
    command(hostile)
    out, err = capsys.readouterr()
    shown = out + err + "\n".join(map(Formatter("%(message)s").format, caplog.records))
    assert SHOWN in shown
    assert "\x1b" not in shown


def test_the_refusal_of_a_directory_shows_its_keys_without_control_characters(command, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({f"seed{RED}": 1}))
    done = command(*SMALL, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert f"seed{SHOWN}: 1 there, None now" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_error_of_a_job_is_logged_and_shown_without_control_characters(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_main", lambda: (_ for _ in ()).throw(ValueError(f"first {RED}\nsecond")))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which is set for the rest of the process
    assert cli.report_errors() == 1
    assert capsys.readouterr().err.startswith(f"Error: ValueError: first {SHOWN}\nsecond\n")
