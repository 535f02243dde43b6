"""The router over agents that real workers host and announce."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orchestration.core.messaging.model import Message, MessageType, Priority
from orchestration.errors import AllUnhealthy, NoRoute, RoutingError, UnknownTarget
from orchestration.metrics import RoutingMetrics
from orchestration.routing import (
    DecisionRecord,
    MessageRouter,
    RouteRule,
    RoutingStrategy,
    replay,
)
from tests.conftest import migrate
from tests.support.front import front_door
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

THREE = ["agent-calc-001", "agent-calc-002", "agent-calc-003"]
HOSTING = ("-I", "tests.support.calc_agents")


def rule() -> RouteRule:
    return RouteRule(
        name="route_carbon_calculations",
        priority=100,
        condition="payload.get('task_type') == 'carbon_calculation'",
        targets=THREE,
        strategy=RoutingStrategy.LEAST_LOADED,
    )


def message(recipient_id: str = "calculator") -> Message:
    return Message(
        sender_id="pipeline-001",
        recipient_id=recipient_id,
        message_type=MessageType.REQUEST,
        priority=Priority.HIGH,
        payload={"task_type": "carbon_calculation", "supplier_id": "SUP-12345"},
    )


def with_router(
    stack: Stack, act: Callable[[MessageRouter], Awaitable[Any]], **more: Any
) -> Any:
    """Do something with a router that is connected to the stack's servers."""

    async def run(router: MessageRouter) -> Any:
        async with router:
            return await act(router)

    with front_door(stack.env) as front:
        return asyncio.run(run(MessageRouter(front.bus, **more)))


def test_a_rule_shares_messages_among_hosted_agents(stack: Stack) -> None:
    stack.worker(*HOSTING)
    registry = CollectorRegistry()

    async def act(router: MessageRouter) -> None:
        router.add_route_rule(rule())
        targets = await router.route(message())
        assert len(targets) == 1
        counts = Counter([(await router.route(message()))[0] for _ in range(300)])
        for agent_id in THREE:
            assert abs(counts[agent_id] / 300 - 1 / 3) <= 0.02
        assert await router.route(message("agent-calc-001")) != []
        told = await router.explain(message())
        assert told["rule"] == "route_carbon_calculations"
        assert told["candidates"] == THREE
        decision = await router.decide(message())
        assert replay(DecisionRecord.of(decision)) == decision.targets
        assert router.remove_route_rule("route_carbon_calculations")
        assert not router.remove_route_rule("route_carbon_calculations")
        assert await router.route(message("agent-calc-002")) == ["agent-calc-002"]
        with pytest.raises(NoRoute):
            await router.route(message())
        router.add_static_route("calculator", THREE[2:])
        assert await router.route(message()) == THREE[2:]
        assert router.remove_static_route("calculator")

    with_router(stack, act, metrics=RoutingMetrics(registry))
    name, labels = "routing_messages_total", {"strategy": "LEAST_LOADED"}
    routed = registry.get_sample_value(name, {**labels, "status": "routed"})
    assert routed == 304
    labels = {"strategy": "", "status": "no_route"}
    assert registry.get_sample_value(name, labels) == 1


async def until_refused(router: MessageRouter, kind: type[RoutingError]) -> None:
    """Return once the example's message is refused in that way."""
    async with asyncio.timeout(120):
        while True:
            try:
                await router.route(message())
            except kind:
                return
            await asyncio.sleep(0.2)


def test_agents_that_come_are_found_and_those_that_go_get_nothing(stack: Stack) -> None:
    async def act(router: MessageRouter) -> None:
        router.add_route_rule(rule())
        with pytest.raises(UnknownTarget, match="agent-calc-001"):
            await router.route(message())
        worker = await asyncio.to_thread(stack.worker, *HOSTING)
        assert (await router.route(message()))[0] in THREE
        worker.terminate()
        await asyncio.to_thread(worker.wait)
        await until_refused(router, AllUnhealthy)

    migrate(stack.env)
    with_router(stack, act)


def test_what_was_known_counts_while_the_database_is_away(stack: Stack) -> None:
    stack.worker(*HOSTING)

    async def act(router: MessageRouter) -> None:
        router.add_route_rule(rule())
        await router.route(message())
        router.message_bus.disconnect()
        known = router._around.announced
        await asyncio.to_thread(wait_until, lambda: known.age_s > 2, "it is old")
        assert (await router.route(message()))[0] in THREE

    with_router(stack, act)
