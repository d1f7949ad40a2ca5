"""A sweep's jobs, their outcomes, and the error of a failed sweep."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback

from lstm_ae.experiment.overrides import Overrides, lines


class SweepError(HydraException):
    """Some jobs failed, or no job could be started; the text names them."""


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        path: Its directory, relative to the sweep's.
        overrides: Its own overrides, in addition to those of the sweep.
    """

    path: str
    overrides: Overrides = field(hash=False)

    def __str__(self) -> str:
        return " ".join(lines(self.overrides))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        score: The score that it returned, infinite if it diverged, None if it failed.
        error: Why it failed.
    """

    score: float | None
    error: str | None = None


class DropConfigs(Callback):
    """Drops the configurations in a job's result: the sweep does not read them, and would hold 160 KB for each job."""

    def on_job_end(self, config: Any, job_return: JobReturn, **kwargs: Any) -> None:
        """Called in the job's process, before the result is sent."""
        job_return.cfg = job_return.hydra_cfg = None


def completed(score: float) -> JobReturn:
    """Returns the result that a launcher gives for a job that has ended with a score."""
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.COMPLETED, score
    return returned


def failed(error: str) -> JobReturn:
    """Returns the result that a launcher gives for a failed job."""
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.FAILED, SweepError(error)
    return returned
