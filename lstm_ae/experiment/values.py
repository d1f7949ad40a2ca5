"""Checks the values of a configuration's groups against what their components declare; knows no hydra."""

import contextlib
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from lstm_ae import checks
from lstm_ae.checks import Bounds, Component, ConfigError, Count, NotNegative, Seed, Share, WholeNumber

Find = Callable[[str], Any]  # from a dotted name to what it names

#: What Hydra reads of a node itself.
OF_HYDRA = {"_partial_": bool, "_recursive_": bool, "_convert_": Literal["none", "partial", "object", "all"]}
#: What libraries do not declare of their parameters.
OF_LIBRARIES: dict[str, dict[str, Any]] = {
    "torch": {
        **dict.fromkeys(("lr", "max_lr", "min_lr", "eta_min", "factor", "gamma", "weight_decay", "eps"), NotNegative),
        **dict.fromkeys(("momentum", "dampening"), Annotated[float, Bounds(at_least=0, below=1)]),
        **dict.fromkeys(("T_max", "T_0", "step_size"), Count),
        **dict.fromkeys(("patience", "cooldown", "total_iters"), WholeNumber),
    },
    "sklearn": {
        "n_splits": Count,
        "random_state": Seed | None,
        "shuffle": bool,
        **dict.fromkeys(("test_size", "train_size"), Share | Count | None),
    },
}


def check(key: str, target: Callable[..., Any], values: Mapping[str, Any], known: set[str], find: Find) -> None:
    """Refuses values that a component has no parameter for, or that do not fit what it declares.

    Args:
        key: The key of its node, such as `model`.
        target: What builds it.
        values: By parameter; a mapping with a `_target_` is another component, and its values are checked too.
        known: The parameters that the job gives it.
        find: Imports what a `_target_` names.

    Raises:
        ConfigError: such a value; the text names its key.
    """
    parameters = inspect.signature(target).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    hints = checks.hints(target)
    libraries = OF_LIBRARIES.get(str(getattr(target, "__module__", "")).partition(".")[0], {})
    for name, value in values.items():
        if name not in parameters and not open_ended:
            free = [one for one in parameters if one not in known]
            near = difflib.get_close_matches(name, free, n=1)
            cure = f"Did you mean {key}.{near[0]}?" if near else f"Use some of: {', '.join(free)}."
            raise ConfigError(f"`{key}.{name}` is no parameter of {target.__qualname__}, got {value!r}. {cure}")
        if value == "":
            raise ConfigError(f"`{key}.{name}` must not be empty. Use {key}.{name}=null where it may be left out.")
        plain = _without_components(f"{key}.{name}", value, find)
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        for hint in (hints.get(name), libraries.get(name)):
            if hint is not None:
                checks.check(f"{key}.{name}", plain, hint, default)


def _without_components(key: str, value: Any, find: Find) -> Any:
    """Returns a value with a stand-in for each component, after checking that component's own values."""
    if isinstance(value, list):
        return [_without_components(key, one, find) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "_target_" not in value:
        return {name: _without_components(f"{key}.{name}", one, find) for name, one in value.items()}
    target = find_target(key, value, find)
    own = {name: one for name, one in value.items() if not str(name).startswith("_")}
    check(key, target, own, set(), find)
    return Component()


def find_target(key: str, node: Mapping[str, Any], find: Find) -> Any:
    """Returns what builds the component of a node.

    Raises:
        ConfigError: it cannot be imported.
    """
    for word, hint in OF_HYDRA.items():
        if word in node:
            checks.check(f"{key}.{word}", node[word], hint)
    name = node["_target_"]
    try:
        target = find(name)
        inspect.signature(target)
    except Exception as error:  # importing a module of the user's own may raise anything
        raise ConfigError(
            f"`{key}._target_` must name a class or a function that can be imported, got {name}: {error}"
        ) from error
    return target


@contextlib.contextmanager
def blaming(key: str, factory: Callable[..., Any], also: Sequence[str] = ()) -> Iterator[None]:
    """Names the key that an error of a component speaks of, or all that the component was given.

    Args:
        key: The key of its node, such as `model`.
        factory: What makes it.
        also: Other keys that an error may begin with.

    Raises:
        ConfigError: the block raises.

    Example:
        >>> with blaming("split", functools.partial(int, base=1)):
        ...     raise ValueError("base must be >= 2")
        Traceback (most recent call last):
        lstm_ae.checks.ConfigError: `split.base` (builtins.int): base must be >= 2
    """
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ConfigError(_blamed(key, factory, text, also)) from error


def _blamed(key: str, factory: Callable[..., Any], text: str, also: Sequence[str]) -> str:
    begins = re.match(r"`(\w+)", text)
    if begins is not None:
        own = keyed(key, factory, text)
        return own if own != text or begins[1] in also else f"In `{key}` ({named(factory)}): {text}"
    given = factory.keywords if isinstance(factory, functools.partial) else {}
    spoken = [name for name in given if re.search(rf"\b{re.escape(name)}\b", text)]
    keys = ", ".join(f"`{key}.{name}`" for name in spoken or given) or f"`{key}`"
    return f"{keys} ({named(factory)}): {text}"


def keyed(key: str, factory: Callable[..., Any], text: str) -> str:
    """Returns an error message that begins with the name of an argument, with its key in place of the name."""
    found = re.match(r"`(\w+)`", text)
    known = found is not None and found[1] in inspect.signature(factory).parameters
    return f"`{key}.{text[1:]}" if known else text


def target_of(factory: Any) -> Any:
    """Returns the class or function that a factory calls."""
    return factory.func if isinstance(factory, functools.partial) else factory


def named(factory: Callable[..., Any]) -> str:
    """Returns the dotted name of what a factory makes."""
    target = target_of(factory)
    return f"{target.__module__}.{getattr(target, '__qualname__', type(target).__name__)}"
