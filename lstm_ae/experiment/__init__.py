"""One job, from a composed configuration to a finished run directory; the only part of the package that knows hydra."""

from lstm_ae.experiment.job import check, run

__all__ = ["check", "run"]
