"""Saga steps as Celery tasks: look up, claim, act, record, go on.

Nothing is decided here: what follows comes from ``orchestration.core.saga``. Each
task may be delivered any number of times; the claim lets one delivery act.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from celery import Task

from orchestration.adapters.celery_bus import hint_for
from orchestration.contracts import (
    SAGA_COMPENSATE,
    SAGA_START,
    SAGA_STEP,
    STEP_TASKS,
    Hint,
    StepMessage,
    step_label,
)
from orchestration.core.saga.decide import Decision, Refusal
from orchestration.core.saga.fold import PhaseStatus
from orchestration.core.saga.model import Direction, SagaTransaction
from orchestration.core.saga.outcomes import Succeeded
from orchestration.errors import InvalidSaga, TransportError
from tasks.action import Ended, WorkConnection, find_action, perform
from tasks.attempts import (
    Claimed,
    announce,
    because_of,
    close_attempt,
    open_attempt,
)
from tasks.celery_app import app
from tasks.runtime import Runtime, runtime

logger = logging.getLogger(__name__)

# A longer wait than this is a due time in Postgres, not a message with a delay:
# brokers hold such messages in a worker's memory, and give them out twice.
_SHORT_WAIT_S = 5.0


@app.task(name=SAGA_START, bind=True, max_retries=None)
def start(
    self: Task,
    definition: dict[str, Any],
    initial_data: dict[str, Any] | None = None,
    transaction_id: str | None = None,
) -> str:
    """Begin a saga for a producer without this package; return its id.

    Without ``transaction_id`` the task's id is the saga's, so that a message that
    comes twice begins one saga.
    """
    rt = runtime(app)
    saga_id = transaction_id or self.request.id
    try:
        transaction = SagaTransaction.from_json(definition, transaction_id=saga_id)
    except (TypeError, ValueError) as exc:
        raise InvalidSaga(str(definition.get("name")), [str(exc)]) from exc
    rt.door.begin(transaction, initial_data or {}, because_of(self))
    return saga_id


@app.task(name=SAGA_STEP, bind=True, max_retries=None)
def step(self: Task, hint: Hint | None = None, **message: Any) -> Hint | str:  # noqa: ANN401
    """Do one step; return the hint for the next in the chain."""
    return _attempt(self, hint, cast(StepMessage, message), Direction.DO)


@app.task(name=SAGA_COMPENSATE, bind=True, max_retries=None)
def compensate(
    self: Task,
    hint: Hint | None = None,
    **message: Any,  # noqa: ANN401
) -> Hint | str:
    """Undo one step; return the hint for the next in the chain."""
    return _attempt(self, hint, cast(StepMessage, message), Direction.UNDO)


def _attempt(
    task: Task, hint: Hint | None, message: StepMessage, direction: Direction
) -> Hint | str:
    rt = runtime(app)
    saga_id = message["saga_id"]
    if find_action(message["agent_id"], message["action"]) is None:
        # Of a rolling deploy: the sweep offers the step again, backed off.
        what = f"{message['agent_id']}/{message['action']} in a worker of its pool"
        rt.log.note_waiting(saga_id, what)
        return _stop_here(task, f"not hosted here: {what}")
    because = because_of(task)
    claimed = open_attempt(rt, message, direction, hint, because)
    if isinstance(claimed, Refusal):
        return _stop_here(task, f"left alone: {claimed.value}")
    work = WorkConnection(rt.log.db, message["timeout_ms"] / 1_000)
    try:
        with rt.keeper.holding(claimed.lease) as held:
            limit = rt.settings.max_payload_bytes
            ended = perform(claimed.view, message["step"], direction, held, work, limit)
            if not isinstance(ended.outcome, Succeeded):
                work.drop()
            decision = close_attempt(
                rt, claimed, ended.outcome, because, connection=work.connection
            )
            if work.connection is not None and decision.is_late:
                # Its own work must not come true; that it came late must be told.
                work.drop()
                close_attempt(rt, claimed, ended.outcome, because)
            elif work.connection is not None:
                work.commit()
                announce(rt, decision)
    finally:
        work.drop()
    return _go_on(task, rt, claimed, decision, ended)


def _go_on(
    task: Task, rt: Runtime, claimed: Claimed, decision: Decision, ended: Ended
) -> Hint | str:
    """Send what follows, by the chain's own tail if that is what follows."""
    if decision.is_late:
        return _stop_here(task, "too late: another attempt has settled this step")
    direction = claimed.lease.direction
    # Celery drops the tail of a task that fails, and keeps it for one that retries.
    carried = ended.raised is None and _is_carried_by_chain(task, decision, direction)
    if not carried:
        _send(rt, decision)
    if ended.raised is None and not carried:
        task.request.chain = None
    if ended.raised is not None:
        return _fail(task, rt, claimed, decision, ended.raised)
    if not carried:
        return f"version {decision.view.version}"
    following = decision.lines[0][0]
    return hint_for(decision.view, following, decision.direction, rt.now())


def _is_carried_by_chain(task: Task, decision: Decision, direction: Direction) -> bool:
    """Whether the next link of this task's chain is what the decision would send."""
    tail = task.request.chain
    if not tail or len(decision.lines) != 1 or decision.direction is not direction:
        return False
    link = tail[-1]  # Celery keeps the rest of a chain last link first
    return bool(
        link["task"] == STEP_TASKS[direction]
        and link["kwargs"].get("step") == decision.lines[0][0]
    )


def _send(rt: Runtime, decision: Decision) -> None:
    try:
        rt.sender.send(decision)
    except TransportError:
        # On record: the sweep sends it as soon as the broker takes messages.
        logger.warning("next steps of saga %s not sent yet", decision.view.saga_id)


def _fail(
    task: Task, rt: Runtime, claimed: Claimed, decision: Decision, raised: Exception
) -> str:
    """Show the failure in Celery's own terms: RETRY if there is another attempt."""
    lease, view = claimed.lease, decision.view
    phase = view.phase(lease.step, lease.direction)
    if phase.status is not PhaseStatus.WAITING or phase.due_at is None:
        raise raised
    wait_s = max(0.0, (phase.due_at - rt.now()).total_seconds())
    if wait_s > _SHORT_WAIT_S:
        return _stop_here(task, f"tried again at {phase.due_at:%Y-%m-%d %H:%M:%S} UTC")
    name = view.transaction.name
    attempt = phase.attempt + 1
    label = step_label(name, lease.saga_id, lease.step, lease.direction, attempt)
    raise task.retry(
        args=(None,),
        exc=raised,
        # Past the due time by a little, so that clocks need not agree to the ms.
        countdown=wait_s + 0.01,
        argsrepr=label,
        kwargsrepr="{}",
    )


def _stop_here(task: Task, why: str) -> str:
    """End without the rest of the chain; whoever acts on the step sends the rest."""
    task.request.chain = None
    return why
