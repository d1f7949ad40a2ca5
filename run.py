"""The entry point: `python run.py GROUP=OPTION KEY=VALUE ...` runs one experiment, or a sweep of them.

Nothing heavy is imported before the configuration is composed, so that help and mistakes come back at once.
"""

import gc

gc.disable()  # until a job begins: composing makes no garbage worth collecting, and is the faster for it

import os
import sys
from dataclasses import dataclass
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig
from omegaconf.errors import OmegaConfBaseException


@dataclass
class RunKeys:
    """The types of the run-level keys of conf/config.yaml, which says what they mean; the groups check their own."""

    seed: int = MISSING
    fold: int | None = None
    objective: str = MISSING
    evaluate_test: bool = True
    figures: bool | None = None
    dry_run: bool = False
    retry_failed: bool = False
    fail_fast: bool = False
    list_jobs: bool = False
    dataset: Any = MISSING
    split: Any = MISSING
    task: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING


ConfigStore.instance().store(name="run_keys", node=RunKeys)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """Runs one job and returns its score, which a sweeper compares."""
    gc.enable()
    from lstm_ae.experiment import run

    return run(config)


def report_errors() -> int:
    """Calls `main`; an error becomes a message on standard error and exit code 1, without a traceback.

    Hydra prints tracebacks of its own unless HYDRA_FULL_ERROR is set: it is set here, and where the user has set it,
    the traceback is shown.
    """
    traceback_wanted = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        main()
    except KeyboardInterrupt as interrupt:
        print(f"\nInterrupted. {interrupt}".rstrip(), file=sys.stderr)
    except Exception as error:
        if traceback_wanted:
            raise
        print(f"Error: {explain(error)}\nHYDRA_FULL_ERROR=1 shows the traceback.", file=sys.stderr)
    else:
        return 0
    return 1


def explain(error: Exception) -> str:
    """Returns what a user needs to know of an error that ended the program."""
    if isinstance(error, OSError):  # before the job began: Hydra could not make the directory
        return (
            f"`hydra.run.dir` must be a folder that can be written: {error}. Free some space, or name another folder."
        )
    if isinstance(error, HydraException | OmegaConfBaseException):
        reason = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return f"{error}\n{reason}".rstrip()
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    code = report_errors()
    gc.freeze()  # Python's last collection would walk through every object once more: a tenth of the time of --cfg job
    sys.exit(code)
