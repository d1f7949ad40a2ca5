"""What is known of metrics by their names; needs no torch."""

import math

#: Metrics of which more is better. Of every other one less is.
HIGHER_IS_BETTER = frozenset({"accuracy", "direction_accuracy"})


def worst(name: str) -> float:
    """Returns the worst value of a metric, that of a run that diverged."""
    return -math.inf if name in HIGHER_IS_BETTER else math.inf
