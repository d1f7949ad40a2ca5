"""The keys of a configuration; imports no torch."""

import difflib
from dataclasses import dataclass, fields
from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from lstm_ae.checks import ConfigError


@dataclass
class RunKeys:
    """The types of the run-level keys of conf/config.yaml, which says what they mean; the groups check their own."""

    seed: int = MISSING
    fold: int | None = None
    objective: str = MISSING
    evaluate_test: bool | None = None
    init_from: str | None = None
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


def check(config: DictConfig) -> None:
    """Refuses a run-level key that nothing reads, and a group without an option.

    Raises:
        ConfigError: there is one; the text names it.
    """
    known = [field.name for field in fields(RunKeys)]
    for key in map(str, config):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise ConfigError(f"`{key}` is no key of a run. {cure}")
        if OmegaConf.is_missing(config, key):
            raise ConfigError(f"`{key}` must choose an option, got null. Use {key}=OPTION, see --help.")


def check_folder(config: DictConfig, key: str) -> None:
    """Refuses an empty name of a folder, which would stand for the present one.

    Raises:
        ConfigError: it is empty; the text names its key.
    """
    group, _, name = key.rpartition(".")
    node = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.select(config, group), resolve=False))
    folder = node[name]  # as it was typed: it has interpolations
    if not folder or not str(folder).strip():
        raise ConfigError(f"`{key}` must name a folder, got {folder!r}. Leave it out for a new one below multirun/.")


def dotted(config: DictConfig) -> list[str]:
    """Returns the keys of a configuration, each with its groups, such as `model.hidden_size`."""
    from lstm_ae.run_dir import flat

    return list(flat(cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))))
