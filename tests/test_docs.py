"""The docs: the files and commands of docs/extending.md, taken as they stand, run in a folder of one's own."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"```sh\n(.*?)\n```", PAGE, flags=re.DOTALL)
SCRIPT = re.findall(r"## Without Hydra.*?```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_page_counts_the_lines_of_its_files():
    parts = {"dataset": ("waves",), "model": ("gru",), "task, with a metric of its own": ("completion",),
             "baseline": ("nearest",), "figure": ("errors",), "splitter": ("alternate",)}  # fmt: skip
    for part, words in parts.items():
        own = [text for name, text in FILES.items() if any(word in name for word in words)]
        lines = sum(1 for text in own for line in text.splitlines() if line.strip() and not line.startswith("#"))
        assert f"| {part} | {len(own)} | {lines} |" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=[re.sub(r".*conf (\S+).*", r"\1", command) for command in COMMANDS])
def test_a_command_of_the_page_runs(project, command):
    words = [sys.executable, str(ROOT / "run.py"), *shlex.split(command)[1:], "trainer.threads=1"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be drawn" not in done.stdout


@pytest.mark.slow
def test_the_script_of_the_page_runs(project):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT[0]], cwd=project, capture_output=True, text=True, check=False,
                          env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "linear_regression" in done.stdout


def test_there_is_a_command_for_each_part():
    assert len(COMMANDS) == 6
    assert len(SCRIPT) == 1
