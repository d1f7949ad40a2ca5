"""Search over ranges with Optuna: each batch of jobs depends on the scores before. A search can be resumed."""

import logging
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.lstm_ae_sweeper._job import SweepError
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep, configure_logging, log

STUDY = "study.db"


class SearchSweeper(Sweeper):
    """Runs Optuna's tree-structured Parzen estimator with Hydra's Optuna sweeper, and stores the study with the jobs.

    The same command in the same directory resumes the search: first the interrupted trials, with their values and in
    their directories, then new ones up to `n_trials`.

    Args:
        params: Ranges and choices by key: `int(interval(8, 64))`, `tag(log, interval(0.001, 0.1))`, `choice(1, 5)`.
        n_trials: Total number of trials.
        n_jobs: Trials per batch; each batch uses the scores of the batches before it.
        gpu_memory: GPU memory per job, GiB.
        grid: `exclude`, `jobs` and `two_stage`, which only a grid can have.

    Raises:
        SweepError: one of these is set.
    """

    def __init__(
        self, params: dict[str, Any] | None, n_trials: int, n_jobs: int, gpu_memory: float, **grid: Any
    ) -> None:
        for name, value in grid.items():
            if value:
                raise SweepError(f"`hydra.sweeper.{name}` needs a grid, and sweep=search has none. Leave it out.")
        self._params, self._n_trials, self._n_jobs = params, n_trials, n_jobs
        self._gpu_memory = gpu_memory

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Receives Hydra's context."""
        self._setup = {"hydra_context": hydra_context, "task_function": task_function, "config": config}
        self._sweep = Sweep(hydra_context, task_function, config, self._gpu_memory)

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the remaining trials.

        Raises:
            SweepError: Optuna is not installed, the directory contains another search, or some jobs failed.
        """
        configure_logging()
        try:
            import optuna
            from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
        except ImportError as error:
            raise SweepError(f'`sweep=search` needs Optuna: python -m pip install -e ".[optuna]" ({error}).') from error
        if self._sweep.config.list_jobs:
            raise SweepError(
                "`list_jobs` must be false with sweep=search, where each job depends on earlier scores. Leave it out."
            )
        from hydra_plugins.lstm_ae_sweeper import _trials as trials
        from lstm_ae.experiment.configured import higher_is_better

        optuna.logging.set_verbosity(logging.WARNING)  # its levels are those of logging
        sweep = self._sweep
        with sweep.running():
            where: dict[str, Any] = {"storage": f"sqlite:///{sweep.folder / STUDY}", "study_name": "search"}
            direction = "maximize" if higher_is_better(sweep.config) else "minimize"
            study = optuna.create_study(**where, direction=direction, load_if_exists=True)
            done = trials.resume_trials(study, arguments, sweep.config.retry_failed)
            # A new seed at every resume: the same one would draw the same values again.
            sampler = optuna.samplers.TPESampler(seed=sweep.config.seed + len(study.trials))
            counts = {"n_trials": self._n_trials - done, "n_jobs": self._n_jobs, "max_failure_rate": 1.0}
            space = {"params": self._params, "search_space": None, "custom_search_space": None}
            inner = OptunaSweeper(sampler, direction, **where, **counts, **space)
            inner.setup(**self._setup)
            inner.sweeper.launcher = trials.TrialLauncher(sweep)
            if done < self._n_trials:
                log.info("Search: %d of %d trials remaining", self._n_trials - done, self._n_trials)
                try:
                    inner.sweep(arguments)
                except ValueError:  # raised when it looks up the best trial and all failed: `close` reports those
                    if any(trial.state.is_finished() and trial.value is not None for trial in study.trials):
                        raise
        trials.close(sweep)
