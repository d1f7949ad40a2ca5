"""What is wrong with a sweep's jobs, before the first of them trains.

joblib's workers look at them side by side: the imports, the data and the first batch are then paid for when the jobs
come. With another launcher this process does it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict


@dataclass(frozen=True)
class Finding:
    """What was found of a job.

    Attributes:
        error: What is wrong with it; None if nothing is.
        config: Its configuration, as text; None where it could not be composed.
        free: The free memory of the GPU that it would run on, GiB; None if it would not run on one.
    """

    error: str | None
    config: str | None = None
    free: float | None = None


def examine(
    context: HydraContext, config: DictConfig, folder: Path, jobs: Sequence[tuple[str, Sequence[str]]], n_jobs: int
) -> list[Finding]:
    """Composes and builds every job, scores two sequences with it, and refuses a directory that holds another run.

    Args:
        context: Of Hydra.
        config: The sweep's configuration.
        folder: The sweep's directory.
        jobs: The directory, within the sweep's, and the overrides of each.
        n_jobs: How many at a time.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    launcher, before = config.hydra.launcher, HydraConfig.instance().cfg
    # Other options would be other workers than those that run the jobs.
    options = {key: launcher.get(key) for key in ("temp_folder", "max_nbytes", "mmap_mode")}
    workers = joblib.Parallel(n_jobs=n_jobs, backend="loky", **options)
    state = Singleton.get_state()
    tasks = [joblib.delayed(_examine)(context, config, folder / path, list(given), state) for path, given in jobs]
    try:
        found = workers(tasks)
    except TerminatedWorkerError:  # one of them is too large, or worse: each alone tells which
        found = []
        for task in tasks:
            try:
                found += workers([task])
            except TerminatedWorkerError:
                found.append(Finding("its worker was killed while it was built. Is there memory enough for it?"))
    HydraConfig.instance().cfg = before
    return cast(list[Finding], found)


def _examine(
    context: HydraContext, config: DictConfig, path: Path, overrides: list[str], singletons: dict[Any, Any]
) -> Finding:
    setup_globals()
    Singleton.set_state(singletons)
    from lstm_ae.experiment.configured import check
    from lstm_ae.run_dir import RunDir, RunDirError

    try:
        composed = context.config_loader.load_sweep_config(config, overrides)
        HydraConfig.instance().set_config(composed)  # what was chosen of each group is named in errors
        with open_dict(composed):
            del composed["hydra"]
        resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
        RunDir(path).claim(resolved, "hydra.sweep.dir")
        check(composed)
    except Exception as error:  # a component of the user's own may raise anything
        known = isinstance(error, HydraException | RunDirError | ValueError)
        return Finding(str(error) if known else f"{type(error).__name__}: {error}")
    return Finding(None, json.dumps(resolved, sort_keys=True), free_memory(str(composed.trainer.device)))


def free_memory(device: str) -> float | None:
    """Returns the free memory of the GPU that `trainer.device` names, GiB; None if it names none."""
    import torch

    if not torch.cuda.is_available() or not device.startswith(("auto", "cuda")):
        return None
    free, _ = torch.cuda.mem_get_info(None if device in ("auto", "cuda") else device)
    return float(free / 2**30)
