"""What becomes of missing values: they are refused, passed over, or filled in from their own series."""

import itertools

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
    made = values.copy()
    time = np.arange(len(values)) if clock is None else (clock - clock.min()).astype(np.float64)
    for begin, end in itertools.pairwise([*begins.tolist(), len(values)]):
        at = time[begin:end]
        for column in made[begin:end].T:  # views: what is written there stands in `made`
            known = ~np.isnan(column)
            if method == "forward":
                last = np.maximum.accumulate(np.where(known, np.arange(len(column)), 0))
                column[:] = column[last]
            elif known.any():
                column[~known] = np.interp(at[~known], at[known], column[known])
    return made
