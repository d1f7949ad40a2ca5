"""The package's parts import one another in one direction only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_ae"

# The table of the design: what each part imports of ours, and nobody else; `checks` serves every part.
ALLOWED = {
    "types": set(),
    "checks": set(),
    "metrics": set(),
    "data": {"types", "anomaly"},
    "splits": {"types"},
    "models": {"types"},
    "statistics": set(),
    "anomaly": {"statistics"},
    "baselines": {"types"},
    "tasks": {"types", "metrics", "anomaly", "baselines", "statistics", "drawing", "run_dir"},
    "pooling": {"types"},
    "optimizers": set(),
    "trainer": {"types", "metrics", "pooling", "optimizers"},
    "files": set(),
    "printable": set(),
    "interrupts": set(),
    "run_dir": {"metrics", "files"},
    "terminal": set(),
    "drawing": set(),
    "plots": {"drawing", "tasks", "run_dir", "files", "printable", "metrics"},
    "compare": {"run_dir", "files", "printable", "metrics", "statistics"},
    "cli": {"experiment", "printable"},
    "benchmark": {"models"},
    "trained": {"run_dir", "files", "data", "anomaly", "models", "tasks", "types", "printable"},
    "score": {"trained", "files", "drawing", "printable"},
    "encode": {"trained"},
    "export": {"trained", "files"},
    "sklearn": {"trained"},
    "forecast": {"trained"},
}
# Assembles one job and runs it: everything that stands above it in the table; and has its figures drawn at the end.
ALLOWED["experiment"] = {
    "types", "metrics", "data", "splits", "models", "statistics", "baselines", "tasks", "pooling", "optimizers",
    "trainer", "run_dir", "files", "interrupts", "printable", "terminal", "plots", "trained",
}  # fmt: skip
HYDRA = {"cli", "experiment"}
#: Of `experiment`, what a job without Hydra goes through too.
WITHOUT_HYDRA = (
    "assembly", "baselines", "checkpoints", "environment", "evaluation", "fit", "job", "outputs", "reuse",
    "slow_epochs", "values",
)  # fmt: skip


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


def own_imports(path: Path) -> set[str]:
    """The parts of ours that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("lstm_ae.")} - {part(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_what_the_table_allows(path):
    assert own_imports(path) <= ALLOWED[part(path)] | {"checks"}


def test_there_are_no_circles():
    """What a part imports, whatever the table says, never leads back to it."""
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(part(path), set()).update(own_imports(path))

    def reached(start: str) -> set[str]:
        found, ahead = set(), list(graph[start])
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += graph.get(name, set())
        return found

    assert not [name for name in graph if name in reached(name)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_entry_point_and_what_reads_its_configuration_know_hydra(path):
    knows = any(name.split(".")[0] in ("hydra", "omegaconf") for name in imported(path))
    assert not knows or (part(path) in HYDRA and path.stem not in WITHOUT_HYDRA)


def test_what_the_design_keeps_free_of_hydra_is_there():
    assert all((PACKAGE / "experiment" / f"{name}.py").exists() for name in WITHOUT_HYDRA)


def test_reading_and_drawing_run_directories_needs_no_torch():
    for name in ("run_dir", "files", "plots", "drawing", "statistics", "metrics", "anomaly"):
        paths = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else (PACKAGE / name).glob("*.py")
        assert not any(module.startswith("torch") for path in paths for module in imported(path))


OUTPUT = PACKAGE / "compare" / "output.py"  # its `kind` is that of a file it writes: it knows no task, model or dataset
COMPONENTS = ("task", "model", "dataset", "data")


def names_a_component(node: ast.expr) -> bool:
    """Whether an expression is `task`, `self.task`, `type(task)`, `model.__class__` and the like."""
    inside = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    inside |= {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
    return bool(inside & set(COMPONENTS))


def branches_on_kind(tree: ast.AST) -> list[int]:
    """Lines that ask what kind of task, model or dataset something is."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            every = ast.unparse(node.args[1]) == "SequenceData"  # every dataset is one: that asks for no kind
            lines += [] if every or not names_a_component(node.args[0]) else [node.lineno]
        if isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Attribute) and side.attr in ("name", "kind", "__name__", "__class__")
            and names_a_component(side.value) for side in (node.left, *node.comparators)
        ):  # fmt: skip
            lines.append(node.lineno)
        kinds = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if any(isinstance(side, ast.Name) and side.id == "kind" for side in kinds):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(self.task, Prediction)",
        "task.name == 'prediction'",
        "kind == 'image'",
        "type(model).__name__ in KNOWN",
    ],
)
def test_a_branch_on_the_kind_of_a_component_is_recognised(code):
    assert branches_on_kind(ast.parse(code)) == [1]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != OUTPUT], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_nothing_branches_on_the_kind_of_a_task_a_model_or_a_dataset(path):
    """That is what makes a question one file."""
    assert branches_on_kind(ast.parse(path.read_text())) == []
