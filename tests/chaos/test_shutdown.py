"""Workers that are asked to stop, or told to, while a step runs; children recycled."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from orchestration.saga import SagaState
from tests.support.front import Effects, front_door, linear
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AGENTS = ("-I", "tests.support.effects_agents")


@pytest.fixture
def effects(stack: Stack, tmp_path: Path) -> Effects:
    found = Effects(tmp_path / "effects")
    stack.env |= {"EFFECTS_FILE": str(found.path), "ORCHESTRATION_LEASE_S": "8"}
    return found


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_asked_to_stop_finishes_its_step_and_hands_the_next_on(
    stack: Stack, effects: Effects, pool: str
) -> None:
    worker = stack.worker(*AGENTS, "-c", "1", pool=pool)
    gate = effects.path.with_name("gate")
    with front_door(stack.env) as front:
        saga_id = front.start(linear(3, s2={"wait_for_file": str(gate)}))
        wait_until(lambda: "s2" in effects.lines(saga_id, "begin"), "s2 has begun")
        worker.terminate()
        wait_until(lambda: "Warm shutdown" in worker.log, "it has been told")
        gate.touch()
        assert worker.wait() == 0
        assert front.status(saga_id).completed_steps == ("s1", "s2")
        wait_until(lambda: front.status(saga_id).waiting_for, "nobody is there")
        # No chores worker and no beat: the message of s3 itself waits for a worker.
        stack.worker(*AGENTS, "-c", "1", pool=pool)
        assert front.wait(saga_id).state is SagaState.COMPLETED
        assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
        assert front.types(saga_id).count("STEP_STARTED") == 3


def test_a_worker_told_to_stop_at_once_leaves_its_step_to_the_sweep(
    stack: Stack, effects: Effects
) -> None:
    worker = stack.worker(*AGENTS, "-c", "1")
    stack.chores()
    stack.beat()
    gate = effects.path.with_name("gate")
    with front_door(stack.env) as front:
        saga_id = front.start(linear(3, s2={"wait_for_file": str(gate)}))
        wait_until(lambda: "s2" in effects.lines(saga_id, "begin"), "s2 has begun")
        worker.send_signal(signal.SIGQUIT)
        worker.wait()
        gate.touch()
        stack.worker(*AGENTS, "-c", "1")
        assert front.wait(saga_id).state is SagaState.COMPLETED
        assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
        assert front.types(saga_id).count("STEP_UNKNOWN") == 1


def test_children_that_are_replaced_after_each_task_lose_nothing(
    stack: Stack, effects: Effects
) -> None:
    stack.worker(*AGENTS, "-c", "2", "--max-tasks-per-child", "1")
    with front_door(stack.env) as front:
        status = front.run(
            linear(4, s2={"action": "work_async"}, s4={"fail": "for good"})
        )
        assert status.state is SagaState.COMPENSATED
        assert effects.left(status.saga_id) == set()
        pids = {effects.pids(status.saga_id, "do", name)[0] for name in ("s1", "s3")}
        assert len(pids) == 2
        assert front.types(status.saga_id).count("STEP_STARTED") == 4


def test_what_waits_in_a_child_that_is_replaced_another_does(
    stack: Stack, effects: Effects
) -> None:
    # Short steps wait in the pipe of a child that still does another. No chores worker
    # and no beat: what was lost with a child would stand still for good.
    worker = stack.worker(*AGENTS, "-c", "2", "--max-tasks-per-child", "25")
    first = set(worker.children())
    with front_door(stack.env) as front:
        started = [front.start(linear(3)) for _ in range(100)]
        for saga_id in started:
            assert front.wait(saga_id).state is SagaState.COMPLETED
            assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
            assert front.types(saga_id).count("STEP_STARTED") == 3
    assert first.isdisjoint(worker.children())
