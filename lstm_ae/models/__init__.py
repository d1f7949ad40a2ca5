"""Models: from sequences (batch, time, features) to an `Output`. Plain `nn.Module`s.

A model's constructor may name what it needs to know of the data: `features` (values a time step), `time` (steps of the
longest sequence), `classes` (how many). Its `forward` may name `lengths` and `observed`. `produces` is the set of what
it makes beyond the reconstruction: `classes`, `next_step`, `next_sequence`, `horizon`; without it, it reconstructs.
`loss_weights` are the weights of the losses that it returns, and `warm_up` is the number of epochs over which these
weights grow to their full size in training. `lengthen(factor)` is called where a curriculum goes on to sequences
`factor` times as long.
"""

from lstm_ae.models.autoencoder import Autoencoder, BottleneckAutoencoder
from lstm_ae.models.classifiers import (
    InputClassifier,
    PooledClassifier,
    ReconstructionClassifier,
    StateClassifier,
    TwinClassifier,
)
from lstm_ae.models.predictors import Forecaster, NextStepPredictor, ResidualPredictor, ShiftedSequencePredictor
from lstm_ae.models.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "BottleneckAutoencoder",
    "Forecaster",
    "InputClassifier",
    "NextStepPredictor",
    "PooledClassifier",
    "ReconstructionClassifier",
    "ResidualPredictor",
    "ShiftedSequencePredictor",
    "StateClassifier",
    "TwinClassifier",
    "VariationalAutoencoder",
]
