"""Messages given out again, sent again, and not: what the broker does to long work."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable

import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.saga import SagaState
from tests.conftest import migrate
from tests.support.front import Effects, front_door, linear
from tests.support.judging import judge
from tests.support.shifted_clock import ShiftedClock
from tests.support.stack import Stack
from tests.support.storm import is_quiet
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

# In a process of its own, imported by workers only: the module changes their app.
VISIBILITY_TIMEOUT_S = 4
IMPATIENT = ("-I", "tests.support.effects_agents,tests.support.impatient", "-c", "2")
AGENTS = ("-I", "tests.support.effects_agents", "-c", "2")
# Where steps wait over Redis, being of NORMAL priority.
QUEUE = "agents.default\x06\x166"
WAITING_SAGAS = int(os.environ.get("WAITING_SAGAS", "1000"))
OFF_S = 600
MOST_MESSAGES = 8


def test_a_step_longer_than_the_visibility_timeout_runs_once(
    stack: Stack, effects: Effects
) -> None:
    stack.env["EFFECTS_FILE"] = str(effects.path)
    worker = stack.worker(*IMPATIENT)
    gate = effects.path.with_name("gate")
    with front_door(stack.env) as front:
        saga_id = front.start(linear(2, s1={"wait_for_file": str(gate)}))
        wait_until(lambda: effects.lines(saga_id, "begin"), "s1 has begun")
        age = "SELECT clock_timestamp() - max(recorded_at) FROM es.events"
        took = front.bus.sagas.db.rows
        wait_until(
            lambda: took(age)[0][0].total_seconds() > 3 * VISIBILITY_TIMEOUT_S,
            "s1 takes three timeouts",
        )
        # Once: Redis takes the refusal of the second for the end of both.
        wait_until(
            lambda: "left alone: another delivery holds it" in worker.log,
            "it is given out again, and left alone",
        )
        gate.touch()
        assert front.wait(saga_id).state is SagaState.COMPLETED
        assert effects.lines(saga_id, "begin") == ["s1", "s2"]
        assert front.types(saga_id).count("STEP_STARTED") == 2


def test_with_every_agent_slot_asleep_the_sweep_still_ticks(
    stack: Stack, effects: Effects
) -> None:
    stack.env["EFFECTS_FILE"] = str(effects.path)
    stack.worker(*AGENTS)
    stack.chores()
    stack.beat()
    gate = effects.path.with_name("gate")
    with front_door(stack.env) as front:
        asleep = linear(1, s1={"wait_for_file": str(gate)})
        sleepers = [front.start(asleep)]
        sleepers += [front.start(linear(1, s1={"wait_for_file": str(gate)}))]
        wait_until(
            lambda: all(effects.lines(one, "begin") for one in sleepers),
            "every slot is asleep",
        )
        waits = [front.start(linear(1, timeout_ms=2_000)) for _ in range(20)]
        for saga_id in waits:
            status = front.wait(saga_id)
            # Found by the sweep alone: no worker had a hand free.
            assert status.state is SagaState.COMPENSATED
            timed_out = front.history(saga_id)[1]
            assert timed_out.type == "SAGA_TIMED_OUT"
        tick = "SELECT slot FROM orch.tick WHERE name = 'saga.sweep'"
        begun = front.bus.sagas.db.rows(tick)[0][0]
        wait_until(
            lambda: front.bus.sagas.db.rows(tick)[0][0] >= begun + 5, "five ticks"
        )
        assert effects.lines(sleepers[0], "do") == []
        gate.touch()
        for saga_id in sleepers:
            assert front.wait(saga_id).state is SagaState.COMPLETED


def messages(client: redis.Redis) -> Counter[str]:
    """Count the messages that wait for the agents' workers, by saga."""
    found: Counter[str] = Counter()
    for raw in client.lrange(QUEUE, 0, -1):
        _, kwargs, _ = json.loads(base64.b64decode(json.loads(raw)["body"]))
        found[kwargs["saga_id"]] += 1
    return found


def test_sagas_that_wait_for_workers_get_few_messages_and_none_when_done(
    private_servers: EmbeddedServers, effects: Effects, make_stack: Callable[..., Stack]
) -> None:
    environment = private_servers.environment | {"EFFECTS_FILE": str(effects.path)}
    migrate(environment)
    # Minutes in seconds: the clock goes ten seconds on whenever the sweep has done
    # all that was due, so that it does as much as it would in real time.
    clock = ShiftedClock(environment["DATABASE_URL"])
    stack = make_stack(environment)
    worker = stack.worker(*AGENTS)  # says what it hosts
    worker.terminate()
    worker.wait()
    stack.chores()
    stack.beat()
    with (
        front_door(environment) as front,
        redis.Redis.from_url(environment["CELERY_BROKER_URL"]) as client,
    ):
        rows, engine = front.bus.sagas.db.rows, front.bus.sagas.db.engine
        due = "SELECT count(*) FROM orch.open_saga WHERE check_at <= clock_timestamp()"
        sagas = {front.start(linear(2)): False for _ in range(WAITING_SAGAS)}
        for _ in range(OFF_S // 10):
            clock.forward(10)
            wait_until(lambda: rows(due)[0][0] == 0, "the sweep is through")
        sent = messages(client)
        print(f"\n{WAITING_SAGAS} sagas, workers off for {OFF_S} s:", end=" ")
        print(f"messages for each {sorted(Counter(sent.values()).items())}")
        assert set(sent) == set(sagas)
        assert max(sent.values()) <= MOST_MESSAGES
        worker = stack.worker(*AGENTS)
        wait_until(
            lambda: is_quiet(engine) and not client.llen(QUEUE),
            "every saga is over, and every message is read",
            timeout_s=400,
        )
        worker.terminate()
        worker.wait()
        clock.forward(OFF_S)
        clock.sweep(3)
        assert client.llen(QUEUE) == 0
        verdict = judge(front, World.read(effects.path), sagas)
        assert (verdict.faults, verdict.doubles) == ({}, 0)
        assert verdict.states == {SagaState.COMPLETED: WAITING_SAGAS}
