"""docs/own_data.md: its files, commands and scripts, taken as they stand, run in a folder of one's own."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "own_data.md").read_text()
OWN, REAL = PAGE.split("## A real data set")
FILE = re.compile(r"^`(\w+\.py)`\n\n```python\n(.*?)```", flags=re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", OWN, flags=re.DOTALL)
SCRIPT = re.search(r"## Without the command line\n\n```python\n(.*?)```", OWN, flags=re.DOTALL)[1]


def call(folder, command):
    words = shlex.split(command)
    words[:2] = [sys.executable, str(ROOT / "run.py") if words[1] == "run.py" else words[1]]
    more = ["trainer.threads=1"] if words[1].endswith("run.py") else []
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*words, *more], cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "could not be drawn" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own_data")
    for name, text in FILE.findall(PAGE):
        (made / name).write_text(text)
    call(made, COMMANDS[0])
    return made


def test_the_page_has_its_parts():
    assert COMMANDS[0] == "python make_machines.py"
    assert len(COMMANDS) == 5
    assert "from_frame" in SCRIPT


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS[1:])
def test_a_command_of_the_page_runs(folder, command):
    assert "Run directory" in call(folder, command)


@pytest.mark.slow
def test_the_script_of_the_page_runs(folder):
    (folder / "script.py").write_text(SCRIPT)
    assert "reconstruction_mse" in call(folder, "python script.py")


@pytest.mark.slow
def test_the_real_data_set_is_converted_and_read(folder):
    """Where `LSTM_AE_AEON` names an unpacked wheel of aeon; a shortened run."""
    aeon = os.environ.get("LSTM_AE_AEON")
    if not aeon:
        pytest.skip("LSTM_AE_AEON names no folder: pip download --no-deps aeon==1.6.0, unpack it and name the folder")
    (folder / "aeon").symlink_to(aeon)
    commands = re.findall(r"```sh\n(.*?)\n```", REAL, flags=re.DOTALL)
    for command in "\n".join(commands).replace("\\\n", " ").splitlines():
        if command.startswith("python ") and "--multirun" not in command:
            call(folder, f"{command} trainer.epochs=1" if "run.py" in command else command)
