"""From IR to functions that Python can call."""

import ctypes
import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lstm_ae.models.kernel import cache
from lstm_ae.models.kernel.notices import warn_once
from lstm_ae.models.kernel.processor import processor
from lstm_ae.models.kernel.spec import Spec
from lstm_ae.models.kernel.threads import run_on_threads

#: Functions that take one tile; threads call their `_task`.
BY_TILE = ("forward", "forward_narrow", "backward")


class Kernel:
    """The compiled functions of one spec.

    Args:
        spec: What they are made for.
        code: The object file in which they are.

    Attributes:
        pack: See `weights.emit_pack`.
        unpack: See `weights.emit_unpack`.
    """

    def __init__(self, spec: Spec, code: bytes) -> None:
        self.spec = spec
        self._engine = load(code)
        address = self._engine.get_function_address
        self.pack = ctypes.CFUNCTYPE(None, *7 * [ctypes.c_void_p])(address("pack"))
        self.unpack = ctypes.CFUNCTYPE(None, *5 * [ctypes.c_void_p], ctypes.c_int64)(address("unpack"))
        self._tasks = {name: address(f"{name}_task") for name in BY_TILE}

    def run(self, name: str, tiles: int, *arguments: int) -> None:
        """Calls a function of `BY_TILE` for every tile, on as many of torch's threads as have one.

        Args:
            name: Which function.
            tiles: How many tiles there are.
            *arguments: Of the function (addresses and integers), but for its last two, the thread and the tile.
        """
        fields = (ctypes.c_int64 * (3 + len(arguments)))(0, 0, tiles, *arguments)  # see `tasks.emit_task`
        run_on_threads(self._tasks[name], ctypes.addressof(fields), self.threads(tiles))

    def threads(self, tiles: int) -> int:
        """Returns how many threads work on so many tiles."""
        return min(torch.get_num_threads(), tiles)


@functools.cache
def kernel_for(inputs: int, hidden: int, masked: bool) -> Kernel | None:
    """Returns the kernel of a layer's sizes, compiled or from the cache; None where LLVM fails, which is logged."""
    spec = Spec(inputs, hidden, masked, processor().tile(hidden))
    name = f"{_key(spec)}.o"
    try:
        code = cache.read(name)
        if code is None:
            code = compile_code(spec)
            cache.write(name, code)
        return Kernel(spec, code)
    except RuntimeError as error:
        warn_once(f"The LSTM kernel cannot be compiled ({error}): nn.LSTM is used instead.")
        return None


def compile_code(spec: Spec) -> bytes:
    """Returns an object file with all functions of a spec.

    Raises:
        RuntimeError: LLVM cannot compile them.
    """
    from llvmlite import binding as llvm
    from llvmlite import ir

    from lstm_ae.models.kernel.backward import Backward
    from lstm_ae.models.kernel.forward import Forward
    from lstm_ae.models.kernel.tasks import emit_task
    from lstm_ae.models.kernel.weights import emit_pack, emit_unpack

    module = ir.Module("lstm")
    module.triple = llvm.get_default_triple()
    emit_pack(module, spec)
    Forward(module, spec).emit()
    Forward(module, replace(spec, tile=spec.tile.narrow), "forward_narrow").emit()
    Backward(module, spec).emit()
    for name in BY_TILE:
        emit_task(module, name)
    emit_unpack(module, spec)
    return compile_module(module)


def compile_module(module: Any) -> bytes:
    """Returns an object file with the functions of an `ir.Module`, optimised for this processor.

    Raises:
        RuntimeError: LLVM cannot compile them.
    """
    from llvmlite import binding as llvm

    machine = _machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    code: bytes = machine.emit_object(parsed)
    return code


def load(code: bytes) -> Any:
    """Returns LLVM's engine with the functions of an object file, which must live as long as they are called."""
    from llvmlite import binding as llvm

    empty = llvm.parse_assembly(f'target triple = "{llvm.get_default_triple()}"')
    engine = llvm.create_mcjit_compiler(empty, _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _machine() -> Any:
    from llvmlite import binding as llvm

    here = processor()
    target = llvm.Target.from_triple(llvm.get_default_triple())
    return target.create_target_machine(cpu=here.name, features=here.features, opt=3, jit=True)


def _key(spec: Spec) -> str:
    """Returns what tells one compiled file from another: whatever its content depends on."""
    from llvmlite import __version__
    from llvmlite.binding import llvm_version_info

    what = repr((_sources(), __version__, llvm_version_info, processor(), spec))
    return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()


@functools.cache
def _sources() -> str:
    """Returns a checksum of this package's modules: changed code is never answered from the cache."""
    content = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.blake2b(content, digest_size=16).hexdigest()
