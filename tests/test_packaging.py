"""The wheel: it holds the configuration, the sweepers and a command, and nothing of a machine."""

import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_the_wheel_holds_every_option_the_sweepers_the_page_and_the_command(wheel):
    names = set(wheel.namelist())
    options = {f"lstm_ae/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    code = {
        str(path.relative_to(ROOT)) for folder in ("lstm_ae", "hydra_plugins") for path in (ROOT / folder).rglob("*.py")
    }
    assert options | code <= names
    assert "lstm_ae/compare/page/page.html" in names
    assert "hydra_plugins/__init__.py" not in names  # Hydra's plugins share that namespace
    assert not any(name.startswith(("tests/", "multirun/", "conf/")) for name in names)
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "lstm-ae = lstm_ae.cli:main" in wheel.read(entry_points).decode()


def test_the_version_is_that_of_the_package():
    import lstm_ae

    assert metadata.version("lstm_ae") == lstm_ae.__version__
