"""Models that take their process with them, as one that is too large for the machine's memory does, or fail else.

Those that fail in training pass the check before a sweep. With `CURED` in the environment nothing fails that could end.
"""

import dataclasses
import errno
import math
import os
import signal

from lstm_ae import files
from lstm_ae.models.autoencoder import Autoencoder

CURED = "LSTM_AE_TESTS_CURED"


class DiesInTraining(Autoencoder):
    def forward(self, inputs):
        if self.training and CURED not in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)


class DiesWhenBuilt(Autoencoder):
    def __init__(self, features, hidden_size):
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Autoencoder):
    def forward(self, inputs):
        raise RuntimeError("shapes do not fit")


class RaisesInTraining(Autoencoder):
    def forward(self, inputs):
        if self.training:
            raise RuntimeError("shapes do not fit")
        return super().forward(inputs)


class Diverges(Autoencoder):
    def forward(self, inputs):
        output = super().forward(inputs)
        return dataclasses.replace(output, reconstruction=output.reconstruction * (math.nan if self.training else 1))


class FillsDisk(Autoencoder):
    """The next write of its process finds no space, and the one after that some."""

    def forward(self, inputs):
        if self.training and CURED not in os.environ:
            files.DISK = _Full()
        return super().forward(inputs)


class _Full(files.Disk):
    def write(self, path, content):
        files.DISK = files.Disk()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
