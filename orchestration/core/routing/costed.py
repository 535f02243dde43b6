"""Candidates scored by what a message is expected to cost on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from orchestration.core.messaging.model import Message
from orchestration.core.routing.loads import AgentLoad
from orchestration.core.routing.ports import Costs

__all__ = ["Cost", "Costed"]


@dataclass(frozen=True, slots=True)
class Cost:
    """An agent whose score is what a message is expected to cost on it."""

    agent_id: str
    score: float


class Costed(Sequence[Cost]):
    """A pool scored by costs, which are asked only for the agents that are drawn."""

    __slots__ = ("_costs", "_message", "_now", "_pool")

    def __init__(
        self, pool: Sequence[AgentLoad], costs: Costs, message: Message, now: float
    ) -> None:
        self._pool = pool
        self._costs = costs
        self._message = message
        self._now = now

    def __len__(self) -> int:
        return len(self._pool)

    @overload
    def __getitem__(self, at: int) -> Cost: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Cost]: ...
    def __getitem__(self, at: int | slice) -> Cost | Sequence[Cost]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        agent = self._pool[at]
        return Cost(agent.agent_id, self._costs.cost(agent, self._message, self._now))
