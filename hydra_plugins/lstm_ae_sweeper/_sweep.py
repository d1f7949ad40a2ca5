"""What every sweeper of ours does with its jobs: list, check, launch, and launch again what was killed."""

import contextlib
import gc
import itertools
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.lstm_ae_sweeper._compose import Composer

MOST_LAUNCHES = 10

log = logging.getLogger("lstm_ae.sweep")


class SweepError(HydraException):
    """Some jobs failed, or none could be started; the text names them."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        path: Its directory, within the sweep's.
        overrides: What it is given beside what the whole sweep is given.
    """

    path: str
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        score: What it returned, infinite if it diverged; None if it failed.
        error: Why it failed.
    """

    score: float | None
    error: str | None = None


class Sweep:
    """A sweep's directory and its launcher.

    Args:
        context: Of Hydra.
        task_function: What a job calls.
        config: The sweep's configuration.
        gpu_memory: What a job may take of a GPU, in GiB.
    """

    def __init__(
        self, context: HydraContext, task_function: TaskFunction, config: DictConfig, gpu_memory: float
    ) -> None:
        if gpu_memory <= 0:
            raise SweepError(f"`hydra.sweeper.gpu_memory` must be above 0 GiB, got {gpu_memory}. Its default is 2.")
        self.config = config
        self.folder = Path(str(config.hydra.sweep.dir))
        self.objective = str(config.objective)
        self._context = HydraContext(cast(ConfigLoader, Composer(context.config_loader)), context.callbacks)
        self._task_function = task_function
        self._gpu_memory = gpu_memory
        self._free: float | None = None  # memory of a GPU, GiB, once the jobs are checked

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Holds the directory for this sweep; Ctrl-C gets the command that goes on.

        Raises:
            RunDirError: another sweep is working there.
        """
        from lstm_ae.run_dir import RunDir

        gc.enable()  # run.py stops it until a job begins
        with RunDir(self.folder).locked("hydra.sweep.dir"):
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            try:
                yield
            except KeyboardInterrupt:
                kept = [word for word in sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
                command = shlex.join(["python", "run.py", *kept, f"hydra.sweep.dir={self.folder}"])
                raise KeyboardInterrupt(f"What was done is kept; this goes on from it:\n  {command}") from None

    def combinations(
        self, params: Mapping[str, Any], listed: Sequence[str], exclude: Sequence[str], arguments: list[str]
    ) -> list[tuple[str, ...]]:
        """Returns the overrides of each combination: the product of what is given, or of `listed` and the arguments.

        Raises:
            SweepError: `exclude` names a combination that is not there, or leaves none.
        """
        given = [] if listed else [f"{key}={value}" for key, value in params.items()]
        parser = OverridesParser.create(config_loader=self._context.config_loader)
        (product,) = BasicSweeper.split_arguments(parser.parse_overrides([*given, *arguments]), None)
        first = [combination.split() for combination in listed] or [[]]
        found = [(*one, *overrides) for one, overrides in itertools.product(first, product)]
        excluded = [set(combination.split()) for combination in exclude]
        kept = [one for one in found if not any(combination <= set(one) for combination in excluded)]
        idle = [" ".join(combination) for combination in excluded if not any(combination <= set(one) for one in found)]
        if idle:
            raise SweepError(
                f"`hydra.sweeper.exclude` must name combinations of this sweep, as they are typed, and no job has "
                f"{idle}. One of its jobs is: {' '.join(found[0])}"
            )
        if not kept:
            raise SweepError("`hydra.sweeper.exclude` must leave at least one job, and leaves none. Exclude less.")
        return kept

    def show(self, jobs: Sequence[Job]) -> None:
        """Prints the jobs and their directories."""
        for job in jobs:
            log.info("%s: %s", self.folder / job.path, job)

    def check(self, jobs: Sequence[Job], known: Sequence[Job]) -> None:
        """Composes and builds every job, so that a mistake in the last is known before the first trains.

        Args:
            jobs: What to check.
            known: The only jobs whose directories may be there.

        Raises:
            SweepError: with each job that has a mistake, or whose directory holds another run; or there are others.
        """
        from hydra_plugins.lstm_ae_sweeper._check import examine
        from lstm_ae.run_dir import CONFIG

        found = {str(path.parent.relative_to(self.folder)) for path in self.folder.rglob(CONFIG)}
        others = sorted(found - {job.path for job in known})
        if others:
            raise SweepError(
                f"`hydra.sweep.dir` must be new or hold this same sweep, and {self.folder} holds jobs beyond these "
                f"{len(known)}: {', '.join(others)}. Name another directory."
            )
        findings = examine(self._context, self.config, self.folder, [(job.path, job.overrides) for job in jobs])
        wrong = [(job, finding) for job, finding in zip(jobs, findings, strict=True) if finding.error is not None]
        if wrong:
            lines = [f"  job {job.path} ({job}): {finding.error}" for job, finding in wrong]
            raise SweepError("No job was started, as some cannot run:\n" + "\n".join(lines))
        self._free = min((finding.free for finding in findings if finding.free is not None), default=None)

    def run(self, jobs: Sequence[Job], name: str = "jobs") -> list[Outcome]:
        """Runs jobs and returns how each ended; see `launch`."""
        results = self.launch(jobs, name)
        return [
            Outcome(result.return_value)
            if result.status == JobStatus.COMPLETED
            else Outcome(None, str(result._return_value))
            for result in results
        ]

    def launch(self, jobs: Sequence[Job], name: str = "jobs") -> list[JobReturn]:
        """Runs jobs, showing how they go, and returns what the launcher does.

        A worker that is killed is no dead sweep: the jobs that have not ended are launched again.

        Args:
            jobs: What to run; those that have ended before return what they scored.
            name: What to call them.

        Raises:
            SweepError: the launcher fails before any job begins, or again and again.
        """
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        with watch.Watch(self.folder, jobs, self.objective, name):
            return self._launch(jobs)

    def _launch(self, jobs: Sequence[Job]) -> list[JobReturn]:
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        config = self.config.copy()
        if "joblib" in config.hydra.launcher._target_ and self._free is not None:
            config.hydra.launcher.n_jobs = fitting(config.hydra.launcher.n_jobs, self._free, self._gpu_memory)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._task_function, config=config
        )
        overrides = [[*job.overrides, f"hydra.sweep.subdir={job.path}"] for job in jobs]
        for _ in range(MOST_LAUNCHES):
            try:
                return list(launcher.launch(overrides, initial_job_idx=0))
            except Exception as error:  # whatever a launcher raises: another one's errors are not known here
                failure = error
                if not watch.settle(self.folder, jobs):
                    break
                log.warning("The launcher failed (%s): jobs that have not ended are launched again", error)
        raise SweepError(f"The launcher failed: {failure}")


def fitting(n_jobs: int, free: float, gpu_memory: float) -> int:
    """Returns how many jobs a GPU can take at a time, at least one.

    Args:
        n_jobs: As many as are wanted; -1: as many as there are cores, and so on, as joblib counts.
        free: The GPU's free memory, GiB.
        gpu_memory: What a job may take of it, GiB.

    Example:
        >>> fitting(n_jobs=8, free=7.5, gpu_memory=2.0)
        3
    """
    wanted = n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)
    return max(1, min(wanted, int(free / gpu_memory)))


def speak() -> None:
    """Gives the sweep's lines a handler of their own: each job sets up logging anew, and keeps its lines to its log."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
