"""What a caller who waits for a saga is told of its end: its result, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestration.core.saga.execution import SagaExecution
from orchestration.core.saga.model import SagaState
from orchestration.errors import (
    SagaCancelled,
    SagaCompensated,
    SagaCompensationFailed,
    SagaFailed,
    SagaNotCompleted,
    SagaPaused,
    SagaStillRunning,
)

__all__ = ["is_on_its_way", "result_or_raise", "still_running"]


def is_on_its_way(status: SagaExecution) -> bool:
    """Whether a saga is yet to come to a stand that a caller has to hear of."""
    return not status.state.is_final or status.is_on_hold


def still_running(saga_id: str, timeout_ms: int | None) -> SagaStillRunning:
    """Return the error that a wait ended before its saga did."""
    return SagaStillRunning(
        f"saga {saga_id} still runs after {timeout_ms} ms; it goes on", saga_id
    )


_ENDS: Final[Mapping[SagaState, type[SagaNotCompleted]]] = {
    SagaState.COMPENSATED: SagaCompensated,
    SagaState.COMPENSATION_FAILED: SagaCompensationFailed,
    SagaState.PAUSED: SagaPaused,
    SagaState.FAILED: SagaFailed,
}


def result_or_raise(status: SagaExecution) -> dict[str, Any]:
    """Return a completed saga's result, or raise what stands for its other end."""
    if status.state is SagaState.COMPLETED:
        return dict(status.result)
    if status.is_cancelled and status.state is SagaState.COMPENSATED:
        message = f"saga {status.saga_id} was cancelled and has been undone"
        raise SagaCancelled(message, status)
    error = status.error or {}
    why = f"{error.get('type', 'timeout')}: {error.get('message', 'out of time')}"
    where = f"step {status.failed_step!r}" if status.failed_step else "the saga"
    message = f"saga {status.saga_id} is {status.state}: {where} gave up ({why})"
    raise _ENDS[status.state](message, status)
