"""The registry as apps use it: its front door, with real workers behind it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from prometheus_client import generate_latest

from orchestration.adapters import heartbeat_sender
from orchestration.agent_registry import (
    AgentDescriptor,
    AgentRegistry,
    AgentStatus,
    ChangeKind,
    Query,
    RegisteredAgent,
    ServiceDiscovery,
    ServiceType,
)
from orchestration.core.registry.token import Grant, sign_token
from orchestration.errors import (
    AgentNotFound,
    ConfigurationError,
    DiscoveryTimeout,
    DuplicateAgent,
    InvalidCard,
    InvalidDescriptor,
    InvalidHeartbeat,
    InvalidQuery,
    TokenRefused,
    TooManyAgents,
)
from orchestration.message_bus import MessageBus
from orchestration.settings import Settings
from tests.support.front import Front, linear
from tests.support.registry import SECRET, RegistrySide, registry_side
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

# Workers say often how their agents are, and a host that stands still for seconds takes
# none of those out: they have sixty intervals, as has whoever a test wants to be gone.
# Many tests' agents that fall silent at once are no failure of the network.
ENVIRONMENT = {
    "ORCHESTRATION_HEARTBEAT_INTERVAL_S": "0.5",
    "ORCHESTRATION_DECOMMISSION_AFTER_S": "1.5",
    "ORCHESTRATION_DECOMMISSION_INTERVALS": "60",
    "ORCHESTRATION_PROTECT_SHARE": "1",
}
PATIENT_MS = 60_000.0

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def bus_of(environment: dict[str, str], **changes: Any) -> MessageBus:
    prefix = "ORCHESTRATION_"
    given = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    urls = {
        "database_url": environment["DATABASE_URL"],
        "redis_url": environment["REDIS_URL"],
        "broker_url": environment["CELERY_BROKER_URL"],
    }
    return MessageBus(Settings(**{**given, **urls, **changes}))


@pytest.fixture(scope="module")
def registry(running: Stack) -> Iterator[AgentRegistry]:
    """A producer beside a worker, a chores worker and beat."""
    bus = bus_of(running.env)
    registry = AgentRegistry(bus)
    asyncio.run(registry.initialize())
    yield registry
    asyncio.run(bus.close())


@pytest.fixture
def redis_url(redis_databases: tuple[str, str]) -> str:
    """Where tests with a registry of their own keep it, under a prefix of its own.

    It is not emptied for them: the workers that all tests share have theirs there.
    """
    return redis_databases[0]


@pytest.fixture
def another(running: Stack) -> Iterator[AgentRegistry]:
    """The registry of another process."""
    bus = bus_of(running.env)
    registry = AgentRegistry(bus)
    asyncio.run(registry.initialize())
    yield registry
    asyncio.run(bus.close())


@pytest.fixture
def name() -> str:
    """A word of this test's own, for ids and capabilities."""
    return uuid4().hex[:12]


def said(name: str, nth: int = 0, **changes: Any) -> AgentDescriptor:
    fields: dict[str, Any] = {
        "agent_id": f"agent-{name}-{nth}",
        "agent_type": "Calculator",
        "version": "1.0.0",
        "capabilities": [name],
        # Nobody beats for it: it stays as it is for longer than any test takes.
        "heartbeat_interval_s": 300.0,
    }
    return AgentDescriptor(**{**fields, **changes})


def register(registry: AgentRegistry, *descriptors: AgentDescriptor) -> None:
    async def all_of_them() -> None:
        for one in descriptors:
            assert await registry.register(one)

    asyncio.run(all_of_them())


def beat(registry: AgentRegistry, agent_id: str, **metrics: float) -> None:
    asyncio.run(registry.heartbeat(agent_id, metrics))


def found(registry: AgentRegistry, name: str, **asked: Any) -> list[RegisteredAgent]:
    asked.setdefault("timeout_ms", PATIENT_MS)
    return asyncio.run(registry.discover(capabilities=[name], **asked))


def ids(agents: list[RegisteredAgent]) -> list[str]:
    return [agent.agent_id for agent in agents]


def get(registry: AgentRegistry, agent_id: str) -> RegisteredAgent:
    return asyncio.run(registry.get(agent_id))


def await_status(registry: AgentRegistry, agent_id: str, status: AgentStatus) -> None:
    wait_until(
        lambda: get(registry, agent_id).status is status, f"{agent_id} is {status}"
    )


def is_registered(registry: AgentRegistry, agent_id: str) -> bool:
    try:
        get(registry, agent_id)
    except AgentNotFound:
        return False
    return True


def test_registry_initialization(running: Stack, name: str) -> None:
    async def act() -> None:
        async with bus_of(running.env) as bus:
            registry = AgentRegistry(bus)
            with pytest.raises(ConfigurationError, match="initialize"):
                await registry.discover(capabilities=[name])
            await registry.initialize()
            await registry.initialize()
            asked = registry.discover(capabilities=[name], timeout_ms=PATIENT_MS)
            assert await asked == []

    asyncio.run(act())


# --- registration


def test_agent_registration(registry: AgentRegistry, name: str) -> None:
    one = said(name, tags=["fast"], metadata={"max_concurrent_requests": 8})
    assert asyncio.run(registry.register(one, location="us-east-1")) is True
    agent = get(registry, one.agent_id)
    assert agent.descriptor == one
    assert (agent.status, agent.location) == (AgentStatus.ACTIVE, "us-east-1")
    assert abs(agent.registered_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_agents_come_from_cards_and_become_cards(
    registry: AgentRegistry, name: str
) -> None:
    async def act() -> None:
        register = registry.register_card
        foreign = {"name": name, "version": "1.0.0", "skills": [{"id": "plan_route"}]}
        first = await register(foreign, location="mars")
        assert (first.agent_id, first.location) == (f"agent-{name}", "mars")
        assert first.descriptor.capabilities == ("plan_route",)
        card = await registry.card_of(first.agent_id)
        assert [skill["id"] for skill in card["skills"]] == ["plan_route"]
        twin = await register(card, agent_id=f"agent-{name}-2")
        assert twin.descriptor.metadata == first.descriptor.metadata
        assert (await register(card)).version == first.version
        with pytest.raises(InvalidCard, match="version is None"):
            await register({"name": name, "skills": []})
        with pytest.raises(AgentNotFound):
            await registry.card_of(f"agent-{name}-3")

    asyncio.run(act())


def test_registering_the_same_again_is_true(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name), said(name))
    assert get(registry, f"agent-{name}-0").version == 1


def test_registering_other_content_is_an_update(
    registry: AgentRegistry, name: str
) -> None:
    register(registry, said(name), said(name, version="1.1.0"))
    agent = get(registry, f"agent-{name}-0")
    assert (agent.descriptor.version, agent.version) == ("1.1.0", 2)


def test_update_changes_some_fields(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name, tags=["old"]))
    agent_id = f"agent-{name}-0"
    agent = asyncio.run(registry.update(agent_id, tags=["new"], location="eu"))
    assert (agent.descriptor.tags, agent.location) == (("new",), "eu")
    assert agent.descriptor.capabilities == (name,)


def test_invalid_agent_descriptor(registry: AgentRegistry, name: str) -> None:
    wrong = AgentDescriptor(agent_id="calculator", agent_type="C", version="two")
    with pytest.raises(InvalidDescriptor) as caught:
        register(registry, wrong)
    assert len(caught.value.faults) >= 2
    assert "agent-" in str(caught.value)


def test_duplicate_registration(running: Stack, name: str) -> None:
    def token(owner: str) -> str:
        grant = Grant(
            pattern=f"agent-{name}-*", owner=owner, expires_at_ms=4_000_000_000_000
        )
        return sign_token(SECRET.encode(), grant)

    async def act() -> None:
        bus = bus_of(running.env, registry_secrets=SECRET)
        async with bus, AgentRegistry(bus) as registry:
            await registry.register(said(name), token=token("team-a"))
            with pytest.raises(DuplicateAgent, match="team-a"):
                await registry.register(said(name), token=token("team-b"))
            assert await registry.register(said(name), token=token("team-a"))
            with pytest.raises(DuplicateAgent):
                await registry.deregister(f"agent-{name}-0", token=token("team-b"))
            with pytest.raises(TokenRefused, match="needs a registration token"):
                await registry.register(said(name, 1))
            with pytest.raises(TokenRefused, match="not for agent"):
                await registry.register(said("other"), token=token("team-a"))

    asyncio.run(act())


def test_no_more_agents_than_the_limit(running: Stack, name: str) -> None:
    async def act() -> None:
        bus = bus_of(running.env, max_agents=1)
        async with bus, AgentRegistry(bus) as registry:
            both = [registry.register(said(name, nth)) for nth in range(2)]
            answers = await asyncio.gather(*both, return_exceptions=True)
            refused = [one for one in answers if isinstance(one, TooManyAgents)]
            assert "ORCHESTRATION_MAX_AGENTS" in str(refused[0])

    asyncio.run(act())


def test_deregistration(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name))
    agent_id = f"agent-{name}-0"
    assert asyncio.run(registry.deregister(agent_id)) is True
    assert found(registry, name) == []
    with pytest.raises(AgentNotFound, match=agent_id):
        get(registry, agent_id)
    assert asyncio.run(registry.deregister(agent_id)) is False


def test_an_agent_that_left_may_come_again(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name))
    asyncio.run(registry.deregister(f"agent-{name}-0"))
    register(registry, said(name, version="2.0.0"))
    (agent,) = found(registry, name)
    assert (agent.descriptor.version, agent.version) == ("2.0.0", 3)


# --- heartbeats and health


def test_heartbeat_tracking(
    registry: AgentRegistry, another: AgentRegistry, name: str
) -> None:
    one = said(name, metadata={"max_concurrent_requests": 4})
    register(registry, one)
    assert get(registry, one.agent_id).last_heartbeat is None
    beat(registry, one.agent_id, queue_size=2, error_rate=0.25)
    wait_until(
        lambda: (
            is_registered(another, one.agent_id)
            and get(another, one.agent_id).last_heartbeat is not None
        ),
        "the other process has heard of it",
    )
    agent = get(another, one.agent_id)
    assert (agent.load, agent.health_score) == (0.5, 0.75)
    assert abs(agent.last_heartbeat - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_heartbeat_of_nobody_is_refused(registry: AgentRegistry, name: str) -> None:
    with pytest.raises(AgentNotFound, match=f"agent-{name}"):
        beat(registry, f"agent-{name}", cpu_usage=0.1)


def test_a_heartbeat_with_impossible_metrics_is_refused(
    registry: AgentRegistry, name: str
) -> None:
    register(registry, said(name))
    with pytest.raises(InvalidHeartbeat) as caught:
        beat(registry, f"agent-{name}-0", cpu_usage=1.5, error_rate=-1)
    assert len(caught.value.faults) == 2
    with pytest.raises(InvalidQuery, match="timeout_ms is nan"):
        found(registry, name, timeout_ms=float("nan"))
    with pytest.raises(InvalidQuery, match="limit is 0"):
        asyncio.run(registry.list(limit=0))


def test_many_heartbeats_at_once_go_in_few_messages(
    registry: AgentRegistry,
    another: AgentRegistry,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # "At about the same time", also on a host that stands still in between.
    monkeypatch.setattr(heartbeat_sender, "_GATHER_S", 1.0)
    some = [said(name, nth) for nth in range(20)]
    register(registry, *some)
    sender = registry._bus.registry._sender
    before = sender._number

    async def all_at_once() -> None:
        await asyncio.gather(*(registry.heartbeat(one.agent_id) for one in some))

    asyncio.run(all_at_once())
    assert sender._number - before <= 4
    for one in some:
        wait_until(
            lambda one=one: get(another, one.agent_id).last_heartbeat is not None,
            f"{one.agent_id} is heard of",
        )


@pytest.mark.parametrize(
    ("metrics", "health"),
    [
        ({"cpu_usage": 0.45, "error_rate": 0.01, "response_time_ms": 234}, 0.99),
        ({"error_rate": 0.4}, 0.6),
        ({"response_time_ms": 4_000}, 0.5),
        ({"cpu_usage": 0.9}, 0.8),
        ({"cpu_usage": 0.9, "error_rate": 0.5, "response_time_ms": 4_000}, 0.2),
        ({"memory_usage": 1.0, "queue_size": 1_000}, 1.0),
    ],
)
def test_health_score_calculation(
    registry: AgentRegistry, name: str, metrics: dict[str, float], health: float
) -> None:
    register(registry, said(name))
    beat(registry, f"agent-{name}-0", **metrics)
    assert get(registry, f"agent-{name}-0").health_score == pytest.approx(health)


def test_new_agents_start_healthy(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name))
    assert get(registry, f"agent-{name}-0").health_score == 1.0


def test_status_transitions(database_url: str, redis_url: str, name: str) -> None:
    with registry_side(database_url, redis_url, decommission_after_s=900.0) as side:
        side.register("agent-a", heartbeat_interval_s=100.0)
        replica = side.replica()

        def stands() -> tuple[str, float] | None:
            agent = replica.columns.get("agent-a")
            return agent and (str(agent.status), agent.health_score)

        # After none, two, four and nine intervals of silence.
        for silent_s, expected in (
            (0, ("ACTIVE", 1.0)),
            (201, ("DEGRADED", 0.5)),
            (200, ("INACTIVE", 0.5)),
            (500, None),
        ):
            side.age(silent_s)
            side.sweep()
            wait_until(lambda then=expected: stands() == then, f"it is {expected}")
        changed = [e.data.get("to") for e in side.log.history("agent-a")]
        assert changed == [None, "DEGRADED", "INACTIVE", None]
        assert side.types()[-1] == "AGENT_DEREGISTERED"


def test_an_unhealthy_agent_is_degraded_and_recovers(
    registry: AgentRegistry, name: str
) -> None:
    one = said(name)
    register(registry, one)
    beat(registry, one.agent_id, error_rate=0.5)
    await_status(registry, one.agent_id, AgentStatus.DEGRADED)
    assert ids(found(registry, name)) == [one.agent_id]
    beat(registry, one.agent_id, error_rate=0.0)
    await_status(registry, one.agent_id, AgentStatus.ACTIVE)


def test_auto_deregistration(registry: AgentRegistry, name: str) -> None:
    silent = said(name, 0, heartbeat_interval_s=0.1)
    register(registry, silent, said(name, 1))
    wait_until(lambda: not is_registered(registry, silent.agent_id), "it is taken out")
    assert ids(found(registry, name)) == [f"agent-{name}-1"]
    history = registry._bus.registry.desk.log.history(silent.agent_id)
    assert history[-1].type == "AGENT_DEREGISTERED"
    assert history[-1].data["reason"] == "SILENCE"


# --- discovery


def test_capability_discovery(registry: AgentRegistry, name: str) -> None:
    both = said(name, 0, capabilities=[name, "scope3"])
    one = said(name, 1, capabilities=[name])
    register(registry, both, one)
    assert set(ids(found(registry, name))) == {both.agent_id, one.agent_id}
    asked = registry.discover(capabilities=[name, "scope3"], timeout_ms=PATIENT_MS)
    assert ids(asyncio.run(asked)) == [both.agent_id]
    assert found(registry, f"no-{name}") == []


def test_service_type_filtering(registry: AgentRegistry, name: str) -> None:
    register(
        registry,
        said(name, 0, service_types=[ServiceType.COMPUTATION]),
        said(name, 1, service_types=["DATA", "STORAGE"]),
        said(name, 2),
    )
    asked = {"service_types": [ServiceType.COMPUTATION]}
    assert ids(found(registry, name, **asked)) == [f"agent-{name}-0"]
    either = found(registry, name, service_types=["STORAGE", "COMPUTATION"])
    assert set(ids(either)) == {f"agent-{name}-0", f"agent-{name}-1"}


def test_tag_filtering(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name, 0, tags=["a", "b"]), said(name, 1, tags=["a"]))
    assert len(found(registry, name, tags=["a"])) == 2
    assert ids(found(registry, name, tags=["b", "a"])) == [f"agent-{name}-0"]


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        (">=2.1.3", {2, 3}),
        (">2.1.3", {3}),
        ("=2.1.3", {2}),
        ("^2.0.0", {1, 2}),
        (">=2.0,<3", {1, 2}),
        ("~=2.1", {2}),
    ],
)
def test_version_constraint_matching(
    registry: AgentRegistry, name: str, constraint: str, fits: set[int]
) -> None:
    versions = ["1.9.0", "2.0.0", "2.1.3", "3.0.0"]
    register(registry, *(said(name, n, version=v) for n, v in enumerate(versions)))
    agents = found(registry, name, version_constraint=constraint)
    assert set(ids(agents)) == {f"agent-{name}-{nth}" for nth in fits}


def test_location_preference(registry: AgentRegistry, name: str) -> None:
    async def act() -> None:
        await registry.register(said(name, 0), location="eu")
        await registry.register(said(name, 1), location="us")

    asyncio.run(act())
    for place, first in (("eu", 0), ("us", 1)):
        agents = found(registry, name, location_preference=place)
        assert len(agents) == 2
        assert agents[0].agent_id == f"agent-{name}-{first}"


def test_health_score_filtering(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name, 0), said(name, 1))
    beat(registry, f"agent-{name}-0", error_rate=0.3)
    assert ids(found(registry, name, min_health_score=0.8)) == [f"agent-{name}-1"]
    assert len(found(registry, name, min_health_score=0.7)) == 2


def test_the_healthiest_come_first(registry: AgentRegistry, name: str) -> None:
    register(registry, *(said(name, nth) for nth in range(3)))
    for nth, error_rate in enumerate((0.1, 0.0, 0.05)):
        beat(registry, f"agent-{name}-{nth}", error_rate=error_rate)
    order = [f"agent-{name}-{nth}" for nth in (1, 2, 0)]
    assert ids(found(registry, name)) == order
    assert ids(found(registry, name, max_results=2)) == order[:2]


def test_discovery_timeout(registry: AgentRegistry, name: str) -> None:
    with pytest.raises(DiscoveryTimeout, match="discovery took"):
        found(registry, name, timeout_ms=0)


def test_a_query_that_makes_no_sense_is_refused(
    registry: AgentRegistry, name: str
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        found(registry, name, min_health_score=2, max_results=0)
    assert len(caught.value.faults) == 2


def test_discovery_cache(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name))
    for _ in range(20):
        found(registry, name)
    assert asyncio.run(registry.get_metrics())["cache_hit_rate"] > 0
    # A cached query knows at once of who comes.
    register(registry, said(name, 1))
    assert len(found(registry, name)) == 2


def test_a_process_sees_its_own_writes_at_once(
    registry: AgentRegistry, name: str
) -> None:
    async def act() -> None:
        for nth in range(20):
            one = said(name, nth)
            await registry.register(one)
            await registry.heartbeat(one.agent_id, {"error_rate": 0.5})
            agents = await registry.discover(
                capabilities=[name], max_results=50, timeout_ms=PATIENT_MS
            )
            assert len(agents) == nth + 1
            assert {agent.health_score for agent in agents} == {0.5}

    asyncio.run(act())


def test_other_processes_see_what_changes(
    registry: AgentRegistry, another: AgentRegistry, name: str
) -> None:
    register(registry, said(name))
    wait_until(lambda: found(another, name), "it is found elsewhere")
    asyncio.run(registry.deregister(f"agent-{name}-0"))
    wait_until(lambda: not found(another, name), "and is gone elsewhere")


def test_service_discovery_is_the_query_side(
    registry: AgentRegistry, name: str
) -> None:
    register(registry, said(name))
    discovery = ServiceDiscovery(registry)
    asked = discovery.discover(capabilities=[name], timeout_ms=PATIENT_MS)
    agents = asyncio.run(asked)
    assert ids(agents) == [f"agent-{name}-0"]


def test_watching_a_query(registry: AgentRegistry, name: str) -> None:
    one, two = said(name, 0), said(name, 1)

    async def act() -> list[tuple[ChangeKind, str]]:
        await registry.register(one)
        seen = []
        watching = registry.watch(Query(capabilities=[name]))
        async with asyncio.timeout(60):
            async for change in watching:
                seen.append((change.kind, change.agent.agent_id))
                if len(seen) == 1:
                    await registry.register(two)
                    await registry.heartbeat(two.agent_id, {"cpu_usage": 0.1})
                elif len(seen) == 2:
                    await registry.deregister(one.agent_id)
                else:
                    break
        await watching.aclose()
        return seen

    assert asyncio.run(act()) == [
        (ChangeKind.JOINED, one.agent_id),
        (ChangeKind.JOINED, two.agent_id),
        (ChangeKind.LEFT, one.agent_id),
    ]


def test_watching_ends_with_the_message_bus(running: Stack) -> None:
    async def act() -> list[ChangeKind]:
        bus = bus_of(running.env)
        registry = AgentRegistry(bus)
        await registry.initialize()
        watching = registry.watch(Query(min_health_score=0.1))
        closing = asyncio.create_task(bus.close())
        async with asyncio.timeout(60):
            seen = [change.kind async for change in watching]
        await closing
        return seen

    assert set(asyncio.run(act())) <= {ChangeKind.JOINED}


def test_all_agents_are_listed_page_by_page(registry: AgentRegistry, name: str) -> None:
    register(registry, *(said(name, nth) for nth in range(5)))

    async def act() -> list[str]:
        listed, after = [], None
        while True:
            page = await registry.list(after=after, limit=2)
            assert len(page.agents) <= 2
            listed += [agent.agent_id for agent in page.agents]
            if (after := page.after) is None:
                return listed

    listed = asyncio.run(act())
    assert listed == sorted(listed)
    assert {f"agent-{name}-{nth}" for nth in range(5)} <= set(listed)


# --- figures and history


def test_registry_metrics(database_url: str, redis_url: str, name: str) -> None:
    both = said(name, 0), said(name, 1, capabilities=[name, f"{name}-2"])

    async def act(side: RegistrySide) -> tuple[dict[str, Any], dict[str, Any]]:
        bus = MessageBus(side.settings)
        async with bus, AgentRegistry(bus) as registry:
            before = await registry.get_metrics()
            for one in both:
                await registry.register(one)
            return before, await registry.get_metrics()

    # Where no agents of other tests leave meanwhile.
    with registry_side(database_url, redis_url) as side:
        before, after = asyncio.run(act(side))
    assert after["unique_capabilities"] == before["unique_capabilities"] + 2
    assert after["total_agents"] == sum(after["by_status"].values()) == 2
    assert set(after["by_status"]) == set(AgentStatus)
    assert 0 < after["average_health_score"] <= 1
    assert after["feed_age_s"] < 60


def test_figures_of_an_empty_registry(database_url: str, redis_url: str) -> None:
    with registry_side(database_url, redis_url) as side:
        assert side.sweep().agents == 0

        async def act() -> dict[str, Any]:
            bus = MessageBus(side.settings)
            async with bus, AgentRegistry(bus) as registry:
                return await registry.get_metrics()

        figures = asyncio.run(act())
    assert (figures["total_agents"], figures["average_health_score"]) == (0, 0.0)


def test_prometheus_metrics(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name))
    found(registry, name)
    exposed = generate_latest().decode()
    assert 'registry_queries_total{type="discover"}' in exposed
    assert "registry_discovery_latency_ms_bucket" in exposed


def test_the_sweep_shows_agents_and_their_health(
    database_url: str, redis_url: str
) -> None:
    with registry_side(database_url, redis_url) as side:
        side.register("agent-a")
        side.register("agent-b")
        side.beat("agent-a", error_rate=0.5)
        side.sweep()
        shown = side.metrics.agents.collect()[0].samples
        assert {s.labels["status"]: s.value for s in shown} == {
            "active": 1,
            "degraded": 1,
            "inactive": 0,
            "decommissioned": 0,
        }
        side.deregister("agent-b")
        side.sweep()
        health = side.metrics.health.collect()[0].samples
        assert [(s.labels["agent_id"], s.value) for s in health] == [("agent-a", 0.5)]


def test_who_was_registered_at_a_moment(registry: AgentRegistry, name: str) -> None:
    register(registry, said(name, 0))
    at = get(registry, f"agent-{name}-0").registered_at
    register(registry, said(name, 1), said(name, 0, version="9.0.0"))
    then = [a for a in asyncio.run(registry.as_of(at)) if name in a.agent_id]
    assert [(a.agent_id, a.descriptor.version) for a in then] == [
        (f"agent-{name}-0", "1.0.0")
    ]


# --- workers and other producers


def test_a_bare_celery_client_registers_beats_and_deregisters(
    running: Stack, registry: AgentRegistry, name: str
) -> None:
    client = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    client.conf.broker_transport_options = {
        "global_keyprefix": running.env["ORCHESTRATION_KEY_PREFIX"]
    }
    agent_id = f"agent-{name}-0"

    def send(task: str, **kwargs: Any) -> None:
        client.send_task(task, kwargs=kwargs, ignore_result=True)

    descriptor = {
        "agent_id": agent_id,
        "agent_type": "Outsider",
        "version": "1.0.0",
        "capabilities": [name],
    }
    send("registry.register", descriptor=descriptor, location="eu")
    wait_until(lambda: found(registry, name), "it is registered")
    heartbeats = [{"agent_id": agent_id, "metrics": {"error_rate": 0.25}}]
    send("registry.heartbeat", heartbeats=heartbeats)
    wait_until(lambda: get(registry, agent_id).health_score == 0.75, "it is heard of")
    assert get(registry, agent_id).location == "eu"
    send("registry.deregister", agent_id=agent_id)
    wait_until(lambda: not found(registry, name), "it is gone")
    client.close()


def test_hosted_agents_are_in_the_registry_with_real_figures(
    registry: AgentRegistry, front: Front
) -> None:
    wait_until(lambda: is_registered(registry, "agent-effects"), "it is registered")
    replica = registry._bus.registry.replica
    front.run(linear(3, s1={"sleep_s": 0.05}))

    told: dict[str, float] = {}

    def tells(figure: str) -> bool:
        told.clear()
        if last := replica.last_beat("agent-effects"):
            told.update(last.metrics)
        return figure in told

    wait_until(lambda: tells("response_time_ms"), "its work shows")
    assert told["response_time_ms"] > 0
    wait_until(lambda: tells("cpu_usage"), "its host shows")
    assert 0 < told["memory_usage"] < 1
    assert "queue_size" in told


def test_hosted_agents_leave_on_warm_shutdown(
    running: Stack, registry: AgentRegistry
) -> None:
    worker = running.worker("-I", "tests.support.late_agents", pool="solo")
    hosted = "agent-late"
    wait_until(lambda: is_registered(registry, hosted), "it is registered")
    worker.terminate()
    wait_until(lambda: not is_registered(registry, hosted), "it has left")
    history = registry._bus.registry.desk.log.history(hosted)
    assert history[-1].data["reason"] == "ASKED"


def test_a_script_that_never_closes_ends_and_its_heartbeats_are_sent(
    running: Stack, registry: AgentRegistry, name: str
) -> None:
    script = f"""
import asyncio
from orchestration.agent_registry import AgentDescriptor, AgentRegistry

async def main():
    registry = AgentRegistry()
    await registry.initialize()
    one = AgentDescriptor(
        agent_id="agent-{name}-0", agent_type="S", version="1.0.0",
        capabilities=["{name}"],
    )
    await registry.register(one)
    sent = registry._bus.registry.heartbeat(one.agent_id, {{"error_rate": 0.25}})
    assert not sent.done()
    print("done", flush=True)

asyncio.run(main())
"""
    import os

    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, **running.env},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    # At once, and not by a thread's wait of many seconds.
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    wait_until(
        lambda: get(registry, f"agent-{name}-0").health_score == 0.75,
        "its heartbeat has arrived",
    )
