"""The baselines of a job: those of its task, fitted on the prepared sequences that the model learns from."""

import functools
import hashlib
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_ae.experiment.assembly import Components, make, open_parameters
from lstm_ae.experiment.values import target_of
from lstm_ae.types import Baseline, Batch, Subset, Task

COMPARED = 64  # sequences that tell one preparation of the same data from another


@dataclass(frozen=True)
class Prepared:
    """A subset whose batches the task has prepared as in evaluation."""

    subset: Subset
    task: Task

    def __len__(self) -> int:
        return len(self.subset)

    def batch(self, positions: Tensor) -> Batch:
        """Returns the prepared sequences at these positions."""
        return self.task.prepare(self.subset.batch(positions), training=False)


def fitted_baselines(
    components: Components, train: Prepared, validation: Prepared, latent: tuple[int, ...] | None, keep: bool
) -> dict[str, Baseline]:
    """Returns the task's baselines, fitted.

    Args:
        components: The job.
        train: What they are fitted on.
        validation: What they may choose settings by.
        latent: The model's budget for one sequence; None: those that need one are left out.
        keep: Whether to keep them for the next job of this process, and to take those that are kept.
    """
    kept = _kept(_fingerprint(components, train, validation)) if keep else {}
    fitted = {}
    for name, factory in components.task.baselines.items():
        needs_latent = "latent" in open_parameters(factory)
        if needs_latent and latent is None:
            continue
        given = (getattr(factory, "args", ()), getattr(factory, "keywords", {}))
        # The class itself and not its name: a notebook's cell may redefine it.
        key = (target_of(factory), pickle.dumps(given), latent if needs_latent else None, components.seed)
        if key not in kept:
            baseline: Baseline = make(f"task.baselines.{name}", factory, latent=latent, **components.sizes)
            baseline.fit(train, validation, components.seed)
            kept[key] = baseline
        fitted[name] = kept[key]
    return fitted


@functools.lru_cache(maxsize=1)
def _kept(fingerprint: str) -> dict[Any, Baseline]:
    """Returns what was fitted on these sequences; only the last ones' is kept.

    Logistic regression on MNIST takes ten seconds, a third of a job of ten epochs.
    """
    return {}


def _fingerprint(components: Components, train: Prepared, validation: Prepared) -> str:
    """Returns a text that differs where baselines would learn from other sequences, or from others' preparation."""
    digest = hashlib.blake2b(components.data.fingerprint().encode(), digest_size=16)
    for prepared in (train, validation):
        digest.update(np.ascontiguousarray(prepared.subset.index).data)
        batch = prepared.batch(torch.arange(min(COMPARED, len(prepared))))
        for values in (batch.inputs, batch.target, batch.observed, batch.target_observed, batch.lengths, batch.labels):
            digest.update(b"-" if values is None else values.contiguous().numpy().tobytes())
    return digest.hexdigest()
