"""The choice among combinations of settings, in two stages; it knows scores, and neither Hydra nor directories."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ONE_STANDARD_ERROR = "one_standard_error"
FEWEST_FOR_AN_ERROR = 2


@dataclass
class Combination:
    """One combination of settings, and what became of it.

    Attributes:
        number: Its place in the grid.
        overrides: Its settings.
        repeats: What it is repeated with, such as ("seed=0",) and ("seed=1",).
        scores: The score of each job by its directory, by stage; infinite where it diverged, None where it failed.
        dropped: Why it is not the winner; None for the winner.
    """

    number: int
    overrides: tuple[str, ...]
    repeats: list[tuple[str, ...]]
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    dropped: str | None = None

    def mean(self, stage: str) -> float | None:
        """Returns the mean score of a stage; None where it did not take part or a job failed."""
        scores = [score for score in self.scores.get(stage, {}).values() if score is not None]
        complete = len(scores) == len(self.scores.get(stage, {})) > 0
        return math.fsum(scores) / len(scores) if complete else None

    def std(self, stage: str) -> float | None:
        """Returns the standard deviation of a stage's scores; None for fewer than two, or where it has no mean."""
        mean, scores = self.mean(stage), [score or 0.0 for score in self.scores.get(stage, {}).values()]
        finite = mean is not None and math.isfinite(mean)
        return statistics.stdev(scores) if finite and len(scores) >= FEWEST_FOR_AN_ERROR else None


def group(overrides: Sequence[tuple[str, ...]], repeated: str = "seed") -> list[Combination]:
    """Returns combinations: overrides that differ in the `repeated` key alone are one.

    Example:
        >>> [one.repeats for one in group([("seed=0", "model.hidden_size=8"), ("seed=1", "model.hidden_size=8")])]
        [[('seed=0',), ('seed=1',)]]
    """
    found: dict[tuple[str, ...], Combination] = {}
    for one in overrides:
        repeat = tuple(word for word in one if word.startswith(f"{repeated}="))
        settings = tuple(word for word in one if word not in repeat)
        combination = found.setdefault(settings, Combination(len(found), settings, []))
        combination.repeats.append(repeat)
    return list(found.values())


def check_keep(keep: Any, jobs: int) -> None:
    """Refuses a rule that `survivors` cannot follow.

    Args:
        keep: A count, a share below 1, or "one_standard_error".
        jobs: How many jobs of each combination stage one has.

    Raises:
        ValueError: it is none of these, or there is no standard error.
    """
    count = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    share = isinstance(keep, float) and 0 < keep < 1
    if not (count or share or keep == ONE_STANDARD_ERROR):
        raise ValueError(
            f"`hydra.sweeper.two_stage.keep` must be a count, a share below 1, or {ONE_STANDARD_ERROR}, got {keep!r}. "
            "Its default is 0.5."
        )
    if keep == ONE_STANDARD_ERROR and jobs < FEWEST_FOR_AN_ERROR:
        raise ValueError(
            f"`hydra.sweeper.two_stage.keep={ONE_STANDARD_ERROR}` needs at least two jobs a combination in stage one, "
            f"got {jobs}. Use hydra.sweeper.two_stage.folds=[0,1]."
        )


def rank(combinations: Sequence[Combination], stage: str, higher: bool) -> list[Combination]:
    """Returns those that have a finite mean, the best first, and notes of the others why they are dropped."""
    scored = []
    for one in combinations:
        mean = one.mean(stage)
        if mean is None:
            failed = [path for path, score in one.scores[stage].items() if score is None]
            one.dropped = f"failed: {', '.join(failed)}"
        elif not math.isfinite(mean):
            diverged = [path for path, score in one.scores[stage].items() if not math.isfinite(score or 0.0)]
            one.dropped = f"diverged: {', '.join(diverged)}"
        else:
            scored.append((-mean if higher else mean, one.number, one))
    return [one for _, _, one in sorted(scored, key=lambda entry: entry[:2])]


def survivors(combinations: Sequence[Combination], keep: float | str, higher: bool) -> list[Combination]:
    """Returns those that pass stage one, the best first, and notes of the others why they are dropped.

    Args:
        combinations: With their scores of `stage_one`.
        keep: How many: a count, a share of all, or all within one standard error of the best.
        higher: Whether a higher score is better.
    """
    ranked = rank(combinations, "stage_one", higher)
    if not ranked:
        return []
    if keep == ONE_STANDARD_ERROR:
        best = ranked[0]
        jobs = len(best.scores["stage_one"])
        error = (best.std("stage_one") or 0.0) / math.sqrt(jobs)
        kept = [one for one in ranked if abs(_mean(one) - _mean(best)) <= error]
        rule = f"more than one standard error ({error:.3g}) from the best ({_mean(best):.4g})"
    else:
        count = keep if isinstance(keep, int) else math.ceil(float(keep) * len(combinations))
        kept = ranked[:count]
        rule = f"not among the best {count}"
    for place, one in enumerate(ranked[len(kept) :], start=len(kept) + 1):
        one.dropped = f"{rule}: number {place} of {len(combinations)} in stage one"
    return kept


def choose(kept: Sequence[Combination], higher: bool) -> Combination | None:
    """Returns the one with the best mean of stage two, and notes why of the others; None if none has one."""
    ranked = rank(kept, "stage_two", higher)
    for place, one in enumerate(ranked[1:], start=2):
        one.dropped = f"number {place} of {len(kept)} in stage two"
    return ranked[0] if ranked else None


def _mean(combination: Combination) -> float:
    mean = combination.mean("stage_one")
    return math.nan if mean is None else mean
