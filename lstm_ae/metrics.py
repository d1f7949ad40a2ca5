"""The direction of a metric, as metrics.json records it; needs no torch."""

import math
from collections.abc import Mapping
from typing import Any


def higher_is_better(recorded: Mapping[str, Any], name: str) -> bool:
    """Says whether more of a metric is better.

    Args:
        recorded: What metrics.json holds.
        name: Of the metric, such as `loss` or `accuracy`; a metric that is not recorded is taken for an error.
    """
    about = recorded.get("metrics")
    one = about.get(name) if isinstance(about, Mapping) else None
    return isinstance(one, Mapping) and one.get("higher_is_better") is True


def worst(higher: bool) -> float:
    """Returns the worst value of a metric, that of a run that diverged.

    Args:
        higher: Whether more of it is better.
    """
    return -math.inf if higher else math.inf
