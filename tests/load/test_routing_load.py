"""Many decisions, many messages, and an agent that fails in the middle of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from orchestration.metrics import RoutingMetrics
from orchestration.routing import (
    BudgetSettings,
    DispatchResult,
    MessageRouter,
    RouterSettings,
    RouteRule,
)
from tests.support.front import Front, front_door
from tests.support.routing_front import AT_ONCE, QUICK, TARGETS, request
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

ROUTES = int(os.environ.get("LOAD_ROUTES", "50000"))
REQUESTS = int(os.environ.get("LOAD_REQUESTS", "600"))
RULES = 50
AT_A_TIME = 20


@pytest.fixture
def front(stack: Stack) -> Iterator[Front]:
    stack.worker("-I", "tests.support.scatter_agents", "-c", "2")
    with front_door(stack.env) as front:
        yield front


def kinds(router: MessageRouter) -> list[str]:
    """Give a router fifty rules; return what their messages ask for."""
    names = [f"kind-{number}" for number in range(RULES)]
    for name in names:
        condition = f"payload.get('task_type') == '{name}'"
        router.add_route_rule(RouteRule(name, 0, condition, TARGETS))
    return names


def test_many_decisions_are_right_and_shared_evenly(front: Front) -> None:
    registry = CollectorRegistry()

    async def act() -> None:
        settings = RouterSettings(record_rate=0.01)
        metrics = RoutingMetrics(registry)
        async with MessageRouter(
            front.bus, settings=settings, metrics=metrics
        ) as router:
            names = kinds(router)
            messages = [request(task_type=name) for name in names]
            counts: Counter[str] = Counter()
            begin = time.perf_counter()
            for number in range(ROUTES):
                counts.update(await router.route(messages[number % RULES]))
            took_s = time.perf_counter() - begin
            stats = router.cache_stats
            hits = stats["hits"] / (stats["hits"] + stats["misses"])
            print(
                f"\n{ROUTES} decisions, {ROUTES / took_s:,.0f} a second, "
                f"{100 * hits:.1f} % of the sets from the cache"
            )
            assert counts.total() == ROUTES
            for agent_id in TARGETS:
                assert abs(counts[agent_id] / ROUTES - 1 / 3) <= 0.02
            assert hits > 0.6
            kept = router.record_stats
        assert kept["dropped"] == 0

    asyncio.run(act())
    labels = {"strategy": "LEAST_LOADED", "status": "routed"}
    counted = registry.get_sample_value("routing_messages_total", labels)
    assert counted == ROUTES
    replayed = asyncio.run(_replayed(front))
    assert replayed[0] > ROUTES / 200
    assert replayed[1] == 0


async def _replayed(front: Front) -> tuple[int, int]:
    async with MessageRouter(front.bus) as router:
        found = await router.replay()
    return found.count, len(found.differences)


async def until_nobody_is_left_out(router: MessageRouter) -> None:
    """Return once each ejection is over; who was ejected may be tried then."""
    async with asyncio.timeout(120):
        while (await router.explain(request()))["left_out"]:
            await asyncio.sleep(0.05)


def test_no_request_is_lost_while_an_agent_fails_and_comes_back(front: Front) -> None:
    patient = BudgetSettings(share=0.2, floor=50)
    settings = RouterSettings(ejection=QUICK, slow_start=AT_ONCE, retries=patient)

    async def act() -> list[list[DispatchResult]]:
        async with MessageRouter(front.bus, settings=settings) as router:
            router.add_route_rule(RouteRule("r", targets=TARGETS))
            phases = []
            for fails in ([], ["agent-b"], []):
                begin = time.perf_counter()
                results: list[DispatchResult] = []
                for _ in range(0, REQUESTS, AT_A_TIME):
                    some = (
                        router.dispatch(request(fails=fails), timeout_ms=60_000)
                        for _ in range(AT_A_TIME)
                    )
                    results += await asyncio.gather(*some)
                took_s = time.perf_counter() - begin
                rate, retries = len(results) / took_s, sum(r.retries for r in results)
                print(
                    f"\n{len(results)} requests, {rate:.0f} a second, {retries} retries"
                )
                phases.append(results)
                await until_nobody_is_left_out(router)
            return phases

    before, ill, after = asyncio.run(act())
    for results in (before, ill, after):
        assert len(results) == REQUESTS
        assert all(one.reply is not None for one in results)
    assert set(Counter(one.answered_by for one in before)) == {*TARGETS}
    tried = sum("agent-b" in one.targets for one in ill)
    assert tried < REQUESTS / 6  # left out, but for a few in flight and its trials
    assert not any(one.answered_by == "agent-b" for one in ill)
    assert any(one.answered_by == "agent-b" for one in after)
