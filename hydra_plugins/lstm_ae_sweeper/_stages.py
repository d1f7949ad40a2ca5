"""The two-stage selection among combinations of settings. It uses only scores, and no directories."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_ae.checks import ConfigError
from lstm_ae.experiment.overrides import Overrides, lines
from lstm_ae.metrics import text

ONE_STANDARD_ERROR = "one_standard_error"
MIN_JOBS_FOR_ERROR = 2


@dataclass
class Combination:
    """A combination of settings and its outcome.

    Attributes:
        number: Its position in the grid.
        overrides: Its settings.
        repeats: The overrides of each repeat, such as those of `seed=0` and of `seed=1`.
        scores: By stage, the score of each job by directory; infinite if it diverged, None if it failed.
        dropped: Why it is not the winner; None for the winner.
    """

    number: int
    overrides: Overrides
    repeats: list[Overrides]
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    dropped: str | None = None

    def mean(self, stage: str) -> float | None:
        """Returns the mean score of a stage; None if it did not take part or a job failed."""
        scores = [score for score in self.scores.get(stage, {}).values() if score is not None]
        complete = len(scores) == len(self.scores.get(stage, {})) > 0
        return math.fsum(scores) / len(scores) if complete else None

    def std(self, stage: str) -> float | None:
        """Returns the standard deviation of a stage's scores; None for fewer than two, or if it has no finite mean."""
        mean, scores = self.mean(stage), [score or 0.0 for score in self.scores.get(stage, {}).values()]
        finite = mean is not None and math.isfinite(mean)
        return statistics.stdev(scores) if finite and len(scores) >= MIN_JOBS_FOR_ERROR else None


def group(overrides: Sequence[Overrides], repeated: str = "seed") -> list[Combination]:
    """Groups overrides into combinations: those that differ only in the `repeated` key are repeats of one.

    Example:
        >>> from lstm_ae.experiment.overrides import parse
        >>> given = [parse("seed=0", "model.hidden_size=8"), parse("seed=1", "model.hidden_size=8")]
        >>> [[lines(repeat) for repeat in each.repeats] for each in group(given)]
        [[['seed=0'], ['seed=1']]]
    """
    found: dict[tuple[str, ...], Combination] = {}
    for given in overrides:
        repeat = tuple(override for override in given if override.key_or_group == repeated)
        settings = tuple(override for override in given if override.key_or_group != repeated)
        combination = found.setdefault(tuple(lines(settings)), Combination(len(found), settings, []))
        combination.repeats.append(repeat)
    return list(found.values())


def check_keep(keep: Any, jobs: int) -> None:
    """Checks the rule for `survivors`.

    Args:
        keep: A count, a share below 1, or "one_standard_error".
        jobs: Number of jobs per combination in stage one.

    Raises:
        ConfigError: it is none of these, or there are too few jobs for a standard error.
    """
    count = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    share = isinstance(keep, float) and 0 < keep < 1
    if not (count or share or keep == ONE_STANDARD_ERROR):
        raise ConfigError(
            f"`hydra.sweeper.two_stage.keep` must be a count, a share below 1, or {ONE_STANDARD_ERROR}, got {keep!r}. "
            "The default is 0.5."
        )
    if keep == ONE_STANDARD_ERROR and jobs < MIN_JOBS_FOR_ERROR:
        raise ConfigError(
            f"`hydra.sweeper.two_stage.keep={ONE_STANDARD_ERROR}` needs at least two jobs per combination in stage "
            f"one, got {jobs}. Use hydra.sweeper.two_stage.folds=[0,1]."
        )


def rank(combinations: Sequence[Combination], stage: str, higher: bool) -> list[Combination]:
    """Returns the combinations with a finite mean, the best first, and records why the others are dropped."""
    for each in combinations:
        failed = [path for path, score in each.scores[stage].items() if score is None]
        diverged = [path for path, score in each.scores[stage].items() if score is not None and math.isinf(score)]
        if failed or diverged:
            each.dropped = f"failed: {', '.join(failed)}" if failed else f"diverged: {', '.join(diverged)}"
    kept = [each for each in combinations if each.dropped is None]
    return sorted(kept, key=lambda each: each.mean(stage) or 0.0, reverse=higher)


def survivors(combinations: Sequence[Combination], keep: float | str, higher: bool) -> list[Combination]:
    """Returns the combinations that pass stage one, the best first, and records why the others are dropped.

    Args:
        combinations: The combinations with their scores of `stage_one`.
        keep: A count, a share of all, or "one_standard_error": all within one standard error of the best.
        higher: Whether a higher score is better.
    """
    ranked = rank(combinations, "stage_one", higher)
    count = keep if isinstance(keep, int) else math.ceil(len(combinations) * (keep if isinstance(keep, float) else 0))
    rule = f"not among the best {count}"
    if keep == ONE_STANDARD_ERROR and ranked:
        means = [each.mean("stage_one") or 0.0 for each in ranked]
        error = (ranked[0].std("stage_one") or 0.0) / math.sqrt(len(ranked[0].scores["stage_one"]))
        count = sum(abs(mean - means[0]) <= error for mean in means)
        rule = f"more than one standard error ({text(error)}) from the best ({text(means[0])})"
    for place, each in enumerate(ranked[count:], start=count + 1):
        each.dropped = f"{rule}: rank {place} of {len(combinations)} in stage one"
    return ranked[:count]


def choose(kept: Sequence[Combination], higher: bool) -> Combination | None:
    """Returns the combination with the best mean of stage two, None if there is none; records why the others lost."""
    ranked = rank(kept, "stage_two", higher)
    for place, each in enumerate(ranked[1:], start=2):
        each.dropped = f"rank {place} of {len(kept)} in stage two"
    return ranked[0] if ranked else None


def in_order(combinations: Sequence[Combination], higher: bool) -> list[Combination]:
    """Returns all combinations: the winner first, then those of stage two, then the others, by mean."""

    def key(each: Combination) -> tuple[float, ...]:
        means = (each.mean("stage_two"), each.mean("stage_one"))
        return each.dropped is not None, *(math.inf if m is None else -m if higher else m for m in means), each.number

    return sorted(combinations, key=key)
