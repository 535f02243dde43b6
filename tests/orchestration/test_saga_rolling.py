"""A new release of agents while sagas of the old one are under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, front_door
from tests.support.stack import Stack, Started
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def release(stack: Stack, actions: str) -> Started:
    """Start a worker that hosts the agent with these actions."""
    stack.env["ROLLING_ACTIONS"] = actions
    return stack.worker("-I", "tests.support.rolling_agents", "-c", "1")


def stop(worker: Started) -> None:
    worker.terminate()
    worker.wait()


def test_a_step_that_the_new_release_has_not_waits_for_one_that_has_it(
    stack: Stack, tmp_path: Path
) -> None:
    effects = Effects(tmp_path / "effects")
    stack.env |= {
        "EFFECTS_FILE": str(effects.path),
        "ORCHESTRATION_ANNOUNCE_INTERVAL_S": "0.5",
    }
    old = release(stack, "renamed,kept")
    with front_door(stack.env) as front:
        wait = SagaStep("approval", wait_for="approved")
        steps = [
            wait,
            SagaStep("a", "agent-rolling", action="renamed"),
            SagaStep("b", "agent-rolling", action="kept"),
        ]
        saga_id = front.start(SagaTransaction("rolling", steps))
        stop(old)
        new = release(stack, "named,kept")
        front.act("signal", saga_id, "approved")
        wait_until(
            lambda: (
                "agent-rolling/renamed" in (front.status(saga_id).waiting_for or "")
            ),
            "the status says what it waits for",
        )
        status = front.status(saga_id)
        assert (status.state, status.steps[1].attempts) == (SagaState.WAITING, 0)
        # Back to a release that has both; the sweep offers the step again.
        stop(new)
        stack.chores(wait=False)
        stack.beat(wait=False)
        release(stack, "named,renamed,kept")
        status = front.wait(saga_id)
        assert status.completed_steps == ("approval", "a", "b")
        assert [one.attempts for one in status.steps] == [1, 1, 1]
