"""Kinds of damage to a file of a run directory."""

import os
from collections.abc import Callable
from pathlib import Path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flip": flip,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "wrong type": lambda path: path.write_text("[1, 2]"),
    "sparse": sparse,
    "folder": replaced(Path.mkdir),
    "pipe": replaced(os.mkfifo),
    "link": replaced(lambda path: path.symlink_to("/dev/zero")),
    "missing": Path.unlink,
}
