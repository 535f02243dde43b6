"""Messages that a worker routes, for producers without this package."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestration.contracts import ROUTING_DISPATCH
from tasks.celery_app import app
from tasks.runtime import runtime


@app.task(name=ROUTING_DISPATCH, bind=True)
def dispatch(
    self: Task,
    message: Any,  # noqa: ANN401  whatever was sent
    timeout_ms: float | None = None,
) -> list[str]:
    """Decide which agents get a message, and send it there; return their ids.

    Without ``message_id`` the task's id is the message's, so that a task that comes
    twice sends one message.
    """
    if isinstance(message, dict):
        message = {"message_id": self.request.id, **message}
    return list(runtime(app).router.dispatch(message, timeout_ms).targets)
