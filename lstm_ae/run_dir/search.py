"""Finds finished runs."""

from pathlib import Path

from lstm_ae.run_dir.directory import RunDir
from lstm_ae.run_dir.names import STATUS, WEIGHTS


def find_finished(root: Path, wanted: str | None = None) -> Path | None:
    """Returns the latest finished run under `root`, or None.

    Args:
        root: Where to look.
        wanted: Its signature; None: any.
    """
    found = []
    for path in root.rglob(STATUS):
        status = RunDir(path.parent).status()  # another program's file is unreadable
        ours = status.get("state") == "finished" and (path.parent / WEIGHTS).exists()
        if ours and wanted in (None, status.get("signature")):
            found.append((str(status.get("end")), path.parent))
    return max(found)[1] if found else None
