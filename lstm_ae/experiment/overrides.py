"""Overrides, parsed once, as Hydra's objects."""

import functools

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from lstm_ae.checks import ConfigError

Overrides = tuple[Override, ...]
GROUPS = ("dataset", "split", "task", "model", "optimizer", "scheduler", "trainer")
MAX_CACHED = 4096  # the jobs of a sweep repeat few overrides


@functools.lru_cache(MAX_CACHED)
def _parsed(line: str) -> Override:
    (found,) = OverridesParser.create().parse_overrides([line])
    return found


def parse(*lines: str) -> Overrides:
    """Returns the overrides of lines such as `optimizer.lr=0.1`.

    Raises:
        OverrideParseException: a line is none.
    """
    return tuple(_parsed(line) for line in lines)


def split(text: str) -> Overrides:
    """Returns the overrides of a text that holds several; only spaces that Hydra reads as part of a value are kept.

    Raises:
        OverrideParseException: the text, or its end, is no override.

    Example:
        >>> lines(split("optimizer.lr=0.1 dataset.path='my prices.csv'"))
        ['optimizer.lr=0.1', "dataset.path='my prices.csv'"]
    """
    found, rest = list[Override](), ""
    for word in text.split(" "):
        rest = f"{rest} {word}" if rest else word
        try:
            found += parse(rest)
            rest = ""
        except OverrideParseException:  # a quote or a bracket is open
            continue
    return (*found, *parse(*[rest] * bool(rest)))


def check_groups(overrides: Overrides) -> None:
    """Refuses a group without an option, which Hydra refuses without its name.

    Raises:
        ConfigError: there is one; the text names it.
    """
    for one in overrides:
        if one.key_or_group in GROUPS and one.value() is None and not one.is_delete():
            raise ConfigError(f"`{one.key_or_group}` must choose an option, got null. Use {one.key_or_group}=OPTION.")


def lines(overrides: Overrides) -> list[str]:
    """Returns overrides as they were typed."""
    return [str(override.input_line) for override in overrides]
