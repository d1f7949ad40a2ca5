"""Tensors (batch, time, features) as rows (time, features, padded), and states likewise.

`padded` is the batch, filled up to whole tiles and perhaps a little more, see `padded_batch`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lstm_ae.models.kernel.spec import LANES

LINE = 16  # float32 numbers in a line of the cache
ALIASED = 256  # float32 numbers: rows at multiples of this distance share few lines


def padded_batch(batch: int, lanes: int = LANES) -> tuple[int, int]:
    """Returns the tiles of a batch, and the numbers in a row.

    Rows at distances of a multiple of 1024 bytes would compete for a few lines of the cache, and a batch of 1024 would
    take up to twice the time: such a row is a line longer. At 512 bytes it is not, where it gains less than the copy
    of a gradient costs that arrives in rows without that line.
    """
    tiles = -(-batch // lanes)
    return tiles, tiles * lanes + (LINE if tiles * lanes % ALIASED == 0 else 0)


def to_rows(values: Float[Tensor, "batch time features"], padded: int) -> Float[Tensor, "time features padded"]:
    """Returns values as rows; the batch is filled up to `padded` with zeros.

    What another layer returned lies in rows already and is not copied, where its batch is one of whole tiles: the rest
    of a last tile could belong to anything.
    """
    batch, time, features = values.shape
    wanted = zip(values.stride(), (1, features * padded, padded), values.shape, strict=True)
    if (
        batch % LANES == 0
        and all(now == then or size == 1 for now, then, size in wanted)
        and values.data_ptr() % 64 == 0
    ):
        return values.permute(1, 2, 0)
    rows = torch.empty((time * features, padded))
    inside = rows if padded == batch else rows[:, :batch]
    inside.copy_(values.reshape(batch, time * features).t())
    if padded > batch:
        rows[:, batch:] = 0
    return rows.view(time, features, padded)


def put_state(state: Float[Tensor, "1 batch hidden"] | None, rows: Float[Tensor, "hidden padded"]) -> None:
    """Writes a state into rows, zeros where it is missing."""
    if state is None or state.shape[1] < rows.shape[1]:
        rows.zero_()
    if state is not None:
        rows[:, : state.shape[1]] = state[0].t()


def padded_lengths(lengths: Int[Tensor, " batch"], padded: int) -> Float[Tensor, " padded"]:
    """Returns lengths as the kernel reads them; a lane without a sequence has length 0."""
    result = torch.zeros(padded)
    result[: len(lengths)] = lengths
    return result


def over(lengths: Float[Tensor, " padded"], time: int) -> Bool[Tensor, "time 1 padded"]:
    """Returns for each step which sequences are over."""
    return (torch.arange(time)[:, None] >= lengths)[:, None]
