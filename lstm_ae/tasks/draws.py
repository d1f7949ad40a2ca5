"""Random numbers of a place: in evaluation a sequence gets the same noise whatever else is in its batch."""

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.types import Batch

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as a signed number
MIX = (-4658895280553007687, -7723592293110705685)
BITS = 24  # of a float's mantissa


def uniform(batch: Batch, seed: int, training: bool) -> Float[Tensor, "batch time features"]:
    """Returns a number in [0, 1) for each input.

    In training it comes from torch's generator, which each epoch seeds. Else it is a hash of the seed, the sequence's
    index in the dataset, the time step and the feature.

    Source of the hash: SplitMix64 of Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195
    """
    if training or batch.index is None:
        return torch.rand_like(batch.inputs)
    state = _mix(batch.index * GOLDEN + seed)  # (batch,)
    for size in batch.inputs.shape[1:]:
        state = _mix(state.unsqueeze(-1) + (torch.arange(size, device=state.device) + 1) * GOLDEN)
    shifted: Tensor = _logical_shift(state, 64 - BITS).float() / 2**BITS
    return shifted


def normal(batch: Batch, seed: int, training: bool) -> Float[Tensor, "batch time features"]:
    """Returns a standard normal number for each input, drawn as in `uniform`."""
    if training or batch.index is None:
        return torch.randn_like(batch.inputs)
    centred = 2 * uniform(batch, seed, training) - 1 + 2.0**-BITS  # never -1 or 1
    return 2**0.5 * torch.erfinv(centred)


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _logical_shift(state, 30)) * MIX[0]
    state = (state ^ _logical_shift(state, 27)) * MIX[1]
    return state ^ _logical_shift(state, 31)


def _logical_shift(state: Tensor, bits: int) -> Tensor:
    shifted: Tensor = (state >> bits) & (2 ** (64 - bits) - 1)
    return shifted
