"""Argument checks. Each error names the argument, the rule, the value and the cure."""


class ConfigError(ValueError):
    """A value of the configuration cannot be used; the text names its key, the rule, the value and the cure."""


def at_least(name: str, value: float, lowest: float, cure: str = "") -> None:
    """Raises a ValueError unless `value` is at least `lowest`."""
    if not value >= lowest:
        raise ValueError(f"`{name}` must be at least {lowest}, got {value}. {cure or f'Use {name}={lowest} or more.'}")


def above(name: str, value: float, bound: float, cure: str) -> None:
    """Raises a ValueError unless `value` is above `bound` and finite."""
    if not bound < value < float("inf"):
        raise ValueError(f"`{name}` must be a finite number above {bound}, got {value}. {cure}")


def share(name: str, value: float) -> None:
    """Raises a ValueError unless `value` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1, got {value}. Use a share such as {name}=0.2.")


def dropout(value: float) -> None:
    """Raises a ValueError unless `value` is a share of values to drop."""
    if not 0 <= value < 1:
        raise ValueError(f"`dropout` must lie in [0, 1), got {value}. Use dropout=0 for none.")


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}. Use {name}={choices[0]}.")
