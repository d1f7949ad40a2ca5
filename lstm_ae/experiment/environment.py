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

PACKAGES = ("lstm_ae", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pandas", "scikit-learn", "skfolio")


#: What cannot change a number: it reads run directories, or talks to the user.
NO_NUMBERS = ("compare", "plots.py", "drawing.py", "cli.py", "terminal.py", "checks.py")


def describe(device: str, threads: int, code: str) -> dict[str, Any]:
    """Returns the code's commit, the packages' versions, the machine, the device and the threads of a run."""
    return {**_unchanging(), "device": _device_name(device), "threads": threads, "code": code}


def code_hash(modules: Iterable[str]) -> str:
    """Returns a hash of the code that makes the numbers: this package's, and the files of other modules.

    Args:
        modules: Where a job's components come from.
    """
    files = {sys.modules[name].__file__ for name in modules if not name.startswith("lstm_ae.") and name in sys.modules}
    own = [path for path in files if path and "site-packages" not in path]
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


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


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
