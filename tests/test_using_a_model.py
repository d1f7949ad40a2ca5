"""docs/using_a_model.md: its blocks as they stand, in order, in a folder of one's own."""

import importlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "using_a_model.md").read_text()
BLOCKS = re.findall(r"(`[\w/.]+`\n\n)?```(python|sh)\n(.*?)\n```", PAGE, flags=re.DOTALL)
MOST_LINES = 10  # of what a user types
BLOCKED = "import sys\nfor name in ('torch', 'pandas', 'lstm_ae', 'sklearn'):\n    sys.modules[name] = None\n"


def exports():
    """Whether the export's libraries are there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page was followed, and what its Python left."""
    path, names = tmp_path_factory.mktemp("page"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for named, language, text in BLOCKS:
            if named:
                (path / named.strip().strip("`")).write_text(text + "\n")
            elif language == "python":
                exec(compile(text, "using_a_model.md", "exec"), names)
            else:
                for line in text.splitlines():
                    words = shlex.split(line)
                    assert words[:2] == ["python", "-m"]
                    if words[2] != "lstm_ae.export":
                        assert importlib.import_module(words[2]).main(words[3:]) == 0
        yield path, names


@pytest.mark.slow
def test_every_block_runs_and_means_what_the_page_says(folder):
    path, names = folder
    assert names["latents"].shape == (4 * 353, 16)
    assert names["reconstructed"].shape == (2, 48, 2)
    assert [len(one) for one in names["listed"]] == [48, 44]
    assert names["following"].shape == (4, 24, 2)
    assert abs(names["following"][:, :, 0] - 60).max() < 20  # degrees, not scaled values
    assert names["step"] == 400 - 48
    assert len(names["by_feature"]) == 2
    assert len(names["found"]) == len(names["latents"])
    assert len(pd.read_csv(path / "scores.csv")) == 1600
    assert len(pd.read_csv(path / "latents.csv")) == len(names["latents"])
    assert len(pd.read_csv(path / "forecast.csv")) == 96
    assert (path / "worst.png").stat().st_size > 1000


def test_what_a_user_types_is_short():
    shown = [(named, text) for named, language, text in BLOCKS[1:] if language == "python"]
    lines = {named: [line for line in text.splitlines() if line.strip()] for named, text in shown if named}
    assert all(len(one) <= 30 for one in lines.values())
    assert all(
        len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES for named, text in shown if not named
    )


@pytest.mark.slow
@pytest.mark.skipif(not exports(), reason="needs the extra `export`")
def test_the_script_scores_encodes_and_forecasts_without_torch(folder, monkeypatch):
    path, names = folder
    monkeypatch.chdir(path)
    import jaxtyping

    from lstm_ae import export

    jaxtyping.config.update("jaxtyping_disable", True)
    words = next(shlex.split(line) for _, _, text in BLOCKS for line in text.splitlines() if "lstm_ae.export" in line)
    assert export.main(words[3:]) == 0
    jaxtyping.config.update("jaxtyping_disable", False)
    script = BLOCKED + (path / "without_torch.py").read_text()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mean, shape, last = re.fullmatch(r"(\S+) (\(.*?\)) (\[.*\])\n", done.stdout).groups()
    trained, signal = names["trained"], names["pumps"][0][["heat", "flow"]].to_numpy()
    windows = np.stack([signal[start : start + 48] for start in range(353)])
    assert float(mean) == pytest.approx(trained.score_samples(windows).sequences.mean(), rel=1e-5)
    assert shape == "(353, 16)"
    assert np.allclose(eval(last), trained.forecast([signal], 24)[0, -1], atol=1e-4)
