"""Which task is at work, for the events it causes."""

from __future__ import annotations

from celery import Task

from orchestration.adapters.saga_records import Because

__all__ = ["because_of"]


def because_of(task: Task) -> Because:
    """Return the running task as the cause of what it records."""
    request = task.request
    return Because(
        task_id=request.id,
        parent_id=request.parent_id,
        root_id=request.root_id,
        actor=request.hostname or "",
    )
