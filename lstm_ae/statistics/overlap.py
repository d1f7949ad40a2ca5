"""How much training data blocks share, as the ratio n_validation / n_train.

Blocks whose splits differ but overlap give dependent scores: averaging over them removes less of the noise than over
independent ones. Nadeau and Bengio (2003, https://doi.org/10.1023/A:1024068626366) widen the variance of a mean from
1/n to 1/n + n_validation/n_train. The ratio is 0 where blocks have independent data, and where all have the very same
split: the verdict then holds for this split only.
"""


def holdout_overlap(n_validation: int, n_train: int) -> float:
    """Returns the overlap of holdouts that are redrawn from the same data for each seed.

    Args:
        n_validation: Sequences in the validation part.
        n_train: Sequences in the training part.

    Raises:
        ValueError: one of the parts is empty.

    Example:
        >>> holdout_overlap(200, 800)
        0.25
    """
    for name, size in (("n_validation", n_validation), ("n_train", n_train)):
        if size < 1:
            raise ValueError(f"`{name}` must be at least 1, got {size}. Count the sequences of the part.")
    return n_validation / n_train


def fold_overlap(n_splits: int) -> float:
    """Returns the overlap of the folds of a k-fold cross-validation.

    Args:
        n_splits: The number of folds.

    Raises:
        ValueError: there are fewer than two.

    Example:
        >>> fold_overlap(5)
        0.25
    """
    _check_splits(n_splits)
    return 1 / (n_splits - 1)


def walk_forward_overlap(n_splits: int) -> float:
    """Returns the mean overlap of walk-forward folds: fold i trains on i stretches and validates on the next one.

    Args:
        n_splits: The number of folds.

    Raises:
        ValueError: there are fewer than two.

    Example:
        >>> walk_forward_overlap(2)
        0.75
    """
    _check_splits(n_splits)
    return sum(1 / i for i in range(1, n_splits + 1)) / n_splits


def _check_splits(n_splits: int) -> None:
    if n_splits < 2:
        raise ValueError(f"`n_splits` must be at least 2, got {n_splits}. A single split has no folds to average.")
