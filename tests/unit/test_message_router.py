"""The router's front door, without servers; and who is there by announcements."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orchestration.adapters.announced_agents import AnnouncedAgents
from orchestration.adapters.announcements import Announced
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.loads import Report
from orchestration.errors import (
    ConfigurationError,
    InvalidRoute,
    NoRoute,
    NoTargetAvailable,
    TransportError,
)
from orchestration.message_bus import MessageBus
from orchestration.metrics import RoutingMetrics
from orchestration.routing import (
    LoadPolicy,
    MessageRouter,
    RouterSettings,
    RouteRule,
    RoutingStrategy,
)
from orchestration.settings import Settings
from tests.unit.routed import ABC, Fleet, message

SETTINGS = Settings(
    database_url="postgresql://nobody@127.0.0.1:1/none",
    redis_url="redis://127.0.0.1:1/0",
    broker_url="redis://127.0.0.1:1/0",
)


class Door:
    """A router over a fleet of the test's own."""

    def __init__(self, **more: Any) -> None:
        self.registry = CollectorRegistry()
        self.fleet = Fleet(*ABC)
        self.router = MessageRouter(
            MessageBus(SETTINGS),
            view=self.fleet,
            metrics=RoutingMetrics(self.registry),
            **more,
        )

    def route(self, *given: Any, **more: Any) -> list[str]:
        return asyncio.run(self.router.route(message(*given, **more)))

    def counted(self, strategy: str, status: str) -> float | None:
        labels = {"strategy": strategy, "status": status}
        return self.registry.get_sample_value("routing_messages_total", labels)


def test_rules_are_added_and_removed_at_once() -> None:
    door = Door()
    rule = RouteRule("r", targets=["agent-b"])
    door.router.add_route_rule(rule)
    assert door.router.rules == (rule,)
    assert door.route() == ["agent-b"]
    with pytest.raises(InvalidRoute):
        door.router.add_route_rule(rule)
    assert door.router.remove_route_rule("r")
    assert not door.router.remove_route_rule("r")
    with pytest.raises(NoRoute):
        door.route()


def test_static_routes_are_replaced_and_removed() -> None:
    door = Door()
    door.router.add_static_route("calc", ["agent-a"])
    door.router.add_static_route("calc", ABC, RoutingStrategy.BROADCAST)
    assert door.route("calc") == list(ABC)
    assert door.router.remove_static_route("calc")
    assert not door.router.remove_static_route("calc")


def test_loads_that_are_told_are_gone_by() -> None:
    lasting = LoadPolicy(stale_after_s=600.0)
    door = Door(settings=RouterSettings(loads=lasting))
    door.router.add_route_rule(RouteRule("r", targets=ABC))
    for agent_id, queue in zip(ABC, (5, 0, 5), strict=True):
        at = time.monotonic()
        door.router.loads.tell(agent_id, Report(queue), at=at)
    told = asyncio.run(door.router.explain(message()))
    assert told["targets"] == door.route() == ["agent-b"]
    assert told["method"] == "SCAN"


def test_every_message_is_counted_by_strategy_and_outcome() -> None:
    door = Door()
    door.router.add_route_rule(RouteRule("r", 1, "payload['n'] > 0", targets=ABC))
    content = RouteRule("c", 0, "priority == 'LOW'", ABC, "CONTENT_BASED")
    door.router.add_route_rule(content)
    door.route(payload={"n": 1})
    door.route(payload={"n": 1})
    with pytest.raises(NoTargetAvailable):
        door.route(priority="LOW")
    with pytest.raises(NoRoute):
        door.route("nobody")
    asyncio.run(door.router.explain(message("agent-a")))
    assert door.counted("LEAST_LOADED", "routed") == 2
    assert door.counted("CONTENT_BASED", "no_target") == 1
    assert door.counted("", "no_route") == 1
    assert door.registry.get_sample_value("routing_cache_hits_total") == 1
    assert door.registry.get_sample_value("routing_latency_ms_count") == 4
    assert door.router.rule_errors == {"r": 3}
    assert door.router.cache_stats == {"hits": 1, "misses": 3, "corrupt": 0}


def test_threads_may_share_a_router() -> None:
    door = Door()
    rule = RouteRule("r", targets=ABC, strategy="ROUND_ROBIN")
    door.router.add_route_rule(rule)
    with ThreadPoolExecutor(4) as threads:
        picks = list(threads.map(lambda _: door.route()[0], range(300)))
    assert Counter(picks) == dict.fromkeys(ABC, 100)


def test_a_router_that_is_not_connected_says_so() -> None:
    router = MessageRouter(
        MessageBus(SETTINGS), metrics=RoutingMetrics(CollectorRegistry())
    )
    with pytest.raises(ConfigurationError, match=r"await router.initialize\(\)"):
        asyncio.run(router.route(message("agent-a")))


class Said:
    """Announcements as a list, or an error."""

    def __init__(self, **agents: bool) -> None:
        self.agents: dict[str, bool] | Exception = agents
        self.reads = 0

    def listed(self) -> tuple[Announced, ...]:
        self.reads += 1
        if isinstance(self.agents, Exception):
            raise self.agents
        kinds = [("agent", name) for name in self.agents] + [("pool", "default")]
        return tuple(
            Announced(
                worker="w",
                kind=kind,
                name=name,
                pool="default",
                is_live=self.agents.get(name, True),
                last_seen=datetime.now(UTC),
            )
            for kind, name in kinds
        )


def test_announced_agents_are_there_while_a_worker_is_up() -> None:
    said = Said(a=True, b=False)
    agents = AnnouncedAgents(said)  # type: ignore[arg-type]
    assert (agents.is_known, agents.agent("a")) == (False, None)
    agents.refresh()
    statuses = [getattr(agents.agent(name), "status", None) for name in "ab"]
    assert statuses == [AgentStatus.ACTIVE, AgentStatus.INACTIVE]
    assert agents.agent("default") is None
    assert agents.capable("x") == ()


def test_only_a_change_is_a_new_membership() -> None:
    said = Said(a=True)
    agents = AnnouncedAgents(said)  # type: ignore[arg-type]
    agents.refresh()
    agents.refresh()
    assert agents.membership == 1
    said.agents = {"a": False}
    agents.refresh()
    assert agents.membership == 2


def test_nobody_announced_is_known_too() -> None:
    agents = AnnouncedAgents(Said())  # type: ignore[arg-type]
    agents.refresh()
    assert agents.is_known


def test_what_was_read_counts_while_it_cannot_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = Said(a=True)
    agents = AnnouncedAgents(said)  # type: ignore[arg-type]
    agents.refresh()
    said.agents = TransportError("the database is away")
    with caplog.at_level(logging.WARNING):
        agents.refresh_quietly()
    assert agents.agent("a") is not None
    assert "the database is away" in caplog.text
    assert agents.age_s < 60
    with pytest.raises(TransportError):
        agents.refresh()


def test_a_second_reader_does_not_wait_for_the_first() -> None:
    said = Said(a=True)
    agents = AnnouncedAgents(said)  # type: ignore[arg-type]
    reading, go_on = threading.Event(), threading.Event()
    listed = said.listed

    def slowly() -> tuple[Announced, ...]:
        reading.set()
        go_on.wait(60)
        return listed()

    said.listed = slowly  # type: ignore[method-assign]
    first = threading.Thread(target=agents.refresh)
    first.start()
    assert reading.wait(60)
    agents.refresh_quietly()
    assert said.reads == 0
    go_on.set()
    first.join()
    assert said.reads == 1


def test_who_asks_for_news_gets_what_was_read_since() -> None:
    said = Said(a=True)
    agents = AnnouncedAgents(said)  # type: ignore[arg-type]
    asked_at = time.monotonic()
    agents.refresh_quietly(asked_at=asked_at)
    agents.refresh_quietly(asked_at=asked_at)
    assert said.reads == 1
    agents.refresh_quietly(asked_at=time.monotonic())
    assert said.reads == 2
