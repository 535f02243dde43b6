"""Promises of agents: broken ones are recorded, tell on health, and are seen by all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from sqlalchemy import create_engine

from eventstore.verify import verify
from orchestration.adapters.registry_replica import Replica
from orchestration.adapters.saga_records import Because
from orchestration.agent_registry import AgentRegistry, Order, RegisteredAgent
from orchestration.core.registry.fold import fold
from orchestration.message_bus import MessageBus
from orchestration.settings import Settings
from tests.support.registry import RegistrySide, descriptor, registry_side
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PROMISE = {"max_latency_ms": 500.0}
ENVIRONMENT = {"ORCHESTRATION_PROTECT_SHARE": "1"}
MISSED, MET = {"response_time_ms": 900.0}, {"response_time_ms": 10.0}

Sides = Callable[..., RegistrySide]


@pytest.fixture
def redis_url(redis_databases: tuple[str, str]) -> str:
    """Where tests with a registry of their own keep it, under a prefix of its own.

    It is not emptied for them: the workers that some tests share have theirs there.
    """
    return redis_databases[0]


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    """Agents that are silent do not expire within a test."""
    lines = {"decommission_after_s": 300.0}
    with registry_side(database_url, redis_url, **lines) as side:
        yield side


@pytest.fixture
def another(side: RegistrySide) -> Iterator[Sides]:
    """The tools of another process on the same servers."""
    made: list[RegistrySide] = []

    def make(**changes: Any) -> RegistrySide:
        made.append(RegistrySide(side.settings.model_copy(update=changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def heard(side: RegistrySide, metrics: dict[str, float], times: int = 1) -> None:
    """Have an agent be heard of, and judged, so many times."""
    for _ in range(times):
        time.sleep(0.002)  # a heartbeat of the same millisecond is the same
        side.beat("agent-a", **metrics)
        side.sweep()


def broken(side: RegistrySide) -> list[str]:
    return sorted(side.log.states()["agent-a"].violations)


def seen_in(replica: Replica) -> tuple[float, list[str]]:
    agent = replica.columns.get("agent-a")
    assert agent is not None
    return agent.health_score, sorted(agent.violations)


def is_as_recorded(side: RegistrySide) -> bool:
    """Tell whether every row is what its events fold to, and the chain is sound."""
    engine = create_engine(side.settings.database_url)
    try:
        is_sound = verify(engine).sound
    finally:
        engine.dispose()
    return is_sound and side.log.states() == fold(side.log.history())


def test_a_promise_is_broken_by_the_third_miss_in_a_row(side: RegistrySide) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 2)
    heard(side, MET)
    heard(side, MISSED, 2)
    assert side.types() == ["AGENT_REGISTERED"]
    heard(side, MISSED)
    assert side.types() == ["AGENT_REGISTERED", "SLA_VIOLATED"]
    state = side.log.states()["agent-a"]
    assert (list(state.violations), state.health_score) == (["max_latency_ms"], 0.85)
    assert state.status == "ACTIVE"
    assert is_as_recorded(side)


def test_one_heartbeat_is_judged_once(side: RegistrySide) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED)
    for _ in range(5):
        side.sweep()
    assert broken(side) == []


def test_every_replica_computes_the_health_that_the_sweep_does(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla={**PROMISE, "max_error_rate": 0.01})
    replica = another().replica()
    worse = {**MISSED, "error_rate": 0.1}
    heard(side, worse, 3)
    expected = round(0.9 * 0.85**2, 4)
    both = (expected, ["max_error_rate", "max_latency_ms"])
    wait_until(lambda: seen_in(replica) == both, "the replica has heard of it")
    # Of a heartbeat that no sweep has judged yet, and in a replica that begins now.
    side.beat("agent-a", cpu_usage=0.8, **worse)
    lower = round(expected * 0.9, 4)
    wait_until(lambda: seen_in(replica)[0] == lower, "the heartbeat is heard of")
    assert seen_in(another().replica()) == (lower, both[1])
    # One sweep recorded both promises and where they took it, in one go.
    *_, first, second, last = side.types()
    assert {first, second} == {"SLA_VIOLATED"}
    assert (last, side.statuses()) == (
        "AGENT_STATUS_CHANGED",
        {"agent-a": "DEGRADED"},
    )
    assert replica.reloads == 1
    assert is_as_recorded(side)


def test_a_heartbeat_ahead_of_the_sweep_is_judged_by_what_the_sweep_found(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla=PROMISE)
    replica = another().replica()
    heard(side, MISSED, 2)
    side.beat("agent-a", **MISSED)
    own = {"cpu_usage": 0.8, **MISSED}
    replica.beat([("agent-a", own)], side.hot.now_ms() + 50)
    side.sweep()
    expected = (round(0.9 * 0.85, 4), ["max_latency_ms"])
    wait_until(lambda: seen_in(replica) == expected, "the promise is broken there")


def test_a_promise_is_kept_again_when_it_was_met_by_a_margin(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla=PROMISE)
    replica = another().replica()
    heard(side, MISSED, 3)
    heard(side, {"response_time_ms": 490.0}, 4)  # met, and at the limit
    heard(side, MET, 2)
    assert broken(side) == ["max_latency_ms"]
    heard(side, MET)
    assert broken(side) == []
    assert side.types()[1:] == ["SLA_VIOLATED", "SLA_RESTORED"]
    wait_until(lambda: seen_in(replica) == (1.0, []), "the replica has heard of it")
    assert is_as_recorded(side)


def test_misses_are_counted_whoever_sweeps(side: RegistrySide, another: Sides) -> None:
    side.register(sla=PROMISE)
    for _ in range(3):
        heard(another(), MISSED)  # each as a process that was started this moment
    assert broken(side) == ["max_latency_ms"]
    for _ in range(3):
        heard(another(), MET)
    assert broken(side) == []


def test_broken_promises_survive_a_wiped_redis(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 3)
    heard(side, MET, 2)
    side.wipe()
    side.sweep()
    assert seen_in(another().replica()) == (0.85, ["max_latency_ms"])
    heard(side, MET, 2)
    assert broken(side) == ["max_latency_ms"]  # these are counted from one
    heard(side, MET)
    assert broken(side) == []
    assert is_as_recorded(side)


def test_who_joins_again_has_broken_nothing(side: RegistrySide) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 3)
    side.deregister()
    side.register(sla=PROMISE)
    assert broken(side) == []
    heard(side, MISSED, 2)
    assert broken(side) == []
    heard(side, MISSED)
    assert broken(side) == ["max_latency_ms"]
    assert is_as_recorded(side)


def test_a_promise_that_is_withdrawn_is_not_broken(side: RegistrySide) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 3)
    side.register(sla={})
    side.sweep()
    assert broken(side) == []
    assert side.types()[-1] == "SLA_RESTORED"
    assert is_as_recorded(side)


def test_who_changes_while_a_sweep_looks_loses_no_count(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 2)
    side.beat("agent-a", **MISSED)
    rows = side.log.rows_to_sweep()
    side.register(sla=PROMISE, version="1.0.1")
    with monkeypatch.context() as patch:
        patch.setattr(type(side.log), "rows_to_sweep", lambda _: rows)
        assert side.sweep().changed == 0
    assert broken(side) == []
    side.sweep()
    assert broken(side) == ["max_latency_ms"]
    assert is_as_recorded(side)


def test_silence_breaks_a_promise_of_availability(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla={"availability": 0.9}, heartbeat_interval_s=0.1)
    watching = another(sla_least_watched_s=0.2)
    side.beat("agent-a")

    def swept() -> bool:
        watching.sweep()
        return broken(side) == ["availability"]

    wait_until(swept, "it has been away for too long")
    assert is_as_recorded(side)


def test_a_row_is_healed_with_its_broken_promises(side: RegistrySide) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 3)
    with side.sql() as other:
        other.exec_driver_sql("DELETE FROM orch.agent")
    side.log.heal("agent-a")
    assert broken(side) == ["max_latency_ms"]
    assert is_as_recorded(side)


@pytest.fixture(scope="module")
def registry(running: Stack) -> Iterator[AgentRegistry]:
    """A producer beside workers in processes of their own."""
    env = running.env
    bus = MessageBus(
        Settings(
            database_url=env["DATABASE_URL"],
            redis_url=env["REDIS_URL"],
            broker_url=env["CELERY_BROKER_URL"],
            key_prefix=env["ORCHESTRATION_KEY_PREFIX"],
        )
    )
    registry = AgentRegistry(bus)
    asyncio.run(registry.initialize())
    yield registry
    asyncio.run(bus.close())


def get(registry: AgentRegistry, agent_id: str) -> RegisteredAgent:
    return asyncio.run(registry.get(agent_id))


def test_a_broken_promise_is_seen_in_every_process(
    registry: AgentRegistry, running: Stack
) -> None:
    agent_id = f"agent-{uuid4().hex}"
    asyncio.run(registry.register(descriptor(agent_id, sla=PROMISE)))
    client = Celery(broker=running.env["CELERY_BROKER_URL"])

    def is_broken() -> bool:
        asyncio.run(registry.heartbeat(agent_id, MISSED))
        # Any of the worker's processes takes it.
        client.send_task("registry.sweep", kwargs={"period_s": 0.001})
        time.sleep(0.1)
        return bool(get(registry, agent_id).violations)

    wait_until(is_broken, "the promise is broken")
    client.close()
    found = get(registry, agent_id)
    assert (found.health_score, list(found.violations)) == (0.85, ["max_latency_ms"])
    script = f"""
import asyncio
from orchestration.agent_registry import AgentRegistry
async def main():
    async with AgentRegistry() as registry:
        agent = await registry.get({agent_id!r})
        print(agent.health_score, *agent.violations)
asyncio.run(main())
"""
    printed = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **running.env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert printed.split() == ["0.85", "max_latency_ms"]


def test_agents_are_chosen_by_health_promises_and_cost(
    registry: AgentRegistry,
) -> None:
    word = uuid4().hex[:12]
    fast = {"max_latency_ms": 100.0, "availability": 0.999}
    fleet: dict[str, tuple[dict[str, float], float]] = {
        "dear": (fast, 3.0),
        "cheap": (fast, 1.0),
        "ill": (fast, 0.5),
        "slow": ({"max_latency_ms": 900.0, "availability": 0.999}, 0.1),
        "shaky": ({"max_latency_ms": 100.0, "availability": 0.9}, 0.1),
        "silent": ({}, 0.1),
    }

    async def chosen(**asked: Any) -> list[str]:
        found = await registry.discover(capabilities=[word], timeout_ms=60_000, **asked)
        return [agent.agent_id.rpartition("-")[2] for agent in found]

    async def choose() -> None:
        for name, (sla, cost) in fleet.items():
            said = descriptor(
                f"agent-{word}-{name}",
                capabilities=[word],
                sla=sla,
                cost_per_request=cost,
            )
            await registry.register(said)
        await registry.heartbeat(f"agent-{word}-ill", {"error_rate": 0.5})
        promised = {"max_latency_ms": 200.0, "min_availability": 0.99}
        by_cost = {**promised, "order": Order.COST}
        assert await chosen(**by_cost) == ["ill", "cheap", "dear"]
        healthy = {**by_cost, "min_health_score": 0.8}
        assert await chosen(**healthy) == ["cheap", "dear"]
        assert await chosen(**healthy, max_cost=0.9) == []
        # By health, the best first; what it costs does not count.
        assert (await chosen(**promised))[-1] == "ill"

    asyncio.run(choose())


def test_two_sweeps_at_once_record_a_broken_promise_once(
    side: RegistrySide, another: Sides
) -> None:
    side.register(sla=PROMISE)
    heard(side, MISSED, 2)
    side.beat("agent-a", **MISSED)
    late, last = another(), side.log.last_sweep()
    side.sweep()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(late.log), "last_sweep", lambda _: last)
        assert late.sweeper.sweep(Because()) is None
    assert side.types() == ["AGENT_REGISTERED", "SLA_VIOLATED"]
