"""Where a run took place: what environment.json holds."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lstm_ae.models.kernel import unavailable
from lstm_ae.trainer import Trainer

PACKAGES = (
    "lstm_ae",
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "numpy",
    "pandas",
    "scikit-learn",
    "skfolio",
    "llvmlite",
)


PYTORCH = "nn.LSTM"
#: What cannot change a number: it reads run directories, or talks to the user.
NO_NUMBERS = ("compare", "plots.py", "drawing.py", "cli.py", "terminal.py", "checks.py")


def describe(trainer: Trainer, code: str) -> dict[str, Any]:
    """Returns the code's commit, the packages' versions, the machine, the device, threads and kernel of a run."""
    device = trainer.device
    return {
        **_unchanging(),
        "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device,
        "threads": trainer.threads,
        "kernel": kernel(trainer),
        "code": code,
    }


def kernel(trainer: Trainer) -> str:
    """Returns what computes LSTM layers: the kernel with its compiler and processor, or PyTorch with the reason."""
    if trainer.kernel is False:
        return f"{PYTORCH}: trainer.kernel=false"
    if not trainer.device.startswith("cpu"):
        return f"{PYTORCH}: on {trainer.device}"
    reason = unavailable()
    if reason is not None:
        return f"{PYTORCH}: {reason}"
    from lstm_ae.models.kernel.processor import processor

    return f"llvmlite {_version('llvmlite')} on {processor().name}"


def keep_kernel(trainer: Trainer, before: str | None) -> str | None:
    """Has a resumed run go on with the kernel, or without it, as it began.

    Args:
        trainer: Its `kernel` is set.
        before: What `kernel` returned when the run began; None where it does not say.

    Returns:
        What to warn of: the last digits will differ from those of an undisturbed run.
    """
    if before is None:
        return None
    if before.startswith(PYTORCH):
        trainer.kernel = False
        return None
    trainer.kernel = None if trainer.kernel is False else trainer.kernel
    now = kernel(trainer)
    return (
        None if now == before else f"The run began with another LSTM kernel ({before}, now {now}): last digits differ"
    )


def code_hash(modules: Iterable[str]) -> str:
    """Returns a hash of the code that makes the numbers: this package's, and the files of other modules.

    Args:
        modules: Where a job's components come from.
    """
    names = [name for name in modules if not name.startswith("lstm_ae.")]
    files = {getattr(sys.modules.get(name), "__file__", None) for name in names}
    own = [
        path for path in files if path and "site-packages" not in path and Path(path).is_file()
    ]  # a notebook has none
    digest = hashlib.blake2b(_package_hash().encode(), digest_size=16)
    for path in sorted(own):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


@functools.cache
def _package_hash() -> str:
    digest, package = hashlib.blake2b(digest_size=16), Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in NO_NUMBERS:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _unchanging() -> dict[str, Any]:
    root = Path(__file__).parents[2]
    commit = _git("rev-parse", "HEAD", cwd=root)
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(_git("status", "--porcelain", cwd=root)),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cores": os.cpu_count(),
    }


def _git(*arguments: str, cwd: Path) -> str | None:
    """Returns what git prints, None where there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
