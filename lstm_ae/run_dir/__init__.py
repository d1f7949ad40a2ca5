"""Reads and writes a run directory. Imports neither torch nor hydra."""

from lstm_ae.run_dir.contents import check_listed
from lstm_ae.run_dir.directory import RunDir, find_finished, score
from lstm_ae.run_dir.lock import HeldError, RunDirError
from lstm_ae.run_dir.names import (
    CHECKPOINT,
    CONFIG,
    ENDED,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    MODEL,
    MODEL_FORMAT,
    SAMPLES,
    SCALER,
    STATUS,
    TASK,
    UNREADABLE,
    WEIGHTS,
)
from lstm_ae.run_dir.settings import NOT_SIGNED, differences, flat, signature, signed

__all__ = [
    "CHECKPOINT",
    "CONFIG",
    "ENDED",
    "ENVIRONMENT",
    "HISTORY",
    "METRICS",
    "MODEL",
    "MODEL_FORMAT",
    "NOT_SIGNED",
    "SAMPLES",
    "SCALER",
    "STATUS",
    "TASK",
    "UNREADABLE",
    "WEIGHTS",
    "HeldError",
    "RunDir",
    "RunDirError",
    "check_listed",
    "differences",
    "find_finished",
    "flat",
    "score",
    "signature",
    "signed",
]
