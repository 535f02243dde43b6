"""Messages to agents, as Celery tasks; ``engine.handling`` says what is done."""

from __future__ import annotations

from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Reject

from orchestration.contracts import AGENT_MESSAGE, AGENT_RETIRE
from orchestration.engine.retention import retire_ended
from orchestration.errors import TransportError
from tasks.because import because_of
from tasks.celery_app import app
from tasks.runtime import runtime

# Longer than the longest handler in the fullest batch: only code that cannot be
# interrupted gets there. Its process is killed, and the messages come again.
_KILL_AFTER_S = 290
_WAIT_S = 5.0
_MAX_FAULTS = 10
_DAY_S = 86_400


@app.task(
    name=AGENT_MESSAGE,
    bind=True,
    max_retries=None,
    time_limit=_KILL_AFTER_S,
    acks_on_failure_or_timeout=False,
)
def message(
    self: Task,
    items: Any = None,  # noqa: ANN401  whatever was sent
    reply_to: str | None = None,
    **odd: Any,  # noqa: ANN401
) -> str:
    """Have agents take messages; shown as failed if none of them was handled."""
    if odd:  # no sender of ours has sent this
        items = {"items": items, **odd}
    delivery = self.request.delivery_info or {}
    is_redelivered = bool(delivery.get("redelivered"))
    mailbox = runtime(app).mailbox
    try:
        taken = mailbox.take(
            items, reply_to, because_of(self), is_redelivered=is_redelivered
        )
    except TransportError as exc:
        _come_again(self, exc)
    except Exception as exc:  # the edge: no message is lost by a fault of ours
        if self.request.retries >= _MAX_FAULTS:
            raise
        _come_again(self, exc)
    if taken.raised is not None and not taken.handled:
        raise taken.raised
    return str(taken)


def _come_again(task: Task, why: Exception) -> NoReturn:
    """Have all of it handled once more: it could be neither sent on nor put aside."""
    try:
        raise task.retry(exc=why, countdown=_WAIT_S, kwargsrepr="{}")
    except Reject as exc:  # Celery gives up a task that it cannot send again
        raise Reject(why, requeue=True) from exc


@app.task(name=AGENT_RETIRE)
def retire(period_s: float = 3_600.0) -> int:
    """Forget messages that died long ago; return how many."""
    rt = runtime(app)
    if not rt.watch.claim_tick(AGENT_RETIRE, period_s):
        return 0
    older_than_s = rt.settings.dead_message_retention_days * _DAY_S
    return retire_ended(rt.mailbox.letters, older_than_s)
