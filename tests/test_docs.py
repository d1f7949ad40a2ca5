"""README.md and docs/: their files, commands and scripts as they stand, in a folder of one's own; long runs are cut."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep

from tests.conftest import ROOT

PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
BLOCK = re.compile(r"(?:^`([\w./]+)`\n\n)?^```(sh|python|yaml)\n(.*?)\n```$", flags=re.DOTALL | re.MULTILINE)
FOLLOWED = [name for name, text in PAGES.items() if BLOCK.search(text)]
#: What makes a command short: the first line whose pattern it contains. None: it is only composed (below).
SHORT = (
    ("hydra/launcher=|mnist|origin_pixels|origin_sp500|prices.csv|sweep=search|nyc_taxi|anomaly_series|kdd.csv", None),
    ("--cfg|--help|--hydra-help", ""),
    ("toy_seeds", "trainer.epochs=1 figures=false seed=0,1 optimizer.lr=0.1 model.hidden_size=8"),
    ("multirun/(latent|two|rates)", "trainer.epochs=5 seed=0,1 figures=false"),
    ("sweep=|--multirun", "list_jobs=true"),
    ("trainer.epochs=60", "trainer.epochs=2"),
    ("sp500", "trainer.epochs=1 figures=false dataset.symbols=[AAPL,MSFT] dataset.start=2018-01-01"),
    ("countries|machines|conf |multirun/mine", "trainer.epochs=1"),
    ("", "trainer.epochs=1 figures=false"),
)
MOST_LINES = 10  # of Python that a user types
BLOCKED = "import sys\nfor name in ('torch', 'pandas', 'lstm_ae', 'sklearn'):\n    sys.modules[name] = None\n"
COUNTED = {"dataset": ("waves",), "model": ("gru",), "task, with a metric of its own": ("completion",),
           "baseline": ("nearest",), "figure": ("errors",), "splitter": ("alternate",)}  # fmt: skip


@dataclass
class Followed:
    """Where a page was followed, what its Python left, and what its commands printed."""

    folder: Path
    names: dict
    printed: dict


def commands(page):
    """The command lines of a page, each as words without its environment variables."""
    lines = [text.replace("\\\n", " ") for named, kind, text in BLOCK.findall(PAGES[page]) if kind == "sh"]
    inline = re.findall(r"`((?:python|lstm-ae) [^`]*)`", BLOCK.sub("", PAGES[page]))
    for line in (*"\n".join(lines).splitlines(), *inline):
        words = shlex.split(line)
        yield line, words[next(at for at, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :]


def shortened(line, words):
    """The overrides of a run, those that make it short in place of the page's; None: it is too long in any case."""
    more = next(more for pattern, more in SHORT if re.search(pattern, line))
    if more is None:
        return None
    keys = {word.split("=")[0] for word in more.split()}
    return [word for word in words if word.split("=")[0] not in keys] + more.split()


@pytest.fixture(scope="module")
def followed(request, tmp_path_factory, command, python):
    """A page, followed from its beginning to its end."""
    page, folder = request.param, tmp_path_factory.mktemp("page")
    found = Followed(folder, {}, {})
    (folder / "multirun").mkdir()
    (folder / "multirun" / "reference").symlink_to(ROOT / "multirun" / "reference")
    if aeon := os.environ.get("LSTM_AE_AEON"):
        (folder / "aeon").symlink_to(aeon)
    lines = dict(commands(page))

    def call(line):
        if re.search("convert|holes|japanese", line) and not aeon:
            return  # LSTM_AE_AEON names no unpacked wheel of aeon
        if "co2" in line and not importlib.util.find_spec("statsmodels"):
            return
        words = lines[line]
        if words[0] == "lstm-ae" or words[1] == "run.py":
            words = shortened(line, words[1 if words[0] == "lstm-ae" else 2 :])
            done = words is not None and command(*words, cwd=folder)
        elif "lstm_ae.export" in words and not importlib.util.find_spec("onnxruntime"):
            return
        else:
            done = python(words[1:], folder, None)
        if done:
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert "could not be drawn" not in done.stdout
            found.printed[line] = done.stdout

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for named, kind, text in BLOCK.findall(PAGES[page]):
            if named:
                (folder / named).parent.mkdir(parents=True, exist_ok=True)
                (folder / named).write_text(text + "\n")
            elif kind == "python":
                exec(compile(text, page, "exec"), found.names)
            else:
                for line in text.replace("\\\n", " ").splitlines():
                    call(line)
        yield found


def at(page):
    return pytest.mark.parametrize("followed", [page], indirect=True, ids=[page])


@pytest.mark.parametrize("page", PAGES)
def test_every_run_of_a_page_composes(composed, page, monkeypatch):
    """A sweep by its first job."""
    for line, words in commands(page):
        if words[:2] != ["python", "run.py"] or re.search("--help|--hydra-help|install=bash", line):
            continue
        given = [word for word in words[2:] if "=" in word]
        overrides = OverridesParser.create().parse_overrides(given)
        swept = [one for one in overrides if one.is_sweep_override() and not isinstance(one.value(), IntervalSweep)]
        fixed = [one.input_line for one in overrides if not one.is_sweep_override()]
        composed(*fixed, *(f"{one.get_key_element()}={next(one.sweep_string_iterator())}" for one in swept))


@pytest.mark.slow
@pytest.mark.parametrize("followed", FOLLOWED, indirect=True)
def test_a_page_runs_from_its_beginning_to_its_end(followed):
    assert followed.printed or followed.names


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page):
    for _, words in commands(page):
        if words[:2] == ["python", "-m"] and words[2] not in ("pip", "pytest"):
            assert importlib.util.find_spec(words[2]), words
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGES[page]):
        assert (folder / link).exists(), link


def test_the_readme_is_short_and_lists_every_page():
    assert len(PAGES["README.md"].splitlines()) <= 150
    listed = re.findall(r"^\| \[docs/(\w+\.md)\]", PAGES["README.md"], flags=re.MULTILINE)
    assert sorted(listed) == [name for name in PAGES if name != "README.md"]


def test_the_configuration_page_lists_every_option():
    rows = PAGES["configuration.md"].split("## Groups")[1].split("\n## ")[0]
    for path in (ROOT / "conf").glob("*/*.yaml"):
        if path.parent.name not in ("hydra", "sweep"):
            assert f"`{path.stem}`" in rows, path
    assert all(f"`{path.stem}`" in PAGES["sweeps.md"] for path in (ROOT / "conf" / "sweep").glob("*[!d].yaml"))


def test_the_page_about_extending_counts_the_lines_of_its_files():
    files = {named: text for named, _, text in BLOCK.findall(PAGES["extending.md"]) if named}
    for part, words in COUNTED.items():
        own = [text for name, text in files.items() if any(word in name for word in words)]
        lines = sum(1 for text in own for line in text.splitlines() if line.strip() and not line.startswith("#"))
        assert f"| {part} | {len(own)} | {lines} |" in PAGES["extending.md"]


@pytest.mark.parametrize("page", ["README.md", "using_a_model.md"])
def test_what_a_user_types_in_python_is_short(page):
    for named, kind, text in BLOCK.findall(PAGES[page])[page == "using_a_model.md" :]:
        if kind == "python":
            assert sum(1 for line in text.splitlines() if line.strip()) <= (30 if named else MOST_LINES)


@pytest.mark.slow
@at("README.md")
def test_the_readme_trains_on_a_table_and_uses_the_model(followed):
    (line,) = (line for line in followed.printed if "lstm_ae.score" in line)
    assert followed.printed[line].startswith("1,704 steps scored: scores.csv.")
    assert followed.names["latents"].shape == (142, 4)


@pytest.mark.slow
@at("own_data.md")
@pytest.mark.parametrize("table", ["funds", "co2"])
def test_a_forecast_shows_baselines_next_to_the_model_at_each_horizon(followed, table):
    if table == "co2" and not importlib.util.find_spec("statsmodels"):
        pytest.skip("statsmodels is not installed")
    (printed,) = (text for line, text in followed.printed.items() if f"path={table}.csv" in line)
    run = Path(re.search("Run directory: (.*)", printed)[1])
    errors = pd.read_csv(run / "horizon.csv")
    names = ["model", "recursive", "persistence", "drift", "seasonal_naive", "ridge"]
    assert errors["horizon"].tolist() == list(range(1, {"funds": 6, "co2": 14}[table]))
    assert (errors[[f"{name}_mse" for name in names]] > 0).all(axis=None)


@pytest.mark.slow
@at("using_a_model.md")
def test_the_blocks_about_a_model_mean_what_the_page_says(followed):
    path, names = followed.folder, followed.names
    assert names["latents"].shape == (4 * 353, 16)
    assert names["reconstructed"].shape == (2, 48, 2)
    assert [len(one) for one in names["listed"]] == [48, 44]
    assert names["following"].shape == (4, 24, 2)
    assert abs(names["following"][:, :, 0] - 60).max() < 20  # degrees, not scaled values
    assert names["step"] == 400 - 6  # the horizon: a step is scored by the windows that forecast it
    assert len(names["by_feature"]) == 2
    assert len(names["found"]) == len(names["latents"])
    assert len(pd.read_csv(path / "scores.csv")) == 1600
    assert len(pd.read_csv(path / "latents.csv")) == len(names["latents"])
    assert len(pd.read_csv(path / "forecast.csv")) == 96
    assert (path / "worst.png").stat().st_size > 1000


@pytest.mark.slow
@at("using_a_model.md")
def test_the_exported_model_scores_encodes_and_forecasts_without_torch(followed):
    if not (followed.folder / "pumps.onnx").exists():
        pytest.skip("needs the extra `export`")
    script = BLOCKED + (followed.folder / "without_torch.py").read_text()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mean, shape, last = re.fullmatch(r"(\S+) (\(.*?\))\n(\[.*\])\n", done.stdout).groups()
    trained, signal = followed.names["trained"], followed.names["pumps"][0][["heat", "flow"]].to_numpy()
    windows = np.stack([signal[start : start + 48] for start in range(353)])
    assert float(mean) == pytest.approx(trained.score_samples(windows).sequences.mean(), rel=1e-5)
    assert shape == "(353, 16)"
    assert np.allclose(ast.literal_eval(last), trained.forecast([signal], 24)[0, -1], atol=1e-4)
