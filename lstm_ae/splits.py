"""Which sequences train and which validate. scikit-learn's splitters are used as they are; ours have their interface.

A splitter's `split(X, y, groups)` yields (train, validation) positions. Here X holds the first and the last time of
each sequence, a row a sequence, and no columns where no sequence comes after another.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from lstm_ae import checks
from lstm_ae.checks import Count, Seed, Share, WholeNumber
from lstm_ae.types import Sequences

Positions = Int[np.ndarray, " _"]  # indices of sequences


@runtime_checkable
class Splitter(Protocol):
    """What scikit-learn calls a splitter."""

    def split(
        self, X: np.ndarray, y: np.ndarray | None, groups: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (train, validation) positions."""
        ...

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns the number of splits."""
        ...


class Holdout:
    """One split: the latest times where sequences follow one another, a seeded draw where they do not.

    Args:
        validation: The share that validates.
        random_state: The seed of the draw.

    Example:
        >>> train, validation = next(Holdout(validation=0.25, random_state=0).split(np.zeros((8, 0))))
        >>> len(train), len(validation)
        (6, 2)
    """

    @checks.checked
    def __init__(self, validation: Share = 0.25, random_state: Seed = 0) -> None:
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
            times = np.unique(X)
            boundary = times[min(round(len(times) * (1 - self.validation)), len(times) - 1)]
            yield np.flatnonzero(last < boundary), np.flatnonzero(first >= boundary)


class OverlappingHoldout:
    """The report's own split: windows drawn at random, so that those of training overlap with those that validate.

    Its scores are too good: nearly every day that validates was seen in training. It is here to show by how much.

    Args:
        validation: The share that validates.
        random_state: The seed of the draw.
    """

    allows_overlap = True
    allows_test_overlap = True

    @checks.checked
    def __init__(self, validation: Share = 0.1, random_state: Seed = 0) -> None:
        self._holdout = Holdout(validation, random_state)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns 1."""
        return 1

    def split(
        self, X: np.ndarray, y: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yields the one split, as positions in X, without regard to time."""
        yield from self._holdout.split(X[:, :0])


class Whole:
    """One split: train and validate on all data; validation scores are meaningless. For settings that are chosen.

    The weights kept are those with the best training loss, so the number of epochs must be known beforehand.

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
    """Splits by time: of n_splits + 1 stretches, fold k validates on stretch k + 1 and trains on all before it.

    Every model is judged on times later than all that it has seen, and at least `embargo` times between the last of
    training and the first of validation belong to neither (Lopez de Prado 2018, Advances in Financial Machine
    Learning, chapter 7).

    Args:
        n_splits: How many folds.
        embargo: Times left out, at least 0; None (of a dataset without windows): 0.
    """

    @checks.checked
    def __init__(self, n_splits: Count = 5, embargo: WholeNumber | None = 0) -> None:
        self.n_splits, self.embargo = n_splits, embargo or 0

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
            ValueError: no sequence comes after another.
        """
        if X.shape[1] == 0:
            raise ValueError(
                "`split=walk_forward` needs sequences that follow one another in time, and this dataset has none. "
                "Use split=kfold."
            )
        first, last = X.T
        times = int(X.max() - X.min()) + 1
        for name, value in (("n_splits", self.n_splits), ("embargo", self.embargo)):
            if value >= times:
                raise ValueError(
                    f"`split.{name}` must be below the {times} times of the data, got {value}. Use a smaller one."
                )
        edges = np.linspace(X.min(), X.max() + 1, self.n_splits + 2).round().astype(int)
        for begin, end in itertools.pairwise(edges[1:]):
            yield np.flatnonzero(last < begin - self.embargo), np.flatnonzero((first >= begin) & (last < end))


def select(splitter: Splitter, fold: int | None, data: Sequences) -> tuple[Positions, Positions, tuple[str, ...]]:
    """Returns the training and the validation sequences of a fold, as sorted indices of `data`, and notes for the log.

    The test subset takes no part in it. Training sequences that share a time step with a validation sequence are
    dropped, whichever splitter it is, so that windows of one series that overlap never stand on two sides.

    Args:
        splitter: Ours, scikit-learn's or one of your own.
        fold: Which split; None for a holdout run: the split of a splitter that has one, else `Holdout`'s default.
        data: The dataset.

    Raises:
        ValueError: `fold` is out of range, a side is empty, or training overlaps with the test subset.
    """
    rest = np.flatnonzero(~data.test)
    if not len(rest):
        raise ValueError(
            "`dataset` leaves nothing to train on: every sequence is in the test subset. Use a smaller "
            "dataset.test_share."
        )
    spans = np.zeros((len(rest), 0)) if data.spans is None else data.spans[rest]
    labels = None if data.labels is None else data.labels.numpy()[rest]
    groups = None if data.series is None else data.series[rest]
    notes = []
    if fold is None and splitter.get_n_splits(spans, labels, groups) > 1:
        notes.append(f"fold=null: a quarter validates, once; {type(splitter).__name__} is used with fold=0, 1, ...")
        splitter = Holdout(random_state=getattr(splitter, "random_state", None) or 0)
    groups = _groups_for(splitter, groups)
    n_folds = splitter.get_n_splits(spans, labels, groups)
    if fold is not None and not hasattr(splitter, "n_splits") and n_folds == 1:
        raise ValueError(
            f"`fold` must be null with a split that has no folds ({type(splitter).__name__}), got {fold}. "
            "Use fold=null, or split=kfold."
        )
    if fold is not None and not 0 <= fold < n_folds:
        raise ValueError(f"`fold` must lie in 0..{n_folds - 1}, got {fold}. Use `fold=null` for a holdout run.")
    splits = splitter.split(spans, labels, groups)
    train, validation = (rest[side] for side in next(itertools.islice(splits, fold or 0, None)))
    overlap_allowed = getattr(splitter, "allows_overlap", False)
    apart = train if overlap_allowed else train[~data.sharing_steps(train, validation)]
    if not len(apart) or not len(validation):
        raise ValueError(
            f"`split` leaves {len(apart)} training and {len(validation)} validation sequences"
            + (f" ({len(train) - len(apart)} of training overlapped with validation)" if len(train) else "")
            + ". Windows that overlap stand on one side. Use more data, a smaller dataset.window or dataset.stride, a "
            "share of split.validation or split.test_size that leaves both sides some, or another split: holdout, "
            "walk_forward, group_kfold (whole series), or kfold with split.shuffle=false split.random_state=null."
        )
    for name, side in (("training", apart), ("validation", validation)):
        shared = int(data.sharing_steps(side, np.flatnonzero(data.test)).sum())
        if shared and not getattr(splitter, "allows_test_overlap", False):
            raise ValueError(
                f"`split` must keep {name} apart from the test subset, and {shared} of {len(side)} {name} sequences "
                "share time steps with it. Use dataset.test_part=latest, or split=overlapping to repeat the report's "
                "protocol."
            )
    return apart, validation, tuple(notes)


def _groups_for(splitter: Splitter, series: np.ndarray | None) -> np.ndarray | None:
    """Returns the series where the splitter wants groups: one of scikit-learn's that says so, or any other.

    scikit-learn's splitters say through metadata routing whether they use groups; those that do not warn of them.
    """
    routing = getattr(splitter, "get_metadata_routing", None)
    if routing is None:
        return series
    if routing().split.requests.get("groups") is not True:
        return None
    if series is None:
        raise ValueError("`split` by groups needs a dataset with series, and this one has none. Use split=kfold.")
    return series
