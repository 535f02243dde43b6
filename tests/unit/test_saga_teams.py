"""Steps that several agents do, that one is chosen for, or that a swarm does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.decide import Refusal, advance, claim
from orchestration.core.saga.events import EventType
from orchestration.core.saga.forward import routed
from orchestration.core.saga.model import Direction, SagaState, SagaStep
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.core.saga.swarms import nothing_to_do, swarm_answer, swarm_task
from orchestration.core.saga.timing import check_at, unrouted
from orchestration.core.swarm.events import EventType as SwarmEventType
from orchestration.core.swarm.events import SwarmEvent
from orchestration.core.swarm.fold import SwarmView, apply, fold
from orchestration.core.swarm.partitions.facts import started
from tests.unit.scripted import LOST, OK, RETRYABLE, Script, saga

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def skilled(**options: Any) -> SagaStep:
    return SagaStep("s", capability="skill", **options)


def chosen(script: Script, agent_id: str, *, attempt: int = 1) -> None:
    """Record that an agent was chosen."""
    script.record(
        [routed("s", attempt=attempt, round_=1, agent_id=agent_id, why={})],
    )


# --- what is refused


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"agents": ["a"], "capability": "c"},
            "it has agents and capability: say in one way who does it",
        ),
        ({"capability": "@1"}, "capability '@1' has no name before the @"),
        (
            {"capability": "c", "action": "celery:x"},
            "it has a capability and calls a Celery task: drop one of them",
        ),
        (
            {"agents": ["a", "b", "a"]},
            "agent 'a' is named 2 times: once is enough",
        ),
        (
            {"agents": ["a"], "map": "x", "teamwork": "IN_TURN"},
            "it has a map, whose items are dealt out: drop teamwork",
        ),
        (
            {"choose": [("a",)]},
            "choose is (('a',),): give it a list of pairs: an agent, a condition",
        ),
        (
            {"agents": ["a"], "is_pivot": True},
            "it is the pivot and has several agents: a pivot is done once, by one",
        ),
        (
            {"swarm": {"handler": "h"}, "wait_for": "x"},
            "it waits for a signal and runs a swarm: make two steps of it",
        ),
        (
            {"swarm": {}},
            (
                "swarm: nobody is named who handles partitions: give handler, "
                "metadata['handler'] or metadata['data_source']"
            ),
        ),
        ({"swarm": {"items": 7}}, "swarm: items is 7: name the key of a list"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: dict[str, Any], fault: str
) -> None:
    found = definition_faults(saga(SagaStep("s", **options)))
    assert any(f"step 's': {fault}" in one for one in found), found


# --- by capability


def test_a_step_without_an_agent_is_no_agents_to_do_and_is_attended_to() -> None:
    script = Script(skilled())
    decision = advance(script.view, script.now)
    assert (decision.lines, decision.attends) == ((), True)
    assert script.ask("s") is Refusal.NOT_READY
    assert unrouted(script.view) == ("s",)
    assert check_at(script.view, script.now) is not None
    chosen(script, "a")
    assert advance(script.view, script.now).lines == (("s",),)
    assert unrouted(script.view) == ()
    assert unrouted(script.view, again=True) == ("s",)


def test_only_the_agent_that_was_chosen_may_begin() -> None:
    script = Script(skilled())
    chosen(script, "a")

    def asked(agent_id: str) -> object:
        now = script.now
        return claim(script.view, "s", Direction.DO, "token", now, agent_id=agent_id)

    assert asked("b") is Refusal.ANOTHERS
    assert not isinstance(asked("a"), Refusal)


def test_after_a_failure_somebody_is_chosen_anew() -> None:
    script = Script(skilled())
    chosen(script, "a")
    script.do("s", RETRYABLE)
    assert script.view.lacks_agent("s")
    assert script.view.do_of("s").agent_id == "a"
    chosen(script, "b", attempt=2)
    script.later(minutes=1)
    script.do("s", OK)
    assert script.view.state is SagaState.COMPLETED
    assert script.view.agent_of("s") == "b"


def test_what_only_one_can_undo_stays_with_it_while_nobody_knows() -> None:
    script = Script(skilled(compensation="undo"))
    chosen(script, "a")
    script.do("s", LOST)
    assert not script.view.lacks_agent("s")
    plain = Script(skilled())
    chosen(plain, "a")
    plain.do("s", LOST)
    assert plain.view.lacks_agent("s")


def test_the_next_agent_has_to_be_chosen_before_the_wait_is_over() -> None:
    script = Script(skilled())
    chosen(script, "a")
    script.do("s", RETRYABLE)
    assert unrouted(script.view) == ("s",)
    chosen(script, "b", attempt=2)
    due = script.view.do_of("s").due_at
    assert check_at(script.view, script.now) == due


# --- swarms


def swarming(**options: Any) -> SagaStep:
    swarm = {"handler": "h", "agents_required": 10, **options.pop("swarm", {})}
    return SagaStep("s", swarm=swarm, **options)


def waiting(step: SagaStep, **data: Any) -> Script:
    script = Script(step, data=data)
    script.look()
    assert script.types == [EventType.STEP_WAITING]
    return script


def test_a_swarm_is_told_the_steps_data_and_its_list() -> None:
    script = waiting(swarming(timeout_ms=5_000, metadata={"m": 1}), items=[1, 2], x=3)
    task = swarm_task(script.view, "s", "swarm-1")
    assert (task.data_partitions, task.objective, task.timeout_ms) == (2, "s", 5_000)
    assert task.metadata["items"] == [1, 2]
    assert task.metadata["input"] == {"x": 3, "steps": {}}
    assert (task.metadata["m"], task.metadata["saga_id"]) == (1, "t")
    assert task.faults(100) == ()
    script.later(seconds=3)
    assert swarm_task(script.view, "s", "swarm-1") == task


def test_a_swarm_has_no_more_time_than_its_saga() -> None:
    step = swarming(swarm={"timeout_ms": 10**8})
    script = Script(step, timeout_ms=60_000)
    script.look()
    assert swarm_task(script.view, "s", "swarm-1").timeout_ms == 60_000


def test_an_empty_list_needs_no_swarm() -> None:
    done = nothing_to_do(waiting(swarming(), items=[]).view, "s")
    assert done is not None
    assert done.output["s"]["values"] == []
    assert nothing_to_do(waiting(swarming(), items=[1]).view, "s") is None
    assert nothing_to_do(waiting(swarming()).view, "s") is None


def ended(converged: bool) -> SwarmView:  # noqa: FBT001
    task = swarm_task(waiting(swarming(), items=[1]).view, "s", "swarm-1")
    begun = SwarmEvent(1, SwarmEventType.SWARM_STARTED, started(task).data, NOW)
    view = fold("swarm-1", [begun])
    assert view is not None
    assert swarm_answer(view, "s", None) is None
    partitions = {"done": int(converged), "failed": int(not converged)}
    result = {"converged": converged, "partitions": partitions}
    data = {"reason": "there was nothing left to do", "result": result}
    return apply(view, SwarmEvent(2, SwarmEventType.SWARM_COMPLETED, data, NOW))


def test_a_swarm_that_has_converged_completes_its_step() -> None:
    answer = swarm_answer(ended(converged=True), "s", [4])
    assert isinstance(answer, Succeeded)
    assert answer.output["s"]["values"] == [4]
    assert answer.output["s"]["swarm_id"] == "swarm-1"


def test_a_swarm_that_has_done_too_little_fails_its_step() -> None:
    answer = swarm_answer(ended(converged=False), "s", [])
    assert isinstance(answer, Failed)
    assert not answer.retryable
    assert "0 done, 1 failed" in answer.error["message"]
