"""Checks a sweep's jobs before the first of them trains.

joblib's workers check them in parallel, and keep the imports and the data for the jobs. With another launcher the
checks run in this process.
"""

import contextlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

MANY = 10  # jobs whose check takes seconds
LOG_SECONDS = 5.0  # between two lines about the progress of the checks

log = logging.getLogger("lstm_ae.sweep")


@dataclass(frozen=True)
class Finding:
    """The result of checking a job.

    Attributes:
        error: Why the job cannot run; None if it can.
        config: Its configuration as text; None if there is an error.
        free: The free memory of the GPU that it would run on, GiB; None if it would run on the CPU.
    """

    error: str | None
    config: str | None = None
    free: float | None = None


def examine(
    context: HydraContext, config: DictConfig, folder: Path, jobs: Sequence[tuple[str, Sequence[str]]], n_jobs: int
) -> list[Finding]:
    """Composes and builds every job, scores two sequences with it, and refuses a directory that contains another run.

    Args:
        context: Hydra's context.
        config: The sweep's configuration.
        folder: The sweep's directory.
        jobs: The directory (relative to the sweep's) and the overrides of each job.
        n_jobs: How many to check in parallel.
    """
    if not jobs:
        return []
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    launcher, before = config.hydra.launcher, HydraConfig.instance().cfg
    # With the launcher's options, joblib reuses these workers for the jobs.
    options = {key: launcher.get(key) for key in ("temp_folder", "max_nbytes", "mmap_mode")}
    workers = joblib.Parallel(n_jobs=n_jobs, backend="loky", return_as="generator", **options)
    state = Singleton.get_state()
    tasks = [joblib.delayed(_examine)(context, config, folder / path, list(given), state) for path, given in jobs]
    if len(jobs) >= MANY:
        log.info("Checking %d jobs before the first is trained", len(jobs))
    try:
        found = list(progress(workers(tasks), len(jobs)))
    except TerminatedWorkerError:  # one of them killed its worker: check them one by one to find out which
        found = []
        for task in tasks:
            try:
                found += workers([task])
            except TerminatedWorkerError:
                found.append(Finding("its worker was killed while the job was built. Is there enough memory?"))
    HydraConfig.instance().cfg = before
    return found


def progress(findings: Iterable[Finding], count: int) -> Iterator[Finding]:
    """Passes findings on, and logs every few seconds how many there are."""
    last = time.monotonic()
    for done, finding in enumerate(findings, start=1):
        yield finding
        if time.monotonic() - last >= LOG_SECONDS and done < count:
            last = time.monotonic()
            log.info("%d of %d jobs are checked", done, count)


def _examine(
    context: HydraContext, config: DictConfig, path: Path, overrides: list[str], singletons: dict[Any, Any]
) -> Finding:
    setup_globals()
    Singleton.set_state(singletons)
    from lstm_ae.experiment.configured import check
    from lstm_ae.files import DamagedError
    from lstm_ae.interrupts import end_with_sweep
    from lstm_ae.run_dir import RunDir, RunDirError

    end_with_sweep()

    try:
        composed = context.config_loader.load_sweep_config(config, overrides)
        HydraConfig.instance().set_config(composed)  # errors name the option chosen in each group
        with open_dict(composed):
            del composed["hydra"]
        resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
        with contextlib.suppress(DamagedError):  # that costs this job only, which names the file
            RunDir(path).claim(resolved, "hydra.sweep.dir")
        check(composed)
    except Exception as error:  # a user's component may raise anything
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
