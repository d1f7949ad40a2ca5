"""What surrounds an optimizer's step: gradients as one tensor, and no import of torch's compiler."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

COMPILER = "torch._dynamo"


class Gradients:
    """The gradients of parameters as views of one tensor: clearing and clipping them is one operation each.

    Args:
        parameters: What is trained.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for parameter in parameters:
            if parameter.requires_grad:
                alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        self._flat = []
        for (device, dtype), group in alike.items():
            flat = torch.zeros(sum(parameter.numel() for parameter in group), device=device, dtype=dtype)
            for parameter, part in zip(group, torch.split(flat, [one.numel() for one in group]), strict=True):
                parameter.grad = part.view_as(parameter)  # backward adds to it in place
            self._flat.append(flat)

    def clear(self) -> None:
        """Sets all to zero."""
        for flat in self._flat:
            flat.zero_()

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Scales all so that their global norm is at most `largest` (Pascanu et al. 2013).

        Source: https://proceedings.mlr.press/v28/pascanu13.html
        """
        norms = [flat.norm() for flat in self._flat]
        norm = norms[0] if len(norms) == 1 else torch.stack([one.to(norms[0].device) for one in norms]).norm()
        scale = (largest / (norm + 1e-6)).clamp(max=1.0)
        for flat in self._flat:
            flat.mul_(scale.to(flat.device))


@contextmanager
def without_compiler() -> Iterator[None]:
    """Has torch's optimizers leave the compiler alone, as long as nothing else has imported it.

    The first optimizer of a process imports `torch._dynamo`, which takes as long as torch itself, for two functions
    that do nothing outside of compiled code.

    Only calls of optimizers and schedulers belong into it, no code of models. What asks the stand-in for more than
    these two functions gets the compiler.
    """
    if COMPILER in sys.modules:
        yield
        return
    sys.modules[COMPILER] = stand_in = _NoCompiler(COMPILER)
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


class _NoCompiler(ModuleType):
    """What optimizers use of the compiler, where nothing is compiled."""

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Ends a compiled graph: there is none."""

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, **_: Any) -> Callable[..., Any]:
        """Returns the function, as it is not compiled."""
        return function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(COMPILER, None)
        return getattr(importlib.import_module(COMPILER), name)
