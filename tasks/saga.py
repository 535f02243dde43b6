"""Saga steps as Celery tasks: look up, claim, act, record, go on.

Nothing is decided here: what follows comes from ``orchestration.core.saga``. Each
task may be delivered any number of times; the claim lets one delivery act.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, cast

from celery import Task

from orchestration.adapters.celery_bus import hint_for
from orchestration.adapters.saga_records import Because, Start
from orchestration.contracts import (
    SAGA_CANCEL,
    SAGA_COMPENSATE,
    SAGA_PROBE,
    SAGA_START,
    SAGA_STEP,
    STEP_TASKS,
    Hint,
    StepMessage,
    step_label,
)
from orchestration.core.saga.acts import Who
from orchestration.core.saga.decide import Decision, Refusal
from orchestration.core.saga.model import Direction, SagaTransaction
from orchestration.core.saga.outcomes import Succeeded
from orchestration.core.saga.view import PhaseStatus
from orchestration.engine.action import Ended, WorkConnection, perform
from orchestration.engine.attempts import (
    Busy,
    Claimed,
    close_attempt,
    open_attempt,
)
from orchestration.errors import InvalidSaga, TransportError
from tasks.because import because_of
from tasks.celery_app import app
from tasks.finding import find_action, limit_of
from tasks.runtime import Runtime, runtime

logger = logging.getLogger(__name__)

# A longer wait than this is a due time in Postgres, not a message with a delay:
# brokers hold such messages in a worker's memory, and give them out twice.
_SHORT_WAIT_S = 5.0

_SOON_S = 0.1


@app.task(name=SAGA_START, bind=True, max_retries=None)
def start(
    self: Task,
    definition: dict[str, Any],
    initial_data: dict[str, Any] | None = None,
    transaction_id: str | None = None,
    search_attributes: dict[str, Any] | None = None,
) -> str:
    """Begin a saga for a producer without this package; return its id.

    Without ``transaction_id`` the task's id is the saga's, so that a message that
    comes twice begins one saga.
    """
    rt = runtime(app)
    saga_id = transaction_id or self.request.id
    if search_attributes:
        definition = {**definition, "search_attributes": search_attributes}
    try:
        transaction = SagaTransaction.from_json(definition, transaction_id=saga_id)
    except (TypeError, ValueError) as exc:
        name = definition.get("name") if isinstance(definition, dict) else None
        raise InvalidSaga(str(name), [str(exc)]) from exc
    begun = Start(transaction=transaction, initial_data=initial_data or {})
    rt.desk.door.begin(begun, because_of(self))
    return saga_id


@app.task(name=SAGA_CANCEL, bind=True)
def cancel(self: Task, saga_id: str, why: str = "", by: str = "") -> str:
    """Give up a saga and undo it, for a producer without this package."""
    who = Who(by=by or f"task {self.request.id}", why=why)
    return str(runtime(app).desk.cancel(saga_id, who).state)


@app.task(name=SAGA_STEP, bind=True, max_retries=None)
def step(self: Task, hint: Hint | None = None, **message: Any) -> str:  # noqa: ANN401
    """Do one step."""
    return _attempt(self, hint, cast(StepMessage, message), Direction.DO)


@app.task(name=SAGA_COMPENSATE, bind=True, max_retries=None)
def compensate(
    self: Task,
    hint: Hint | None = None,
    **message: Any,  # noqa: ANN401
) -> str:
    """Undo one step."""
    return _attempt(self, hint, cast(StepMessage, message), Direction.UNDO)


@app.task(name=SAGA_PROBE, bind=True, max_retries=None)
def probe(self: Task, hint: Hint | None = None, **message: Any) -> str:  # noqa: ANN401
    """Ask an agent what became of a step of unknown outcome."""
    return _attempt(self, hint, cast(StepMessage, message), Direction.PROBE)


@dataclass(slots=True)
class _Ahead:
    """Sends a chain's next link while the outcome that it follows is being recorded.

    The way of a message takes longer than the record, so a saga spares one of the two
    at each step. Nothing rests on it: the link's step is claimed from what is recorded,
    and its message is a hint that can be of a version which never comes.
    """

    task: Task
    rt: Runtime
    direction: Direction
    version: int = -1
    sent_at_s: float = 0.0

    def send(self, decision: Decision) -> None:
        """Send the link, if a link is all that follows from what is to be recorded."""
        if not _is_carried_by_chain(self.task, decision, self.direction):
            return
        if _pass_on(self.task, self.rt, decision):
            self.version = decision.view.version
            self.sent_at_s = time.monotonic()

    def is_right(self, decision: Decision) -> bool:
        """Tell whether what was sent is of what was recorded, and not long before it.

        The receiver of a message waits for the record of what it follows, but not long.
        """
        return (
            self.version == decision.view.version
            and not decision.is_late
            and time.monotonic() < self.sent_at_s + _SOON_S
        )


def _attempt(
    task: Task, hint: Hint | None, message: StepMessage, direction: Direction
) -> str:
    rt = runtime(app)
    saga_id, agent_id = message["saga_id"], message["agent_id"]
    if find_action(agent_id, message["action"]) is None:
        # Of a rolling deploy: the sweep offers the step again, backed off.
        what = f"{agent_id}/{message['action']} in a worker of its pool"
        rt.log.note_waiting(saga_id, what)
        return _stop_here(task, f"not hosted here: {what}")
    because = because_of(task)
    claimed = open_attempt(
        rt.recorder, message, direction, hint, because, limit=limit_of(agent_id)
    )
    if isinstance(claimed, Busy):
        raise task.retry(countdown=min(claimed.wait_ms / 1_000, _SHORT_WAIT_S))
    if isinstance(claimed, Refusal):
        return _stop_here(task, f"left alone: {claimed.value}")
    work = WorkConnection(rt.db, message["timeout_ms"] / 1_000)
    try:
        with rt.keeper.holding(claimed.lease) as held:
            limit, name = rt.settings.max_payload_bytes, message["step"]
            ended = perform(
                claimed.view, name, direction, held, work, limit, find_action
            )
            ahead = _Ahead(task, rt, direction)
            decision = _close(rt, claimed, ended, work, because, ahead)
    finally:
        work.drop()
    if ahead.is_right(decision):
        return f"version {decision.view.version}"
    return _go_on(task, rt, claimed, decision, ended)


def _close(
    rt: Runtime,
    claimed: Claimed,
    ended: Ended,
    work: WorkConnection,
    because: Because,
    ahead: _Ahead,
) -> Decision:
    """Record how the attempt ended, together with the action's own database work."""
    if not isinstance(ended.outcome, Succeeded):
        work.drop()
    connection = work.connection
    is_sure = ended.raised is None and connection is None
    decision = close_attempt(
        rt.recorder,
        claimed,
        ended.outcome,
        because,
        connection=connection,
        ahead=ahead.send if is_sure else None,
    )
    if connection is not None and decision.is_late:
        # Its own work must not come true; that it came late must be told.
        work.drop()
        return close_attempt(rt.recorder, claimed, ended.outcome, because)
    if connection is not None:
        work.commit()
        rt.recorder.announce(decision)
    return decision


def _go_on(
    task: Task, rt: Runtime, claimed: Claimed, decision: Decision, ended: Ended
) -> str:
    """Send what follows, by the chain's own tail if that is what follows."""
    if decision.is_late:
        rt.recorder.send(decision)  # of an effect that has to be undone once more
        return _stop_here(task, "too late: another attempt has settled this step")
    if ended.raised is not None:
        # Celery drops the tail of a task that fails, and keeps it for one that retries.
        rt.recorder.send(decision)
        return _fail(task, rt, claimed, decision, ended.raised)
    if _is_carried_by_chain(task, decision, claimed.lease.direction):
        _pass_on(task, rt, decision)
    else:
        task.request.chain = None
        rt.recorder.send(decision)
    return f"version {decision.view.version}"


def _pass_on(task: Task, rt: Runtime, decision: Decision) -> bool:
    """Send the chain's next link; what the broker does not take, the sweep sends."""
    view, following = decision.view, decision.lines[0][0]
    hint = hint_for(view, following, decision.direction, rt.recorder.now())
    try:
        rt.sender.pass_on(task, hint)
    except TransportError:
        logger.warning("step %s of saga %s not sent yet", following, view.saga_id)
        return False
    return True


def _is_carried_by_chain(task: Task, decision: Decision, direction: Direction) -> bool:
    """Whether the next link of this task's chain is all that the decision sends."""
    tail = task.request.chain
    if not tail or len(decision.lines) != 1 or decision.direction is not direction:
        return False
    if decision.probes or decision.attends:
        return False
    link = tail[-1]  # Celery keeps the rest of a chain last link first
    return bool(
        link["task"] == STEP_TASKS[direction]
        and link["kwargs"].get("step") == decision.lines[0][0]
    )


def _fail(
    task: Task, rt: Runtime, claimed: Claimed, decision: Decision, raised: Exception
) -> str:
    """Show the failure in Celery's own terms: RETRY if there is another attempt."""
    lease, view = claimed.lease, decision.view
    phase = view.phase(lease.step, lease.direction)
    if phase.status is not PhaseStatus.WAITING or phase.due_at is None:
        raise raised
    if view.lacks_agent(lease.step):
        return _stop_here(task, "another agent is chosen for the next attempt")
    wait_s = max(0.0, (phase.due_at - rt.recorder.now()).total_seconds())
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
