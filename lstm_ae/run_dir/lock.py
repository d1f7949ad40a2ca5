"""One process at a time writes in a run directory, and nowhere else."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lstm_ae import files
from lstm_ae.run_dir.names import STATUS

#: What a run writes into, by name and in place: a link there would lead out of the directory, a pipe would hang.
WRITTEN_INTO: Mapping[str, Callable[[Path], bool]] = {
    "run.log": Path.is_file, ".lock": Path.is_file, "figures": Path.is_dir, ".hydra": Path.is_dir
}  # fmt: skip

log = logging.getLogger("lstm_ae")


class RunDirError(Exception):
    """The directory contains another run, or another process writes to it; nothing was changed."""


class HeldError(RunDirError):
    """Another process writes to the directory.

    Args:
        text: The message.
        owner: The process and its host in parentheses, after a space; empty if unknown.
    """

    def __init__(self, text: str, owner: str = "") -> None:
        super().__init__(text)
        self.owner = owner


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
    if not (folder / STATUS).exists():  # Hydra may have made the folder, and flushed nothing
        files.make_folder(folder)
    for path, fits in ((folder / name, fits) for name, fits in WRITTEN_INTO.items()):
        if path.is_symlink():
            raise RunDirError(f"{path} is a link, and a run writes in its own directory only. Remove it.")
        if path.exists() and not fits(path):
            raise RunDirError(f"{path} must be a {'file' if fits is Path.is_file else 'folder'}. Remove it.")
    lock = FileLock(folder / ".lock")
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if timeout:
                log.warning("Another process%s is writing in %s: waiting for it", _owner(status()), folder)
            lock.acquire(timeout=timeout)
    except Timeout:
        owner = _owner(status())
        text = f"`{key}` must be free, and another process{owner} is writing in {folder}. "
        raise HeldError(f"{text}Wait for it, or name another directory.", owner) from None
    except OSError as error:
        raise RunDirError(f"{folder / '.lock'} cannot be locked: {error.strerror}. Remove it.") from None
    try:
        for name in ("", "figures", ".hydra"):
            files.sweep(folder / name)
        yield
    finally:
        lock.release()


def _owner(status: Mapping[str, Any]) -> str:
    return f" (process {status['pid']} on {status['host']})" if {"pid", "host"} <= status.keys() else ""
