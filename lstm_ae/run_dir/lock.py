"""One process at a time writes in a run directory, and nowhere else."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lstm_ae import files

WRITTEN_INTO = ("run.log", "figures", ".hydra")  # by name, in place: a link there would lead out of the directory

log = logging.getLogger("lstm_ae")


class RunDirError(Exception):
    """The directory contains another run, or another process writes to it; nothing was changed."""


class HeldError(RunDirError):
    """Another process writes to the directory."""


@contextmanager
def locked(folder: Path, status: Callable[[], Mapping[str, Any]], key: str, timeout: float) -> Iterator[None]:
    """Locks a directory for this process, and sweeps what killed processes left there.

    Args:
        folder: The directory; it is made if missing.
        status: Returns the content of its status.json, which names the owner.
        key: The setting that names the directory, for the error.
        timeout: How long to wait for a process that holds it, seconds; -1: until it ends.

    Raises:
        HeldError: another process holds the lock.
        RunDirError: links lead out of the directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN_INTO:
        if (folder / name).is_symlink():
            raise RunDirError(f"{folder / name} is a link, and a run writes in its own directory only. Remove it.")
    lock = FileLock(folder / ".lock")
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if timeout:
                log.warning("Another process%s is writing in %s: waiting for it", _owner(status()), folder)
            lock.acquire(timeout=timeout)
    except Timeout:
        raise HeldError(
            f"`{key}` must be free, and another process{_owner(status())} is writing in {folder}. "
            "Wait for it, or name another directory."
        ) from None
    except OSError as error:
        raise RunDirError(f"{folder / '.lock'} must be a regular file: {error.strerror}. Remove it.") from None
    try:
        files.sweep(folder)
        yield
    finally:
        lock.release()


def _owner(status: Mapping[str, Any]) -> str:
    return f" (process {status['pid']} on {status['host']})" if {"pid", "host"} <= status.keys() else ""
