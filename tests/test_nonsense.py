"""Values that make no sense: each key of each group, as the files of conf/ have them, times a set of such values."""

import copy
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lstm_ae.checks import ConfigError
from lstm_ae.experiment import configured
from tests.test_conf import CONF, NEEDS
from tests.test_data import write_prices

GROUPS = ("dataset", "split", "task", "model", "optimizer", "scheduler", "trainer")
OPTIONS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
NONSENSE: dict[str, Any] = {
    "true": True, "-1": -1, "0": 0, "0.5": 0.5, "nan": math.nan, "inf": math.inf, "1e300": 1e300, "1e9": 10**9,
    "1e30": 10**30, "empty": "", "text": "nonsense", "null": None, "list": [-1, "x"], "lists": [[4.5, 10]],
    "mapping": {"a": 1}, "component": {"_target_": "nowhere.Nothing"},
}  # fmt: skip
SMALL = ("dataset.sequences=60", "model.hidden_size=3", "trainer.batch_size=16")
#: Few, in every run of the suite; the others are marked slow.
FEW = ("true", "nan", "1e9")


def leaves(node: Mapping[str, Any], prefix: str) -> list[str]:
    """The dotted keys of a node, with those of the components within it."""
    found = []
    for key, value in node.items():
        found += [f"{prefix}.{key}"]
        found += leaves(value, f"{prefix}.{key}") if isinstance(value, Mapping) else []
    return found


@pytest.fixture(scope="session")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    write_prices(path, days=140, symbols=("AAA", "BBB", "CCC", "DDD", "EEE"))
    return path


def make_job(composed: Callable[..., DictConfig], prices: Path) -> Callable[..., DictConfig]:
    """A function from an option and overrides to a small job with it, without Hydra's own node."""

    def compose(option: str, *overrides: str) -> DictConfig:
        needs = NEEDS.get(option, [])
        if "dataset=sp500" in [option, *needs]:
            needs = [one for one in needs if not one.startswith("dataset.symbols")]
            needs = [*needs, f"dataset.path={prices}", "dataset.window=8"]
        if "dataset=table" in [option, *needs]:
            needs = [*needs, "dataset.series=machine", "dataset.time=timestamp"]
        config = composed(option, *needs, *overrides)
        with open_dict(config):
            del config["hydra"]
        if "toy" in config.dataset._target_:
            config.dataset.sequences = 60
        return config

    return compose


@pytest.fixture
def job(composed, small_mnist, small_table, prices) -> Callable[..., DictConfig]:
    return make_job(composed, prices)


def answer(config: DictConfig) -> str | None:
    """What is said of a job: None if it can run."""
    try:
        configured.check(config)
    except (ValueError, OmegaConfBaseException, HydraException) as error:
        return str(error)
    return None


def names(text: str, key: str) -> bool:
    """Whether a line names a key: in full, or its group and the name by itself."""
    group, _, name = key.rpartition(".")
    whole = re.search(rf"(?<![\w.]){re.escape(key)}(?![\w])", text)
    return bool(whole or (re.search(rf"`{re.escape(group)}[`.]", text) and re.search(rf"\b{name}\b", text)))


#: Values that are right, though not in the job that is tried; the answer names what does not fit instead.
ELSEWHERE = {"task.multi_step=true": "do not fit: the task accepts next_sequence"}  # with steps=last


def tried(config: DictConfig, keys: list[str], values: Mapping[str, Any]) -> list[str]:
    """The complaints about what is said of each value of each key: none, if each runs or is named."""
    complaints = []
    for key, label in itertools.product(keys, values):
        changed = copy.deepcopy(config)
        try:
            OmegaConf.update(changed, key, values[label], merge=False)
            said = answer(changed)
        except OmegaConfBaseException as error:  # run-level keys are typed
            said = str(error)
        except Exception as error:  # it would end in a traceback
            complaints.append(f"{key}={label}: {error!r}")
            continue
        if said is None or ELSEWHERE.get(f"{key}={label}", "nowhere") in said:
            continue
        if not names(said, key):
            complaints.append(f"{key}={label}: {said}")
    return complaints


def cases() -> Iterator[Any]:
    """Each option with few of the values and with the others; in the suite, few values for one option a component."""
    seen = {None}
    for option in OPTIONS:
        group, _, name = option.partition("=")
        target = OmegaConf.load(CONF / group / f"{name}.yaml").get("_target_")
        marks = pytest.mark.slow if target in seen else ()
        seen.add(target)
        yield pytest.param(option, FEW, marks=marks, id=f"{option}-few")
        yield pytest.param(option, NONSENSE.keys() - set(FEW), marks=pytest.mark.slow, id=f"{option}-others")


@pytest.mark.parametrize(("option", "labels"), list(cases()))
def test_a_value_is_valid_or_its_key_is_named(job, option, labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a folder of MNIST may have any name
    config, group = job(option), option.partition("=")[0]
    keys = leaves(OmegaConf.to_container(config[group]), group)
    assert answer(config) is None
    assert not tried(config, keys, {label: NONSENSE[label] for label in labels})


RUN_KEYS = [name for name in OmegaConf.load(CONF / "config.yaml") if name not in ("defaults", "hydra")]


@pytest.mark.parametrize("key", RUN_KEYS)
def test_a_run_level_value_is_valid_or_its_key_is_named(job, key):
    assert not tried(job("dataset=toy", *SMALL), [key], NONSENSE)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=true"], r"`optimizer.lr` must be of type float \| Tensor, got True. Its default is 0.001"),
        (["optimizer.lr=inf"], "`optimizer.lr` must be a finite number, got inf"),
        (["optimizer=sgd", "optimizer.momentum=nan"], "`optimizer.momentum` must be a finite number, got nan"),
        (["scheduler=one_cycle", "scheduler.max_lr=-1"], "`scheduler.max_lr` must be at least 0, got -1"),
        (["scheduler=one_cycle", "+scheduler.total_steps=2"], "`scheduler.total_steps` must be at least the 150"),
        (["scheduler=cosine", "+scheduler.T_max=0"], "`scheduler.T_max` must be at least 1, got 0"),
        (["model=bottleneck", "model.forget_bias=nan"], "`model.forget_bias` must be a finite number, got nan"),
        (["model.hidden_size=1000000000"], "`model.hidden_size` must be at most 8192, got 1000000000"),
        (["trainer.curriculum=[[4.5,10]]"], r"`trainer.curriculum` must be of type Sequence\[Sequence"),
        (["trainer.curriculum=[[0,10]]"], r"`trainer.curriculum` must be at least 1, got \[\[0, 10\]\]. Use pairs"),
        (["trainer.threads=100000"], "`trainer.threads` must be at most .*, got 100000. Use trainer.threads=null"),
        (["trainer.device=meta"], "`trainer.device` must be usable on this machine, got 'meta': .* Use device=auto"),
        (["dataset.sequences=1000000000"], "`dataset.sequences` x `length` must be at most"),
        (["dataset.test_share=0.999"], "leaves nothing to train on: .* Use a smaller dataset.test_share"),
        (["dataset.seed=-1"], "`dataset.seed` must be at least 0, got -1. Use dataset.seed=0"),
        (["split.random_state=-1"], "`split.random_state` must be at least 0, got -1"),
        (["split=kfold", "fold=0", "split.random_state=-1"], "`split.random_state` must be at least 0, got -1"),
        (["dataset=sp500", "dataset.column=volume"], "`dataset.column` needs a file of prices, got 'volume'"),
        (["dataset=sp500", "dataset.window=8000"], "`dataset.window` must fit on one side of the first"),
        (["+nothing=1"], "`nothing` is no key of a run"),
        (["+evaluate_tests=true"], "`evaluate_tests` is no key of a run. Did you mean evaluate_test"),
        (["task.baselines.pca._target_=nowhere.Nothing"], "`task.baselines.pca._target_` must name a class"),
    ],
)  # fmt: skip
def test_a_check_names_the_key(composed, overrides, message):
    base = [] if overrides[0].startswith("dataset=") else ["dataset=toy", "dataset.sequences=60"]
    config = composed("model=autoencoder", *base, "trainer.batch_size=16", *overrides)
    with open_dict(config):
        del config["hydra"]
    with pytest.raises(ConfigError, match=message):
        configured.check(config)


@pytest.mark.parametrize("words", [["hydra.run.dir="], ["--multirun", "seed=0,1", "hydra.sweep.dir="]])
def test_an_empty_folder_is_refused_and_nothing_is_written(command, tmp_path, words):
    done = command(*words, *SMALL, "experiment=toy_reconstruction", "trainer=smoke", cwd=tmp_path)
    assert done.returncode == 1
    assert re.search(r"`hydra\.(run|sweep)\.dir` must name a folder, got ''", done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["dataset=null"], ["--multirun", "dataset=null", "seed=0,1"]])
def test_a_group_without_an_option_is_named(command, words, tmp_path):
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "`dataset` must choose an option, got null. Use dataset=OPTION" in done.stderr


def test_a_sweep_names_the_keys_before_the_first_job_trains(command, tmp_path):
    wrong = ["trainer.curriculum=[[4.5,10]],null", "trainer.threads=1,100000"]
    words = ["--multirun", "experiment=toy_reconstruction", *SMALL, f"hydra.sweep.dir={tmp_path}/sweep", *wrong]
    done = command(*words)
    assert done.returncode == 1
    assert "No job was started because some cannot run" in done.stderr
    assert done.stderr.count("`trainer.curriculum` must be of type") == 1
    assert re.search(r"job 0 \(.*\) and 1 more: `trainer.curriculum`", done.stderr)
    assert done.stderr.count("`trainer.threads` must be at most") == 1
    assert not (tmp_path / "sweep").exists()
