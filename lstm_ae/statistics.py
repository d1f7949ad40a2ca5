"""Intervals; numpy and scipy only."""

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_BLOCKS = 20  # of a bootstrap: with 10 blocks the 95 % interval holds the truth in 90 % of simulations


def proportion_interval(successes: int, trials: int) -> tuple[float, float] | None:
    """Returns Wilson's 95 % interval of a share; None where there were no trials.

    Example:
        >>> [round(end, 3) for end in proportion_interval(60, 100)]
        [0.502, 0.691]
    """
    if not trials:
        return None
    from scipy.special import ndtri

    z = ndtri((1 + CONFIDENCE) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return float(centre - half), float(centre + half)


def ratio_interval(top: np.ndarray, bottom: np.ndarray, time: np.ndarray, block: int) -> tuple[float, float] | str:
    """Returns the 95 % interval of sum(top) / sum(bottom), by a moving-block bootstrap over time.

    All that belongs to one time is drawn together, as series move together, and times in blocks, as neighbours resemble
    each other (Kuensch 1989, https://doi.org/10.1214/aos/1176347265). A skill is 1 less the ratio of two errors.

    Args:
        top: A value for each time and series, such as squared errors or hits.
        bottom: The same, such as the baseline's squared errors, or 1.
        time: The time of each.
        block: Times a block.

    Returns:
        The interval, or the reason why there is none.
    """
    times, of_time = np.unique(time, return_inverse=True)
    blocks = len(times) // block
    if blocks < FEWEST_BLOCKS:
        return f"{len(times)} times make {blocks} blocks of {block}, and an interval needs {FEWEST_BLOCKS}"
    sums = np.stack([np.bincount(of_time, weights=values) for values in (top, bottom)])  # (2, times)
    running = np.concatenate([np.zeros((2, 1)), np.cumsum(sums, axis=1)], axis=1)
    of_block = running[:, block:] - running[:, :-block]  # (2, blocks that overlap)
    drawn = np.random.default_rng(0).integers(of_block.shape[1], size=(RESAMPLES, blocks))
    totals = of_block[:, drawn].sum(axis=2)  # (2, resamples)
    if not (totals[1] > 0).all():
        return "some resamples have nothing to divide by"
    low, high = np.quantile(totals[0] / totals[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
