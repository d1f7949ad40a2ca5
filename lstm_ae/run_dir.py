"""Reads and writes a run directory.

Files are written whole, see `lstm_ae.files`; status.json lists size and digest of those of a run that has ended, and a
file that is not as listed is refused. Imports neither torch nor hydra.
"""

import csv
import hashlib
import io
import json
import logging
import math
import os
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from lstm_ae import files
from lstm_ae.files import DamagedError, MissingError
from lstm_ae.files import replacing as replacing
from lstm_ae.metrics import higher_is_better, worst

#: Settings that cannot change a result, and are left out of the signature.
#: A missing test part is added to a finished run.
NOT_SIGNED = frozenset(
    {
        "dry_run",
        "evaluate_test",
        "figures",
        "retry_failed",
        "fail_fast",
        "list_jobs",
        "dataset.path",
        "dataset.root",
        "trainer.device",
        "trainer.threads",
        "trainer.kernel",
        "optimizer.fused",
        "trainer.checkpoint_every",
        "trainer.keep_checkpoint",
    }
)
MODEL_FORMAT = 1  # of model.json, scaler.npz and task.npz: raised where an older reader would misread them
ENDED = frozenset({"finished", "diverged", "pruned"})
CONFIG, STATUS, METRICS, ENVIRONMENT, MODEL = (
    "config.json", "status.json", "metrics.json", "environment.json", "model.json"
)  # fmt: skip
EPOCHS = "trainer.epochs"
WEIGHTS, CHECKPOINT, SAMPLES, SCALER, TASK = "model.pt", "checkpoint.pt", "samples.npz", "scaler.npz", "task.npz"


log = logging.getLogger("lstm_ae")
UNREADABLE = "unreadable"  # the state of a run whose status.json is damaged
NOT_LISTED = frozenset({STATUS, CHECKPOINT})  # of the files in the run's own folder: they change while it runs


class RunDirError(Exception):
    """The directory contains another run, or another process writes to it; nothing was changed."""


class HeldError(RunDirError):
    """Another process writes to the directory."""


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

    @contextmanager
    def locked(self, key: str = "hydra.run.dir", timeout: float = 0) -> Iterator[None]:
        """Locks the directory for this process.

        Args:
            key: The setting that names the directory, for the error.
            timeout: How long to wait for a process that holds it, seconds; -1: until it ends.

        Raises:
            HeldError: another process holds the lock.
            RunDirError: links lead out of the directory.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for name in ("run.log", "figures", ".hydra"):
            if (self / name).is_symlink():
                raise RunDirError(f"{self / name} is a link, and a run writes in its own directory only. Remove it.")
        lock = FileLock(self / ".lock")
        try:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if timeout:
                    log.warning("Another process%s is writing in %s: waiting for it", self._owner(), self.path)
                lock.acquire(timeout=timeout)
        except Timeout:
            raise HeldError(
                f"`{key}` must be free, and another process{self._owner()} is writing in {self.path}. "
                "Wait for it, or name another directory."
            ) from None
        except OSError as error:
            raise RunDirError(f"{self / '.lock'} must be a regular file: {error.strerror}. Remove it.") from None
        try:
            files.sweep(self.path)
            yield
        finally:
            lock.release()

    def _owner(self) -> str:
        status = self.status()
        return f" (process {status['pid']} on {status['host']})" if {"pid", "host"} <= status.keys() else ""

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
            raise self._damaged(METRICS, f"must hold a number or null as `validation.{objective}`") from None

    def claim(self, config: Mapping[str, Any], key: str = "hydra.run.dir") -> None:
        """Checks that the directory does not contain a run of another configuration.

        Args:
            config: The resolved configuration.
            key: The setting that names the directory, for the error.

        Raises:
            RunDirError: it contains one; the text names the settings that differ.
        """
        if not (self / CONFIG).exists():
            return
        changed = differences(signed(self.read_json(CONFIG)), signed(config))
        if changed and not self.goes_on(config):
            listed = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in changed.items())
            raise RunDirError(
                f"`{key}` must be new or contain this run, but {self.path} holds another:\n{listed}\n"
                f"Nothing was changed. Use another directory, or leave {key} out."
                + (f" (To train longer, more epochs and {CHECKPOINT} are needed.)" if set(changed) == {EPOCHS} else "")
            )

    def goes_on(self, config: Mapping[str, Any]) -> bool:
        """Says whether the directory holds this run with fewer epochs, and the checkpoint from which it goes on."""
        if not (self / CONFIG).exists() or not (self / CHECKPOINT).exists():
            return False
        changed = differences(signed(self.read_json(CONFIG)), signed(config))
        return set(changed) == {EPOCHS} and changed[EPOCHS][0] < changed[EPOCHS][1]

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

        Does not change a run that ended before this process started.
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
            check_listed(self / name, content, self.status())
        return content

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the object in a JSON file.

        Raises:
            MissingError: there is none.
            DamagedError: it cannot be read as an object with what its readers need.
        """
        try:
            value = json.loads(self.read(name, files.TEXT_BYTES))
        except DamagedError:
            raise
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, f"cannot be read as JSON: {error}") from None
        if not isinstance(value, dict):
            raise self._damaged(name, f"must hold a JSON object, not a {type(value).__name__}")
        if name == STATUS and not isinstance(value.get("state"), str):
            raise self._damaged(name, "must hold `state`, a text")
        return value

    def _damaged(self, name: str, reason: str) -> DamagedError:
        return DamagedError(self / name, reason, CURES.get(name, ""))

    def read_zip(self, name: str) -> tuple[io.BytesIO, str | None]:
        """Returns a file of PyTorch or NumPy, opened, and the signature in its seal (None: it has none).

        Raises:
            MissingError: there is none.
            DamagedError: it is not whole.
        """
        content = self.read(name)
        run = files.sealed_run(self / name, content)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
                bad = archive.testzip() if run is None and size <= files.BINARY_BYTES else None
        except Exception as error:  # the module raises anything on what is no zip
            raise DamagedError(self / name, f"is damaged: {error}") from None
        if size > files.BINARY_BYTES:
            raise DamagedError(self / name, f"unpacks to {size} bytes, and no run writes so much")
        if bad:
            raise DamagedError(self / name, f"is damaged: the checksum of {bad} in it is wrong")
        return io.BytesIO(content), run

    def write_zip(self, name: str, run: str, writer: Callable[[IO[bytes]], Any]) -> None:
        """Writes a file of PyTorch, sealed with the signature of its run."""
        content = io.BytesIO()
        writer(content)
        self._replace(name, files.sealed(content.getbuffer(), run))

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file; NaN and infinity become null, as JSON does not have them."""
        self.write_text(name, json.dumps(_finite(value), indent=2) + "\n")

    def read_arrays(self, name: str) -> dict[str, Any]:
        """Returns the arrays of an .npz file by name."""
        import numpy as np  # the comparison of many runs reads none

        try:
            with np.load(self.read_zip(name)[0], allow_pickle=False) as file:
                return dict(file)
        except DamagedError:
            raise
        except Exception as error:  # NumPy raises anything on what is no array
            raise DamagedError(self / name, f"cannot be read as arrays: {error}") from None

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes an .npz file."""
        import numpy as np

        self.write(name, lambda file: np.savez_compressed(file, **arrays))

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file."""
        self.write(name, lambda file: file.write(text.encode()))

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes history.csv, one row per epoch."""
        text = io.StringIO(newline="")
        if rows:
            writer = csv.DictWriter(text, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        self.write_text("history.csv", text.getvalue())

    def write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Writes a CSV file, named without its ending, from its columns."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        self.write_text(f"{name}.csv", text.getvalue())

    def read_history(self) -> dict[str, list[float]]:
        """Returns the columns of history.csv."""
        try:
            return {name: [float(value) for value in values] for name, values in self.read_table("history").items()}
        except ValueError as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(self / "history.csv", f"must hold numbers: {error}") from None

    def read_table(self, name: str) -> dict[str, list[str]]:
        """Returns the columns of the CSV file `name`.csv as text."""
        path = self / f"{name}.csv"
        try:
            rows = list(csv.DictReader(io.StringIO(self.read(path.name, files.TEXT_BYTES).decode(), newline="")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DamagedError(path, f"cannot be read as CSV: {error}") from None
        if any(None in row or None in row.values() for row in rows):
            raise DamagedError(path, "has rows of different lengths")
        return {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}

    def write(self, name: str, writer: Callable[[IO[bytes]], Any]) -> None:
        """Writes a file with a function that takes an open file.

        Raises:
            OSError: the file cannot be written; the error has its name.
        """
        content = io.BytesIO()
        writer(content)
        self._replace(name, content.getbuffer())

    def _replace(self, name: str, content: bytes | memoryview) -> None:
        path = self / name
        if path.parent != self.path and path.parent.is_symlink():
            raise RunDirError(f"{path.parent} is a link, and a run writes in its own directory only. Remove the link.")
        files.write(path, content)
        if name not in NOT_LISTED and path.parent == self.path:
            self._written[name] = [len(content), files.digest(content)]

    def remove(self, name: str) -> None:
        """Removes a file if it exists."""
        files.DISK.remove(self / name)


#: What helps where one of these files is damaged.
CURES = {
    CONFIG: "Restore it from a copy, or remove it if the directory holds the run of this command.",
    METRICS: f"Restore it from a copy, or remove {STATUS} to have the same command train the run again.",
    STATUS: "Remove it to have the same command go on from the checkpoint, or train the run again.",
}


def check_listed(path: Path, content: bytes, status: Mapping[str, Any]) -> None:
    """Checks a file against the list in status.json.

    Raises:
        DamagedError: it has another size or digest.
    """
    listed = status.get("files")
    entry = listed.get(path.name) if isinstance(listed, Mapping) else None
    if entry is not None and entry != [len(content), files.digest(content)]:
        cure = f"Restore it from a copy, or remove {STATUS} to have the same command train the run again."
        raise DamagedError(path, f"is not the file that the run wrote: {STATUS} lists another size or digest", cure)


def score(state: str, value: float, higher: bool) -> float:
    """Returns the score of a run with this value of a metric: the worst there is where it diverged.

    Args:
        state: The run's state.
        value: Its value, NaN for none.
        higher: Whether more of the metric is better.
    """
    return worst(higher) if state == "diverged" else value


def signed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that can change a result, by their dotted keys."""
    return {key: _as_number(value) for key, value in flat(config).items() if key not in NOT_SIGNED}


def _as_number(value: Any) -> Any:
    """Returns an integral float as an int: typing 1 or 1.0 makes no difference to the result."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def signature(config: Mapping[str, Any], fingerprint: str) -> str:
    """Returns a hash of the data and of the settings that can change a result."""
    text = json.dumps([signed(config), fingerprint], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns the keys whose values differ, with both values; None stands for a missing key.

    Example:
        >>> differences({"seed": 0, "fold": 1}, {"seed": 2, "fold": 1})
        {'seed': (0, 2)}
    """
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


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


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens a nested mapping to dotted keys.

    Example:
        >>> flat({"seed": 0, "model": {"hidden_size": 8}})
        {'seed': 0, 'model.hidden_size': 8}
    """
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
