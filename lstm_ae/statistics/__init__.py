"""Whether a difference is real: intervals, verdicts of a ranking, and effects of settings.

Plain functions over numpy arrays that know no run, task or table. `docs/statistics.md` names the assumption of each and
gives the error rates that were measured by `python -m tests.simulations.statistics`.

A block is what is drawn afresh and shared by all that is compared: a seed, a fold, or a fold of a seed. Blocks are the
independent unit of every procedure here; several runs in one block are averaged first.
"""

from lstm_ae.statistics.effects import Effect, ValueEffect, effects, holm
from lstm_ae.statistics.intervals import (
    Interval,
    interval_over_time,
    mean_interval,
    proportion_interval,
    ratio,
    skill,
)
from lstm_ae.statistics.overlap import fold_overlap, holdout_overlap, walk_forward_overlap
from lstm_ae.statistics.verdicts import LEVEL, POWER, Verdict, Verdicts, verdicts

__all__ = [
    "LEVEL",
    "POWER",
    "Effect",
    "Interval",
    "ValueEffect",
    "Verdict",
    "Verdicts",
    "effects",
    "fold_overlap",
    "holdout_overlap",
    "holm",
    "interval_over_time",
    "mean_interval",
    "proportion_interval",
    "ratio",
    "skill",
    "verdicts",
    "walk_forward_overlap",
]
