"""Experiments with LSTM autoencoders: reconstruct, classify and forecast sequences.

Public names are imported when they are first used: composing a configuration, reading run directories and asking for
help stay fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from lstm_ae.data.sequences import SequenceData
    from lstm_ae.experiment.fit import fit
    from lstm_ae.trained import load_run
    from lstm_ae.trainer import StopTraining, Trainer

_PUBLIC = {
    "SequenceData": "lstm_ae.data.sequences",
    "StopTraining": "lstm_ae.trainer",
    "Trainer": "lstm_ae.trainer",
    "fit": "lstm_ae.experiment.fit",
    "load_run": "lstm_ae.trained",
}
__all__ = ["SequenceData", "StopTraining", "Trainer", "__version__", "fit", "load_run"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
