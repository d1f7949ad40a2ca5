"""Every option of every group composes and builds."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf, open_dict

from lstm_ae.experiment import configured
from lstm_ae.experiment.assembly import assemble
from lstm_ae.pooling import evaluate

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
# What an option needs beside it.
IMAGES = ["dataset=digits", "task=classification"]
PRICES = ["dataset=sp500", "dataset.symbols=[AAPL,MSFT,XOM,KO,GE]"]
TABLE = ["dataset=table", "dataset.path=${oc.env:LSTM_AE_TABLE}"]
SERIES = ["dataset=nab", "dataset.path=${oc.env:LSTM_AE_WAVES}", "dataset.series=waves", "dataset.normal=200"]
NEEDS = {
    "dataset=nab": SERIES,
    "experiment=anomaly": SERIES,
    "task=anomaly": [*SERIES, "task.rate=1/5"],
    "dataset=table": [*TABLE, "dataset.label=state"],
    "split=group_holdout": PRICES,
    "split=stratified": ["dataset=digits"],
    "split=stratified_kfold": ["dataset=digits", "fold=0"],
    "experiment=table_classification": [*TABLE, "dataset.label=state"],
    "experiment=japanese_vowels": [
        *TABLE,
        "dataset.label=state",
        "dataset.series=machine",
        "dataset.time=timestamp",
        "dataset.part=null",
        "dataset.features=null",
    ],
    "model=mean_classifier": [*IMAGES, "task.reconstruction_dominance=0"],
    "split=kfold": ["fold=0"],
    "split=group_kfold": [*PRICES, "fold=0"],
    "split=walk_forward": [*PRICES, "fold=0"],
    "task=classification": ["dataset=digits", "model=v4"],
    "task=prediction": [*PRICES, "model=predictor_v3"],
    "task=forecast": ["dataset=toy", "model=forecaster"],
    "model=forecaster": ["dataset=toy", "task=forecast"],
    "task=last_day": [*PRICES, "model=predictor_v1"],
    **{f"model={name}": IMAGES for name in ("v1", "v2", "v3", "v4", "v3_experimental", "v4_experimental")},
    "model=pooled_classifier": IMAGES,
    "model=pooled_rows": [*IMAGES, "task.reconstruction_dominance=0"],
    "model=pooled_pixels": [*IMAGES, "task.reconstruction_dominance=0"],
    "model=predictor_v1": [*PRICES, "task=last_day"],
    **{
        f"model={name}": [*PRICES, "task=prediction"] for name in ("predictor_v2", "predictor_v3", "residual_predictor")
    },
}
OPTIONS = [
    f"{path.parent.name}={path.stem}"
    for path in FILES
    if path.parent != CONF and path.parent.parent == CONF and path.parent.name not in ("experiment", "sweep")
]
PRESETS = [f"experiment={path.stem}" for path in FILES if path.parent.name == "experiment"]


def build(config):
    """The components of a composed configuration."""
    with open_dict(config):
        del config["hydra"]
    return assemble(configured._recipe(config, OmegaConf.to_container(config, resolve=True), single=True))


def few(subset):
    return type(subset)(subset.data, subset.index[:4], subset.scaling)


@pytest.mark.parametrize("option", OPTIONS + PRESETS)
def test_every_option_composes_and_builds(composed, small_mnist, small_table, option):
    components = build(composed(option, *NEEDS.get(option, [])))
    model, task = components.training.model.cpu().eval(), components.task
    scores = evaluate(model, task, few(components.subsets["test"]))
    assert math.isfinite(scores["loss"])
    assert task.primary_metric in scores


@pytest.mark.parametrize("preset", PRESETS)
def test_another_model_of_the_same_answer_can_be_put_into_a_preset(composed, small_mnist, small_table, preset):
    needs = NEEDS.get(preset, [])
    others = {"classes": ["model=v2", "model=pooled_classifier"], "next_sequence": ["model=predictor_v3"]}
    produces = getattr(get_object(composed(preset).model._target_), "produces", frozenset())
    for other in [other for answer in produces for other in others[answer]] or [
        "model=bottleneck",
        "model=variational",
    ]:
        build(composed(preset, *needs, other))


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.parent.name == "sweep"])
def test_every_sweep_composes_with_its_grid(composed, name):
    config = composed(f"sweep={name}")
    assert config.hydra.sweeper._target_.endswith("SearchSweeper" if name == "search" else "GridSweeper")
    if name != "grid":
        assert config.hydra.mode.name == "MULTIRUN"  # no --multirun is needed
        assert config.hydra.sweeper.params or name == "two_stage_kfold"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_a_file_says_what_it_is_for_and_what_runs_it(path):
    lines = path.read_text().splitlines()
    is_global = any("@package _global_" in line for line in lines)
    assert not is_global or lines[0] == "# @package _global_"  # Hydra ignores it silently anywhere else
    head = lines[1:] if is_global else lines
    assert head[0].startswith("# ")
    assert any(line.startswith("#   python run.py") for line in head[:8])


def test_asking_for_the_configuration_imports_no_torch():
    code = (
        "import sys, runpy; sys.argv = ['run.py', '--cfg', 'job']\n"
        "try: runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print('torch' in sys.modules, 'hydra' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False True"
