"""A router for tests, over agents that the shared workers host."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from orchestration.core.messaging.model import Message
from orchestration.metrics import RoutingMetrics
from orchestration.routing import (
    AgentView,
    DispatchResult,
    EjectionSettings,
    LoadPolicy,
    MessageRouter,
    RouterSettings,
    RouteRule,
    SlowStartSettings,
)
from tests.support.front import Front

TARGETS = ("agent-a", "agent-b", "agent-c")
QUICK = EjectionSettings(consecutive_failures=2, base_ejection_s=0.5)
AT_ONCE = SlowStartSettings(window_s=0)
LASTING = LoadPolicy(stale_after_s=600.0)
"""What is told of loads counts for longer than a test takes."""

_T = TypeVar("_T")


class OwnTime:
    """The time that decisions go by: it stands still until a test lets it pass.

    What holds for half a second then holds for as long as the host needs. Each look
    is a little later than the one before.
    """

    def __init__(self) -> None:
        self._now = time.monotonic()

    def monotonic(self) -> float:
        self._now += 0.0001
        return self._now

    def passes(self, seconds: float) -> None:
        self._now += seconds


class Hosted:
    """Who is there by the test's word, with what announcements do not tell."""

    def __init__(self, *agents: AgentView, **capable: Iterable[str]) -> None:
        self.membership = 1
        self.agents = {one.agent_id: one for one in agents}
        self.can = {name: tuple(ids) for name, ids in capable.items()}

    def have(self, agent: AgentView) -> None:
        self.agents[agent.agent_id] = agent
        self.membership += 1

    def agent(self, agent_id: str) -> AgentView | None:
        return self.agents.get(agent_id)

    def capable(self, capability: str) -> tuple[str, ...]:
        return self.can.get(capability, ())

    def known(self) -> dict[str, AgentView]:
        return self.agents

    def live(self) -> list[str]:
        return [
            one.agent_id
            for one in self.agents.values()
            if one.status in ("ACTIVE", "DEGRADED")
        ]


def request(recipient_id: str = "calculator", **more: Any) -> Message:
    """Return a request; what is no field of a message is its payload."""
    fields = ("priority", "headers", "message_type", "correlation_id")
    given = {name: more.pop(name) for name in fields if name in more}
    given.setdefault("message_type", "REQUEST")
    return Message(sender_id="test", recipient_id=recipient_id, payload=more, **given)


def rule(strategy: str = "LEAST_LOADED", **more: Any) -> RouteRule:
    if not {"split", "capability"} & more.keys():
        more.setdefault("targets", TARGETS)
    return RouteRule(more.pop("name", "r"), strategy=strategy, **more)


def with_router(
    front: Front,
    act: Callable[[MessageRouter], Awaitable[_T]],
    *rules: RouteRule,
    registry: CollectorRegistry | None = None,
    **options: Any,
) -> _T:
    """Do something with a router of its own beside the shared workers."""
    settings = options.pop("settings", None) or RouterSettings(
        **options.pop("with_", {})
    )

    async def run() -> _T:
        metrics = RoutingMetrics(registry or CollectorRegistry())
        router = MessageRouter(front.bus, settings=settings, metrics=metrics, **options)
        async with router:
            for one in rules:
                router.add_route_rule(one)
            return await act(router)

    return asyncio.run(run())


async def asked(
    router: MessageRouter, count: int, *, at_once: bool = False, **more: Any
) -> list[DispatchResult]:
    """Dispatch the same request some times; return what became of each."""
    # An agent that is asked has a third of it: none is passed over for being slow.
    more.setdefault("timeout_ms", 60_000)
    options = {
        name: more.pop(name)
        for name in ("timeout_ms", "max_attempts", "hedge")
        if name in more
    }

    def one() -> Awaitable[DispatchResult]:
        return router.dispatch(request(**more), **options)

    if at_once:
        return list(await asyncio.gather(*(one() for _ in range(count))))
    return [await one() for _ in range(count)]


def by_agent(results: Iterable[DispatchResult]) -> Counter[str]:
    return Counter(one.answered_by for one in results)
