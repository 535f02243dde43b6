"""How an action can end, and that nothing of it goes on when it has."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.adapters.lease import HeldLease
from orchestration.agents import ActionContext, Agent
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Lost, Succeeded
from orchestration.engine.action import Ended, WorkConnection, perform
from orchestration.engine.attempts import Claimed
from orchestration.errors import StepTimedOut, TransportError
from orchestration.saga import SagaStep, SagaTransaction
from tasks.finding import find_action
from tests.support.stack import ROOT
from tests.support.worker_side import WorkerSide, worker_side

# By a thread: the limit of a step uses the signal that the plugin would.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180, method="thread")]

agent = Agent("agent-that-ends")
told: list[str] = []


@pytest.fixture
def side(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSide]:
    told.clear()
    with worker_side(database_url, redis_url, monkeypatch) as side:
        yield side


def _perform(claimed: Claimed, held: HeldLease, work: WorkConnection) -> Ended:
    way, limit = Direction.DO, 262_144
    return perform(claimed.view, "s", way, held, work, limit, find_action)


def run(side: WorkerSide, action: str, timeout_ms: int = 30_000) -> Ended:
    """Perform one action in this thread."""
    one = SagaStep("s", agent.agent_id, action=action, timeout_ms=timeout_ms)
    claimed = side.open(side.begin(SagaTransaction("one", [one])), "s")
    work = WorkConnection(side.rt.db, timeout_ms / 1_000)
    with side.rt.keeper.holding(claimed.lease) as held:
        return perform(
            claimed.view, "s", Direction.DO, held, work, 262_144, find_action
        )


@agent.action("odd_text")
def odd_text(_data: dict[str, Any], _context: ActionContext) -> None:
    raise ValueError("no such file: caf\udce9 \x00")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@agent.action("no_text")
def no_text(_data: dict[str, Any], _context: ActionContext) -> None:
    raise Mute


@pytest.mark.parametrize("action", ["odd_text", "no_text"])
def test_a_failure_is_recorded_whatever_its_text(side: WorkerSide, action: str) -> None:
    one = SagaStep("s", agent.agent_id, action=action, retry_policy={"max_attempts": 1})
    saga_id = side.begin(SagaTransaction("one", [one]))
    claimed = side.open(saga_id, "s")
    work = WorkConnection(side.rt.db, 1.0)
    with side.rt.keeper.holding(claimed.lease) as held:
        ended = perform(
            claimed.view, "s", Direction.DO, held, work, 262_144, find_action
        )
    assert isinstance(ended.outcome, Failed)
    side.close(claimed, ended.outcome)
    assert "STEP_FAILED" in side.types(saga_id)


@agent.action("cancels_itself")
async def cancels_itself(_data: dict[str, Any], _context: ActionContext) -> None:
    raise asyncio.CancelledError


def test_a_coroutine_that_was_cancelled_leaves_an_unknown_outcome(
    side: WorkerSide,
) -> None:
    assert isinstance(run(side, "cancels_itself").outcome, Lost)


@agent.action("sleeps")
async def sleeps(_data: dict[str, Any], _context: ActionContext) -> None:
    try:
        await asyncio.sleep(0.5)
        told.append("effect")
    finally:
        told.append("cleaned up")


@agent.action("sleeps_on")
async def sleeps_on(_data: dict[str, Any], _context: ActionContext) -> None:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        told.append("cancelled")
        await asyncio.sleep(2)
        told.append("effect")


@agent.action("blocks")
async def blocks(_data: dict[str, Any], _context: ActionContext) -> None:
    time.sleep(30)  # noqa: ASYNC251  what an action ought not to do


@agent.action("quick")
async def quick(_data: dict[str, Any], _context: ActionContext) -> None:
    await asyncio.sleep(0.6)


def test_a_coroutine_over_its_time_has_ended_when_its_step_has(
    side: WorkerSide,
) -> None:
    outcome = run(side, "sleeps", timeout_ms=200).outcome
    assert isinstance(outcome, Lost)
    assert outcome.timed_out
    assert told == ["cleaned up"]
    assert isinstance(run(side, "quick").outcome, Succeeded)
    assert told == ["cleaned up"]


def test_a_coroutine_that_will_not_be_cancelled_does_not_go_on_in_the_next_step(
    side: WorkerSide,
) -> None:
    outcome = run(side, "sleeps_on", timeout_ms=200).outcome
    assert isinstance(outcome, Lost)
    # A host that stood still may have closed the loop only once all of it was over.
    before = [*told]
    assert before[0] == "cancelled"
    for _ in range(2):  # so long that what goes on would have its effect
        assert isinstance(run(side, "quick").outcome, Succeeded)
    assert told == before


def test_a_coroutine_that_blocks_its_loop_is_stopped_all_the_same(
    side: WorkerSide,
) -> None:
    outcome = run(side, "blocks", timeout_ms=200).outcome
    assert isinstance(outcome, Lost)
    assert outcome.timed_out


@agent.action("beats")
def beats(_data: dict[str, Any], context: ActionContext) -> None:
    try:
        while True:
            context.heartbeat()
    except StepTimedOut:
        told.append("told by the heartbeat")
        raise


def test_a_heartbeat_says_that_the_time_is_over_where_no_signal_can(
    side: WorkerSide,
) -> None:
    # As in a thread of a pool: the step's own timer cannot be set there.
    outcomes: list[Ended] = []

    async def in_a_thread() -> None:
        outcomes.append(await asyncio.to_thread(run, side, "beats", 200))

    asyncio.run(in_a_thread())
    assert isinstance(outcomes[0].outcome, Lost)
    assert told == ["told by the heartbeat"]


@agent.action("beats_once")
def beats_once(_data: dict[str, Any], context: ActionContext) -> None:
    context.heartbeat()


def test_a_heartbeat_that_nobody_hears_does_not_fail_the_action(
    side: WorkerSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise TransportError("Postgres has not answered")

    monkeypatch.setattr(type(side.rt.keeper), "renew_now", away)
    assert isinstance(run(side, "beats_once").outcome, Succeeded)


def test_an_action_whose_process_stood_still_at_its_end_is_ended_after_all() -> None:
    command = [sys.executable, "-m", "tests.support.stopped_action"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # in which their time is over
        for process in processes:
            process.send_signal(signal.SIGCONT)
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert said == ["ended by its limit\n"] * 4
