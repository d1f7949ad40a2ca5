"""A run directory: whose it is, how far its run is, and its files.

Files are written whole, see `lstm_ae.files`; status.json lists size and digest of those of a run that has ended, and a
file that is not as listed is refused.
"""

import io
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lstm_ae import files
from lstm_ae.files import DamagedError, MissingError
from lstm_ae.metrics import higher_is_better, worst
from lstm_ae.run_dir import contents, lock
from lstm_ae.run_dir.lock import RunDirError
from lstm_ae.run_dir.names import (
    CHECKPOINT,
    CONFIG,
    ENDED,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    NOT_LISTED,
    STATUS,
    UNREADABLE,
    WEIGHTS,
)
from lstm_ae.run_dir.settings import EPOCHS, differences, signature, signed


class RunDir:
    """The directory of a run.

    Args:
        path: Its path; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.begun = False  # whether this process has marked the run as running
        self._written: dict[str, list[Any]] = {}  # size and digest of what this process has written

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def locked(self, key: str = "hydra.run.dir", timeout: float = 0) -> AbstractContextManager[None]:
        """Locks the directory for this process, see `lstm_ae.run_dir.lock.locked`."""
        return lock.locked(self.path, self.status, key, timeout)

    def status(self) -> dict[str, Any]:
        """Returns the content of status.json, empty if there is none; state and error say so if it is damaged."""
        try:
            return self.read_json(STATUS)
        except MissingError:
            return {}
        except DamagedError as error:
            return {"state": UNREADABLE, "error": str(error)}

    def score(self, objective: str) -> float | None:
        """Returns the validation score of a run that has ended, the worst there is where it diverged; else None.

        Args:
            objective: The metric.
        """
        state = self.status().get("state")
        if state not in ENDED:
            return None
        metrics = self.read_json(METRICS)
        try:
            higher, value = higher_is_better(metrics, objective), metrics["validation"].get(objective)
            return worst(higher) if value is None else score(str(state), float(value), higher)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise contents.damaged(self / METRICS, f"must hold a number or null as `validation.{objective}`") from None

    def read_metric(self, name: str, kind: type) -> Any:
        """Returns one entry of metrics.json.

        Args:
            name: The entry, such as `validation` or `best_epoch`.
            kind: Its type.

        Raises:
            DamagedError: it is missing, or has another type.
        """
        found = self.read_json(METRICS).get(name)
        if not isinstance(found, kind):
            raise contents.damaged(self / METRICS, f"must hold `{name}`, of the type {kind.__name__}")
        return found

    def claim(self, config: Mapping[str, Any], key: str = "hydra.run.dir") -> None:
        """Checks that the directory does not contain a run of another configuration.

        Args:
            config: The resolved configuration.
            key: The setting that names the directory, for the error.

        Raises:
            RunDirError: it contains one; the text names the settings that differ.
        """
        changed = self._changed(config)
        if changed and not self.goes_on(config):
            listed = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in changed.items())
            raise RunDirError(
                f"`{key}` must be new or contain this run, but {self.path} holds another:\n{listed}\n"
                f"Nothing was changed. Use another directory, or leave {key} out."
                + (f" (To train longer, more epochs and {CHECKPOINT} are needed.)" if set(changed) == {EPOCHS} else "")
            )

    def goes_on(self, config: Mapping[str, Any]) -> bool:
        """Says whether the directory holds this run with fewer epochs, and the checkpoint from which it goes on."""
        changed = self._changed(config) if (self / CHECKPOINT).exists() else {}
        return set(changed) == {EPOCHS} and bool(changed[EPOCHS][0] < changed[EPOCHS][1])

    def _changed(self, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Returns the settings in which the run in the directory differs, with both values; none without a run."""
        return differences(signed(self.read_json(CONFIG)), signed(config)) if (self / CONFIG).exists() else {}

    def begin(self, config: Mapping[str, Any], environment: Mapping[str, Any], fingerprint: str) -> str:
        """Marks the run as running.

        Args:
            config: The resolved configuration.
            environment: Versions, machine and device of the run.
            fingerprint: Hash of the data.

        Returns:
            The signature.

        Raises:
            RunDirError: the directory contains a run on other data.
        """
        own, stored = signature(config, fingerprint), self.status().get("signature")
        known = self.read_json(CONFIG) if self.goes_on(config) else config  # a run that is trained longer
        if stored not in (None, own, signature(known, fingerprint)):
            raise RunDirError(
                f"`hydra.run.dir` must be new or contain this run, but {self.path} holds a run on other data (or of an "
                "older version). Nothing was changed. Use another directory, or leave hydra.run.dir out."
            )
        before = self.status()
        if "files" in before:  # else a kill after the next line would leave a file that is not as listed
            self.write_json(STATUS, {**before, "state": "running", "files": {}})
        self.write_json(CONFIG, config)
        self.write_json(ENVIRONMENT, environment)
        where = {"host": socket.gethostname(), "pid": os.getpid()}
        status = {"state": "running", "signature": own, "start": _now(), "end": None, **where, "error": None}
        if "kills" in before and before["state"] != "failed":  # times that a sweep's worker was killed in this run
            status["kills"] = before["kills"]
        self.write_json(STATUS, status)
        self.begun = True
        return own

    def end(self, state: str, error: str | None = None, trace: str = "", **more: Any) -> None:
        """Marks the run as finished, failed, interrupted or diverged, and appends a traceback to run.log.

        Does not change a run that has ended.
        """
        if not self.begun and self.status().get("state") in ENDED:
            return
        if trace:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with os.fdopen(os.open(self / "run.log", flags, 0o666), "a") as log:
                log.write(trace)
        status = self.status()
        if state in ENDED:
            status["files"] = {**status.get("files", {}), **self._written}
        self.write_json(STATUS, {**status, "state": state, "end": _now(), "error": error, **more})
        self.begun = state not in ENDED  # what fails later does not change what the run is

    @contextmanager
    def rewriting(self, names: Sequence[str]) -> Iterator[None]:
        """Takes files of a run that has ended off the list in status.json while the block writes them anew.

        Args:
            names: The files.
        """
        status = self.status()
        if "files" not in status:
            yield
            return
        kept = {name: entry for name, entry in status["files"].items() if name not in names}
        self.write_json(STATUS, {**status, "files": kept})
        yield
        self.write_json(STATUS, {**status, "files": {**kept, **self._written}})

    def read(self, name: str, limit: int = files.BINARY_BYTES) -> bytes:
        """Returns the content of a file.

        Raises:
            MissingError: there is none.
            DamagedError: it is no regular file, too large, or not as status.json lists it.
        """
        content = files.read(self / name, limit)
        if name not in NOT_LISTED:
            contents.check_listed(self / name, content, self.status())
        return content

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the object in a JSON file; the errors of this and the next ones are those of `read`."""
        return contents.json_object(self / name, self.read(name, files.TEXT_BYTES))

    def read_zip(self, name: str) -> tuple[io.BytesIO, str | None]:
        """Returns a file of PyTorch or NumPy, opened, and the signature in its seal (None: it has none)."""
        return contents.opened_zip(self / name, self.read(name), files.BINARY_BYTES)

    def read_arrays(self, name: str) -> dict[str, Any]:
        """Returns the arrays of an .npz file by name."""
        return contents.arrays(self / name, self.read(name, files.ARRAY_BYTES))

    def read_table(self, name: str) -> dict[str, list[str]]:
        """Returns the columns of the CSV file `name`.csv as text."""
        return contents.table(self / f"{name}.csv", self.read(f"{name}.csv", files.TEXT_BYTES))

    def read_history(self) -> dict[str, list[float]]:
        """Returns the columns of history.csv."""
        columns = self.read_table("history")
        try:
            return {name: [float(value) for value in values] for name, values in columns.items()}
        except ValueError as error:
            raise contents.damaged(self / HISTORY, f"must hold numbers: {error}") from None

    def write_bytes(self, name: str, content: bytes | memoryview) -> None:
        """Writes a file.

        Raises:
            OSError: the file cannot be written; the error has its name.
            RunDirError: its folder is a link.
        """
        path = self / name
        if path.parent != self.path and path.parent.is_symlink():
            raise RunDirError(f"{path.parent} is a link, and a run writes in its own directory only. Remove the link.")
        files.write(path, content)
        if name not in NOT_LISTED and path.parent == self.path:
            self._written[name] = [len(content), files.digest(content)]

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file; the errors of this and the next ones are those of `write_bytes`."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file; NaN and infinity become null, as JSON does not have them."""
        self.write_text(name, contents.json_text(value))

    def write_zip(self, name: str, run: str, content: bytes | memoryview) -> None:
        """Writes a file of PyTorch, sealed with the signature of its run."""
        self.write_bytes(name, files.sealed(content, run))

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes an .npz file."""
        import numpy as np  # the comparison of many runs writes none

        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        self.write_bytes(name, content.getbuffer())

    def write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Writes a CSV file, named without its ending, from its columns."""
        self.write_text(f"{name}.csv", contents.table_text(list(columns), list(zip(*columns.values(), strict=True))))

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes history.csv, one row per epoch."""
        self.write_table("history", {name: [row[name] for row in rows] for name in (rows[0] if rows else ())})

    def remove(self, name: str) -> None:
        """Removes a file if it exists."""
        files.DISK.remove(self / name)


def score(state: str, value: float, higher: bool) -> float:
    """Returns the score of a run with this value of a metric: the worst there is where it diverged.

    Args:
        state: The run's state.
        value: Its value, NaN for none.
        higher: Whether more of the metric is better.
    """
    return worst(higher) if state == "diverged" else value


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
