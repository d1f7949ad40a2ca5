"""Shared by the sweepers: lists, checks and launches jobs, and relaunches those whose worker was killed."""

import contextlib
import gc
import itertools
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.lstm_ae_sweeper._compose import Composer
from hydra_plugins.lstm_ae_sweeper._job import DropConfigs, Job, Outcome, SweepError, failed
from lstm_ae import checks
from lstm_ae.experiment import keys
from lstm_ae.experiment.overrides import Overrides, lines, parse, split
from lstm_ae.interrupts import SWEEP_PROCESS
from lstm_ae.printable import Formatter

if TYPE_CHECKING:
    from hydra_plugins.lstm_ae_sweeper._check import Finding

KILLS_BEFORE_SOLO_RUN = 2

log = logging.getLogger("lstm_ae.sweep")


class Sweep:
    """A sweep's directory and launcher.

    Args:
        context: Hydra's context.
        task_function: The function that a job calls.
        config: The sweep's configuration.
        gpu_memory: GPU memory per job, GiB.
    """

    def __init__(
        self, context: HydraContext, task_function: TaskFunction, config: DictConfig, gpu_memory: float
    ) -> None:
        checks.above("hydra.sweeper.gpu_memory", gpu_memory, 0, cure="The default is 2 GiB.")
        keys.check_folder(config, "hydra.sweep.dir")
        self.config = config
        self.folder = Path(str(config.hydra.sweep.dir))
        self.objective = str(config.objective)
        callbacks = Callbacks()
        callbacks.callbacks = [DropConfigs(), *context.callbacks.callbacks]  # the first is called last at a job's end
        self._context = HydraContext(cast(ConfigLoader, Composer(context.config_loader)), callbacks)
        self._task_function = task_function
        self._gpu_memory = gpu_memory
        self._n_jobs = int(config.hydra.launcher.get("n_jobs", 1))
        if self._on_joblib:  # joblib gives a worker more threads when there are fewer, which changes the last digits
            os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ[SWEEP_PROCESS] = str(os.getpid())  # workers that are its children end with it

    @property
    def _on_joblib(self) -> bool:
        return "joblib" in self.config.hydra.launcher._target_

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Locks the directory for this sweep; on Ctrl-C, the error names the command that resumes it.

        Raises:
            RunDirError: another sweep is running there.
        """
        from lstm_ae import files, interrupts, terminal
        from lstm_ae.run_dir import RunDir

        gc.enable()  # run.py disables it until a job starts
        try:
            files.make_folder(self.folder)
        except OSError as error:
            raise SweepError(
                f"`hydra.sweep.dir` must be a writable folder: {error}. Free some space or use another folder."
            ) from error
        with interrupts.as_interrupt(), RunDir(self.folder).locked("hydra.sweep.dir"):
            RunDir(self.folder).write_text("multirun.yaml", OmegaConf.to_yaml(self.config))
            try:
                yield
            except KeyboardInterrupt:
                kept = [word for word in sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
                command = terminal.command(*kept, f"hydra.sweep.dir={terminal.quoted(str(self.folder))}")
                raise KeyboardInterrupt(f"Finished jobs and checkpoints are kept. To resume:\n  {command}") from None

    def combinations(
        self, params: Mapping[str, Any], listed: Sequence[Any], exclude: Sequence[Any], arguments: list[str]
    ) -> list[Overrides]:
        """Returns the overrides of each combination: the product of all arguments.

        Args:
            params: Values by key; ignored for keys that `listed` sets.
            listed: Combinations, each a list of overrides or one text of overrides.
            exclude: Combinations to leave out, in the same format.
            arguments: Overrides from the command line.

        Raises:
            SweepError: `exclude` names a combination that does not exist, or excludes all.
        """
        first = [_combination(one) for one in listed] or [()]
        fixed = {override.get_key_element() for combination in first for override in combination}
        given = [f"{key}={value}" for key, value in params.items() if key not in fixed]
        parser = OverridesParser.create(config_loader=self._context.config_loader)
        (product,) = BasicSweeper.split_arguments(parser.parse_overrides([*given, *arguments]), None)
        found = [(*combination, *parse(*given)) for combination, given in itertools.product(first, product)]
        excluded = [_combination(one) for one in exclude]
        kept = [job for job in found if not any(_includes(job, each) for each in excluded)]
        unknown = [" ".join(lines(each)) for each in excluded if not any(_includes(job, each) for job in found)]
        if unknown:
            raise SweepError(
                f"`hydra.sweeper.exclude` must name combinations of this sweep, but no job has {unknown}. "
                f"Write them as in this job: {' '.join(lines(found[0]))}"
            )
        if not kept:
            raise SweepError("`hydra.sweeper.exclude` must leave at least one job, but excludes all. Exclude fewer.")
        return kept

    def show(self, jobs: Sequence[Job]) -> None:
        """Prints the jobs and their directories."""
        for job in jobs:
            log.info("%s: %s", self.folder / job.path, job)

    def refuse(self, errors: Mapping[Job, str]) -> None:
        """Raises a SweepError with each reason why jobs cannot run and the first of these jobs, if there are any."""
        same: dict[str, list[Job]] = {}
        for job, error in errors.items():
            same.setdefault(error, []).append(job)
        if same:
            lines = [f"  job {jobs[0].path} ({jobs[0]}){f' and {len(jobs) - 1} more' if jobs[1:] else ''}: {error}"
                     for error, jobs in same.items()]  # fmt: skip
            raise SweepError("No job was started because some cannot run:\n" + "\n".join(lines))

    def mistakes(self, jobs: Sequence[Job], known: Sequence[Job]) -> dict[Job, str]:
        """Returns the error of each job that cannot be built, that is repeated, or whose directory has another run.

        Every job is composed and built, so that an error in the last is found before the first trains.

        Args:
            jobs: The jobs to check.
            known: The only jobs whose directories may exist.

        Raises:
            SweepError: other directories exist.
        """
        from lstm_ae.run_dir import CONFIG

        found = {str(path.parent.relative_to(self.folder)) for path in self.folder.rglob(CONFIG)}
        others = sorted(found - {job.path for job in known})
        if others:
            raise SweepError(
                f"`hydra.sweep.dir` must be new or contain this sweep, but {self.folder} contains jobs other than its "
                f"{len(known)}: {', '.join(others)}. Use another directory."
            )
        findings = self._examine([(job.path, lines(job.overrides)) for job in jobs])
        errors = {job: finding.error for job, finding in zip(jobs, findings, strict=True) if finding.error is not None}
        return errors or _repeated(jobs, findings)

    def _examine(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list["Finding"]:
        """Checks jobs. On a GPU, limits the number of workers, for the checks and the jobs, by its free memory."""
        from hydra_plugins.lstm_ae_sweeper._check import examine

        findings: list[Finding] = []
        if self._on_joblib and _may_have_gpu(str(self.config.trainer.device)):
            # Check one job first to read the free memory, because every worker that uses a GPU occupies some.
            findings = examine(self._context, self.config, self.folder, jobs[:1], self._n_jobs)
            if findings[0].free is not None:
                self._n_jobs = jobs_that_fit(self._n_jobs, findings[0].free, self._gpu_memory)
        return findings + examine(self._context, self.config, self.folder, jobs[len(findings) :], self._n_jobs)

    def run(self, jobs: Sequence[Job], name: str = "jobs") -> list[Outcome]:
        """Runs jobs and returns their outcomes; see `launch`."""
        results = self.launch(jobs, name)
        return [
            Outcome(result.return_value)
            if result.status == JobStatus.COMPLETED
            else Outcome(None, str(result._return_value))
            for result in results
        ]

    def launch(self, jobs: Sequence[Job], name: str = "jobs") -> list[JobReturn]:
        """Runs jobs with a progress display, and returns the launcher's results.

        If a worker is killed, the jobs that have not ended by then are launched again. Any of the running jobs may have
        been the cause: a job that was running at two kills is run alone. If its worker is killed again, it has failed.

        Args:
            jobs: The jobs to run; those that ended before return their score.
            name: Their name in the display.

        Raises:
            SweepError: the launcher failed although no worker was killed.
        """
        from hydra_plugins.lstm_ae_sweeper import _results as results
        from hydra_plugins.lstm_ae_sweeper import _watch as watch
        from lstm_ae.run_dir import RunDir

        watch.log_held(self.folder, jobs)
        before = {job: RunDir(self.folder / job.path).status().get("end") for job in jobs}
        with watch.Watch(self.folder, jobs, self.objective, name):
            launcher, returned = self._launcher(), dict[Job, JobReturn]()
            while pending := [job for job in jobs if job not in returned]:
                given, stopped = self._launch(launcher, pending)
                returned |= dict(zip(pending, given, strict=False))  # empty if the launcher failed
                if stopped:
                    returned |= results.ended_since(self.folder, pending, before, self.objective)
                for job in stopped:
                    run = RunDir(self.folder / job.path)
                    if run.status()["kills"] >= KILLS_BEFORE_SOLO_RUN:
                        alone, killed = self._launch(launcher, [job])
                        if killed:
                            run.end("failed", error=watch.KILLED)
                        returned[job] = failed(watch.KILLED) if killed else alone[0]
        return [returned[job] for job in jobs]

    def _launch(self, launcher: Launcher, jobs: Sequence[Job]) -> tuple[list[JobReturn], list[Job]]:
        """Returns the launcher's results, empty if it failed, and the jobs whose workers were killed.

        Raises:
            SweepError: it failed although no worker was killed.
        """
        from hydra_plugins.lstm_ae_sweeper import _watch as watch

        overrides = [[*lines(job.overrides), f"hydra.sweep.subdir={job.path}"] for job in jobs]
        try:
            return list(launcher.launch(overrides, initial_job_idx=0)), []
        except KeyboardInterrupt:
            watch.mark_interrupted(self.folder, jobs)
            raise
        except Exception as error:  # each launcher has its own exceptions
            stopped = watch.mark_killed(self.folder, jobs)
            if not stopped:
                raise SweepError(f"The launcher failed: {type(error).__name__}: {error}") from error
            log.warning("The launcher failed (%s). Launching the unfinished jobs again", error)
            return [], stopped

    def _launcher(self) -> Launcher:
        config = self.config.copy()
        if self._on_joblib:
            config.hydra.launcher.n_jobs = self._n_jobs
        return Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._task_function, config=config
        )


def _combination(given: str | Sequence[str]) -> Overrides:
    """Returns the overrides of a combination: a text of them, or a list."""
    return split(given) if isinstance(given, str) else parse(*given)


def _includes(job: Overrides, combination: Overrides) -> bool:
    """Returns whether a job has all of a combination's keys, with its values."""
    settings = [(override.get_key_element(), repr(override.value())) for override in job]  # True is not 1
    return all((one.get_key_element(), repr(one.value())) in settings for one in combination)


def _repeated(jobs: Sequence[Job], findings: Sequence["Finding"]) -> dict[Job, str]:
    """Returns the jobs with the same configuration as an earlier one of the stage: they would count as its repeats."""
    first: dict[tuple[str, str | None], Job] = {}
    repeated = {}
    for job, finding in zip(jobs, findings, strict=True):
        before = first.setdefault((str(Path(job.path).parent), finding.config), job)
        if before is not job:
            repeated[job] = f"it is the same as job {before.path}. List each value once, and no key twice."
    return repeated


def _may_have_gpu(device: str) -> bool:
    """Returns whether jobs may run on an NVIDIA GPU. Asking torch would take a second and some of the GPU's memory."""
    return device.startswith("cuda") or (device == "auto" and shutil.which("nvidia-smi") is not None)


def jobs_that_fit(n_jobs: int, free: float, gpu_memory: float) -> int:
    """Returns how many jobs fit on a GPU at a time, at least one.

    Args:
        n_jobs: The requested number, as in joblib: -1 is the number of cores, -2 one fewer.
        free: The GPU's free memory, GiB.
        gpu_memory: GPU memory per job, GiB.

    Example:
        >>> jobs_that_fit(n_jobs=8, free=7.5, gpu_memory=2.0)
        3
    """
    wanted = n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)
    return max(1, min(wanted, int(free / gpu_memory)))


def configure_logging() -> None:
    """Gives the sweep's logger its own handler, because every job reconfigures the root logger."""
    logging.raiseExceptions = False  # no traceback when the reader of a pipe stops (`| head`)
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
