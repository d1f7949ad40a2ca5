"""A disk whose n-th operation goes wrong, and commands that run on one.

python -m tests.faulty '{"at": 3, "fault": "torn", "root": "FOLDER"}' OVERRIDE...
"""

import errno
import itertools
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lstm_ae import files

TINY = (
    "experiment=toy_reconstruction", "dataset.sequences=20", "dataset.length=36", "model.hidden_size=2",
    "trainer.epochs=2", "trainer.batch_size=16", "trainer.threads=1", "figures=false", "hydra.launcher.n_jobs=1",
)  # fmt: skip
TEMPORARY = r"^\.(.*)\.\d+$"
FAULTS = ("full", "torn", "killed", "killed after", "power lost", "power kept")


class Faulty(files.Disk):
    """A disk whose n-th operation goes wrong; nothing is really flushed.

    Faults: `full`, there is no space, before the operation; `torn`, half of a write, then a kill; `killed`, before it;
    `killed after` it; `power lost`, a power cut after it, with nothing but what was flushed there afterwards; `power
    kept`, the same, but the names of files are there, and only contents that were not flushed are lost.

    Args:
        root: The folder to watch; all in it now is flushed.
        at: Which operation, from 0; -1: none.
        fault: What goes wrong.
        kill: Called at a kill.
    """

    def __init__(self, root: Path, at: int = -1, fault: str = "", kill: Callable[[], None] = lambda: None) -> None:
        self.root, self.at, self.fault, self.kill = root, at, fault, kill
        self.done: list[str] = []  # the operations so far
        self._numbers = itertools.count()
        self._ids: dict[Path, int] = {}  # of the files written here
        self._flushed: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int | None]] = {}  # flushed, of each folder
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                self._ids[path] = next(self._numbers)
                self._flushed[self._ids[path]] = path.read_bytes()
            self._flush_names(Path(folder))

    def write(self, path: Path, content: bytes | memoryview) -> None:
        half = content[: len(content) // 2]
        self._do("write", path, lambda: self._write(path, content), lambda: self._write(path, half))

    def sync(self, path: Path) -> None:
        self._do("sync", path, lambda: self._sync(path))

    def rename(self, old: Path, new: Path) -> None:
        def move() -> None:
            super(Faulty, self).rename(old, new)
            self._ids[new] = self._ids.pop(old)

        self._do("rename", new, move)

    def remove(self, path: Path) -> None:
        def drop() -> None:
            super(Faulty, self).remove(path)
            self._ids.pop(path, None)

        self._do("remove", path, drop)

    def _do(
        self, name: str, path: Path, operation: Callable[[], None], half: Callable[[], None] = lambda: None
    ) -> None:
        hit = len(self.done) == self.at
        final = re.sub(TEMPORARY, r"\1", path.name)
        self.done.append(f"{name} {path.parent / final}")
        if hit and self.fault == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if hit and self.fault == "torn":
            half()
        if not hit or self.fault not in ("torn", "killed"):
            operation()
        if hit:
            if self.fault.startswith("power"):
                self.cut()
            self.kill()

    def _write(self, path: Path, content: bytes | memoryview) -> None:
        super().write(path, content)
        self._ids[path] = next(self._numbers)

    def _sync(self, path: Path) -> None:
        if self.root not in (path, *path.parents):
            return
        if path.is_dir():
            self._flush_names(path)
        else:
            self._flushed[self._ids[path]] = path.read_bytes()

    def _flush_names(self, folder: Path) -> None:
        self._names[folder] = {entry.name: self._ids.get(folder / entry.name) for entry in os.scandir(folder)}

    def cut(self) -> None:
        """Leaves on the disk what a power cut leaves."""
        if self.fault == "power lost":
            self._restore(self.root)
        else:
            for path, number in self._ids.items():
                if path.exists():
                    path.write_bytes(self._flushed.get(number, b""))

    def _restore(self, folder: Path) -> None:
        names = self._names.get(folder, {})
        for path in list(folder.iterdir()):
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, number in names.items():
            path = folder / name
            if path.is_dir():
                self._restore(path)
            elif number is not None:  # else no file of ours, such as the log
                path.write_bytes(self._flushed.get(number, b""))


def main(words: list[str]) -> int:
    """Runs a command line on a faulty disk, which kills this process, and returns its exit code.

    The operations are written into the file that `record` names. A power cut at none of them comes after the last.
    """
    asked = json.loads(words[0])
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    files.DISK = Faulty(Path(asked["root"]), asked["at"], asked["fault"], kill)
    from lstm_ae import cli

    sys.argv = ["run.py", *words[1:]]
    code = cli.report_errors()
    if asked["fault"].startswith("power"):
        files.DISK.cut()
    Path(asked["record"]).write_text(json.dumps(files.DISK.done))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
