"""Argument checks. Each error names the argument, the rule, the value and the cure.

What an argument may be stands in its annotation, as a type and `Bounds`: `epochs: Count`. `checked` reads it there when
a component is built, and the configuration's check reads it before, with the key in place of the argument's name.
"""

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

MOST_COUNTED = 2**31 - 1
LONGEST = 2**63  # of a whole number
MOST_UNITS = 8192  # of a layer: an LSTM of so many has 2 GB of weights; and the most steps ahead
MOST_VALUES = 500_000_000  # of a dataset that is generated: 2 GB
SEED_BOUND = 2**32  # of numpy and scikit-learn


class ConfigError(ValueError):
    """A value of the configuration cannot be used; the text names its key, the rule, the value and the cure."""


@dataclass(frozen=True)
class Bounds:
    """Of a number: `Annotated[int, Bounds(at_least=1)]`.

    Attributes:
        at_least: The lowest value.
        at_most: The highest value.
        above: All values are above it.
        below: All values are below it.
        cure: What to do instead; `{name}` stands for the argument.
    """

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    cure: str = ""

    def broken(self, value: Any) -> "Misfit | None":
        """Returns the rule that a number breaks."""
        if value < self.at_least:
            return Misfit(f"be at least {self.at_least}", self.cure or f"Use {{name}}={self.at_least} or more.")
        if value > self.at_most:
            return Misfit(f"be at most {self.at_most}", self.cure or f"Use {{name}}={self.at_most} or less.")
        if math.isfinite(self.above) and math.isfinite(self.below):
            rule = f"lie between {self.above} and {self.below}"
            return None if self.above < value < self.below else Misfit(rule, self.cure)
        if value <= self.above:
            return Misfit(f"be a finite number above {self.above}", self.cure)
        return Misfit(f"be below {self.below}", self.cure) if value >= self.below else None


@dataclass(frozen=True)
class Misfit:
    """Why a value does not fit an annotation.

    Attributes:
        rule: What it must do: "be at least 1"; empty: have another type.
        cure: What to do instead; `{name}` stands for the argument.
    """

    rule: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Length:
    """Of a list: `Annotated[Sequence[int], Length(2)]`."""

    exactly: int

    def broken(self, value: Any) -> Misfit | None:
        """Returns the rule that a list breaks."""
        return None if len(value) == self.exactly else Misfit(f"hold {self.exactly} values each")


@dataclass(frozen=True)
class Cure:
    """What to do instead of a value of another type: `Annotated[list[int], Cure("Use {name}=[1,2].")]`."""

    text: str


Count = Annotated[int, Bounds(at_least=1, at_most=MOST_COUNTED)]
WholeNumber = Annotated[int, Bounds(at_least=0, at_most=MOST_COUNTED)]
Units = Annotated[int, Bounds(at_least=1, at_most=MOST_UNITS)]
Seed = Annotated[int, Bounds(at_least=0, at_most=SEED_BOUND - 1, cure="Use {name}=0.")]
Share = Annotated[float, Bounds(above=0, below=1, cure="Use a share such as {name}=0.2.")]
Dominance = Annotated[float, Bounds(at_least=0, at_most=1, cure="Use {name}=0.5 for equal weights.")]
Dropped = Annotated[float, Bounds(at_least=0, below=1, cure="Use {name}=0 for none.")]
Degrees = Annotated[float, Bounds(at_least=0, at_most=180)]
Layers = Annotated[int, Bounds(at_least=1, at_most=64)]
NotNegative = Annotated[float, Bounds(at_least=0)]


class Component:
    """Stands in a value for a part that is built from the configuration: it may be anything."""


def misfit(value: Any, hint: Any) -> Misfit | None:
    """Returns why a value does not fit an annotation; None where it fits, or the annotation is not one of plain values.

    Stricter than Python: True is no number, and a number is finite.

    Example:
        >>> misfit([[4, 10], [2.5, 10]], list[tuple[Count, Count]])
        Misfit(rule='', cure='')
        >>> misfit(0, Count | None)
        Misfit(rule='be at least 1', cure='Use {name}=1 or more.')
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Component):
        return None
    if origin is Annotated:
        found = misfit(value, inner[0])
        cures = [one.text for one in inner[1:] if isinstance(one, Cure)]
        if found is not None:
            return Misfit(found.rule, cures[0]) if cures else found
        rules = [one for one in inner[1:] if isinstance(one, Bounds | Length)]
        return next((broken for one in rules if (broken := one.broken(value))), None)
    if origin in (Union, types.UnionType):
        misfits = [misfit(value, one) for one in inner]
        return None if None in misfits else max(filter(None, misfits), key=lambda one: (len(one.rule), len(one.cure)))
    if origin is Literal:
        names = ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in inner)
        known = any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in inner)
        return None if known else Misfit(f"be one of {names}" if len(inner) > 1 else "", f"Use {{name}}={inner[0]}.")
    if origin in (list, tuple, Sequence, AbstractSet, set, frozenset):
        return _misfit_of_list(value, origin, inner)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return Misfit()
        return next((found for one in value.values() if (found := misfit(one, inner[1]))), None)
    if origin is Callable or hint is Callable:
        return None if callable(value) else Misfit()
    return _misfit_of_plain(value, hint)


def _misfit_of_list(value: Any, origin: Any, inner: tuple[Any, ...]) -> Misfit | None:
    if not isinstance(value, list | tuple | AbstractSet if origin is not Sequence else Sequence | AbstractSet):
        return Misfit()
    if isinstance(value, str):
        return Misfit()
    if origin is tuple and Ellipsis not in inner:
        if len(value) != len(inner):
            return Misfit()
        pairs = zip(value, inner, strict=True)
    else:
        pairs = zip(value, inner[:1] * len(value), strict=True)
    return next((found for one, hint in pairs if (found := misfit(one, hint))), None)


def _misfit_of_plain(value: Any, hint: Any) -> Misfit | None:
    if hint is float:
        if not isinstance(value, Real) or isinstance(value, bool):
            return Misfit()
        if isinstance(value, Integral):  # PyTorch multiplies tensors by no longer ones
            return None if abs(int(value)) < LONGEST else Misfit(f"be below {LONGEST}, or have a decimal point")
        return None if math.isfinite(value) else Misfit("be a finite number")
    if hint is int:
        return None if isinstance(value, Integral) and not isinstance(value, bool) else Misfit()
    if hint is None:
        return None if value is None else Misfit()
    if isinstance(hint, type) and hint is not Any:
        return None if isinstance(value, hint) else Misfit()
    return None


def check(name: str, value: Any, hint: Any, default: Any = None) -> None:
    """Refuses a value that does not fit an annotation.

    Args:
        name: What the error calls it: an argument, or the key of a configuration.
        value: The value.
        hint: The annotation.
        default: What the argument is if it is not given; None: nothing that helps.

    Raises:
        ConfigError: it does not fit.
    """
    found = misfit(value, hint)
    if found is None:
        return
    none = default is None or default is inspect.Parameter.empty
    cure = found.cure.format(name=name) or ("Give one such value." if none else f"Its default is {default!r}.")
    raise ConfigError(f"`{name}` must {found.rule or f'be of type {_shown(hint)}'}, got {value!r}. {cure}")


def _shown(hint: Any) -> str:
    """Returns an annotation as an error shows it, without its bounds."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        return _shown(inner[0])
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " | ".join(_shown(one) for one in inner)
    if typing.get_origin(hint) in (list, tuple, Sequence):
        return f"{typing.get_origin(hint).__name__}[{', '.join(_shown(one) for one in inner)}]"
    if hint is type(None):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not inner else str(hint).replace("typing.", "")


def hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Returns the annotations of what a component is built with, with their bounds."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return {}


def checked(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Has a function refuse arguments that do not fit their annotations.

    Raises:
        ConfigError: on a call with such an argument.
    """
    signature = inspect.signature(function)
    known = functools.cache(lambda: hints(function))

    @functools.wraps(function)
    def call(*given: Arguments.args, **named: Arguments.kwargs) -> Returned:
        for name, value in signature.bind(*given, **named).arguments.items():
            parameter = signature.parameters[name]
            if name in known() and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                check(name, value, known()[name], parameter.default)
        return function(*given, **named)

    return call


def at_least(name: str, value: float, lowest: float, cure: str = "") -> None:
    """Raises a ConfigError unless `value` is at least `lowest`."""
    check(name, value, Annotated[float, Bounds(at_least=lowest, cure=cure)])


def above(name: str, value: float, bound: float, cure: str) -> None:
    """Raises a ConfigError unless `value` is above `bound` and finite."""
    check(name, value, Annotated[float, Bounds(above=bound, cure=cure)])


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}. Use {name}={choices[0]}.")
