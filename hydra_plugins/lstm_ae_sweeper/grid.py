"""The sweeper behind every sweep: its jobs are checked before the first trains, resumed, skipped and ranked."""

import gc
import itertools
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

MOST_LAUNCHES = 10

log = logging.getLogger("lstm_ae.sweep")


@dataclass
class GridSweeperConf:
    """What `hydra.sweeper` holds."""

    _target_: str = "hydra_plugins.lstm_ae_sweeper.grid.GridSweeper"
    params: dict[str, Any] | None = None
    exclude: list[str] = field(default_factory=list)
    jobs: list[str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="lstm_ae")


class SweepError(HydraException):
    """Some jobs failed, or none could be started; the text names them."""


def _speak() -> None:
    """Gives the sweep's lines a handler of their own: each job sets up logging anew, and keeps its lines to its log."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


class GridSweeper(Sweeper):
    """Runs every combination of the values given, each as a job in a directory of its own.

    Args:
        params: Values by key, as in Hydra's own sweeper; what the command line gives takes their place.
        exclude: Combinations to leave out, each as overrides: "optimizer.lr=0.1 model.hidden_size=32".
        jobs: Combinations in place of the product of `params`, each as overrides; lists typed beside multiply them.
    """

    def __init__(self, params: dict[str, Any] | None, exclude: list[str], jobs: list[str] | None) -> None:
        self._params = params or {}
        self._exclude = [set(combination.split()) for combination in exclude]
        self._jobs = jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra hands to a sweeper."""
        self.config = self._config = config
        self._context = hydra_context
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs and returns what the launcher returned for them.

        Raises:
            SweepError: before any job is started, as one cannot run; or after all others ended, as some failed.
        """
        gc.enable()  # run.py stops it until a job begins
        _speak()
        jobs = self._combinations(arguments)
        folder = Path(str(self._config.hydra.sweep.dir))
        if self._config.list_jobs:
            for number, overrides in enumerate(jobs):
                log.info("%s: %s", folder / str(number), " ".join(overrides))
            return None
        self._check(jobs, folder)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, folder / "multirun.yaml")
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        with watch.Watch(folder, len(jobs)):
            results = self._launch(jobs, folder)
        errors = [None if job.status == JobStatus.COMPLETED else str(job._return_value) for job in results]
        failed = watch.close(folder, errors, f"validation.{self._config.objective}")
        if failed:
            raise SweepError(failed)
        return results

    def _combinations(self, arguments: list[str]) -> list[list[str]]:
        """Returns the overrides of each job."""
        params = [] if self._jobs else [f"{key}={value}" for key, value in self._params.items()]
        parser = OverridesParser.create(config_loader=self._context.config_loader)
        (product,) = BasicSweeper.split_arguments(parser.parse_overrides([*params, *arguments]), None)
        listed = [combination.split() for combination in self._jobs] if self._jobs else [[]]
        jobs = [[*given, *overrides] for given, overrides in itertools.product(listed, product)]
        kept = [job for job in jobs if not any(combination <= set(job) for combination in self._exclude)]
        idle = [
            " ".join(combination) for combination in self._exclude if not any(combination <= set(job) for job in jobs)
        ]
        if idle:
            raise SweepError(
                f"`hydra.sweeper.exclude` must name combinations of this sweep, as they are typed, and no job has "
                f"{idle}. One of its jobs is: {' '.join(jobs[0])}"
            )
        if not kept:
            raise SweepError("`hydra.sweeper.exclude` must leave at least one job, and leaves none. Exclude less.")
        return kept

    def _check(self, jobs: list[list[str]], folder: Path) -> None:
        """Composes and builds every job, so that a mistake in the last is known before the first trains.

        Raises:
            SweepError: with each job that has a mistake, or whose directory holds another run.
        """
        from lstm_ae.experiment import check
        from lstm_ae.run_dir import RunDir, RunDirError

        others = [path.name for path in folder.glob("*") if path.name.isdigit() and int(path.name) >= len(jobs)]
        if others:
            raise SweepError(
                f"`hydra.sweep.dir` must be new or hold this same sweep, and {folder} holds jobs beyond these "
                f"{len(jobs)}: {', '.join(sorted(others, key=int))}. Name another directory."
            )
        wrong, before = [], HydraConfig.instance().cfg
        for number, overrides in enumerate(jobs):
            try:
                composed = self._context.config_loader.load_sweep_config(self._config, overrides)
                HydraConfig.instance().set_config(composed)  # what was chosen of each group is named in errors
                with open_dict(composed):
                    del composed["hydra"]
                RunDir(folder / str(number)).claim(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)))
                check(composed)
            except (HydraException, RunDirError, ValueError) as error:
                wrong.append(f"  job {number} ({' '.join(overrides)}): {error}")
        HydraConfig.instance().cfg = before
        if wrong:
            raise SweepError("No job was started, as some cannot run:\n" + "\n".join(wrong))

    def _launch(self, jobs: list[list[str]], folder: Path) -> list[Any]:
        """Launches all jobs; a worker that is killed is no dead sweep: the jobs that have not ended are launched again.

        Raises:
            SweepError: the launcher fails again and again.
        """
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        for _ in range(MOST_LAUNCHES):
            try:
                return list(self._launcher.launch(jobs, initial_job_idx=0))
            except KeyboardInterrupt:
                raise
            except Exception as error:
                failure = error
                log.warning("The launcher failed (%s): jobs that have not ended are launched again", error)
                watch.mark_killed(folder, len(jobs))
        raise SweepError(f"The launcher failed {MOST_LAUNCHES} times, at last with: {failure}")
