"""Checkpoints of a run: when they are written, and how a run goes on from one."""

import contextlib
import io
import logging
import math
import time
from collections.abc import Iterator, Mapping

import torch

from lstm_ae.files import DamagedError, MissingError
from lstm_ae.run_dir import CHECKPOINT, RunDir, RunDirError
from lstm_ae.trainer import Training

CHECKPOINT_SECONDS = 1.0  # between two checkpoints

log = logging.getLogger("lstm_ae")


class Checkpoints:
    """Writes checkpoints, at most one a second; one that is not written yet is written where training is interrupted.

    Args:
        run_dir: Where to.
        training: What is kept.
        run: The signature of the run.
    """

    def __init__(self, run_dir: RunDir, training: Training, run: str) -> None:
        self._run_dir, self._training, self._run = run_dir, training, run
        self._pending: tuple[bytes, list[Mapping[str, float]]] | None = None
        self._last = -math.inf

    def take(self, now: bool = False) -> None:
        """Keeps the state after an epoch, and writes it if the last one was written a second ago.

        Args:
            now: Write it in any case.
        """
        content = io.BytesIO()
        torch.save(self._training.state_dict(), content)
        self._pending = content.getvalue(), list(self._training.history)
        if now or time.monotonic() - self._last >= CHECKPOINT_SECONDS:
            self._write()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Writes the last state where the block ends, also by an interruption."""
        try:
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # the disk may be full: the one before it is kept
                self._write()
            raise
        self._write()

    def _write(self) -> None:
        if self._pending is not None:
            content, history = self._pending
            self._run_dir.write_zip(CHECKPOINT, self._run, content)
            self._run_dir.write_history(history)
            self._last, self._pending = time.monotonic(), None


def resume(run_dir: RunDir, training: Training, runs: set[str]) -> None:
    """Takes up the checkpoint if there is one; a damaged one costs a warning and the epochs before it.

    Args:
        run_dir: The run.
        training: What is taken up.
        runs: The signatures of this run: with these epochs, and with the fewer ones that it had.

    Raises:
        RunDirError: the checkpoint is of another run.
    """
    try:
        content, run = run_dir.read_zip(CHECKPOINT)
        if run not in runs:
            raise RunDirError(
                f"{run_dir / CHECKPOINT} is of another run, or of an older version that did not write which. "
                "Remove it to train from the start, or name another directory. Nothing was changed."
            )
        training.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    except MissingError:
        pass
    except DamagedError as error:
        log.warning("%s Training starts anew.", error)
