"""Models: from sequences (batch, time, features) to an `Output`. Plain `nn.Module`s.

A model asks for what it needs to know of the data by naming it as a parameter: `features`, values a time step.
"""

from lstm_ae.models.autoencoder import Autoencoder, BottleneckAutoencoder

__all__ = ["Autoencoder", "BottleneckAutoencoder"]
