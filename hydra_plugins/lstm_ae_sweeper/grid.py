"""The grid sweeper: checks all jobs before the first trains, skips finished ones, resumes others, and ranks all."""

from dataclasses import dataclass, field
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.lstm_ae_sweeper._job import Job
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep, configure_logging
from lstm_ae.experiment.overrides import Overrides


@dataclass
class TwoStageConf:
    """The configuration `hydra.sweeper.two_stage`; see `_two_stage.TwoStage`."""

    keep: Any = 0.5
    folds: list[int] = field(default_factory=lambda: [0])
    overrides: list[str] = field(default_factory=list)
    random_state: int | None = None
    final_seeds: int = 3


@dataclass
class SweeperConf:
    """The configuration `hydra.sweeper` of a grid, and with another `_target_` of a search (conf/sweep/search.yaml).

    One for both, as a preset cannot override an option that conf/config.yaml has chosen.
    """

    _target_: str = "hydra_plugins.lstm_ae_sweeper.grid.GridSweeper"
    params: dict[str, Any] | None = None
    exclude: list[Any] = field(default_factory=list)
    jobs: list[Any] | None = None
    two_stage: TwoStageConf | None = None
    n_trials: int = 20
    n_jobs: int = 2
    gpu_memory: float = 2.0


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=SweeperConf, provider="lstm_ae")


class GridSweeper(Sweeper):
    """Runs every combination of the given values, each as a job in its own directory.

    Args:
        params: Values by key, as in Hydra's own sweeper; the command line overrides them.
        exclude: Combinations to leave out, each as overrides: "optimizer.lr=0.1 model.hidden_size=32", or a list.
        jobs: Combinations that replace the product over the keys that they set; other keys of `params` and lists on the
            command line multiply them.
        two_stage: Settings of the selection in two stages; None: run each combination once.
        gpu_memory: GPU memory per job, GiB: joblib runs as many jobs at a time as fit into the free memory.
        search: `n_trials` and `n_jobs`, which only a search uses.
    """

    def __init__(
        self,
        params: dict[str, Any] | None,
        exclude: list[Any],
        jobs: list[Any] | None,
        two_stage: DictConfig | None,
        gpu_memory: float,
        **search: int,
    ) -> None:
        self._given = params or {}, jobs or [], exclude
        self._two_stage = two_stage
        self._gpu_memory = gpu_memory

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Receives Hydra's context."""
        self._sweep = Sweep(hydra_context, task_function, config, self._gpu_memory)

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs and returns their scores; with two stages, returns the winner's overrides.

        Raises:
            SweepError: some job cannot run, so that none was started; or some jobs failed.
        """
        configure_logging()
        combinations = self._sweep.combinations(*self._given, arguments)
        if self._two_stage is None:
            return self._grid(combinations)
        from hydra_plugins.lstm_ae_sweeper._two_stage import TwoStage

        return TwoStage(self._sweep, **cast(dict[str, Any], self._two_stage)).run(combinations)

    def _grid(self, combinations: list[Overrides]) -> list[float | None] | None:
        sweep = self._sweep
        jobs = [Job(str(number), overrides) for number, overrides in enumerate(combinations)]
        if sweep.config.list_jobs:
            sweep.show(jobs)
            return None
        sweep.refuse(sweep.mistakes(jobs, jobs))
        with sweep.running():
            outcomes = sweep.run(jobs)
        from hydra_plugins.lstm_ae_sweeper import _closing as closing

        closing.close(sweep.folder, jobs, outcomes, sweep.objective, sweep.config.figures is None)
        return [outcome.score for outcome in outcomes]
