"""The registry while Redis is wiped, its processes are killed, and agents fall silent.

``make test`` runs the short forms, ``make chaos`` those with 10,000 agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import psutil
import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.adapters.registry_rebuild import rebuild
from orchestration.adapters.registry_replica import Replica
from orchestration.core.registry.fold import fold
from orchestration.core.registry.query import Query
from orchestration.message_bus import Message
from orchestration.routing import MessageRouter, RouteRule, RoutingStrategy
from tests.conftest import migrate
from tests.support.front import front_door
from tests.support.many_agents import enroll, fresh_agents
from tests.support.stack import ROOT, Stack
from tests.support.storm import processes_of
from tests.support.sweeping import Kept, again_and_again, is_unbroken
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(280)

MANY, SOME = 10_000, 1_000
WIPES = 3
# Silence of minutes is made, not waited for: who is heard of has a minute to be.
COMPRESSED = {"ORCHESTRATION_PROTECT_HOLD_S": "8"}
INACTIVE_S, GONE_S = 130, 400
HOSTED = ["agent-calc-001", "agent-calc-002", "agent-calc-003"]


@pytest.fixture
def kept(stack: Stack) -> Iterator[Kept]:
    """A registry that is kept by a worker of chores."""
    stack.env |= COMPRESSED
    stack.chores()
    with front_door(stack.env) as front:
        yield Kept(front)


def names(count: int) -> list[str]:
    return [f"agent-{nth:05}" for nth in range(count)]


def wiped_under_load(servers: EmbeddedServers, stack: Stack, count: int) -> None:
    """Wipe Redis while this process asks and routes all the time."""
    stack.worker("-I", "tests.support.calc_agents", wait=False)
    stack.chores()
    client = redis.Redis.from_url(servers.redis_url)
    with front_door(stack.env) as front:
        kept = Kept(front)
        enroll(kept.log.db, fresh_agents(count))
        client.flushall()  # built with all of them
        replica = kept.client.replica
        everybody = count + len(HOSTED)
        wait_until(lambda: len(replica.columns) == everybody, "all are known")
        beat_and_await(kept, *names(count), queue_size=50)
        query = Query(capabilities=["capability-7"], location_preference="eu")
        asked = routed = 0

        def ask() -> None:
            nonlocal asked
            assert len(kept.client.discover(query)) == 10
            asked += 1

        async def route_on(over: asyncio.Event) -> None:
            nonlocal routed
            async with MessageRouter(front.bus) as router:
                for rule in _rules():
                    router.add_route_rule(rule)
                while not over.is_set():
                    for task_type in ("carbon_calculation", "anything"):
                        assert len(await router.route(_message(task_type))) == 1
                    routed += 1
                    await asyncio.sleep(0.002)

        took_s = []
        with again_and_again(ask, every_s=0.001) as faults, _routing(route_on) as bad:
            for _ in range(WIPES):
                before = (kept.hot.look(), asked, routed)
                began = time.monotonic()
                client.flushall()
                wait_until(
                    lambda before=before: kept.hot.look() not in ("", before[0]),
                    "the hot state is built anew",
                )
                took_s.append(time.monotonic() - began)
                assert kept.is_as_recorded()
                wait_until(
                    lambda before=before: asked > before[1] and routed > before[2],
                    "it is asked and routed",
                )
        assert (faults, bad) == ([], [])
        recorded = {one: s.version for one, s in kept.log.states().items()}
        assert replica.columns.versions() == recorded
        print(
            f"\n{count} agents, wiped {WIPES} times: {asked} asked, {routed} routed, "
            f"built anew after {', '.join(f'{one:.2f} s' for one in took_s)}"
        )

        # Loads are not in Postgres: whoever starts now has them by the next heartbeats.
        late = Replica(kept.log, kept.hot)
        late.start()
        try:
            loads = [late.columns.get(one).load for one in names(count)]
            assert set(loads) == {0.0}
            kept.beat(names(count), queue_size=50)
            wait_until(
                lambda: {late.columns.get(one).load for one in names(count)} == {0.5},
                "the loads are known again",
            )
        finally:
            late.close()
    client.close()


@contextlib.contextmanager
def _routing(
    route_on: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
) -> Iterator[list[str]]:
    """Route in a thread for as long as the block runs; yield what went wrong."""
    faults: list[str] = []
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(route_on(over))
        except Exception as exc:  # noqa: BLE001  told to the test
            faults.append(repr(exc))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


def _rules() -> list[RouteRule]:
    """Return two: to agents that workers host, and among all that are registered."""
    hosted = RouteRule(
        name="calculate",
        priority=1,
        condition="payload.get('task_type') == 'carbon_calculation'",
        targets=HOSTED,
        strategy=RoutingStrategy.LEAST_LOADED,
    )
    return [hosted, RouteRule(name="any", capability="capability-7")]


def _message(task_type: str) -> Message:
    return Message(
        sender_id="tests",
        recipient_id="calculator",
        message_type="REQUEST",
        payload={"task_type": task_type},
    )


@pytest.fixture
def alone(private_servers: EmbeddedServers, make_stack: Callable[..., Stack]) -> Stack:
    """Workers on servers of their own."""
    migrate(private_servers.environment)
    return make_stack(private_servers.environment)


def test_nothing_fails_while_redis_is_wiped(
    private_servers: EmbeddedServers, alone: Stack
) -> None:
    wiped_under_load(private_servers, alone, SOME)


@pytest.mark.chaos
def test_nothing_fails_for_many_agents_while_redis_is_wiped(
    private_servers: EmbeddedServers, alone: Stack
) -> None:
    alone.env["ORCHESTRATION_MAX_AGENTS"] = "20000"
    wiped_under_load(private_servers, alone, MANY)


def test_silence_deregisters_and_heartbeats_bring_back(kept: Kept) -> None:
    enroll(kept.log.db, fresh_agents(3))
    rebuild(kept.log, kept.hot)
    heard, late, silent = names(3)
    beats = again_and_again(lambda: kept.beat([heard]), every_s=0.1)
    with beats as faults, kept.swept():
        beat_and_await(kept, late, silent)
        wait_until(kept.sweeps, "it is swept")
        kept.age(INACTIVE_S, [late])
        kept.await_status(late, "INACTIVE")
        kept.beat([late])
        kept.await_status(late, "ACTIVE")
        with again_and_again(lambda: kept.beat([late]), every_s=0.1):
            kept.age(GONE_S, [silent])
            kept.await_status(silent, "")
            assert [kept.status(one) for one in (heard, late)] == ["ACTIVE"] * 2
    assert faults == []
    [*_, last] = kept.log.history(silent)
    assert (last.type, last.data["reason"]) == ("AGENT_DEREGISTERED", "SILENCE")
    wait_until(lambda: silent not in kept.client.replica.columns, "nobody finds it")
    assert [event.type for event in kept.log.history(heard)] == ["AGENT_REGISTERED"]


def test_heartbeats_that_outlived_an_outage_bring_nobody_back(
    kept: Kept, stack: Stack
) -> None:
    alive, dead = names(2)
    # Heartbeats count for one interval.
    enroll(kept.log.db, fresh_agents(2, interval_s=6.0))
    rebuild(kept.log, kept.hot)

    def beat(*agent_ids: str) -> list[bytes | None]:
        kept.beat(agent_ids)  # again: one that is taken too late does not count
        return heard_of(kept, *agent_ids)

    wait_until(lambda: all(beat(alive, dead)), "both are heard of")
    [keeper] = stack.started
    keeper.terminate()
    keeper.wait()
    before = heard_of(kept, alive, dead)
    kept.beat([alive, dead])  # which nobody takes
    sent_ms = kept.hot.now_ms()
    wait_until(lambda: kept.hot.now_ms() > sent_ms + 6_500, "they are old")
    stack.chores()
    wait_until(lambda: beat(alive) != before[:1], "messages are taken")
    assert heard_of(kept, dead) == before[1:]


def beat_and_await(kept: Kept, *agent_ids: str, **metrics: float) -> None:
    """Have heartbeats sent, and return when those who take them have."""
    wait_until(lambda: is_known(kept, *agent_ids), "Redis knows them")
    kept.beat(agent_ids, **metrics)
    wait_until(lambda: all(heard_of(kept, *agent_ids)), "they are heard of")


def is_known(kept: Kept, *agent_ids: str) -> bool:
    """Tell whether a sweep has told Redis of agents that are recorded."""
    return bool(kept.hot.look()) and kept.hot.states()[0].keys() >= {*agent_ids}


def heard_of(kept: Kept, *agent_ids: str) -> list[bytes | None]:
    """Return the last heartbeats of agents, as Redis has them."""
    glance = kept.hot.look_at(agent_ids)
    assert glance is not None
    return list(glance.blobs)


def test_a_partition_does_not_empty_the_table_and_ends_in_time(kept: Kept) -> None:
    everybody = names(100)
    enroll(kept.log.db, fresh_agents(100))
    rebuild(kept.log, kept.hot)
    with (
        again_and_again(lambda: kept.beat(everybody[60:]), every_s=0.1) as faults,
        kept.swept(),
    ):
        beat_and_await(kept, *everybody)
        wait_until(kept.sweeps, "it is swept")
        kept.age(GONE_S, everybody[:60])
        wait_until(lambda: "PROTECTION_STARTED" in kept.sweeps(), "60 are silent")
        held = []
        while "PROTECTION_ENDED" not in kept.sweeps():
            held.append(kept.statuses())
            time.sleep(0.1)
        # While they were held, all were there, and those who were heard of were well.
        assert len(held) > 2
        assert all(one.total() == 100 for one in held[:-1])
        assert all(one["ACTIVE"] >= 40 and not one["INACTIVE"] for one in held[:-1])
        # A partition that does not end is believed in the end.
        wait_until(lambda: kept.statuses() == {"ACTIVE": 40}, "60 are gone")
    assert faults == []
    assert kept.sweeps().count("PROTECTION_STARTED") == 1
    assert sorted(kept.log.states()) == everybody[60:]


@pytest.mark.parametrize("ahead_s", [-3_600, 3_600])
def test_senders_with_a_wrong_clock_change_nothing(
    kept: Kept, stack: Stack, ahead_s: int
) -> None:
    # Long enough that none is late, and little to a clock that is wrong.
    enroll(kept.log.db, fresh_agents(4, interval_s=60))
    rebuild(kept.log, kept.hot)
    kept.beat(names(4))
    words = ["-m", "tests.support.skewed_sender", str(ahead_s), *names(4)]
    process = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, **stack.env},
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until(lambda: all(heard_of(kept, *names(4))), "all are heard of")
        with kept.swept():
            swept = len(kept.sweeps())
            for _ in range(10):
                process.stdout.readline()
            wait_until(lambda: len(kept.sweeps()) > swept + 20, "it is swept")
            assert kept.statuses() == {"ACTIVE": 4}
        now_ms = kept.hot.now_ms()
        for one in names(4):
            beat = kept.client.replica.last_beat(one)
            assert beat is not None
            assert abs(now_ms - beat.received_at_ms) < 60_000
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    # Deregistered by nobody, and at no time otherwise than well.
    for one in names(4):
        assert [e.type for e in kept.log.history(one)] == ["AGENT_REGISTERED"]


def test_processes_of_the_registry_are_killed(
    private_servers: EmbeddedServers, alone: Stack
) -> None:
    # Every sweep has much to record: whoever is killed is killed over that.
    alone.env["ORCHESTRATION_MAX_AGENTS"] = "20000"
    keeper = alone.chores()
    client = redis.Redis.from_url(private_servers.redis_url)
    with front_door(alone.env) as front:
        kept = Kept(front)
        enroll(kept.log.db, fresh_agents(SOME))
        client.flushall()
        wait_until(lambda: len(kept.client.replica.columns) == SOME, "all are known")
        rate = iter(range(10**6))

        def beat() -> None:
            kept.beat(names(SOME), error_rate=0.9 * (next(rate) % 2))

        with again_and_again(beat, every_s=0.2) as faults, kept.swept():
            for _ in range(3):
                swept = len(kept.sweeps())
                wait_until(lambda n=swept: len(kept.sweeps()) > n + 2, "it is swept")
                for process in processes_of(keeper):
                    process.kill()
                keeper = alone.chores()
                _kill_a_replica(alone, client)
            swept = len(kept.sweeps())
            wait_until(lambda: len(kept.sweeps()) > swept + 2, "it is swept")
        assert faults == []
        # A sweep that was asked for before may be under way.
        wait_until(
            lambda: fold(kept.log.history()) == kept.log.states(),
            "rows are what the events fold to",
        )
        changes: dict[str, list[Mapping[str, str]]] = {one: [] for one in names(SOME)}
        for event in kept.log.history():
            if event.type == "AGENT_STATUS_CHANGED":
                changes[event.data["agent_id"]].append(event.data)
        recorded = [*map(len, changes.values())]
        print(f"\n{SOME} agents, {sum(recorded)} changes, {min(recorded)} at least")
        assert sum(recorded) > SOME
        assert all(is_unbroken(one) for one in changes.values())
        with kept.swept():
            wait_until(kept.is_as_recorded, "Redis holds what was recorded")
    client.close()


def _kill_a_replica(stack: Stack, client: redis.Redis) -> None:
    """Wipe Redis while another process follows, and kill that -9 over building it."""
    words = ["-m", "tests.support.skewed_sender", "0", "agent-00000"]
    process = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, **stack.env},
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    client.flushall()
    psutil.Process(process.pid).kill()
    process.wait()
    process.stdout.close()
