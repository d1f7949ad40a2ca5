"""Which sequences train and which validate. scikit-learn's splitters are used as they are; these speak their language.

A splitter's `split(X, y, groups)` yields (train, validation) positions. Here X holds the first and the last day of each
sequence, a row a sequence, and no columns where the data have no dates.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from lstm_ae import checks

Positions = Int[np.ndarray, " _"]  # indices of sequences


@runtime_checkable
class Splitter(Protocol):
    """What scikit-learn calls a splitter."""

    def split(self, X: np.ndarray, y: np.ndarray | None, groups: np.ndarray | None) -> Iterator[tuple]:
        """Yields (train, validation) positions."""
        ...

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns the number of splits."""
        ...


@runtime_checkable
class Splittable(Protocol):
    """What a split needs to know of a dataset, as `lstm_ae.data.sequences.SequenceData` has it."""

    @property
    def test(self) -> Any:
        """Which sequences are the test part."""
        ...

    @property
    def labels(self) -> Any:
        """The class of each sequence, or None."""
        ...

    @property
    def groups(self) -> Any:
        """The group of each sequence, or None."""
        ...

    @property
    def days(self) -> Any:
        """The first and the last day of each sequence, or None."""
        ...

    def sharing_steps(self, index: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Returns which of the sequences at `index` have a time step in common with one of `others`."""
        ...


class Holdout:
    """One split: the latest days where there are dates, a seeded draw where there are none.

    Args:
        validation: The share that validates.
        random_state: The seed of the draw.

    Example:
        >>> train, validation = next(Holdout(validation=0.25, random_state=0).split(np.zeros((8, 0))))
        >>> len(train), len(validation)
        (6, 2)
    """

    def __init__(self, validation: float = 0.25, random_state: int = 0) -> None:
        checks.share("validation", validation)
        self.validation = validation
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns 1."""
        return 1

    def split(
        self,
        X: np.ndarray,
        y: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yields the one split, as positions in X."""
        if X.shape[1] == 0:
            order = np.random.default_rng(self.random_state).permutation(len(X))
            cut = round(len(X) * (1 - self.validation))
            yield np.sort(order[:cut]), np.sort(order[cut:])
        else:
            first, last = X.T
            days = np.unique(X)
            boundary = days[min(round(len(days) * (1 - self.validation)), len(days) - 1)]
            yield np.flatnonzero(last < boundary), np.flatnonzero(first >= boundary)


class OverlappingHoldout:
    """The report's own split: windows drawn by chance, so that those of training overlap with those that validate.

    What it measures is flattered: nearly every day that validates was seen in training. It is here to show by how much.

    Args:
        validation: The share that validates.
        random_state: The seed of the draw.
    """

    allows_overlap = True

    def __init__(self, validation: float = 0.1, random_state: int = 0) -> None:
        self._holdout = Holdout(validation, random_state)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns 1."""
        return 1

    def split(
        self, X: np.ndarray, y: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yields the one split, as positions in X, whatever the dates."""
        yield from self._holdout.split(X[:, :0])


class Whole:
    """One split: everything trains, and the same validates, which says nothing; for a model whose settings are chosen.

    The weights kept are those with the best training loss; how many epochs to train is to be known beforehand.

    Example:
        >>> train, validation = next(Whole().split(np.zeros((8, 0))))
        >>> len(train), len(validation)
        (8, 8)
    """

    allows_overlap = True

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns 1."""
        return 1

    def split(
        self, X: np.ndarray, y: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yields the one split, as positions in X."""
        yield np.arange(len(X)), np.arange(len(X))


class WalkForward:
    """Splits by date: of n_splits + 1 stretches of days, fold k validates on stretch k + 1 and trains on all before it.

    Every model is judged on days later than all that it has seen, and at least `embargo` days between the last day of
    training and the first of validation belong to neither (Lopez de Prado 2018, Advances in Financial Machine
    Learning, chapter 7).

    Args:
        n_splits: How many folds.
        embargo: Days left out, at least 0.
    """

    def __init__(self, n_splits: int = 5, embargo: int = 0) -> None:
        checks.at_least("n_splits", n_splits, 1)
        checks.at_least("embargo", embargo, 0)
        self.n_splits = n_splits
        self.embargo = embargo

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns the number of folds."""
        return self.n_splits

    def split(
        self,
        X: np.ndarray,
        y: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yields a split a fold, as positions in X.

        Raises:
            ValueError: the data have no dates.
        """
        if X.shape[1] == 0:
            raise ValueError("`split=walk_forward` needs dates, and this dataset has none. Use split=kfold.")
        first, last = X.T
        edges = np.linspace(X.min(), X.max() + 1, self.n_splits + 2).round().astype(int)
        for begin, end in itertools.pairwise(edges[1:]):
            yield np.flatnonzero(last < begin - self.embargo), np.flatnonzero((first >= begin) & (last < end))


def select(splitter: Splitter, fold: int | None, data: Splittable) -> tuple[Positions, Positions]:
    """Returns the training and the validation sequences of one fold, as sorted indices of `data`.

    The test part takes no part in it. Training sequences that share a time step with a validation sequence are dropped,
    whatever the splitter says, so that windows of one series that overlap never stand on both sides.

    Args:
        splitter: Ours or scikit-learn's.
        fold: Which split; None for a holdout run, which with another splitter than `Holdout` is `Holdout`'s default.
        data: The dataset.

    Raises:
        ValueError: `fold` is out of range, or a side is empty.
    """
    holdouts = (Holdout, OverlappingHoldout, Whole)
    if fold is None and not isinstance(splitter, holdouts):
        splitter = Holdout(random_state=getattr(splitter, "random_state", None) or 0)
    rest = np.flatnonzero(~data.test)
    spans = np.zeros((len(rest), 0)) if data.days is None else data.days[rest]
    labels = None if data.labels is None else data.labels.numpy()[rest]
    by_group = "Group" in type(splitter).__name__  # scikit-learn's others warn of groups
    groups = None if data.groups is None or not by_group else data.groups[rest]
    if by_group and groups is None:
        raise ValueError("`split` by groups needs a dataset with groups, and this one has none. Use split=kfold.")
    n_folds = splitter.get_n_splits(spans, labels, groups)
    if fold is not None and isinstance(splitter, holdouts):
        raise ValueError(f"`fold` must be null with split=holdout, got {fold}. Use fold=null, or split=kfold.")
    if fold is not None and not 0 <= fold < n_folds:
        raise ValueError(f"`fold` must lie in 0..{n_folds - 1}, got {fold}. Use `fold=null` for a holdout run.")
    splits = splitter.split(spans, labels, groups)
    for _ in range(fold or 0):
        next(splits)
    train, validation = (rest[side] for side in next(splits))
    overlap_allowed = getattr(splitter, "allows_overlap", False)
    apart = train if overlap_allowed else train[~data.sharing_steps(train, validation)]
    if not len(apart) or not len(validation):
        raise ValueError(
            f"`split` leaves {len(apart)} training and {len(validation)} validation sequences"
            + (f" ({len(train) - len(apart)} of training overlapped with validation)" if len(train) else "")
            + ". Overlapping windows stand on one side only. Use more data, a smaller dataset.window, or another "
            "split: holdout, walk_forward, or kfold with split.shuffle=false split.random_state=null."
        )
    return apart, validation
