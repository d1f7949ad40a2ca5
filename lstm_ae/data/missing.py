"""What becomes of missing values: they are refused, passed over, or filled in from their own series."""

import numpy as np
from jaxtyping import Float, Int, Shaped

#: `error`: refused. `mask`: passed over by scalers, losses, metrics and baselines. `interpolate`: filled in on a
#: straight line over time between the values before and after, at the ends with the nearest. `forward`: filled in with
#: the value before. What a whole series lacks, or for `forward` its beginning, is masked.
MISSING = ("error", "mask", "interpolate", "forward")


def filled(
    values: Float[np.ndarray, "steps features"],
    begins: Int[np.ndarray, " stretches"],
    method: str,
    clock: Shaped[np.ndarray, " steps"] | None = None,
) -> Float[np.ndarray, "steps features"]:
    """Returns values with what is missing filled in, as far as `method` fills in.

    Args:
        values: NaN where one is missing.
        begins: The rows at which a stretch begins; nothing is filled in across.
        method: One of `MISSING`.
        clock: The time of each row; None: the rows are equally far apart.

    Example:
        >>> filled(np.array([[1.0], [np.nan], [3.0], [np.nan]]), np.array([0, 3]), "interpolate").ravel()
        array([ 1.,  2.,  3., nan])
    """
    if method not in ("interpolate", "forward") or not np.isnan(values).any():
        return values
    made, rows = values.copy(), np.arange(len(values))
    lengths = np.diff(np.append(begins, len(values)))
    first, last = np.repeat(begins, lengths), np.repeat(begins + lengths - 1, lengths)
    time = rows if clock is None else (clock - clock.min()).astype(np.float64)
    for feature in range(values.shape[1]):
        known = ~np.isnan(values[:, feature])
        before = np.maximum.accumulate(np.where(known, rows, -1))
        after = np.minimum.accumulate(np.where(known, rows, len(rows))[::-1])[::-1]
        holes = np.flatnonzero(~known)
        left, right = before[holes], after[holes]
        has_left, has_right = left >= first[holes], right <= last[holes]
        if method == "forward":
            has_right[:] = False
        left, right = np.where(has_left, left, right), np.where(has_right, right, left)
        some = has_left | has_right
        holes, left, right = holes[some], left[some], right[some]
        share = (time[holes] - time[left]) / np.where(left == right, 1, time[right] - time[left])
        ends = values[left, feature].astype(np.float64), values[right, feature].astype(np.float64)
        made[holes, feature] = ends[0] + np.where(left == right, 0.0, share) * (ends[1] - ends[0])
    return made
