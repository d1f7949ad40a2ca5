"""The processor as LLVM knows it, and whether the kernel can be used on this machine at all."""

import functools
import os
import re
from dataclasses import dataclass

from lstm_ae.models.kernel.spec import AVX2, AVX512_LARGE, AVX512_SMALL, Tile

NOT_INSTALLED = "llvmlite is not installed. Install it with `pip install 'lstm_ae[fast]'`."
OLDEST, NEWEST = (0, 46), (0, 50)  # versions of llvmlite on which the tests have run
#: `avx2` builds for AVX2 where the processor has AVX-512 too, to measure and test what a lesser one would run.
ISA_VARIABLE = "LSTM_AE_KERNEL_ISA"


@dataclass(frozen=True)
class Processor:
    """What code is compiled for.

    Attributes:
        name: LLVM's name of the processor.
        features: Its instruction sets, as LLVM writes them: `+avx2,-avx512f,...`.
    """

    name: str
    features: str

    def has(self, feature: str) -> bool:
        """Returns whether the processor has an instruction set."""
        return f"+{feature}" in self.features.split(",")

    def tile(self, hidden: int) -> Tile:
        """Returns the tiling that is the fastest for a layer of this many units."""
        if not self.has("avx512f"):
            return AVX2
        return AVX512_SMALL if hidden <= 32 else AVX512_LARGE


@functools.cache
def processor() -> Processor:
    """Returns the processor of this machine; needs llvmlite.

    Raises:
        RuntimeError: LLVM does not know it.
    """
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    if os.environ.get(ISA_VARIABLE) == "avx2":
        features.update({name: False for name in features if name.startswith(("avx512", "avx10"))})
    if features.get("avx512f"):
        features["prefer-256-bit"] = False  # LLVM's default for some processors; the kernel is faster without it
    return Processor(llvm.get_host_cpu_name(), features.flatten())


@functools.cache
def unavailable() -> str | None:
    """Returns why the kernel cannot be used in this process, with the cure; None where it can."""
    try:
        import llvmlite
        import llvmlite.binding
    except ModuleNotFoundError:
        return NOT_INSTALLED
    except (ImportError, OSError) as error:
        return f"llvmlite cannot be imported ({error}). Install it anew: `pip install --force-reinstall llvmlite`."
    numbers = re.match(r"(\d+)\.(\d+)", llvmlite.__version__)
    if numbers is None or not OLDEST <= (int(numbers[1]), int(numbers[2])) <= NEWEST:
        first, last = (".".join(map(str, version)) for version in (OLDEST, NEWEST))
        return f"llvmlite {llvmlite.__version__} is untested. Install a version from {first} to {last}."
    if os.environ.get(ISA_VARIABLE) not in (None, "", "avx2"):
        return f"{ISA_VARIABLE} must be `avx2` or unset, got `{os.environ[ISA_VARIABLE]}`."
    try:
        here = processor()
    except RuntimeError as error:
        return f"LLVM does not know this processor ({error})."
    if here.name in ("", "generic"):
        return "LLVM does not know this processor."
    if not (here.has("avx2") and here.has("fma")):
        return f"The processor `{here.name}` has no AVX2 with FMA, for which the kernel is written."
    return None
