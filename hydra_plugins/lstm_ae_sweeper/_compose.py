"""The configurations of a sweep's jobs: those that choose the same options and differ in values are composed once.

Hydra reads and merges some twenty files for each, 75 ms, when it is checked and again when it runs. A copy into which
the values are put takes 6 ms. A test holds the two equal.
"""

import copy
import functools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

MOST_KEPT = 64  # compositions


@dataclass(frozen=True)
class Composer:
    """What a launcher is given in place of Hydra's loader, for one sweep.

    Attributes:
        loader: Hydra's loader, which does everything else.
        name: Of the sweep: nothing that another has composed is taken.
    """

    loader: ConfigLoader = field(compare=False)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is unpickled there is no loader yet
            raise AttributeError(name)
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Returns the configuration of a job, as Hydra's loader does.

        Args:
            master_config: The sweep's configuration.
            sweep_overrides: What the job is given beside what the whole sweep is given.

        Raises:
            ConfigCompositionException: some override cannot be applied.
        """
        try:
            return self._quickly(master_config, sweep_overrides)
        except (HydraException, OmegaConfBaseException):  # Hydra says better what is wrong
            return self.loader.load_sweep_config(master_config, sweep_overrides)

    def _quickly(self, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        choices, values = _divide(master, parsed)
        shared = cast(list[str], OmegaConf.to_container(master.hydra.overrides.hydra))
        kept = _composed(self, master.hydra.job.config_name, (*shared, *(str(one.input_line) for one in choices)))
        config = copy.deepcopy(kept)
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        own = [one for one in parsed if not one.is_hydra_override()]
        job, lines = config.hydra.job, config.hydra.overrides
        lines.task = [one.input_line for one in own]
        lines.hydra = [*shared, *(one.input_line for one in parsed if one.is_hydra_override())]
        job.override_dirname = get_overrides_dirname(overrides=own, **job.config.override_dirname)
        OmegaConf.copy_cache(from_config=master, to_config=config)
        return config


def _divide(master: DictConfig, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
    """Returns the overrides that are composed, and those that only put another value in a place that is there.

    What comes before an addition, a deletion or a mapping is composed with it, as their order counts.
    """
    first = max((place + 1 for place, one in enumerate(overrides) if not _is_plain(one)), default=0)
    choices, values = overrides[:first], list[Override]()
    for one in overrides[first:]:
        (values if _is_value(master, one.key_or_group) else choices).append(one)
    return choices, values


def _is_plain(override: Override) -> bool:
    return override.type is OverrideType.CHANGE and override.package is None and not isinstance(override.value(), dict)


def _is_value(master: DictConfig, key: str) -> bool:
    if key.startswith("hydra."):
        return key == "hydra.sweep.subdir"
    return "." in key or (key in master and not OmegaConf.is_config(master[key]))


@functools.lru_cache(MOST_KEPT)
def _composed(composer: Composer, config_name: str, overrides: tuple[str, ...]) -> DictConfig:
    return composer.loader.load_configuration(config_name, list(overrides), RunMode.RUN)
