"""An agent that keeps a ledger of every call and effect, and fails as it is told to.

It is idempotent by its keys only as far as a ledger has to be: the same effect may be
entered twice, by two attempts, and counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestration.agents import Action, ActionContext
from orchestration.core.saga.model import Direction
from orchestration.errors import NonRetryable, RetryLater
from orchestration.testing import FakeClock, WorkerKilled

DO, UNDO, PROBE = Direction.DO, Direction.UNDO, Direction.PROBE


class Trouble(StrEnum):
    """What an attempt does in place of going well."""

    FAILS = "fails"
    REFUSES = "refuses for good"
    ASKS_FOR_TIME = "asks to be tried later"
    LOST_BEFORE = "loses its answer before the effect"
    LOST_AFTER = "loses its answer after the effect"
    DIES_BEFORE = "is killed before the effect"
    DIES_AFTER = "is killed after the effect"
    SLOW_BEFORE = "runs out of its time before the effect"
    SLOW_AFTER = "runs out of its time after the effect"
    NO_DICT = "returns what cannot be stored"

    @property
    def has_effect(self) -> bool:
        return self in _AFTER

    @property
    def kills(self) -> bool:
        return self in (Trouble.DIES_BEFORE, Trouble.DIES_AFTER)


_AFTER = {Trouble.LOST_AFTER, Trouble.DIES_AFTER, Trouble.SLOW_AFTER, Trouble.NO_DICT}
Troubles = Mapping[tuple[str, Direction], tuple[Trouble, int]]
"""Which trouble a step's doing, undoing or probe has, at how many first attempts."""


@dataclass(frozen=True)
class Call:
    """One call of an action.

    Attributes:
        at: How many events its saga had when it came.
        has_effect: Whether it did its work; a probe has none to do.
        by_hand: An operator undid it, outside of all sagas.
    """

    saga_id: str
    step: str
    direction: Direction
    round: int
    attempt: int
    key: str
    at: int
    has_effect: bool
    by_hand: bool = False
    agent_id: str = ""


@dataclass
class Ledger:
    """The agent ``agent``: any action has an effect, ``undo`` takes it away."""

    clock: FakeClock
    length_of: Callable[[str], int]
    troubles: Troubles = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    agent_id: str = "agent"
    capabilities: tuple[str, ...] = ("skill",)
    max_concurrent: int | None = None
    max_per_s: float | None = None

    @property
    def colleague(self) -> Ledger:
        """Another agent, ``other``, whose calls are written in the same book."""
        return replace(self, agent_id="other")

    def find(self, action: str) -> Action:
        return {"undo": self._act, "probe": self._probe}.get(action, self._act)

    def effects(self, saga_id: str) -> Iterator[Call]:
        yield from (c for c in self.calls if c.saga_id == saga_id and c.has_effect)

    def left(self, saga_id: str) -> dict[str, Call]:
        """Return each step's effect that no undo has come after."""
        left: dict[str, Call] = {}
        for call in self.effects(saga_id):
            if call.direction is UNDO:
                left.pop(call.step, None)
            else:
                left.setdefault(call.step, call)
        return left

    def undo_by_hand(self, saga_id: str, step: str) -> None:
        """Do what an operator does who settles a failed undo."""
        at = self.length_of(saga_id)
        self.calls.append(
            Call(saga_id, step, UNDO, 0, 0, "", at, has_effect=True, by_hand=True)
        )

    def _act(self, data: dict[str, Any], context: ActionContext) -> Any:
        del data
        trouble = self._due(context)
        self._enter(context, has_effect=trouble is None or trouble.has_effect)
        if trouble is not None:
            return self._strike(trouble, context)
        return {context.step.partition("[")[0]: context.round}

    def _probe(self, data: dict[str, Any], context: ActionContext) -> Any:
        del data
        self._enter(context, has_effect=False)
        trouble = self._due(context)
        if trouble is Trouble.NO_DICT:
            return {"happened": "perhaps"}
        if trouble is not None:
            return self._strike(trouble, context)
        return {"happened": context.step in self.left(context.saga_id)}

    def _due(self, context: ActionContext) -> Trouble | None:
        told = self.troubles.get((context.step, Direction(context.direction)))
        return told[0] if told is not None and context.attempt <= told[1] else None

    def _enter(self, context: ActionContext, *, has_effect: bool) -> None:
        self.calls.append(
            Call(
                context.saga_id,
                context.step,
                Direction(context.direction),
                context.round,
                context.attempt,
                context.idempotency_key,
                self.length_of(context.saga_id),
                has_effect,
                agent_id=self.agent_id,
            )
        )

    def _strike(self, trouble: Trouble, context: ActionContext) -> Any:
        what = f"{context.direction} {context.step} {trouble}"
        match trouble:
            case Trouble.FAILS:
                raise ValueError(what)
            case Trouble.REFUSES:
                raise NonRetryable(what)
            case Trouble.ASKS_FOR_TIME:
                raise RetryLater(what, retry_in_ms=7_000)
            case Trouble.LOST_BEFORE | Trouble.LOST_AFTER:
                raise ConnectionError(what)
            case Trouble.DIES_BEFORE | Trouble.DIES_AFTER:
                raise WorkerKilled
            case Trouble.SLOW_BEFORE | Trouble.SLOW_AFTER:
                return self.clock.advance(hours=1)  # the step's own time ends it
            case Trouble.NO_DICT:
                return [what]
