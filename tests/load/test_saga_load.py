"""Many sagas at once, and sagas that wait for long.

KB per active saga: what Postgres (events, side tables, all their indexes) and Redis
(messages, hot state) grow by, and what a process takes that remembers all of them.
"""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.conftest import migrate
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.judging import judge
from tests.support.shifted_clock import ShiftedClock
from tests.support.stack import Stack, Started
from tests.support.storm import is_quiet
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = pytest.mark.timeout(900)

SAGAS = int(os.environ.get("LOAD_SAGAS", "150"))
KB_PER_SAGA = 50
AGENTS = ("-I", "tests.support.effects_agents", "-c", "2")
HOUR_S = 3_600.0


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    """Servers that keep what was committed, as in production."""
    with EmbeddedServers() as servers:
        yield servers


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


def start(stack: Stack) -> list[Started]:
    parts = [
        stack.worker(*AGENTS, wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    return parts


def some_saga(number: int) -> tuple[SagaTransaction, bool]:
    """Return a saga that fans out, waits in its middle, and may fail at its end."""
    fails = number % 3 == 0
    return (
        SagaTransaction(
            "load",
            [
                step("first"),
                step("left", "first"),
                step("right", "first"),
                SagaStep("gate", wait_for="go", depends_on=["left", "right"]),
                step("last", "gate", **({"fail": "for good"} if fails else {})),
            ],
        ),
        fails,
    )


def stored_bytes(environment: dict[str, str]) -> int:
    """Return what both servers hold: tables with their indexes, and memory."""
    engine = create_engine(environment["DATABASE_URL"])
    with engine.connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c"
            " WHERE c.relkind = 'r'"
            " AND c.relnamespace IN ('es'::regnamespace, 'orch'::regnamespace)"
        ).scalar()
    engine.dispose()
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        memory = client.info("memory")["used_memory"]
    return int(tables) + int(memory)


def remembered_bytes(front: Front, saga_ids: list[str]) -> int:
    """Return what a process takes to remember so many sagas as they stand."""
    views = [front.bus.sagas.view(saga_ids[0])]  # what all of them share
    tracemalloc.start()
    try:
        views += [front.bus.sagas.view(saga_id) for saga_id in saga_ids]
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        del views


def test_many_sagas_at_once_end_truthfully_and_take_little_room(
    servers: EmbeddedServers, effects: Effects, make_stack: Callable[..., Stack]
) -> None:
    environment = {**servers.environment, "EFFECTS_FILE": str(effects.path)}
    migrate(environment)
    start(make_stack(environment))
    with front_door(environment) as front:
        before = stored_bytes(environment)
        begun: dict[str, bool] = {}
        for number in range(SAGAS):
            transaction, fails = some_saga(number)
            begun[front.start(transaction)] = fails
        engine = front.bus.sagas.db.engine
        waiting = "SELECT count(*) FROM es.events WHERE type = 'STEP_WAITING'"
        wait_until(
            lambda: front.bus.sagas.db.rows(waiting)[0][0] == SAGAS,
            "all sagas are in their middle",
            timeout_s=180,
        )
        stored = stored_bytes(environment) - before
        kb = (stored + remembered_bytes(front, list(begun))) / SAGAS / 1_024
        print(f"\n{SAGAS} sagas at once: {kb:.1f} KB for each")
        assert kb <= KB_PER_SAGA
        for saga_id in begun:
            asyncio.run(front.saga.signal(saga_id, "go"))
        wait_until(lambda: is_quiet(engine), "all sagas are over", timeout_s=180)
        verdict = judge(front, World.read(effects.path), begun)
        assert not verdict.faults
        had_to_be = sum(begun.values())
        assert verdict.states[SagaState.COMPENSATED] >= 0.999 * had_to_be
        assert verdict.states.total() == SAGAS
        assert verdict.doubles == 0


def waiting_sagas() -> dict[str, SagaTransaction]:
    """Return sagas that wait 75 minutes: for a retry, a signal, a signal in vain."""
    long = {"max_attempts": 2, "backoff_ms": 4_500_000, "max_backoff_ms": 4_500_000}
    retried = {"fail": "once", "retry_policy": long | {"jitter": 0.0}}

    def signalled(timeout_ms: int) -> SagaTransaction:
        gate = SagaStep("gate", wait_for="go", depends_on=["a"], timeout_ms=timeout_ms)
        steps = [step("a"), gate, step("z", "gate")]
        return SagaTransaction("signalled", steps, timeout_ms=10_800_000)

    return {
        "retried": linear(3, s2=retried, timeout_ms=10_800_000),
        "signalled": signalled(9_000_000),
        "in vain": signalled(4_500_000),
    }


def test_a_saga_that_waits_over_an_hour_survives_a_restart_of_everything(
    servers: EmbeddedServers, effects: Effects, make_stack: Callable[..., Stack]
) -> None:
    environment = {**servers.environment, "EFFECTS_FILE": str(effects.path)}
    migrate(environment)
    clock = ShiftedClock(environment["DATABASE_URL"])
    parts = start(make_stack(environment))
    with front_door(environment) as front:
        ids = {what: front.start(saga) for what, saga in waiting_sagas().items()}
        for saga_id, told in zip(
            ids.values(), ("STEP_FAILED", "STEP_WAITING", "STEP_WAITING"), strict=True
        ):
            wait_until(lambda s=saga_id, t=told: t in front.types(s), "all wait")
        for part in parts:
            part.kill()
        servers.restart_postgres("kill")
        servers.restart_valkey("kill")  # empty, as it keeps nothing on a disk
    start(make_stack(environment))
    with front_door(environment) as front:
        before = {saga_id: front.types(saga_id) for saga_id in ids.values()}
        clock.forward(70 * 60)
        clock.sweep()
        assert before == {saga_id: front.types(saga_id) for saga_id in before}
        clock.forward(10 * 60)
        asyncio.run(front.saga.signal(ids["signalled"], "go"))
        ended = {what: front.wait(saga_id).state for what, saga_id in ids.items()}
        assert ended == {
            "retried": SagaState.COMPLETED,
            "signalled": SagaState.COMPLETED,
            "in vain": SagaState.COMPENSATED,
        }
        verdict = judge(
            front, World.read(effects.path), {ids[k]: k == "in vain" for k in ids}
        )
        assert (verdict.faults, verdict.doubles) == ({}, 0)
        times = [
            event.recorded_at
            for event in front.history(ids["retried"])
            if event.type == "STEP_STARTED" and event.data["step"] == "s2"
        ]
        assert (times[1] - times[0]).total_seconds() >= 75 * 60
