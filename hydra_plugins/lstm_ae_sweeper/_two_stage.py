"""Two-stage KFold: a few folds drop the bad combinations, all folds choose among the others, and test is met once."""

import itertools
from collections.abc import Sequence
from typing import Any

from hydra_plugins.lstm_ae_sweeper import _closing as closing
from hydra_plugins.lstm_ae_sweeper import _results as results
from hydra_plugins.lstm_ae_sweeper import _stages as stages
from hydra_plugins.lstm_ae_sweeper._job import Job, Outcome, SweepError
from hydra_plugins.lstm_ae_sweeper._sweep import Sweep, log
from lstm_ae.metrics import HIGHER_IS_BETTER


class TwoStage:
    """Chooses among combinations as the report describes it, every combination on the same folds.

    Stage one scores all on a few folds, and drops those that diverged or are not among the best. Stage two runs all
    folds, drawn afresh, for the others; the best mean validation score wins. The winner is trained once more on all
    training data, for the mean of its best epochs, and meets the test data, as no other job does. A seed that is
    given a list repeats each combination, as a fold does.

    Args:
        sweep: The sweep.
        keep: What passes stage one: a count, a share of all below 1, or "one_standard_error" for all within one
            standard error of the best, which needs at least two jobs of each combination.
        folds: Those of stage one.
        overrides: Of stage one alone, such as `['trainer.epochs=5']`.
        random_state: Draws the folds of stage two, where the split draws any; None: that of stage one plus one.

    Raises:
        SweepError: the split has no folds, stage one names one too many, or a rule cannot be followed.
    """

    def __init__(
        self, sweep: Sweep, keep: float | str, folds: Sequence[int], overrides: Sequence[str], random_state: int | None
    ) -> None:
        if "n_splits" not in sweep.config.split:
            raise SweepError(
                "`split` must have folds for two stages, and this one has none. Use split=kfold, group_kfold or "
                "walk_forward."
            )
        self._n_splits = int(sweep.config.split.n_splits)
        if not folds or not set(folds) <= set(range(self._n_splits)) or len(set(folds)) < len(folds):
            raise SweepError(
                f"`hydra.sweeper.two_stage.folds` must hold folds in 0..{self._n_splits - 1}, each once, got "
                f"{list(folds)}. Use [0]."
            )
        drawn = sweep.config.split.get("random_state")
        fresh = None if drawn is None else drawn + 1
        self._sweep, self._keep, self._overrides = sweep, keep, list(overrides)
        self._stages = {
            "stage_one": (list(folds), drawn),
            "stage_two": (list(range(self._n_splits)), fresh if random_state is None else random_state),
        }

    def run(self, given: Sequence[tuple[str, ...]]) -> list[str] | None:
        """Runs both stages and the last training, and returns the winner's overrides.

        Args:
            given: The overrides of each combination.

        Raises:
            SweepError: before any job is started, as one cannot run; no combination is left; or some jobs failed.
        """
        if any(word.startswith("fold=") for one in given for word in one):
            raise SweepError(
                "`fold` is chosen by the two stages. Use hydra.sweeper.two_stage.folds=[0], or sweep=kfold."
            )
        combinations = stages.group(given)
        one, two = ([job for _, job in self._jobs(stage, combinations)] for stage in self._stages)
        if self._sweep.config.list_jobs:
            log.info("Stage one:")
            self._sweep.show(one)
            log.info("Stage two has those of these whose combination passes stage one:")
            self._sweep.show(two)
            log.info("The last training is the winner's, in %s", self._sweep.folder / "final")
            return None
        try:
            stages.check_keep(self._keep, len(one) // len(combinations))
        except ValueError as error:
            raise SweepError(str(error)) from error
        finals = [self._final(combination, epochs=1) for combination in combinations]
        self._sweep.check([*one, *two], [*one, *two, *finals])
        with self._sweep.begun():
            return self._run(combinations)

    def _run(self, combinations: list[stages.Combination]) -> list[str]:
        sweep, higher = self._sweep, self._sweep.objective in HIGHER_IS_BETTER
        failed = self._score("stage_one", combinations)
        kept = stages.survivors(combinations, self._keep, higher)
        log.info("Stage one keeps %d of %d combinations", len(kept), len(combinations))
        failed += self._score("stage_two", kept)
        winner, test = stages.choose(kept, higher), None
        if winner is not None:
            final = self._final(winner, results.mean_best_epoch(sweep.folder, winner.scores["stage_two"]))
            outcomes = sweep.run([final], "last training")
            scored = outcomes[0].score is not None
            failed += self._fail([final], outcomes)
            if sweep.config.figures is None:
                closing.draw_best(sweep.folder, [final], outcomes, sweep.objective)
            test = results.test_metrics(sweep.folder, final) if scored else None
            if scored and test is None:
                log.warning("The last training diverged: the winner has no score on the test part")
        closing.close_stages(sweep.folder, combinations, sweep.objective, self._settings(), test)
        if winner is None:
            failed.append("No combination has a finite score in every job; two_stage.json says why of each.")
        if failed:
            raise SweepError("\n".join(failed))
        return list(winner.overrides) if winner else []

    def _score(self, stage: str, combinations: Sequence[stages.Combination]) -> list[str]:
        """Runs the jobs of a stage, notes their scores, and returns what to say of those that failed."""
        owned = self._jobs(stage, combinations)
        jobs = [job for _, job in owned]
        outcomes = self._sweep.run(jobs, stage.replace("_", " ")) if jobs else []
        for (owner, job), outcome in zip(owned, outcomes, strict=True):
            owner.scores.setdefault(stage, {})[job.path] = outcome.score
        return self._fail(jobs, outcomes)

    def _fail(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[str]:
        failed = results.failures(self._sweep.folder, jobs, outcomes)
        return [failed] if failed else []

    def _jobs(self, stage: str, combinations: Sequence[stages.Combination]) -> list[tuple[stages.Combination, Job]]:
        """Returns the jobs of a stage, each with the combination that it is of."""
        folds, state = self._stages[stage]
        more = ["evaluate_test=false", *([] if state is None else [f"split.random_state={state}"])]
        more += self._overrides if stage == "stage_one" else []
        jobs = []
        for one, fold in itertools.product(combinations, folds):
            for place, repeat in enumerate(one.repeats):
                path = f"{stage}/{one.number}_{fold}" + (f"_{place}" if len(one.repeats) > 1 else "")
                jobs.append((one, Job(path, (*one.overrides, *repeat, f"fold={fold}", *more))))
        return jobs

    def _final(self, winner: stages.Combination, epochs: int) -> Job:
        """Returns the job that trains the winner on all training data and meets the test data."""
        kept = [word for word in winner.overrides if not word.lstrip("+~").startswith(("split=", "split."))]
        return Job(f"final/{winner.number}", (*kept, *winner.repeats[0], "split=whole", f"trainer.epochs={epochs}"))

    def _settings(self) -> dict[str, Any]:
        shown = {stage: {"folds": folds, "random_state": state} for stage, (folds, state) in self._stages.items()}
        shown["stage_one"]["overrides"] = self._overrides
        return {"objective": self._sweep.objective, "keep": self._keep, **shown}
