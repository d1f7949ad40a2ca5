"""Whole files: a write is complete on the disk or did not happen, a read is of a regular file of bounded size.

All writes of run directories go through `DISK`, so that a test can let the n-th operation fail.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEXT_BYTES = 16_000_000  # no run writes a larger JSON or CSV file
BINARY_BYTES = 8 << 30
ARRAY_BYTES = 1 << 30  # of samples, scales and thresholds, packed or unpacked
LEVELS = 3  # of folders that a run may make: its own, its date's or sweep's, and `multirun`
END_OF_ZIP = b"PK\x05\x06"
END_BYTES = 22  # of a zip without a comment; the last two are the comment's length


class DamagedError(ValueError):
    """A file is not what was written there; the text names the file and the cure."""

    def __init__(self, path: str | Path, reason: str, cure: str = "") -> None:
        super().__init__(f"{path} {reason}. {cure or 'Restore it from a copy, or run it again in another directory.'}")


class MissingError(DamagedError, FileNotFoundError):
    """A file that should be there is not."""


class Disk:
    """The operations on the disk, in the order in which `replacing` needs them."""

    def write(self, path: Path, content: bytes | memoryview) -> None:
        """Writes a new file."""
        path.write_bytes(content)

    def sync(self, path: Path) -> None:
        """Has what was written of a file, or the names in a folder, survive a power cut."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        """Replaces a file."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Removes a file if it exists."""
        path.unlink(missing_ok=True)


DISK = Disk()


def write(path: Path, content: bytes | memoryview) -> None:
    """Writes a whole file.

    Raises:
        OSError: it cannot be written; the error has its name, and the old file is unchanged.
    """
    with replacing(path) as temporary:
        try:
            DISK.write(temporary, content)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path that replaces the file on success and is removed on failure.

    The file is flushed before it gets its name, and its folder after.
    """
    if not path.parent.is_dir():
        make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    try:
        yield temporary
        DISK.sync(temporary)
        DISK.rename(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here says more
            DISK.remove(temporary)
        raise


def make_folder(path: Path) -> None:
    """Makes a folder. It, its date and `multirun` have their names on the disk when this returns."""
    path.mkdir(parents=True, exist_ok=True)
    for folder in path.absolute().parents[:LEVELS]:
        with contextlib.suppress(PermissionError):  # a folder above may not be readable
            _sync_folder(folder)


def _sync_folder(path: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        DISK.sync(path)


def sweep(folder: Path) -> None:
    """Removes the temporary files that killed processes left in a folder that this process has locked."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            name, _, pid = entry.name.rpartition(".")
            if name.startswith(".") and pid.isdecimal() and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)  # noqa: PTH108


def read(path: Path, limit: int = BINARY_BYTES) -> bytes:
    """Returns the content of a regular file.

    Raises:
        MissingError: there is none.
        DamagedError: it is a link, a folder or a pipe, is larger than `limit` bytes, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)  # without waiting for a pipe's writer
    except FileNotFoundError:
        raise MissingError(path, "is missing") from None
    except OSError as error:
        reason = "is a link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise DamagedError(path, reason) from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError(path, "is not a regular file")
        if found.st_size > limit:
            raise DamagedError(path, f"has {found.st_size} bytes, and no run writes more than {limit} there")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(limit + 1)
    except OSError as error:
        raise DamagedError(path, f"cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)


def digest(content: bytes | memoryview) -> str:
    """Returns the SHA-256 of a content, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sealed(content: bytes | memoryview, run: str) -> bytes:
    """Returns a zip file with a comment that names its run and the digest of all before it.

    `torch.save` and `numpy.savez` write zips; both read a file with a comment as one without.

    Args:
        content: The zip, without a comment.
        run: The run's signature.
    """
    seal = json.dumps({"run": run, "sha256": digest(content)}).encode()
    return bytes(content[:-2]) + len(seal).to_bytes(2, "little") + seal


def sealed_run(path: Path, content: bytes) -> str | None:
    """Returns the signature in a sealed file; None if it has no seal.

    Raises:
        DamagedError: the content is not what was sealed.
    """
    start = content.rfind(END_OF_ZIP)
    if start < 0 or len(content) < start + END_BYTES:
        raise DamagedError(path, "is empty, cut off or no file of PyTorch")
    body, seal = content[: start + END_BYTES], content[start + END_BYTES :]
    if not seal and body.endswith(b"\0\0"):
        return None
    try:
        known = json.loads(seal)
        whole = digest(body[:-2] + b"\0\0") == known["sha256"] and len(seal) == int.from_bytes(body[-2:], "little")
        run = str(known["run"])
    except (ValueError, TypeError, LookupError):
        whole, run = False, ""
    if not whole:
        raise DamagedError(path, "is damaged: its content does not have the digest that was written with it")
    return run
