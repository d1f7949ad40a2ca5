"""Where a run took place: what environment.json holds."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("lstm_ae", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pandas", "scikit-learn", "skfolio")


def describe(device: str, threads: int) -> dict[str, Any]:
    """Returns the code's commit, the packages' versions, the machine, the device and the threads of a run."""
    return {**_unchanging(), "device": _device_name(device), "threads": threads}


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
