"""Reads and writes a run directory.

Every file is written under a temporary name and then renamed, so that it is complete or missing, even after a kill.
Imports neither torch nor hydra.
"""

import csv
import hashlib
import io
import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

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


class RunDirError(Exception):
    """The directory contains another run, or another process writes to it; nothing was changed."""


class RunDir:
    """The directory of a run.

    Args:
        path: Its path; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.begun = False  # whether this process has marked the run as running

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @contextmanager
    def locked(self, key: str = "hydra.run.dir") -> Iterator[None]:
        """Locks the directory for this process.

        Args:
            key: The setting that names the directory, for the error.

        Raises:
            RunDirError: another process holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunDirError(
                f"`{key}` must be free, and another process is writing in {self.path}. "
                "Wait for it, or name another directory."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def status(self) -> dict[str, Any]:
        """Returns the content of status.json, empty if there is none."""
        try:
            status: dict[str, Any] = self.read_json(STATUS)
        except FileNotFoundError:
            return {}
        return status

    def score(self, objective: str) -> float | None:
        """Returns the validation score of a run that has ended, the worst there is where it diverged; else None.

        Args:
            objective: The metric.
        """
        state = self.status().get("state")
        if state not in ENDED:
            return None
        metrics = self.read_json(METRICS)
        higher, value = higher_is_better(metrics, objective), metrics["validation"].get(objective)
        return worst(higher) if value is None else score(state, float(value), higher)

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
        self.write_json(CONFIG, config)
        self.write_json(ENVIRONMENT, environment)
        where = {"host": socket.gethostname(), "pid": os.getpid()}
        status = {"state": "running", "signature": own, "start": _now(), "end": None, **where, "error": None}
        before = self.status()
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
            with (self / "run.log").open("a") as log:
                log.write(trace)
        self.write_json(STATUS, {**self.status(), "state": state, "end": _now(), "error": error, **more})

    def read_json(self, name: str) -> Any:
        """Returns the content of a JSON file."""
        return json.loads((self / name).read_text())

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file; NaN and infinity become null, as JSON does not have them."""
        self.write_text(name, json.dumps(_finite(value), indent=2) + "\n")

    def read_arrays(self, name: str) -> dict[str, Any]:
        """Returns the arrays of an .npz file by name."""
        import numpy as np  # the comparison of many runs reads none

        with np.load(self / name, allow_pickle=False) as file:
            return dict(file)

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
        return {name: [float(value) for value in values] for name, values in self.read_table("history").items()}

    def read_table(self, name: str) -> dict[str, list[str]]:
        """Returns the columns of the CSV file `name`.csv as text."""
        with (self / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}

    def write(self, name: str, writer: Callable[[IO[bytes]], Any]) -> None:
        """Writes a file with a function that takes an open file.

        Raises:
            OSError: the file cannot be written; the error has its name.
        """
        content = io.BytesIO()
        writer(content)
        with replacing(self / name) as temporary:
            try:
                temporary.write_bytes(content.getbuffer())
            except OSError as error:
                error.filename = error.filename or str(self / name)
                raise

    def remove(self, name: str) -> None:
        """Removes a file if it exists."""
        (self / name).unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path that replaces the file on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
        try:
            status = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # another program's file, or one that is being removed
        ours = isinstance(status, dict) and status.get("state") == "finished" and (path.parent / WEIGHTS).exists()
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
