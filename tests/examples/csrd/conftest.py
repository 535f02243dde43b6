"""A company's data, a home for files, and steps called as a worker calls them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import examples.csrd
from examples.csrd import agents
from examples.csrd.transaction import csrd_transaction, report_request
from orchestration.agents import ActionContext, hosted_agents

DATA = Path(examples.csrd.__file__).parent / "data"
Tree = Mapping[str, bytes | None]


@dataclass
class Run:
    """One saga's steps, done and undone by hand in the order of the definition."""

    saga_id: str = "saga-1"
    data: dict[str, Any] = field(default_factory=report_request)
    steps: tuple[Any, ...] = field(
        default_factory=lambda: tuple(csrd_transaction().steps)
    )

    def context(
        self, step: Any, direction: str = "do", **changes: Any
    ) -> ActionContext:
        given: dict[str, Any] = {
            "saga_id": self.saga_id,
            "step": step.name,
            "direction": direction,
            "attempt": 1,
            "round": 1,
            "idempotency_key": f"{self.saga_id}:{step.name}:{direction}:1",
            "metadata": step.metadata,
        }
        return ActionContext(**given | changes)

    def step(self, name: str) -> Any:
        return next(step for step in self.steps if step.name == name)

    def do(self, name: str, **changes: Any) -> dict[str, Any]:
        step = self.step(name)
        output = _call(step, step.action, self.data, self.context(step, **changes))
        self.data = {**self.data, **output}
        return output

    def undo(self, name: str) -> dict[str, Any]:
        step = self.step(name)
        context = self.context(step, "undo")
        return _call(step, step.compensation, self.data, context)

    def up_to(self, name: str) -> Run:
        """Do every step before ``name``."""
        for step in self.steps:
            if step.name == name:
                return self
            self.do(step.name)
        raise AssertionError(name)

    def whole(self) -> Run:
        for step in self.steps:
            self.do(step.name)
        return self


def _call(step: Any, action: str, data: Any, context: ActionContext) -> dict[str, Any]:
    by_id = {agent.agent_id: agent for agent in hosted_agents()}
    function = by_id[step.agent_id].find(action)
    assert function is not None
    return function(dict(data), context)


def tree(folder: Path) -> Tree:
    """Return every path below ``folder`` with its bytes (None: a folder)."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / "work").mkdir(parents=True)
    monkeypatch.setenv("CSRD_HOME", str(folder))
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    assert agents.collector.agent_id == "agent-data-collector"
    return Run()


@pytest.fixture
def new_run(home: Path) -> Callable[..., Run]:
    return Run


@pytest.fixture
def snapshot() -> Callable[[Path], Tree]:
    return tree


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example's data that the test may change."""
    copy = tmp_path / "data"
    shutil.copytree(DATA, copy)
    monkeypatch.setenv("CSRD_DATA", str(copy))
    return copy


@pytest.fixture
def data_folder() -> Path:
    return DATA
