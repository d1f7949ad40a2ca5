"""The values that cross module borders, the protocols between the parts, and the names of the axes.

Axes, the same in every signature: `batch` (sequences in one batch), `time` (steps of a sequence), `target_time` (steps
of what is to be answered), `features` (values a step), `hidden` (units of an LSTM), `sequences` (all sequences of a
dataset), `steps` (rows of its table).
"""

from lstm_ae.types.batch import Batch, present
from lstm_ae.types.output import Measured, Metric, Output, Report, Score, answering, total
from lstm_ae.types.sequences import PreparedSubset, Sequences, Subset
from lstm_ae.types.task import Baseline, Baselines, Evaluated, EvaluatedSubset, Figures, Task

__all__ = [
    "Baseline",
    "Baselines",
    "Batch",
    "Evaluated",
    "EvaluatedSubset",
    "Figures",
    "Measured",
    "Metric",
    "Output",
    "PreparedSubset",
    "Report",
    "Score",
    "Sequences",
    "Subset",
    "Task",
    "answering",
    "present",
    "total",
]
