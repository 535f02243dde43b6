"""A world with one agent, whose effects are kept in a dict; for tests of what happens.

Every step is done by the agent ``agent``: an action of any name has an effect under
the step's name, ``undo`` takes it away, ``probe`` tells whether it is there. What a
step does instead is told by ``shop.does[name]`` and ``shop.undoes[name]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestration.agents import Action, ActionContext
from orchestration.core.saga.acts import Who
from orchestration.core.saga.events import EventType
from orchestration.core.saga.execution import SagaExecution
from orchestration.testing import SagaWorld

ME = Who("me")
Doing = Callable[[dict[str, Any], ActionContext], Any]


class Shop(SagaWorld):
    """The world; ``effects`` holds each step's output while it is in effect."""

    def __init__(self, **options: Any) -> None:
        self.effects: dict[str, Any] = {}
        self.log: list[str] = []
        self.contexts: list[ActionContext] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        self.does: dict[str, Doing] = {}
        self.undoes: dict[str, Doing] = {}
        self.max_concurrent = options.pop("max_concurrent", None)
        self.max_per_s = options.pop("max_per_s", None)
        self.agent_id = "agent"
        super().__init__([self], **options)

    def find(self, action: str) -> Action:
        return {"undo": self._undo, "probe": self._probe}.get(action, self._do)

    def _do(self, data: dict[str, Any], context: ActionContext) -> Any:
        self._note(f"do {context.step}", data, context)
        output = self.does.get(context.step, _nothing)(data, context)
        self.effects[context.step] = output
        return output

    def _undo(self, data: dict[str, Any], context: ActionContext) -> Any:
        self._note(f"undo {context.step}", data, context)
        self.undoes.get(context.step, _nothing)(data, context)
        self.effects.pop(context.step, None)

    def _probe(self, data: dict[str, Any], context: ActionContext) -> Any:
        self._note(f"probe {context.step}", data, context)
        happened = context.step in self.effects
        return {"happened": happened, "output": self.effects.get(context.step) or {}}

    def _note(self, what: str, data: dict[str, Any], context: ActionContext) -> None:
        self.log.append(what)
        self.contexts.append(context)
        self.inputs[what] = data

    def types(self, saga_id: str = "t") -> list[EventType]:
        return [event.type for event in self.history(saga_id)]

    def child(self, step: str, saga_id: str = "t") -> SagaExecution:
        """Return the status of the saga that a step runs."""
        return self.status(self.status(saga_id).child_ids[step])


def _nothing(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    return {context.step: context.round}


def fails(data: dict[str, Any], context: ActionContext) -> Any:
    raise ValueError(f"{context.step} fails")


def unknown(data: dict[str, Any], context: ActionContext) -> Any:
    raise ConnectionError(f"{context.step}: no answer")


def first(times: int, then: Doing) -> Doing:
    """Return what does a thing at the first attempts only, and then goes well."""

    def act(data: dict[str, Any], context: ActionContext) -> Any:
        if context.attempt <= times:
            return then(data, context)
        return _nothing(data, context)

    return act
