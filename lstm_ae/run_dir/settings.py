"""Which settings make a run: what its signature covers, and how two configurations differ."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

EPOCHS = "trainer.epochs"
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


def signature(config: Mapping[str, Any], fingerprint: str) -> str:
    """Returns a hash of the data and of the settings that can change a result."""
    text = json.dumps([signed(config), fingerprint], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def signed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that can change a result, by their dotted keys."""
    return {key: _as_number(value) for key, value in flat(config).items() if key not in NOT_SIGNED}


def _as_number(value: Any) -> Any:
    """Returns an integral float as an int: typing 1 or 1.0 makes no difference to the result."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns the keys whose values differ, with both values; None stands for a missing key.

    Example:
        >>> differences({"seed": 0, "fold": 1}, {"seed": 2, "fold": 1})
        {'seed': (0, 2)}
    """
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


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
