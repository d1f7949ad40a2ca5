"""The direction of a metric, as metrics.json records it, and how its values are shown; needs no torch."""

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


def text(value: Any, column: str = "") -> str:
    """Formats a value, everywhere: a number to four digits, nothing for a missing one, a `_target_` by its last part.

    Example:
        >>> text(0.000166666), text(16.0), text(math.nan), text("torch.optim.Adam", "optimizer._target_")
        ('0.0001667', '16', '', 'Adam')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value).rsplit(".", 1)[-1] if column.endswith("_target_") else str(value)
