"""What a caller who waits for a run is told of its end: its result, or an error."""

from __future__ import annotations

from typing import Any

from orchestration.core.pipeline.execution import (
    PipelineExecution,
    PipelineState,
    execution_of,
)
from orchestration.core.saga.execution import SagaExecution
from orchestration.errors import (
    PipelineCancelled,
    PipelineFailed,
    PipelineNotCompleted,
    PipelinePaused,
    PipelineTimedOut,
)

__all__ = ["result_or_raise"]


def result_or_raise(saga: SagaExecution) -> dict[str, Any]:
    """Return a completed run's result, or raise what stands for its other end."""
    status = execution_of(saga)
    if status.state is PipelineState.COMPLETED:
        return dict(status.result)
    raise _error(status, is_cancelled=saga.is_cancelled)


def _error(status: PipelineExecution, *, is_cancelled: bool) -> PipelineNotCompleted:
    what = f"pipeline {status.name!r}, run {status.run_id},"
    if status.state is PipelineState.CANCELLED and is_cancelled:
        return PipelineCancelled(f"{what} was cancelled", status)
    if status.failed_stage is None:
        return PipelineTimedOut(f"{what} ran out of time", status)
    error = status.error or {}
    why = f"{error.get('type', 'unknown')}: {error.get('message', 'no reason given')}"
    message = f"{what} gave up at stage {status.failed_stage!r} ({why})"
    if status.state is PipelineState.PAUSED:
        return PipelinePaused(message, status)
    return PipelineFailed(message, status)
