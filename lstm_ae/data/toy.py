"""Synthetic sequences: uniform noise with a damped window around a random centre."""

from typing import Annotated

import numpy as np
import torch

from lstm_ae import checks
from lstm_ae.checks import MOST_VALUES, Bounds, Seed, Share
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData

DAMPING = 0.1
HALF_WIDTH = 5  # the steps centre - 5 .. centre + 5 are damped
FIRST_CENTRE, LAST_CENTRE = 20, 30


Length = Annotated[int, Bounds(at_least=LAST_CENTRE + HALF_WIDTH + 1, cure="The damped window reaches to step 35.")]


@checks.checked
def load_toy(
    sequences: Annotated[int, Bounds(at_least=3)], length: Length, seed: Seed, test_share: Share
) -> SequenceData:
    """Returns sequences of values uniform in [0, 1], a window of eleven steps of each multiplied by 0.1.

    The centre of the window is drawn from 20..30, both included, as in part 1 of the report.

    Args:
        sequences: How many.
        length: Time steps a sequence, at least 36 so that every window fits.
        seed: Of the values, the centres and the test part.
        test_share: The share of the sequences that is the test part.

    Example:
        >>> load_toy(sequences=100, length=50, seed=0, test_share=0.2).test.sum()
        np.int64(20)
    """
    if sequences * length > MOST_VALUES:
        raise ValueError(
            f"`sequences` x `length` must be at most {MOST_VALUES} values, got {sequences} x {length}. Use fewer."
        )
    rng = np.random.default_rng(seed)
    values = rng.random((sequences, length), dtype=np.float32)
    centres = rng.integers(FIRST_CENTRE, LAST_CENTRE, size=sequences, endpoint=True)
    damped = np.abs(np.arange(length) - centres[:, None]) <= HALF_WIDTH  # (sequences, time)
    values[damped] *= DAMPING
    test = np.zeros(sequences, dtype=bool)
    test[rng.permutation(sequences)[: round(test_share * sequences)]] = True
    return SequenceData(
        values=torch.from_numpy(values.reshape(-1, 1)),
        starts=torch.arange(sequences) * length,
        lengths=length,
        test=test,
        scaling=Scaling("none"),
    )
