"""Limits that keep the code readable: lengths, and words on what is public."""

import ast
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(
    file.relative_to(ROOT)
    for folder in (
        "orchestration",
        "tasks",
        "eventstore",
        "examples",
        "benchmarks",
        "scripts",
    )
    for file in (ROOT / folder).rglob("*.py")
)
FRONT_DOORS = (
    "agent_registry",
    "agents",
    "contracts",
    "discovery",
    "message_bus",
    "routing",
    "saga",
    "scatter",
    "settings",
    "swarm",
    *(f"errors/{file.stem}" for file in (ROOT / "orchestration/errors").glob("*.py")),
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: Path) -> list[Function]:
    """Return every function and method of a file, nested ones among them."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def undocumented(body: list[ast.stmt], owner: str = "") -> list[str]:
    """Name the public classes, functions and methods that say nothing of themselves."""
    named = [
        node
        for node in body
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
    ]
    inside = (
        undocumented(node.body, f"{owner}{node.name}.")
        for node in named
        if isinstance(node, ast.ClassDef)
    )
    silent = [
        f"{owner}{node.name}"
        for node in named
        if ast.get_docstring(node) is None and not is_override(node)
    ]
    return [*silent, *chain.from_iterable(inside)]


def is_override(node: Function | ast.ClassDef) -> bool:
    """Tell whether a method says that it is documented elsewhere."""
    return any(
        isinstance(mark, ast.Name) and mark.id in ("override", "overload")
        for mark in node.decorator_list
    )


@pytest.mark.parametrize("file", CODE, ids=str)
def test_file_is_short_enough(file):
    assert len((ROOT / file).read_text("utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("file", CODE, ids=str)
def test_functions_are_short_enough(file):
    too_long = {
        node.name: length
        for node in functions(file)
        if (length := node.end_lineno - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


@pytest.mark.parametrize("name", FRONT_DOORS)
def test_public_names_of_front_doors_are_documented(name):
    tree = ast.parse((ROOT / "orchestration" / f"{name}.py").read_text("utf-8"))
    assert ast.get_docstring(tree), "the module itself says nothing"
    assert undocumented(tree.body) == []
