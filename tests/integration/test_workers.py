"""How workers host agents: pools of threads, one process, pools that must agree."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
import redis

from orchestration.saga import SagaState
from tests.support.front import Effects, front_door, linear
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

EFFECTS = ("-I", "tests.support.effects_agents", "--without-mingle")
EXAMPLES = ("-I", "tests.support.example_agents", "--without-mingle")


@pytest.fixture
def effects(stack: Stack, tmp_path: Path) -> Effects:
    found = Effects(tmp_path / "effects")
    # Of a worker that does not end in order it is known after three intervals.
    stack.env |= {
        "EFFECTS_FILE": str(found.path),
        "ORCHESTRATION_ANNOUNCE_INTERVAL_S": "3",
    }
    return found


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_run_do_and_undo(stack: Stack, effects: Effects, pool: str) -> None:
    stack.worker(*EFFECTS, "-c", "2", pool=pool)
    with front_door(stack.env) as front:
        good = linear(3, s2={"action": "work_async"})
        assert front.run(good).state is SagaState.COMPLETED
        bad = front.run(linear(3, s3={"fail": "for good"}))
        assert bad.state is SagaState.COMPENSATED
        assert effects.left(bad.saga_id) == set()


def test_in_a_thread_a_step_over_its_time_is_given_up_by_its_lease(
    stack: Stack, effects: Effects
) -> None:
    stack.worker(*EFFECTS, "-c", "2", pool="threads")
    stack.chores("--without-mingle")
    stack.beat()
    gate = effects.path.with_name("gate")
    with front_door(stack.env) as front:
        behaviour = {
            "wait_for_file": str(gate),
            "timeout_ms": 4_000,  # its undo has as much
            "max_recoveries": 0,
        }
        saga_id = front.start(linear(1, s1=behaviour))
        wait_until(
            lambda: "STEP_TIMED_OUT" in front.types(saga_id), "the sweep gives it up"
        )
        gate.touch()
        wait_until(
            lambda: "STEP_LATE_RESULT" in front.types(saga_id), "it tells its result"
        )
        assert front.wait(saga_id).state is SagaState.COMPENSATED


def test_a_worker_whose_connections_break_while_it_is_busy_goes_on(
    stack: Stack, effects: Effects
) -> None:
    worker = stack.worker(*EFFECTS, "-c", "2")
    gate = effects.path.with_name("gate")
    broker = redis.Redis.from_url(stack.env["CELERY_BROKER_URL"])
    with closing(broker), front_door(stack.env) as front:
        held = [
            front.start(linear(2, s1={"wait_for_file": str(gate)})) for _ in range(2)
        ]
        for saga_id in held:
            wait_until(lambda: effects.lines(saga_id, "begin"), "both are busy")  # noqa: B023
        number = str(broker.get_connection_kwargs()["db"])
        for client in broker.client_list():
            if client["db"] == number and int(client["id"]) != broker.client_id():
                broker.client_kill_filter(_id=client["id"])
        wait_until(lambda: worker.log.count("Connected to") > 1, "it connects anew")
        gate.touch()
        # No chores worker and no beat: nobody would send again what stands still.
        for saga_id in held:
            assert front.wait(saga_id).state is SagaState.COMPLETED
        for _ in range(10):
            assert front.run(linear(3)).state is SagaState.COMPLETED


def test_a_worker_whose_pool_hosts_other_agents_refuses_to_start(
    stack: Stack, effects: Effects
) -> None:
    stack.worker(*EFFECTS, "-c", "1")
    stranger = stack.worker(*EXAMPLES, "-c", "1", wait=False)
    assert stranger.wait() == 78
    assert "pool 'default' is served by" in stranger.log
    assert "agent-effects/work" in stranger.log


def test_a_worker_on_an_unmigrated_database_refuses_and_names_the_command(
    make_stack: type[Stack], database_url: str, redis_url: str
) -> None:
    stack = make_stack({"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    worker = stack.worker(*EFFECTS, wait=False)
    assert worker.wait() == 78
    assert "orchestration migrate" in worker.log


def test_a_known_agent_that_is_offline_is_waited_for_and_named(
    stack: Stack, effects: Effects
) -> None:
    worker = stack.worker(*EFFECTS, "-c", "1")
    with front_door(stack.env) as front:
        front.run(linear(1))
        worker.terminate()
        worker.wait()
        saga_id = front.start(linear(1))
        wait_until(
            lambda: "agent-effects" in (front.status(saga_id).waiting_for or ""),
            "the status says for whom it waits",
        )
        assert front.status(saga_id).state is SagaState.WAITING
        stack.worker(*EFFECTS, "-c", "1")
        assert front.wait(saga_id).state is SagaState.COMPLETED


def test_flower_shows_saga_step_direction_and_attempt(
    stack: Stack, effects: Effects
) -> None:
    port = free_port()
    stack.env["FLOWER_UNAUTHENTICATED_API"] = "1"
    stack.celery(
        "flower",
        "flower",
        f"--port={port}",
        "--address=127.0.0.1",
        ready="Connected to",
    )
    stack.worker(*EFFECTS, "-c", "2", "-E")

    def shown() -> list[str]:
        url = f"http://127.0.0.1:{port}/api/tasks"
        with urllib.request.urlopen(url, timeout=120) as answer:
            tasks = json.load(answer)
        return [task["args"] or "" for task in tasks.values()]

    def listens() -> bool:
        front.run(linear(1))
        with contextlib.suppress(OSError):  # it does not answer yet
            return bool(shown())
        return False

    with front_door(stack.env) as front:
        wait_until(listens, "Flower hears of tasks")
        saga_id = front.run(
            linear(2, s1={"fail": "once"}, s2={"fail": "for good"})
        ).saga_id

    def told() -> set[str]:
        return {args.split(saga_id)[-1] for args in shown()}

    wait_until(
        lambda: {" · s1 · do · attempt 2", " · s1 · undo · attempt 1"} <= told(),
        "Flower's API tells them",
    )
