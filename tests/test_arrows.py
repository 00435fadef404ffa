"""The arrows of the house: the rooms (packages) that each room may import.

The rooms are in the order of a run, the ground first. A room imports only the rooms in its line of
MAY_IMPORT and nothing else of ours, also inside functions.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

GROUND = ["lra.errors"]
BASE = [*GROUND, "lra.machine", "lra.files", "lra.config", "lra.cli", "lra.progress"]
STORE = [*BASE, "lra.objective", "data_prep", "lra.store"]
TRAINING = [*STORE, "lra.environment", "lra.training", "models"]
EVERYTHING = [*TRAINING, "lra.sweep", "lra.efficiency", "lra.report", "lra.certificate"]
MAY_IMPORT = {
    "models": [],
    "lra.errors": [],
    "lra.machine": [],
    "lra.environment": [*GROUND, "lra.machine"],
    "lra.files": GROUND,
    "lra.rouge": [],
    "lra.tokenizer": GROUND,
    "lra.config": [*GROUND, "lra.tokenizer"],
    "lra.cli": [*GROUND, "lra.machine", "lra.config"],
    "lra.progress": ["lra.cli"],
    "data_prep": [*BASE, "lra.objective", "lra.rouge", "lra.tokenizer"],
    "lra.objective": [*GROUND, "lra.config", "lra.rouge", "lra.tokenizer"],
    "lra.store": STORE,
    "lra.training": TRAINING,
    "lra.sweep": [*TRAINING, "lra.sweep"],
    "lra.efficiency": [*TRAINING, "lra.efficiency"],
    "lra.certificate": BASE,
    "lra.report": EVERYTHING,
}
# The commands, python -m lra.<name>: a docstring that is their help, and a short main.
DOORS = {
    "check",
    "leaderboard",
    "plots",
    "rekey",
    "search",
    "submit",
    "tables",
    "withdraw",
    "__main__",
}
RENDERERS = (
    "lra.report.tables",
    "lra.report.leaderboard.page",
    "lra.report.plots",
    "lra.report.result",
)
PRINTS_ONCE = {"lra.report.submit"}  # to see whether a table can print the row


def modules() -> dict[str, Path]:
    """Returns name -> file of every module of ours."""
    found = {"run": ROOT / "run.py"}
    for folder in ("lra", "models", "data_prep"):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """Returns the modules of ours that a module imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in MODULES else node.module for part in parts}
    return found & MODULES.keys() - {name}


ARROWS = {name: imports(name) for name in MODULES}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("lra.") else module.split(".")[0]


ON_TOP = {"run", "lra", "lra.api", *(f"lra.{door}" for door in DOORS)}


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) not in ON_TOP))
def test_a_room_imports_downwards_alone(module):
    allowed = {*MAY_IMPORT[room(module)], room(module)}
    wrong = {other for other in ARROWS[module] if room(other) not in allowed}
    assert not wrong, f"{module} must not import {', '.join(sorted(wrong))}"


def test_nothing_imports_a_command():
    for module, others in ARROWS.items():
        assert not {f"lra.{door}" for door in DOORS} & others, module
        assert not {other for other in others if other.endswith("__main__")}, module


def test_there_is_no_circle_of_files():
    list(TopologicalSorter(ARROWS).static_order())  # raises CycleError, which names it


def test_there_is_no_circle_of_rooms():
    rooms = {room(name): set() for name in MODULES}
    for name, others in ARROWS.items():
        rooms[room(name)] |= {room(other) for other in others} - {room(name)}
    list(TopologicalSorter(rooms).static_order())


def test_logic_is_not_in_a_renderer():
    for module, others in ARROWS.items():
        if module.startswith(RENDERERS) or module in PRINTS_ONCE or room(module) == "run":
            continue
        if room(module).removeprefix("lra.") not in DOORS:
            assert not {other for other in others if other.startswith(RENDERERS)}, module


def test_every_package_says_what_it_is_for():
    for name, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{name} has no docstring"


def strings(tree: ast.AST) -> set[str]:
    """Returns the names, attributes and texts of a module, without its docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set() if id(node) in docstrings else {node.value}
    return found


# Published figures are accuracies; rows of version 1 had no other metric.
ACCURACY = {
    "lra.objective.classification",
    "lra.report.published",
    "lra.report.leaderboard.lines",
    "lra.report.tables.papers",
    "lra.store.row",
}


def test_only_the_objective_knows_its_metric():
    """The code that trains, stores, compares and prints asks the objective."""
    knowing = {
        name
        for name, path in MODULES.items()
        if name.startswith("lra.")
        and any("accuracy" in text for text in strings(ast.parse(path.read_text())))
    }
    assert knowing <= ACCURACY
