"""A worker killed in a step, a wiped broker, a frozen worker: the saga finishes."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.saga import SagaState
from tests.conftest import migrate
from tests.support.front import Effects, front_door, linear
from tests.support.judging import taken_over_after_s
from tests.support.stack import Stack
from tests.support.storm import held
from tests.support.waiting import wait_until
from tests.support.world import Attempt

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

# Who lives is not taken for dead, though the host stands still for seconds.
LEASE_S = 8
AGENTS = ("-I", "tests.support.effects_agents", "--without-mingle")


def start(stack: Stack, effects: Effects, *, workers: int = 1) -> None:
    stack.env |= {
        "ORCHESTRATION_LEASE_S": str(LEASE_S),
        "EFFECTS_FILE": str(effects.path),
    }
    parts = [
        *(stack.worker(*AGENTS, "-c", "2", wait=False) for _ in range(workers)),
        stack.chores("--without-mingle", wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()


def begun(effects: Effects, saga_id: str, name: str) -> bool:
    return name in effects.lines(saga_id, "begin")


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
@pytest.mark.parametrize("victim", ["child", "worker"])
def test_what_a_dead_worker_held_is_taken_over_within_its_lease(
    stack: Stack,
    effects: Effects,
    broker: str,
    victim: str,
    request: pytest.FixtureRequest,
) -> None:
    if broker == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    start(stack, effects, workers=2)
    with front_door(stack.env) as front:
        gate = effects.path.with_name("gate")
        gated = {"wait_for_file": str(gate)}
        sagas = [front.start(linear(5, s3=gated)) for _ in range(3)]
        wait_until(lambda: all(begun(effects, s, "s3") for s in sagas), "all in s3")
        in_step = {effects.pids(saga, "begin", "s3")[0]: saga for saga in sagas}
        doomed = psutil.Process(next(iter(in_step)))
        if victim == "worker":
            doomed = doomed.parent()
        struck = [doomed, *doomed.children()]
        at, _ = held(front.bus.sagas.db.engine)
        for process in struck:
            process.kill()
        gate.touch()
        lost = {in_step[process.pid] for process in struck if process.pid in in_step}
        for saga_id in sagas:
            assert front.wait(saga_id).state is SagaState.COMPLETED
            assert effects.lines(saga_id, "do") == ["s1", "s2", "s3", "s4", "s5"]
            unknown = front.types(saga_id).count("STEP_UNKNOWN")
            assert unknown == (saga_id in lost)
        for saga_id in lost:
            attempt = Attempt(saga_id, "s3", "do", 1)
            took_s = taken_over_after_s(front, attempt, at)
            # The promise of the lease, by the times on record; no measure of speed:
            # without it the step would be held to the end of its minute.
            assert took_s is not None
            assert took_s <= LEASE_S + 5


def test_a_wiped_redis_loses_no_saga(
    private_servers: EmbeddedServers, effects: Effects, make_stack: type[Stack]
) -> None:
    stack = make_stack(private_servers.environment, prepare=migrate)
    start(stack, effects)
    with front_door(stack.env) as front:
        gate = effects.path.with_name("gate")
        sagas = [
            front.start(linear(5, s2={"wait_for_file": str(gate)})) for _ in range(6)
        ]
        wait_until(
            lambda: sum(begun(effects, saga, "s2") for saga in sagas) == 2,
            "both children are in a step, the other messages wait",
        )
        with redis.Redis.from_url(private_servers.redis_url) as client:
            client.flushall()
        gate.touch()
        for saga_id in sagas:
            assert front.wait(saga_id).state is SagaState.COMPLETED
            done = effects.lines(saga_id, "do")
            assert done == ["s1", "s2", "s3", "s4", "s5"]


def test_a_frozen_worker_blocks_nobody_and_its_late_result_does_not_count(
    stack: Stack, effects: Effects
) -> None:
    start(stack, effects)
    with front_door(stack.env) as front:
        gate = effects.path.with_name("gate")
        saga_id = front.start(linear(3, s2={"wait_for_file": str(gate)}))
        wait_until(lambda: begun(effects, saga_id, "s2"), "s2 has begun")
        [pid] = effects.pids(saga_id, "begin", "s2")
        os.kill(pid, signal.SIGSTOP)
        try:
            gate.touch()
            status = front.wait(saga_id)
            assert status.state is SagaState.COMPLETED
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(
            lambda: "STEP_LATE_RESULT" in front.types(saga_id),
            "the late result is told",
        )
        # Its effect is there twice, once for each attempt, and both are on record.
        assert effects.lines(saga_id, "do").count("s2") == 2
        assert front.status(saga_id).state is SagaState.COMPLETED


def test_postgres_restarted_in_mid_run_loses_no_saga(
    durable_servers: EmbeddedServers, effects: Effects, make_stack: type[Stack]
) -> None:
    stack = make_stack(durable_servers.environment, prepare=migrate)
    start(stack, effects)
    with front_door(stack.env) as front:
        gate = effects.path.with_name("gate")
        sagas = [
            front.start(linear(4, s2={"wait_for_file": str(gate)})) for _ in range(4)
        ]
        wait_until(
            lambda: sum(begun(effects, saga, "s2") for saga in sagas) == 2, "in steps"
        )
        durable_servers.restart_postgres("immediate")
        gate.touch()
        for saga_id in sagas:
            assert front.wait(saga_id).state is SagaState.COMPLETED
            assert set(effects.lines(saga_id, "do")) == {"s1", "s2", "s3", "s4"}
