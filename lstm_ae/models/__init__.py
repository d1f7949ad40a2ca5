"""Models: from sequences (batch, time, features) to an `Output`. Plain `nn.Module`s.

A model asks for what it needs to know of the data by naming it as a parameter: `features` (values a time step), `time`
(steps a sequence), `classes` (how many). It says as `answers` what it makes beside the reconstruction: `nothing`,
`classes`, the next `step`, or the whole `sequence` a step later; and as `latent_size` how many values its code has.
"""

from lstm_ae.models.autoencoder import Autoencoder, BottleneckAutoencoder
from lstm_ae.models.classifiers import (
    InputClassifier,
    PooledClassifier,
    ReconstructionClassifier,
    StateClassifier,
    TwinClassifier,
)
from lstm_ae.models.predictors import NextStepPredictor, ResidualPredictor, ShiftedSequencePredictor

__all__ = [
    "Autoencoder",
    "BottleneckAutoencoder",
    "InputClassifier",
    "NextStepPredictor",
    "PooledClassifier",
    "ReconstructionClassifier",
    "ResidualPredictor",
    "ShiftedSequencePredictor",
    "StateClassifier",
    "TwinClassifier",
]
