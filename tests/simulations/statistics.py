"""Error rates, power and coverage of `lstm_ae.statistics`, measured; prints the tables of docs/statistics.md.

python -m tests.simulations.statistics            # 1,000 trials a cell
python -m tests.simulations.statistics 10000      # as in the docs

Scores are losses (lower is better); accuracies are counted as if they were.
"""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from lstm_ae import statistics
from lstm_ae.compare.blocks import in_proportion
from lstm_ae.statistics.noise import standard_errors
from lstm_ae.statistics.verdicts import critical_range, found_difference, told_apart

GROUPS, BLOCKS = (2, 5, 20), (3, 5, 10)
OVERLAP = 1 / 4  # of five folds, and of holdouts of a fifth
KINDS = ("normal", "heavy", "accuracy of 100", "accuracy of 360", "accuracy of 6000")
ACCURACIES = (0.5, 0.8, 0.9, 0.97, 0.99, 0.999)
GAP = 3.0  # standard deviations of the noise
RATE = 0.06  # of false verdicts, at most
LOSS = 0.05  # of power, at most


def random(*key: object) -> np.random.Generator:
    """The generator of a cell: the same whatever else is run."""
    return np.random.default_rng(list(repr(key).encode()))


# Rankings


def tables(kind: str, groups: int, blocks: int, overlap: float, trials: int, rng: np.random.Generator) -> np.ndarray:
    """Equal groups, (trials, groups, blocks), with block effects.

    Where blocks share training data, all blocks of a group have a part in common whose variance is `overlap` times that
    of the noise: the correlation for which Nadeau and Bengio correct. "heavy" draws both from a t distribution with 3
    degrees of freedom, "heavy runs" the noise only. "unequal 3" gives one group three times the standard deviation.
    """
    shape, common = (trials, groups, blocks), (trials, groups, 1)
    if kind.startswith("accuracy"):
        n = sequences(kind)
        mean = rng.choice(ACCURACIES, size=(trials, 1, 1))
        p = 1 / (1 + np.exp(rng.normal(0, 0.3, size=(trials, 1, blocks)) - np.log(mean / (1 - mean))))
        p = p + np.sqrt(overlap * p * (1 - p) / n) * rng.normal(size=common)
        return rng.binomial(n, np.clip(p, 0, 1), size=shape) / n
    noise = rng.standard_t(3, size=shape) if kind.startswith("heavy") else rng.normal(size=shape)
    shared = rng.standard_t(3, size=common) if kind == "heavy" else rng.normal(size=common)
    shared *= np.sqrt(3) if kind == "heavy runs" else 1  # the standard deviation of the noise
    made = noise + np.sqrt(overlap) * shared
    if kind.startswith("unequal"):
        made[:, -1] *= int(kind.split()[-1])
    return made + 3 * rng.normal(size=(trials, 1, blocks))


def sequences(kind: str) -> int:
    return int(kind.split()[-1])


def judged(scores: np.ndarray, kind: str, overlap: float) -> np.ndarray:
    """Which groups of which table are called worse, (trials, groups): what `verdicts` says, for many tables at once."""
    means = scores.mean(axis=2)
    errors = standard_errors(scores, means.argmin(axis=1), overlap, resolution(kind))
    return told_apart(means - means.min(axis=1, keepdims=True), errors)


def resolution(kind: str) -> float | None:
    return 1 / sequences(kind) if kind.startswith("accuracy") else None


def tukey(scores: np.ndarray, overlap: float) -> np.ndarray:
    """The same by the textbook: the randomised-block Tukey test, with nothing but the widening."""
    _, groups, blocks = scores.shape
    means = scores.mean(axis=2)
    residuals = (
        scores - means[:, :, None] - scores.mean(axis=1, keepdims=True) + scores.mean(axis=(1, 2))[:, None, None]
    )
    degrees = (groups - 1) * (blocks - 1)
    error = np.sqrt((residuals**2).sum(axis=(1, 2)) / degrees * (1 / blocks + overlap))
    critical = critical_range(groups, degrees)
    return means - means.min(axis=1, keepdims=True) > critical * error[:, None]


def false_worse(kind: str, groups: int, blocks: int, overlap: float, trials: int, textbook: bool = False) -> float:
    """The share of tables of equal groups in which some group is called worse: by this module or by Tukey's test."""
    scores = tables(kind, groups, blocks, overlap, trials, random("equal", kind, groups, blocks, overlap))
    worse = tukey(scores, overlap) if textbook else judged(scores, kind, overlap)
    return float(worse.any(axis=1).mean())


def false_among_best(kind: str, groups: int, blocks: int, overlap: float, trials: int, best: int) -> float:
    """The same for some of the `best` groups, where the others are worse: by 1, 3 or 10 deviations, the worst rate."""
    scores = tables(kind, groups, blocks, overlap, trials, random("best", kind, groups, blocks, overlap))
    rates = [judged(lowered(scores, kind, gap, best), kind, overlap)[:, :best].any(axis=1).mean() for gap in (1, 3, 10)]
    return float(max(rates))


def power(
    kind: str, groups: int, blocks: int, overlap: float, trials: int, gap: float = GAP, best: int = 1
) -> tuple[float, float]:
    """The share of worse groups that are found where all but the `best` are worse: by this module, and by Tukey's test.

    The gap is in standard deviations; of an accuracy, of the binomial ones.
    """
    scores = tables(kind, groups, blocks, overlap, trials, random("gap", kind, groups, blocks, overlap))
    scores = lowered(scores, kind, gap, best)
    return float(judged(scores, kind, overlap)[:, best:].mean()), float(tukey(scores, overlap)[:, best:].mean())


def found_at_detectable(groups: int, blocks: int, overlap: float, trials: int) -> float:
    """The share of groups found that are worse by the difference which another table of the same noise names."""
    rng, degrees = random("detectable", groups, blocks, overlap), (groups - 1) * (blocks - 1)
    measured, scores = (tables("normal", groups, blocks, overlap, trials, rng) for _ in range(2))
    errors = standard_errors(measured, measured.mean(axis=2).argmin(axis=1), overlap, None)
    gaps = errors.typical * found_difference(critical_range(groups, degrees) / np.sqrt(2), degrees)
    scores[:, 1:] += gaps[:, None, None]
    return float(judged(scores, "normal", overlap)[:, 1:].mean())


def over_decades(proportional: bool, blocks: int, trials: int) -> tuple[float, float, float]:
    """False verdicts among two best of six errors that span decades: on the chosen scale, as they are, in logarithms.

    The scale is chosen as the comparison of runs does it.
    """
    rng, sizes = random("decades", proportional, blocks), np.array([1, 1, 2, 20, 20, 20])[:, None]
    noise = 0.3 * rng.normal(size=(trials, len(sizes), blocks))
    scores = sizes * np.exp(noise) if proportional else np.maximum(sizes + noise, 0.01)
    labels = pd.Series(np.repeat(np.arange(len(sizes)), blocks))
    chosen = np.array([in_proportion(pd.Series(one.ravel()), labels) for one in scores])
    false = [judged(one, "loss", 0.0)[:, :2].any(axis=1) for one in (scores, np.log(scores))]
    return float(np.where(chosen, false[1], false[0]).mean()), float(false[0].mean()), float(false[1].mean())


def lowered(scores: np.ndarray, kind: str, gap: float, best: int) -> np.ndarray:
    """The tables with all but the first `best` groups made worse."""
    made = scores.copy()
    if kind.startswith("accuracy"):
        n = sequences(kind)
        p = scores.mean(axis=(1, 2), keepdims=True)
        made[:, best:] += np.rint(gap * np.sqrt(p * (1 - p) * n)) / n
    else:
        made[:, best:] += gap
    return made


def ridge(groups: int, blocks: int, trials: int, folds: bool, corrected: bool = True, noise: str = "normal") -> float:
    """False verdicts where ridge regressions are really fitted again on redrawn splits of one data set.

    The groups read different features, which are exchangeable: over data sets, all are equally good.

    Args:
        groups: Models.
        blocks: Splits of each data set.
        trials: Data sets.
        folds: Whether the splits are the folds of a cross-validation, else holdouts of a fifth.
        corrected: Whether the verdict is told of the overlap.
        noise: `normal`, or `heavy` (t with 3 degrees of freedom), with which the scores have a kurtosis of 45.
    """
    overlap = statistics.fold_overlap(blocks) if folds else statistics.holdout_overlap(42, 168)
    rng = random("ridge", groups, blocks, folds)
    scores = np.concatenate([refitted(groups, blocks, trials // 10, folds, noise, rng) for _ in range(10)])
    return float(judged(scores, "loss", overlap if corrected else 0.0).any(axis=1).mean())


def refitted(groups: int, blocks: int, trials: int, folds: bool, noise: str, rng: np.random.Generator) -> np.ndarray:
    """The validation errors of ridge regressions on 210 sequences of 4 features, (trials, groups, blocks)."""
    n, features, penalty = 210, 4, 1.0
    x = rng.normal(size=(trials, groups, n, features))
    errors = rng.normal(size=(trials, n)) if noise == "normal" else rng.standard_t(3, size=(trials, n))
    y = x.sum(axis=(1, 3)) / np.sqrt(groups * features) + errors
    y = np.broadcast_to(y[:, None, :, None], (trials, groups, n, 1))
    order = rng.random((trials, n)).argsort(axis=1)
    scores = np.empty((trials, groups, blocks))
    for block in range(blocks):
        size = n // blocks if folds else n // 5
        held = (
            order[:, block * size : (block + 1) * size] if folds else rng.random((trials, n)).argsort(axis=1)[:, :size]
        )
        held_x, held_y = (np.take_along_axis(values, held[:, None, :, None], axis=2) for values in (x, y))
        gram = x.swapaxes(2, 3) @ x - held_x.swapaxes(2, 3) @ held_x  # of the training part: all less what is held out
        cross = x.swapaxes(2, 3) @ y - held_x.swapaxes(2, 3) @ held_y
        weights = np.linalg.solve(gram + penalty * np.eye(features), cross)
        scores[:, :, block] = ((held_x @ weights - held_y) ** 2).mean(axis=(2, 3))
    return scores


# Intervals


def proportion_coverage(n: int, trials: int) -> float:
    rng = random("proportion", n)
    p = rng.random(trials)
    found = [statistics.proportion_interval(int(k), n) for k in rng.binomial(n, p)]
    return covered(found, p)


def mean_coverage(kind: str, blocks: int, overlap: float, trials: int) -> float:
    rng = random("mean", kind, blocks, overlap)
    scores = rng.standard_t(3, size=(trials, blocks)) if kind == "heavy" else rng.normal(size=(trials, blocks))
    scores += np.sqrt(overlap) * rng.normal(size=(trials, 1))
    return covered([statistics.mean_interval(row, overlap) for row in scores], 0.0)


def covered(found: list[statistics.Interval], truth: np.ndarray | float) -> float:
    low, high = np.array([[one.low, one.high] for one in found]).T
    return float(((low <= truth) & (truth <= high)).mean())


def series(process: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal values of variance 1 along the last axis: `ar 0.5`, or `windows 10` (means over 10 times that overlap)."""
    name, number = process.split()
    times = shape[-1]
    if name == "windows":
        length = int(number)
        sums = np.cumsum(rng.normal(size=(*shape[:-1], times + length)), axis=-1)
        return (sums[..., length:] - sums[..., :-length]) / np.sqrt(length)
    rho = float(number)
    made, noise = np.empty(shape), rng.normal(size=shape)
    made[..., 0] = noise[..., 0]
    for t in range(1, times):
        made[..., t] = rho * made[..., t - 1] + np.sqrt(1 - rho**2) * noise[..., t]
    return made


def panel(process: str, trials: int, times: int, rng: np.random.Generator, companies: int = 8) -> np.ndarray:
    """Companies whose days are correlated by 0.3, (trials, companies, times)."""
    common = series(process, (trials, 1, times), rng)
    return np.sqrt(0.3) * common + np.sqrt(0.7) * series(process, (trials, companies, times), rng)


def skills(process: str, trials: int, times: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Squared errors of a model and a baseline, (trials, 2, times), and the true skill."""
    baseline, other = panel(process, trials, times, rng), panel(process, trials, times, rng)
    model = 0.9 * baseline + 0.4 * other
    return np.stack([(model**2).sum(axis=1), (baseline**2).sum(axis=1)], axis=1), 1 - 0.9**2 - 0.4**2


def directions(process: str, trials: int, times: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Correct directions and moves, (trials, 2, times), and the true accuracy."""
    made = panel(process, trials, times, rng)
    moved = rng.random(made.shape) < 0.98
    right = (made < stats.norm.ppf(0.53)) & moved
    return np.stack([right.sum(axis=1), moved.sum(axis=1)], axis=1).astype(float), 0.53


def advantages(process: str, trials: int, times: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Correct directions of a model and of always-up, and moves; the true difference of their accuracies."""
    model, up = panel(process, trials, times, rng), panel(process, trials, times, rng)
    right = [(model < stats.norm.ppf(0.53)).sum(axis=1), (0.5 * model + np.sqrt(0.75) * up < 0).sum(axis=1)]
    return np.stack([*right, np.full(right[0].shape, model.shape[1])], axis=1).astype(float), 0.03


def advantage(sums: np.ndarray) -> float:
    return float((sums[0] - sums[1]) / sums[2])


STATISTICS: dict[str, tuple[Callable, Callable]] = {
    "skill": (skills, statistics.skill),
    "direction accuracy": (directions, statistics.ratio),
    "accuracy less always-up's": (advantages, advantage),
}
PROCESSES = (("ar 0", 5), ("ar 0.5", 5), ("ar 0.8", 10), ("windows 10", 10), ("windows 30", 30))
NUMBERS_OF_BLOCKS = (20, 40, 100)


def over_time_coverage(
    name: str, process: str, block: int, blocks: int, trials: int, with_bootstrap: bool = True
) -> tuple[float, float]:
    """The coverage of `interval_over_time`, and of the percentiles of a moving-block bootstrap (in a fifth of them)."""
    draw, statistic = STATISTICS[name]
    rng = random("time", name, process, block, blocks)
    hits = np.zeros(2)
    for _ in range(trials // 100):
        sums, truth = draw(process, 100, block * blocks, rng)
        found = [statistics.interval_over_time(own, statistic, block) for own in sums]
        hits[0] += covered(found, truth)
        if with_bootstrap:
            hits[1] += covered([bootstrap(own, statistic, block, rng) for own in sums[:20]], truth)
    return float(hits[0] / (trials // 100)), float(hits[1] / (trials // 100))


def bootstrap(sums: np.ndarray, statistic: Callable, block: int, rng: np.random.Generator) -> statistics.Interval:
    """The moving-block bootstrap that `interval_over_time` replaces (Kuensch 1989), with 500 resamples."""
    running = np.concatenate([np.zeros((len(sums), 1)), np.cumsum(sums, axis=1)], axis=1)
    of_block = running[:, block:] - running[:, :-block]
    drawn = rng.integers(of_block.shape[1], size=(500, sums.shape[1] // block))
    values = [statistic(own) for own in of_block[:, drawn].sum(axis=2).T]
    return statistics.Interval(0.0, *np.quantile(values, [0.025, 0.975]).tolist())


# Effects


def grid(values: tuple[int, ...], seeds: int, rng: np.random.Generator) -> tuple[np.ndarray, dict, np.ndarray]:
    """Settings without effect: scores are a seed's effect, an interaction of value and seed, and noise of each run."""
    axes = np.meshgrid(*(np.arange(n) for n in values), np.arange(seeds), indexing="ij")
    labels = [axis.ravel() for axis in axes]
    scores = rng.normal(size=len(labels[0])) + 2 * rng.normal(size=seeds)[labels[-1]]
    for own, n in zip(labels, values, strict=False):
        scores += 0.5 * rng.normal(size=(n, seeds))[own, labels[-1]]
    return scores, {f"setting {i}": own for i, own in enumerate(labels[:-1])}, labels[-1]


def effect_rates(values: tuple[int, ...], seeds: int, trials: int) -> tuple[float, float, float, float]:
    """Of null grids: false findings in any setting, coverage of the means' intervals, mean omega and eta squared."""
    rng = random("effects", values, seeds)
    false, hits, omega, eta = [], [], [], []
    for _ in range(trials):
        scores, settings, blocks = grid(values, seeds, rng)
        found = statistics.effects(scores, settings, blocks, higher_is_better=False)
        false.append(any(one.significant for one in found.values()))
        first = found["setting 0"]
        hits.append(covered([value.mean for value in first.values], 0.0))
        omega.append(first.omega_squared)
        between = sum(len(blocks) / values[0] * (v.mean.estimate - scores.mean()) ** 2 for v in first.values)
        eta.append(between / ((scores - scores.mean()) ** 2).sum())
    return float(np.mean(false)), float(np.mean(hits)), float(np.mean(omega)), float(np.mean(eta))


# The tables


def markdown(title: str, columns: list[str], rows: list[list[object]]) -> None:
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *cells]]
    print(f"\n### {title}\n", *lines, sep="\n", flush=True)


SHAPES = [(groups, blocks) for groups in GROUPS for blocks in BLOCKS]
SHAPE_NAMES = [f"{groups} x {blocks}" for groups, blocks in SHAPES]


def main(trials: int) -> None:
    print(f"`python -m tests.simulations.statistics {trials}`")
    print(f"\nStandard error of a rate of 0.05: {np.sqrt(0.05 * 0.95 / trials):.4f}.")
    for overlap, title in ((0.0, "independent blocks"), (OVERLAP, "blocks that share training data (overlap 1/4)")):
        kinds = (*KINDS, *(["heavy runs"] if overlap else ["unequal 3", "unequal 8", "unequal 30"]))
        rows = [[kind, *(false_worse(kind, *shape, overlap, trials) for shape in SHAPES)] for kind in kinds]
        rows += [[f"{kind}, Tukey", *(false_worse(kind, *shape, overlap, trials, textbook=True) for shape in SHAPES)]
                 for kind in ("heavy", *kinds[len(KINDS):])]  # fmt: skip
        markdown(f"False `worse` in a table of equal groups, {title}", ["groups x blocks", *SHAPE_NAMES], rows)
        shapes, names = SHAPES[len(BLOCKS):], SHAPE_NAMES[len(BLOCKS):]  # of more than two groups  # fmt: skip
        rows = [[f"{kind}, {best} best", *(false_among_best(kind, *shape, overlap, trials, best) for shape in shapes)]
                for kind in KINDS for best in (2, 4)]  # fmt: skip
        markdown(f"False `worse` among the best groups where the others are worse, {title}",
                 ["groups x blocks", *names], rows)  # fmt: skip
        found = {kind: [power(kind, *shape, overlap, trials) for shape in SHAPES] for kind in KINDS}
        found["normal, one worse"] = [power("normal", *shape, overlap, trials, best=shape[0] - 1) for shape in SHAPES]
        rows = [[name, *(pair[i] for pair in pairs)] for kind, pairs in found.items()
                for i, name in enumerate((kind, f"{kind}, Tukey"))]  # fmt: skip
        markdown(f"Share of groups worse by 3 standard deviations that are found, {title}",
                 ["groups x blocks", *SHAPE_NAMES], rows)  # fmt: skip
    shapes = [*SHAPES, (5, 20), (20, 20)]
    rows = [[f"overlap {name}", *(false_worse("heavy", *shape, overlap, trials) for shape in shapes)]
            for name, overlap in (("1/9", 1 / 9), ("1/3", 1 / 3), ("1/2", 1 / 2), ("1", 1.0))]  # fmt: skip
    markdown("False `worse` in a table of equal groups with heavy tails, other overlaps",
             ["groups x blocks", *SHAPE_NAMES, "5 x 20", "20 x 20"], rows)  # fmt: skip
    rows = [[name, *(found_at_detectable(*shape, overlap, trials) for shape in SHAPES)]
            for name, overlap in (("independent blocks", 0.0), ("overlap 1/4", OVERLAP))]  # fmt: skip
    markdown(
        "Share of groups found that are worse by the `detectable` difference", ["groups x blocks", *SHAPE_NAMES], rows
    )
    rows = [[name, blocks, *over_decades(proportional, blocks, min(trials, 2000))]
            for name, proportional in (("the same for all", False), ("in proportion to the error", True))
            for blocks in BLOCKS]  # fmt: skip
    columns = ["noise", "blocks", "on the scale that the comparison chooses", "errors as they are", "logarithms"]
    markdown("False `worse` among the two best of six errors from 1 to 20", columns, rows)
    cases = [(folds, corrected, noise) for folds in (False, True)
             for corrected, noise in ((True, "normal"), (False, "normal"), (True, "heavy"))]  # fmt: skip
    rows = [[f"{'folds' if folds else 'redrawn holdouts of a fifth'}{'' if corrected else ', overlap ignored'}"
             f"{'' if noise == 'normal' else ', heavy'}",
             *(ridge(*shape, trials, folds, corrected, noise) for shape in SHAPES)]
            for folds, corrected, noise in cases]  # fmt: skip
    columns = ["groups x blocks", *SHAPE_NAMES]
    markdown("False `worse` where ridge regressions are really fitted again", columns, rows)
    rows = [[n, proportion_coverage(n, 10 * trials)] for n in (20, 100, 360, 6000)]
    markdown("Coverage of `proportion_interval`, p uniform", ["trials", "coverage"], rows)
    kinds = (("normal", 0.0), ("heavy", 0.0), ("normal", OVERLAP))
    rows = [[f"{kind}{', overlap 1/4' if overlap else ''}", *(mean_coverage(kind, n, overlap, trials) for n in BLOCKS)]
            for kind, overlap in kinds]  # fmt: skip
    markdown("Coverage of `mean_interval`", ["blocks", *map(str, BLOCKS)], rows)
    few = min(trials, 2000)
    rows = [[name, f"{process}, block {block}", n, *over_time_coverage(name, process, block, n, few)]
            for name in STATISTICS for process, block in PROCESSES for n in NUMBERS_OF_BLOCKS]  # fmt: skip
    columns = ["statistic", "process", "blocks", "interval_over_time", "percentile block bootstrap"]
    markdown(f"Coverage over time ({few} trials, a fifth of them for the bootstrap)", columns, rows)
    rows = [[f"{' x '.join(map(str, values))}, {seeds} seeds", *effect_rates(values, seeds, few)]
            for values, seeds in (((3, 3), 5), ((2, 2, 2, 2), 5), ((3, 3), 3), ((5, 4), 10))]  # fmt: skip
    columns = ["grid", "any false finding", "coverage of means", "mean omega squared", "mean eta squared"]
    markdown(f"Effects of settings without any ({few} trials)", columns, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
