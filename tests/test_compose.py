"""A sweep's jobs that differ only in values share one composition, equal to the one by Hydra itself."""

import itertools
import pickle

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from hydra_plugins.lstm_ae_sweeper import _compose
from hydra_plugins.lstm_ae_sweeper._compose import Composer
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep
from lstm_ae.experiment.overrides import lines
from tests.conftest import ROOT

SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))


@pytest.fixture
def loader(composed):
    """Hydra's config loader."""
    return GlobalHydra.instance().config_loader()


def master(loader, *overrides):
    config = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
    assert str(config.hydra.sweep.dir).startswith("multirun/")  # read before the jobs are composed
    return config


def assert_composed_alike(loader, config, overrides):
    ours, expected = Composer(loader), loader.load_sweep_config(config, list(overrides))
    for _ in range(2):  # the second time from the cache
        actual = ours.load_sweep_config(config, list(overrides))
        assert OmegaConf.to_container(actual) == OmegaConf.to_container(expected)
        assert OmegaConf.is_struct(actual)
        with pytest.raises(AttributeError):
            actual.unknown_key = 1
        assert str(actual.hydra.sweep.dir) == str(expected.hydra.sweep.dir)  # with the start time of the sweep


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_a_preset_is_what_hydra_composes(loader, sweep):
    config = master(loader, f"sweep={sweep}", "hydra.launcher.n_jobs=3")
    params = OmegaConf.to_container(config.hydra.sweeper, resolve=True).get("params") or {}
    if sweep == "search":  # it has ranges instead of lists
        params = {"optimizer.lr": "0.002,0.1", "model.hidden_size": "4,7"}
    started = Sweep(HydraContext(loader, Callbacks()), None, config, gpu_memory=2)
    jobs = started.combinations(params, [], [], [f"sweep={sweep}"])
    for number, job in enumerate({tuple(lines(job)) for job in (jobs[0], jobs[len(jobs) // 2], jobs[-1])}):
        assert_composed_alike(loader, config, [*job, f"hydra.sweep.subdir={number}"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=bottleneck", "model.hidden_size=3"],
        ["model.hidden_size=3", "model=bottleneck"],
        ["experiment=origin_mnist", "task.reconstruction_dominance=0.3", "dataset.root=null"],
        ["fold=2", "split=kfold", "seed=7"],
        ["dataset=sp500", "dataset.symbols=[AAPL,MSFT]", "dataset.path='a b=c.csv'"],
        ["trainer.gradient_clipping=null", "trainer.curriculum=[[4,1]]"],
        ["+trainer.extra=1", "trainer.extra=2"],
        ["++trainer.epochs=4", "trainer.epochs=5", "++trainer.epochs=6"],
        ["trainer.epochs=5", "~trainer.device", "trainer.batch_size=3"],
        ["optimizer.lr=1e-3", "hydra.job.name=other"],
        ["optimizer.lr=0.5", "optimizer={lr:0.2}"],
        ["optimizer={lr:0.2}", "optimizer.lr=0.5"],
        ["seed=1", "seed=2"],
        [],
    ],
    ids=" ".join,
)
def test_overrides_are_applied_as_by_hydra(loader, overrides):
    assert_composed_alike(loader, master(loader, "dataset=digits", "task=classification", "model=v1"), overrides)


@pytest.mark.parametrize("override", ["model.nothing=1", "seed=abc", "model=nothing", "~model.nothing"])
def test_an_invalid_override_gives_hydras_own_error(loader, override):
    config = master(loader)
    messages = []
    for each in (loader, Composer(loader)):
        with pytest.raises(ConfigCompositionException) as caught:
            each.load_sweep_config(config, [override])
        messages.append(f"{caught.value} {caught.value.__cause__}")
    assert messages[0] == messages[1]


def test_jobs_that_differ_only_in_values_are_composed_once_per_process(loader):
    config, composer = master(loader), Composer(loader)
    _compose._composed.cache_clear()
    for model, size in itertools.product(("autoencoder", "bottleneck"), range(3, 9)):
        copied = pickle.loads(pickle.dumps(composer))  # a launcher sends it to a worker with every job
        copied.load_sweep_config(config, [f"model={model}", f"model.hidden_size={size}", f"hydra.sweep.subdir={size}"])
    assert _compose._composed.cache_info().misses == 2
    Composer(loader).load_sweep_config(config, ["model=bottleneck"])  # another sweep's
    assert _compose._composed.cache_info().misses == 3
