"""A sweep's jobs: what each is given, how it ended, and what a user is told where a sweep fails."""

from dataclasses import dataclass

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException


class SweepError(HydraException):
    """Some jobs failed, or none could be started; the text names them."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        path: Its directory, within the sweep's.
        overrides: What it is given beside what the whole sweep is given.
    """

    path: str
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        score: What it returned, infinite if it diverged; None if it failed.
        error: Why it failed.
    """

    score: float | None
    error: str | None = None


def failed(error: str) -> JobReturn:
    """Returns what a launcher does of a job that failed."""
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.FAILED, SweepError(error)
    return returned
