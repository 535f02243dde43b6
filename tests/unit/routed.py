"""A fleet of agents for the router's tests, and messages to it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestration.core.messaging.model import Message
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.loads import Loads, Report
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.ports import AgentView
from orchestration.core.routing.router import Router
from orchestration.core.routing.table import RouteTable

ABC = ("agent-a", "agent-b", "agent-c")


class Fleet:
    """Who is there; each change is a new membership."""

    def __init__(self, *agents: str | AgentView) -> None:
        self.membership = 1
        self._agents: dict[str, AgentView] = {}
        self._capable: dict[str, list[str]] = {}
        self.have(*agents)

    def have(self, *agents: str | AgentView) -> None:
        for agent in agents:
            one = AgentView(agent) if isinstance(agent, str) else agent
            self._agents[one.agent_id] = one
        self.membership += 1

    def lose(self, agent_id: str) -> None:
        del self._agents[agent_id]
        self.membership += 1

    def turn(self, agent_id: str, status: AgentStatus) -> None:
        self.have(replace(self._agents[agent_id], status=status))

    def can(self, capability: str, *agent_ids: str) -> None:
        self._capable[capability] = list(agent_ids)
        self.membership += 1

    def agent(self, agent_id: str) -> AgentView | None:
        return self._agents.get(agent_id)

    def capable(self, capability: str) -> list[str]:
        return self._capable.get(capability, [])

    def known(self) -> dict[str, AgentView]:
        return self._agents

    def live(self) -> list[str]:
        well = (AgentStatus.ACTIVE, AgentStatus.DEGRADED)
        return [one.agent_id for one in self._agents.values() if one.status in well]


def message(
    recipient_id: str = "calculator",
    payload: Mapping[str, Any] | None = None,
    **more: Any,
) -> Message:
    return Message(
        sender_id="pipeline-1",
        recipient_id=recipient_id,
        message_type=more.pop("message_type", "REQUEST"),
        payload=payload or {},
        **more,
    )


class World:
    """A router with a fleet, a table and a clock of the test's own."""

    def __init__(
        self, *rules: RouteRule, fleet: Fleet | None = None, **parts: Any
    ) -> None:
        self.fleet = fleet or Fleet(*ABC)
        self.table = RouteTable()
        for rule in rules:
            self.table = self.table.with_rule(rule)
        self.router = Router(parts.pop("loads", None) or Loads(), **parts)
        self.rng = random.Random(7)
        self.now = 1_000.0

    def report(self, queues: Mapping[str, float], capacity: int = 10) -> None:
        for agent_id, queue in queues.items():
            self.router.loads.tell(
                agent_id, Report(queue), at=self.now, capacity=capacity
            )

    def decide(self, sent: Message | None = None) -> Decision:
        return self.router.decide(
            sent or message(), self.table, self.fleet, self.rng, self.now
        )

    def look(self, sent: Message | None = None) -> Decision:
        return self.router.look(
            sent or message(), self.table, self.fleet, self.rng, self.now
        )

    def targets(self, sent: Message | None = None) -> tuple[str, ...]:
        return self.decide(sent).targets

    def picks(self, count: int, sent: Message | None = None) -> list[str]:
        return [self.targets(sent)[0] for _ in range(count)]


def shares(picks: Iterable[str]) -> dict[str, float]:
    found = list(picks)
    return {one: found.count(one) / len(found) for one in sorted(set(found))}
