"""The code in the docs is code: it compiles, is accepted, and calls what there is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration import saga as front_door
from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.events import EventType
from orchestration.saga import SagaClient, SagaOrchestrator, SagaTransaction

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAGAS = ROOT / "docs" / "sagas.md"


def blocks(page: Path) -> list[str]:
    """Return a page's blocks of Python, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def parsed(block: str) -> ast.Module:
    """Parse a block in which ``await`` may stand at the top level."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(block, "docs", "exec", flags=flags)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of ``saga`` or ``sagas``, an orchestrator or a client."""
    for block in blocks(SAGAS):
        for node in ast.walk(parsed(block)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="saga" | "sagas" as name))
                ):
                    yield name, node


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_compiles(page: Path) -> None:
    for block in blocks(page):
        parsed(block)


def test_every_definition_in_the_chapter_on_sagas_is_accepted() -> None:
    namespace: dict[str, Any] = {**vars(front_door), "replace": replace}
    for block in blocks(SAGAS):
        if re.search(r"await |with |import ", block) is None:
            exec(block, namespace)
    found = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, SagaTransaction)
    }
    assert len(found) >= 8
    faults = {name: definition_faults(value) for name, value in found.items()}
    assert not any(faults.values()), faults


def test_every_call_in_the_chapter_on_sagas_fits_its_method() -> None:
    kinds = {"saga": SagaOrchestrator, "sagas": SagaClient}
    found = [*calls()]
    assert len(found) >= 15
    for name, call in found:
        assert isinstance(call.func, ast.Attribute)
        method = getattr(kinds[name], call.func.attr)
        given = {one.arg: None for one in call.keywords if one.arg is not None}
        inspect.signature(method).bind(None, *call.args, **given)


def test_the_chapter_on_sagas_names_every_event() -> None:
    text = SAGAS.read_text("utf-8")
    assert [one for one in EventType if f"`{one}`" not in text] == []
