"""How powerful a test of two groups can be that keeps its level under heavy tails, in blocks that share training data.

The table of equal groups has heavy-tailed runs ("heavy runs" of `tests.simulations.statistics`), the other one has
normal scores and groups 3 standard deviations apart. Among the tests whose result does not change when block effects
are added or all scores are multiplied, the most powerful one rejects where the ratio of the two likelihoods is high
(Neyman and Pearson 1933, https://doi.org/10.1098/rsta.1933.0009), integrated over the scale and over the shared part.

python -m tests.simulations.best_test           # 4,000 trials a cell
python -m tests.simulations.best_test 20000     # as in the docs
"""

import sys

import numpy as np
import torch
from scipy import stats

from tests.simulations.statistics import BLOCKS, GAP, LOSS, OVERLAP, RATE, markdown, power, random, tables

SHARED = 61  # values of the shared part
SCALES = torch.exp(torch.linspace(-3.5, 5, 120, dtype=torch.float64))


def log_density(x: torch.Tensor) -> torch.Tensor:
    """The log density of the difference of two t variables with 3 degrees of freedom.

    Their characteristic function is (1 + a |u|) exp(-a |u|) each, with a = sqrt(3), which integrates to this.
    """
    a = np.sqrt(3)
    z = torch.complex(torch.full_like(x, 2 * a), -x)
    return ((1 / z + 2 * a / z**2 + 2 * a**2 / z**3).real / np.pi).log()


LOG_X = torch.linspace(-9, 9, 6001, dtype=torch.float64)
LOG_DENSITY = log_density(torch.exp(LOG_X))


def interpolated(x: torch.Tensor) -> torch.Tensor:
    """`log_density`, several times as fast."""
    place = ((x.abs().clamp(min=2e-4).log() + 9) / 18 * 6000).clamp(0, 5999.999)
    left = place.long()
    return torch.lerp(LOG_DENSITY[left], LOG_DENSITY[left + 1], place - left)


def normal(x: torch.Tensor) -> torch.Tensor:
    """The log density of the difference of two standard normal variables."""
    return -(x**2) / 4 - np.log(4 * np.pi) / 2


def likelihood(differences: torch.Tensor, heavy: bool, gap: float = 0.0) -> torch.Tensor:
    """The log likelihood of the differences (trials, blocks) of two groups, up to their scale."""
    blocks = differences.shape[1]
    spread = np.sqrt(2 * OVERLAP * (3 if heavy else 1))  # a t variable with 3 degrees of freedom has the variance 3
    shared = torch.linspace(-5, 5, SHARED, dtype=torch.float64) * spread
    weight = torch.log_softmax(-((shared / spread) ** 2) / 2, dim=0)
    shared = torch.cat([shared + gap, shared - gap])  # either group may be the better one
    weight = torch.cat([weight, weight])
    found = []
    for scale in SCALES:
        shifted = scale * differences[:, None, :] - shared[None, :, None]
        density = (interpolated if heavy else normal)(shifted).sum(dim=-1)
        found.append(torch.logsumexp(density + weight, dim=1) + blocks * scale.log())
    return torch.logsumexp(torch.stack(found), dim=0)


def ratio(scores: np.ndarray, heavy: bool) -> np.ndarray:
    """The log likelihood ratio of a gap against none, (trials,), of tables (trials, 2, blocks)."""
    differences = torch.from_numpy(scores[:, 0] - scores[:, 1])
    differences = differences / differences.square().mean(dim=1, keepdim=True).sqrt()
    return torch.cat(
        [likelihood(some, False, GAP) - likelihood(some, heavy) for some in differences.split(500)]
    ).numpy()


def best_power(blocks: int, kind: str, trials: int) -> float:
    """The share of gaps that the most powerful test of level `RATE` finds, with noise of this kind if there is none."""
    heavy = kind != "normal"
    equal = tables(kind, 2, blocks, OVERLAP, trials, random("best", kind, blocks))
    apart = tables("normal", 2, blocks, OVERLAP, trials, random("best gap", blocks))
    apart[:, 1] += GAP
    threshold = np.quantile(ratio(equal, heavy), 1 - RATE)
    return float((ratio(apart, heavy) > threshold).mean())


def t_test_power(blocks: int) -> float:
    """The same of the widened t test of level `RATE`, which is the most powerful one for normal noise."""
    spread = np.sqrt(2 * (1 / blocks + OVERLAP))
    critical = stats.t.ppf(1 - RATE / 2, blocks - 1)
    return float(stats.nct.sf(critical, blocks - 1, GAP / spread))


def main(trials: int) -> None:
    print(f"`python -m tests.simulations.best_test {trials}`")
    rows = [
        ["asked for: Tukey's power less 0.05", *(power("normal", 2, n, OVERLAP, 10_000)[1] - LOSS for n in BLOCKS)],
        ["most powerful test of level 0.06 under heavy runs", *(best_power(n, "heavy runs", trials) for n in BLOCKS)],
        ["most powerful test of level 0.06 under normal noise", *(best_power(n, "normal", trials) for n in BLOCKS)],
        ["the same by its formula, the t test", *(t_test_power(n) for n in BLOCKS)],
    ]
    markdown("Two groups, overlap 1/4", ["blocks", *map(str, BLOCKS)], rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
