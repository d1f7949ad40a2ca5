"""The package's parts import one another in one direction only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_ae"

# The table of the design: what each part imports of ours. `checks` and `types` serve all that compute.
ALLOWED = {
    "types": set(),
    "checks": set(),
    "metrics": set(),
    "data": {"types", "checks"},
    "splits": {"types", "checks"},
    "statistics": set(),
    "models": {"types", "checks"},
    "tasks": {"types", "checks"},
    "baselines": {"types"},
    "trainer": {"types", "checks", "metrics"},
    "run_dir": set(),
    "plots": {"run_dir"},
    "terminal": set(),
    "compare": {"run_dir", "metrics"},
    "experiment": {
        "types",
        "checks",
        "data",
        "splits",
        "tasks",
        "baselines",
        "trainer",
        "metrics",
        "run_dir",
        "plots",
        "terminal",
    },
}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_part_is_in_the_table():
    assert {part(path) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_what_the_table_allows(path):
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("lstm_ae.")}
    assert ours - {part(path)} <= ALLOWED[part(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_experiment_knows_hydra(path):
    knows = any(name.split(".")[0] in ("hydra", "omegaconf") for name in imported(path))
    assert not knows or part(path) == "experiment"


def test_run_dir_and_plots_need_no_torch():
    for name in ("run_dir", "plots"):
        assert not any(module.startswith("torch") for module in imported(PACKAGE / f"{name}.py"))


def test_statistics_needs_numpy_and_scipy_only():
    names = {name.split(".")[0] for path in (PACKAGE / "statistics").glob("*.py") for name in imported(path)}
    assert not names & {"pandas", "torch", "sklearn", "hydra", "matplotlib"}
