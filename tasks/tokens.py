"""How a registration's token comes with a message, so that nobody else reads it.

A token is a secret, and Celery shows a task's arguments to whoever watches its events.
So it comes as a header of the message, which Celery shows to nobody. As a keyword it
is taken as well, and hidden in all that the worker tells of the task.
"""

from __future__ import annotations

from celery import Task
from celery.utils.saferepr import saferepr
from celery.worker.request import Request

from orchestration.contracts import REGISTRY_TOKEN_HEADER

__all__ = ["TOKEN_REQUEST", "TokenRequest", "token_of"]

TOKEN_REQUEST = f"{__name__}:TokenRequest"
"""The ``Request`` of tasks that take a token; by name, as only workers need it."""


class TokenRequest(Request):
    """A task in a worker; its keywords are told of without the token."""

    @property
    def kwargsrepr(self) -> str:
        """What Celery's events and logs show of the keywords."""
        keywords = self.kwargs
        if not isinstance(keywords, dict) or keywords.get("token") is None:
            return str(super().kwargsrepr)
        return str(saferepr({**keywords, "token": "…"}))


def token_of(task: Task, keyword: str | None) -> str | None:
    """Return the token that came with a running task; None: there is none.

    Args:
        task: It.
        keyword: What it was called with, which goes before a header.
    """
    if keyword is not None:
        return keyword
    return (task.request.headers or {}).get(REGISTRY_TOKEN_HEADER)
