"""What every sweeper of ours does with its jobs: list, check, launch, and launch again what was killed."""

import contextlib
import gc
import itertools
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.lstm_ae_sweeper._compose import Composer
from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome, SweepError, failed

if TYPE_CHECKING:
    from hydra_plugins.lstm_ae_sweeper._check import Finding

KILLS_BEFORE_ALONE = 2

log = logging.getLogger("lstm_ae.sweep")


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
        self._n_jobs = int(config.hydra.launcher.get("n_jobs", 1))
        if self._on_joblib:  # which would give a job more threads where fewer run at a time, and so other last digits
            os.environ.setdefault("OMP_NUM_THREADS", "1")

    @property
    def _on_joblib(self) -> bool:
        return "joblib" in self.config.hydra.launcher._target_

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Holds the directory for this sweep; Ctrl-C gets the command that goes on.

        Raises:
            RunDirError: another sweep is working there.
        """
        from lstm_ae import terminal
        from lstm_ae.run_dir import RunDir

        gc.enable()  # run.py stops it until a job begins
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SweepError(
                f"`hydra.sweep.dir` must be a folder that can be written: {error}. Free some space, or name another."
            ) from error
        with RunDir(self.folder).locked("hydra.sweep.dir"):
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            try:
                yield
            except KeyboardInterrupt:
                kept = [word for word in sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
                command = terminal.command(*kept, f"hydra.sweep.dir={terminal.quoted(str(self.folder))}")
                raise KeyboardInterrupt(f"What was done is kept; this goes on from it:\n  {command}") from None

    def combinations(
        self, params: Mapping[str, Any], listed: Sequence[Any], exclude: Sequence[Any], arguments: list[str]
    ) -> list[tuple[str, ...]]:
        """Returns the overrides of each combination: the product of all that is given.

        Args:
            params: Values by key; of no effect where `listed` sets the key.
            listed: Combinations, each a list of overrides, or these in one text.
            exclude: Combinations to leave out, written likewise.
            arguments: Overrides from the command line.

        Raises:
            SweepError: `exclude` names a combination that is not there, or leaves none.
        """
        first = [overrides_of(combination) for combination in listed] or [()]
        settled = {word.partition("=")[0] for combination in first for word in combination}
        given = [f"{key}={value}" for key, value in params.items() if key not in settled]
        parser = OverridesParser.create(config_loader=self._context.config_loader)
        (product,) = BasicSweeper.split_arguments(parser.parse_overrides([*given, *arguments]), None)
        found = [(*one, *overrides) for one, overrides in itertools.product(first, product)]
        excluded = [set(overrides_of(combination)) for combination in exclude]
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
            SweepError: with each job that cannot run, see `mistakes`; or there are other directories.
        """
        wrong = self.mistakes(jobs, known)
        if wrong:
            self.refuse(wrong)

    def refuse(self, wrong: Mapping[Job, str]) -> NoReturn:
        """Raises a SweepError that names the jobs that cannot run."""
        lines = [f"  job {job.path} ({job}): {error}" for job, error in wrong.items()]
        raise SweepError("No job was started, as some cannot run:\n" + "\n".join(lines))

    def mistakes(self, jobs: Sequence[Job], known: Sequence[Job]) -> dict[Job, str]:
        """Returns the jobs that have a mistake, whose directory holds another run, or that are the same as one before.

        Args:
            jobs: What to check.
            known: The only jobs whose directories may be there.

        Raises:
            SweepError: there are other directories.
        """
        from lstm_ae.run_dir import CONFIG

        found = {str(path.parent.relative_to(self.folder)) for path in self.folder.rglob(CONFIG)}
        others = sorted(found - {job.path for job in known})
        if others:
            raise SweepError(
                f"`hydra.sweep.dir` must be new or hold this same sweep, and {self.folder} holds jobs beyond these "
                f"{len(known)}: {', '.join(others)}. Name another directory."
            )
        findings = self._examine([(job.path, job.overrides) for job in jobs])
        wrong = {job: finding.error for job, finding in zip(jobs, findings, strict=True) if finding.error is not None}
        return wrong or _repeated(jobs, findings)

    def _examine(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list["Finding"]:
        """Examines jobs; where they run on a GPU, as many at a time, now and later, as fit into its free memory."""
        from hydra_plugins.lstm_ae_sweeper._check import examine

        findings: list[Finding] = []
        if self._on_joblib and _may_have_gpu(str(self.config.trainer.device)):
            # One alone says how much is free: every worker that has seen a GPU holds some of it.
            findings = examine(self._context, self.config, self.folder, jobs[:1], self._n_jobs)
            if findings[0].free is not None:
                self._n_jobs = fitting(self._n_jobs, findings[0].free, self._gpu_memory)
        return findings + examine(self._context, self.config, self.folder, jobs[len(findings) :], self._n_jobs)

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

        A worker that is killed is no dead sweep: the jobs that have not ended are launched again. Which of those that
        ran at that moment is to blame is not known; those that it happens to twice run alone, and one whose worker is
        killed then has failed.

        Args:
            jobs: What to run; those that have ended before return what they scored.
            name: What to call them.

        Raises:
            SweepError: the launcher fails, and no job's worker was killed.
        """
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        with watch.Watch(self.folder, jobs, self.objective, name):
            launcher, returned = self._launcher(), dict[Job, JobReturn]()
            while pending := [job for job in jobs if job not in returned]:
                results, stopped = self._launch(launcher, pending)
                returned |= dict(zip(pending, results, strict=False))  # none where the launcher failed
                for job in stopped:
                    if watch.kills(self.folder, job) >= KILLS_BEFORE_ALONE:
                        alone, killed = self._launch(launcher, [job])
                        returned[job] = failed(watch.fail(self.folder, job)) if killed else alone[0]
        return [returned[job] for job in jobs]

    def _launch(self, launcher: Launcher, jobs: Sequence[Job]) -> tuple[list[JobReturn], list[Job]]:
        """Returns what the launcher does, or where it fails nothing, and the jobs whose workers were killed.

        Raises:
            SweepError: it fails, and there are none.
        """
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        overrides = [[*job.overrides, f"hydra.sweep.subdir={job.path}"] for job in jobs]
        try:
            return list(launcher.launch(overrides, initial_job_idx=0)), []
        except Exception as error:  # whatever a launcher raises: another one's errors are not known here
            stopped = watch.settle(self.folder, jobs)
            if not stopped:
                raise SweepError(f"The launcher failed: {type(error).__name__}: {error}") from error
            log.warning("The launcher failed (%s): jobs that have not ended are launched again", error)
            return [], stopped

    def _launcher(self) -> Launcher:
        config = self.config.copy()
        if self._on_joblib:
            config.hydra.launcher.n_jobs = self._n_jobs
        return Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._task_function, config=config
        )


def overrides_of(combination: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the overrides of a combination: of a text, what stands between its blanks, those in quotes left alone.

    Example:
        >>> overrides_of("optimizer.lr=0.1 dataset.path='my prices.csv'")
        ('optimizer.lr=0.1', "dataset.path='my prices.csv'")
    """
    if isinstance(combination, str):
        return tuple(re.findall(r"""(?:'[^']*'|"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\S)+""", combination))
    return tuple(combination)


def _repeated(jobs: Sequence[Job], findings: Sequence["Finding"]) -> dict[Job, str]:
    """Returns the jobs that are set as another of the same stage is: they would be counted as one more repeat of it."""
    first: dict[tuple[str, str | None], Job] = {}
    repeated = {}
    for job, finding in zip(jobs, findings, strict=True):
        before = first.setdefault((str(Path(job.path).parent), finding.config), job)
        if before is not job:
            repeated[job] = f"it is job {before.path} once more. List each value once, and no key twice."
    return repeated


def _may_have_gpu(device: str) -> bool:
    """Says whether jobs may run on an NVIDIA GPU; to ask torch takes a second and some of the GPU's memory."""
    return device.startswith("cuda") or (device == "auto" and shutil.which("nvidia-smi") is not None)


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
    logging.raiseExceptions = False  # whoever stops reading (`| head`) needs no traceback of it
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
