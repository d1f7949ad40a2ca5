"""A trained model in the user's own Python: `load_run` needs no hydra, no training data and no code of a directory.

loading   from a run directory to its model, task and scaler
model     `Trained`: encode, reconstruct, predict, forecast, score
scoring   errors that add up exactly, and the windows of a signal, as they come in
files     tables in, tables out, for the commands
"""

from lstm_ae.trained.loading import load_run
from lstm_ae.trained.model import Trained
from lstm_ae.trained.scoring import Scores, Stream

__all__ = ["Scores", "Stream", "Trained", "load_run"]
