"""A sweep's jobs are composed once for all that differ in values alone, and are what Hydra itself would compose."""

import itertools
import pickle

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from hydra_plugins.lstm_ae_sweeper import _compose
from hydra_plugins.lstm_ae_sweeper._compose import Composer
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep
from tests.conftest import ROOT

SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))


@pytest.fixture
def loader(composed):
    """Hydra's own, as a sweep has it."""
    return GlobalHydra.instance().config_loader()


def master(loader, *overrides):
    config = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
    assert str(config.hydra.sweep.dir).startswith("multirun/")  # it is read before the jobs are composed
    return config


def assert_composed_alike(loader, config, overrides):
    ours = Composer(loader)
    for _ in range(2):  # the second time from what was kept
        made, expected = (one.load_sweep_config(config, list(overrides)) for one in (ours, loader))
        assert OmegaConf.to_container(made) == OmegaConf.to_container(expected)
        assert OmegaConf.is_struct(made)
        with pytest.raises(AttributeError):
            made.unheard_of = 1
        assert str(made.hydra.sweep.dir) == str(expected.hydra.sweep.dir)  # the time is that of the sweep


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_a_preset_is_what_hydra_composes(loader, sweep):
    config = master(loader, f"sweep={sweep}", "hydra.launcher.n_jobs=3")
    params = OmegaConf.to_container(config.hydra.sweeper, resolve=True).get("params") or {}
    if sweep == "search":  # ranges, of which any value is a job
        params = {"optimizer.lr": "0.002,0.1", "model.hidden_size": "4,7"}
    begun = Sweep(HydraContext(loader, None), None, config, gpu_memory=2)
    for number, job in enumerate(begun.combinations(params, [], [], [f"sweep={sweep}"])[:6]):
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
def test_whatever_a_job_is_given_is_applied_as_hydra_does(loader, overrides):
    assert_composed_alike(loader, master(loader, "dataset=digits", "task=classification", "model=v1"), overrides)


@pytest.mark.parametrize("override", ["model.nothing=1", "seed=abc", "model=nothing", "~model.nothing"])
def test_a_mistake_is_hydras_own_error(loader, override):
    config = master(loader)
    messages = []
    for one in (loader, Composer(loader)):
        with pytest.raises(ConfigCompositionException) as caught:
            one.load_sweep_config(config, [override])
        messages.append(f"{caught.value} {caught.value.__cause__}")
    assert messages[0] == messages[1]


def test_jobs_that_differ_in_values_alone_are_composed_once_in_each_process(loader):
    config, composer = master(loader), Composer(loader)
    _compose._composed.cache_clear()
    for model, size in itertools.product(("autoencoder", "bottleneck"), range(3, 9)):
        handed = pickle.loads(pickle.dumps(composer))  # as a launcher hands it to a worker, with every job
        handed.load_sweep_config(config, [f"model={model}", f"model.hidden_size={size}", f"hydra.sweep.subdir={size}"])
    assert _compose._composed.cache_info().misses == 2
    Composer(loader).load_sweep_config(config, ["model=bottleneck"])  # another sweep's
    assert _compose._composed.cache_info().misses == 3
