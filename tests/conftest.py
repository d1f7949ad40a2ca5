"""What several test modules share. The shapes and types in the signatures are checked here, by beartype."""

from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401  # the hook finds it by its name

install_import_hook("lstm_ae", "tests.shapes.check")

import copy  # noqa: E402
import functools  # noqa: E402
import hashlib  # noqa: E402
import logging  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from hydra.core.hydra_config import HydraConfig  # noqa: E402
from omegaconf import DictConfig, open_dict  # noqa: E402

from lstm_ae import cli  # noqa: E402, F401  # registers the types of the run-level keys
from tests.zygote import ROOT, Zygote  # noqa: E402

SMALL = (
    "experiment=toy_reconstruction", "dataset.sequences=60", "model.hidden_size=3", "trainer.epochs=3",
    "trainer.batch_size=16", "figures=false",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kernel", choices=("auto", "true", "false"), default="auto", help="`trainer.kernel` of all tests"
    )


#: How layers choose without `--kernel`.
OWN_CHOICE = pytest.StashKey[Any]()


def pytest_configure(config: pytest.Config) -> None:
    """Has all layers of this process use the kernel wherever they can, or never, if that is asked for."""
    if config.getoption("--kernel") != "auto":
        from lstm_ae.models.kernel import LSTM

        config.stash[OWN_CHOICE] = LSTM._pays
        LSTM._pays = lambda self, input: config.getoption("--kernel") == "true"  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    logging.raiseExceptions = True


@pytest.fixture(scope="session")
def composed() -> Iterator[Callable[..., DictConfig]]:
    """A function from overrides to a composed configuration, with Hydra's own node."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3", job_name="run"):

        @functools.cache
        def composed(*overrides: str) -> DictConfig:
            return compose("config", overrides=list(overrides), return_hydra_config=True)

        yield lambda *overrides: copy.deepcopy(composed(*overrides))  # a tenth of the time of composing anew


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a few hundred images in MNIST's own format, in place of the real files."""
    from lstm_ae.data import mnist

    folder = tmp_path_factory.mktemp("mnist")
    sums = write_mnist(folder / "MNIST" / "raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "FILES", sums)
        patch.setenv("LSTM_AE_DATA", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A CSV of machines, which `LSTM_AE_TABLE` names; its folder, `LSTM_AE_WAVES`, has a series of NAB's form too."""
    from tests.tables import machines, waves

    path = tmp_path_factory.mktemp("table") / "machines.csv"
    machines(24, rows=20).to_csv(path, index=False)
    waves().to_csv(path.with_name("waves.csv"), index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTM_AE_TABLE", str(path))
        patch.setenv("LSTM_AE_WAVES", str(path.parent))
        yield path


def write_mnist(raw: Path) -> dict[str, str]:
    """Writes random images in MNIST's format, 240 to train and 120 to test, and returns the files' MD5 sums."""
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sums = {}
    for part, count in (("train", 240), ("t10k", 120)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        head = (count).to_bytes(4, "big")
        contents = {
            f"{part}-images-idx3-ubyte": b"\x00\x00\x08\x03" + head + 2 * (28).to_bytes(4, "big") + images,
            f"{part}-labels-idx1-ubyte": b"\x00\x00\x08\x01" + head + labels,
        }
        for name, content in contents.items():
            (raw / name).write_bytes(content)
            sums[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return sums


@pytest.fixture(scope="session")
def run_in(composed: Callable[..., DictConfig]) -> Callable[..., float]:
    """A function that runs one job in a directory of one's own, in this process."""
    from lstm_ae.experiment.configured import run

    def call(path: Path, *overrides: str, cwd: Path = ROOT) -> float:
        config = composed(*overrides)
        with open_dict(config):
            config.hydra.runtime.output_dir = str(path)
            config.hydra.runtime.cwd = str(cwd)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        return run(config)

    return call


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """A grid of two by two over two seeds, in which one combination diverged."""
    from lstm_ae.compare import load
    from tests.run_dirs import write_run

    for number, (lr, hidden, seed) in enumerate((a, b, c) for a in (0.1, 0.01) for b in (8, 16) for c in (0, 1)):
        bad = lr == 0.1 and hidden == 16
        write_run(tmp_path / str(number), lr + seed / 100, lr, hidden, seed, "diverged" if bad else "finished")
    return load(tmp_path)


@pytest.fixture(scope="session")
def python() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """A function from the words after `python`, a folder and an environment, with the imports done before."""
    zygote = Zygote()
    yield zygote.run
    zygote.close()


@pytest.fixture(scope="session")
def command(
    pytestconfig: pytest.Config, python: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that calls `python run.py` as a user does, with the imports done before.

    A sweep runs its jobs in one process, unless the words name a launcher or `hydra.launcher.n_jobs`: workers take
    longer to start than such small jobs to run.
    """
    script = str(ROOT / "run.py")

    def call(
        *arguments: object, cwd: Path = ROOT, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        sweep = any(word == "--multirun" or word.startswith("sweep=") for word in words)
        if sweep and not any(word.startswith(("hydra.launcher.", "hydra/launcher=")) for word in words):
            words.append("hydra.launcher.n_jobs=1")
        if (kernel := pytestconfig.getoption("--kernel")) != "auto":
            words.append(f"trainer.kernel={kernel}")
        return python([script, *words], cwd, env)

    return call


@pytest.fixture(scope="session")
def fresh_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in a new interpreter."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)

    return call
