"""The keys of a configuration, for messages; imports no torch."""

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from lstm_ae.run_dir import flat


def dotted(config: DictConfig) -> list[str]:
    """Returns the keys of a configuration, each with its groups, such as `model.hidden_size`."""
    return list(flat(cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))))
