"""Two-stage KFold: a few folds drop bad combinations, all folds select the winner, only the winner is tested."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from hydra_plugins.lstm_ae_sweeper import _closing as closing
from hydra_plugins.lstm_ae_sweeper import _results as results
from hydra_plugins.lstm_ae_sweeper import _stages as stages
from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome, SweepError
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep, log
from lstm_ae import checks
from lstm_ae.experiment.overrides import Overrides, lines, parse


class TwoStage:
    """Selects among combinations as described in the report, with the same folds for every combination.

    Stage one scores all combinations on a few folds, and drops those that diverged or are not among the best. Stage two
    scores the others on all folds of a new random split, or of the same one where nothing is drawn (walk-forward); the
    best mean validation score wins. The winner is retrained on all training data, with several seeds, for the mean of
    its best epochs. Only this last training is evaluated on the test data. A list of seeds repeats each combination,
    like folds.

    Args:
        sweep: The sweep.
        keep: The rule of stage one: a count, a share of all below 1, or "one_standard_error" for all within one
            standard error of the best, which needs at least two jobs per combination.
        folds: The folds of stage one.
        overrides: Overrides only for stage one, such as `['trainer.epochs=5']`.
        random_state: Random state of the split in stage two, if it has one; None: that of stage one plus one.
        final_seeds: How many seeds the last training has: the first seed of the sweep, and those that follow it.

    Raises:
        ConfigError: `final_seeds` is below 1.
        SweepError: the split has no folds, or `folds` is not valid for it.
    """

    def __init__(
        self,
        sweep: Sweep,
        keep: float | str,
        folds: Sequence[int],
        overrides: Sequence[str],
        random_state: int | None,
        final_seeds: int,
    ) -> None:
        if "n_splits" not in sweep.config.split:
            raise SweepError(
                "`split` must have folds for two stages, but this one has none. Use split=kfold, group_kfold or "
                "walk_forward."
            )
        self._n_splits = int(sweep.config.split.n_splits)
        if not folds or not set(folds) <= set(range(self._n_splits)) or len(set(folds)) < len(folds):
            raise SweepError(
                f"`hydra.sweeper.two_stage.folds` must be folds in 0..{self._n_splits - 1}, each once, got "
                f"{list(folds)}. Use [0]."
            )
        checks.at_least("hydra.sweeper.two_stage.final_seeds", final_seeds, 1, cure="The default is 3.")
        first_state = sweep.config.split.get("random_state")
        default_state = None if first_state is None else first_state + 1
        self._sweep, self._keep, self._overrides, self._final_seeds = sweep, keep, parse(*overrides), final_seeds
        self._stages = {
            "stage_one": (list(folds), first_state),
            "stage_two": (list(range(self._n_splits)), default_state if random_state is None else random_state),
        }

    def run(self, given: Sequence[Overrides]) -> list[str] | None:
        """Runs both stages and the last training, and returns the winner's overrides.

        Args:
            given: The overrides of each combination.

        Raises:
            ConfigError: `keep` is no rule.
            SweepError: some job cannot run, so that none was started; no combination is left; or some jobs failed.
        """
        if any(override.key_or_group == "fold" for overrides in given for override in overrides):
            raise SweepError("`fold` is set by the two stages. Use hydra.sweeper.two_stage.folds=[0], or sweep=kfold.")
        combinations = stages.group(given)
        first, second = ([job for _, job in self._jobs(stage, combinations)] for stage in self._stages)
        if self._sweep.config.list_jobs:
            log.info("Stage one:")
            self._sweep.show(first)
            log.info("Stage two (only combinations that passed stage one):")
            self._sweep.show(second)
            log.info("Last training (of the winner): %s", self._sweep.folder / "final")
            return None
        stages.check_keep(self._keep, len(first) // len(combinations))
        finals = [job for combination in combinations for job in self._finals(combination, epochs=1)]
        self._sweep.refuse(self._sweep.mistakes([*first, *second], [*first, *second, *finals]))
        with self._sweep.running():
            return self._run(combinations)

    def _run(self, combinations: list[stages.Combination]) -> list[str]:
        from lstm_ae.experiment.configured import higher_is_better  # torch, which a list of jobs need not wait for

        sweep = self._sweep
        failed = self._score("stage_one", combinations)
        higher = higher_is_better(sweep.config)
        kept = stages.survivors(combinations, self._keep, higher)
        log.info("Stage one keeps %d of %d combinations", len(kept), len(combinations))
        failed += self._score("stage_two", kept)
        winner, tested, settings = stages.choose(kept, higher), dict[str, dict[str, Any]](), self._settings()
        if winner is not None:
            finals = self._finals(winner, results.mean_best_epoch(sweep.folder, winner.scores["stage_two"]))
            outcomes, more = self._outcomes(finals, "last training")
            failed += more
            scored = [job for job, end in zip(finals, outcomes, strict=True) if end.score is not None]
            if sweep.config.figures is None and scored:
                closing.draw(sweep.folder / scored[0].path)
            diverged = sum(end.score is not None and not math.isfinite(end.score) for end in outcomes)
            if diverged:
                log.warning("%d of %d last trainings diverged and have no test score", diverged, len(finals))
            tested = results.over_seeds(sweep.folder, finals)
            settings["final"] = {"jobs": [job.path for job in finals], "test": tested}
        means = {name: one["mean"] for name, one in tested.items()} or None
        closing.close_stages(sweep.folder, stages.in_order(combinations, higher), settings, means)
        for name, one in tested.items():
            log.info("Test %s of the winner on all training data, %d seeds: %s", name, one["n"], results.said(one))
        if winner is None:
            failed.append("No combination has a finite score in every job. See two_stage.json for the reasons.")
        if failed:
            raise SweepError("\n".join(failed))
        return lines(winner.overrides) if winner else []

    def _score(self, stage: str, combinations: Sequence[stages.Combination]) -> list[str]:
        """Runs the jobs of a stage, records their scores, and returns the error messages of those that failed."""
        pairs = self._jobs(stage, combinations)
        jobs = [job for _, job in pairs]
        outcomes, failed = self._outcomes(jobs, stage.replace("_", " ")) if jobs else ([], [])
        for (combination, job), outcome in zip(pairs, outcomes, strict=True):
            combination.scores.setdefault(stage, {})[job.path] = outcome.score
        return failed

    def _outcomes(self, jobs: Sequence[Job], name: str) -> tuple[list[Outcome], list[str]]:
        """Runs jobs, and returns their outcomes and the error messages of those that failed.

        Raises:
            SweepError: one of them could go on: a selection without its score would be another one.
        """
        outcomes = self._sweep.run(jobs, name)
        failed = results.failures(self._sweep.folder, jobs, outcomes)
        if results.unfinished(self._sweep.folder, jobs):
            raise SweepError("\n".join(failed))
        return outcomes, failed

    def _jobs(self, stage: str, combinations: Sequence[stages.Combination]) -> list[tuple[stages.Combination, Job]]:
        """Returns the jobs of a stage, each with its combination."""
        folds, state = self._stages[stage]
        more = parse("evaluate_test=false", *([] if state is None else [f"split.random_state={state}"]))
        more += self._overrides if stage == "stage_one" else ()
        jobs = []
        for each, fold in itertools.product(combinations, folds):
            for place, repeat in enumerate(each.repeats):
                path = f"{stage}/{each.number}_{fold}" + (f"_{place}" if len(each.repeats) > 1 else "")
                jobs.append((each, Job(path, (*each.overrides, *repeat, *parse(f"fold={fold}"), *more))))
        return jobs

    def _finals(self, winner: stages.Combination, epochs: int) -> list[Job]:
        """Returns the jobs, one a seed, that train the winner on all training data and evaluate it on the test data."""
        # First, so that evaluate_test=false on the command line still leaves it alone.
        kept = parse("evaluate_test=true")
        kept += tuple(one for one in winner.overrides if one.key_or_group.partition(".")[0] != "split")
        given = [one.get_value_element_as_str() for one in winner.repeats[0]]  # `seed`, where the sweep has it
        first = int(given[0] if given else self._sweep.config.seed)
        more = "split=whole", f"trainer.epochs={epochs}"
        return [
            Job(f"final/{winner.number}_{place}", (*kept, *parse(f"seed={first + place}", *more)))
            for place in range(self._final_seeds)
        ]

    def _settings(self) -> dict[str, Any]:
        shown = {stage: {"folds": folds, "random_state": state} for stage, (folds, state) in self._stages.items()}
        shown["stage_one"]["overrides"] = lines(self._overrides)
        return {"objective": self._sweep.objective, "keep": self._keep, **shown}
