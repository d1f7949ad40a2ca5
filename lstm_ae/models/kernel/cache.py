"""Compiled code on disk, so that a size is compiled once a machine and not once a process.

A file is a line with the checksum of what follows, then the code. Files are written under another name and renamed:
two processes may write the same one, and a reader sees a whole file or none. A file with a wrong checksum is ignored
and written anew.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from lstm_ae.models.kernel.notices import warn_once

FOLDER_VARIABLE = "LSTM_AE_KERNEL_CACHE"


def folder() -> Path:
    """Returns where compiled code is kept.

    Raises:
        RuntimeError: the user has no home directory.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lstm_ae" / "kernel"


def read(name: str) -> bytes | None:
    """Returns the code that was written under a name, None where there is none or it is damaged."""
    try:
        content = (folder() / name).read_bytes()
    except (OSError, RuntimeError):
        return None
    checksum, _, code = content.partition(b"\n")
    return code if code and checksum == _checksum(code) else None


def write(name: str, code: bytes) -> None:
    """Writes code under a name. Where that is impossible, it logs so once: nothing but time is lost."""
    try:
        where = folder()
        where.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=where)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_checksum(code) + b"\n" + code)
            Path(temporary).replace(where / name)
        except OSError:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except (OSError, RuntimeError) as error:
        warn_once(
            f"The LSTM kernel's cache cannot be written ({error}): every process compiles it anew, about a second for "
            f"each size of a layer. Set {FOLDER_VARIABLE} to a folder that can be written."
        )


def _checksum(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=32).hexdigest().encode()
