"""Models that take their process with them, as one that is too large for the machine's memory does, or fail else."""

import dataclasses
import errno
import math
import os
import signal

import torch

from lstm_ae import files
from lstm_ae.models.autoencoder import Autoencoder

CURED = "LSTM_AE_TESTS_CURED"  # in the environment: `Troubled` has no trouble that can end


class DiesInTraining(Autoencoder):
    def forward(self, inputs):
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)


class DiesWhenBuilt(Autoencoder):
    def __init__(self, features, hidden_size):
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Autoencoder):
    def forward(self, inputs):
        raise RuntimeError("shapes do not fit")


TROUBLES = ("raises", "diverges", "dies", "fills disk", *("raises", "diverges", "fills disk") * 2)


def trouble(seed, every):
    """What goes wrong with a seed: with one of so many anything, and few die: a new worker takes many seconds."""
    return TROUBLES[seed // every % len(TROUBLES)] if seed % every == every // 2 else None


class Troubled(Autoencoder):
    """Passes the check before a sweep, and has the trouble of its seed in training."""

    def __init__(self, features, hidden_size, every):
        super().__init__(features, hidden_size)
        self.trouble = trouble(torch.initial_seed(), every)

    def forward(self, inputs):
        output = super().forward(inputs)
        if not self.training:
            return output
        if self.trouble == "raises":
            raise RuntimeError("shapes do not fit")
        if self.trouble == "dies" and CURED not in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "fills disk" and CURED not in os.environ:
            files.DISK = FullOnce()
        factor = math.nan if self.trouble == "diverges" else 1.0
        return dataclasses.replace(output, reconstruction=output.reconstruction * factor)


class FullOnce(files.Disk):
    """Finds no space for the next file, and some for the one after it."""

    def write(self, path, content):
        files.DISK = files.Disk()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
