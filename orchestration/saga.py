"""Sagas: transactions of many steps that undo themselves.

    saga = SagaOrchestrator(message_bus)
    await saga.initialize()
    result = await saga.execute(transaction, initial_data={...})

The saga runs on Celery workers and outlives its caller; what happened is read from
its events. docs/sagas.md tells the whole story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from orchestration.adapters.saga_records import Because, SagaSummary
from orchestration.core.saga.execution import SagaExecution, StepReport, execution_of
from orchestration.core.saga.fold import SagaView
from orchestration.core.saga.model import (
    CompensationStrategy,
    OnCompensationFailure,
    RetryPolicy,
    SagaState,
    SagaStep,
    SagaTransaction,
    UnknownPolicy,
)
from orchestration.errors import (
    SagaCompensated,
    SagaCompensationFailed,
    SagaFailed,
    SagaNotCompleted,
    SagaPaused,
    SagaStillRunning,
)
from orchestration.message_bus import MessageBus

__all__ = [
    "CompensationStrategy",
    "HistoryEvent",
    "OnCompensationFailure",
    "RetryPolicy",
    "SagaExecution",
    "SagaOrchestrator",
    "SagaState",
    "SagaStep",
    "SagaSummary",
    "SagaTransaction",
    "StepReport",
    "UnknownPolicy",
]


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One recorded fact of a saga, in the order of ``version``."""

    version: int
    type: str
    recorded_at: datetime
    data: Mapping[str, Any]


class SagaOrchestrator:
    """Starts sagas, waits for them, and tells how they stand.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(self, message_bus: MessageBus | None = None) -> None:
        self._owns_bus = message_bus is None
        self._bus = message_bus or MessageBus()

    async def initialize(self) -> None:
        """Connect, unless the message bus is connected already."""
        await self._bus.initialize()

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        if self._owns_bus:
            await self._bus.close()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a saga and return its id without waiting for it.

        Starting the same transaction with the same data again starts nothing.

        Raises:
            InvalidSaga: The definition has faults; all are named, nothing started.
            UnknownAgent: No worker ever announced an agent or action of it.
            PayloadTooLarge: The initial data are over the limit.
            SagaConflict: The id is taken by another saga.
            TransportError: The database does not answer.
        """
        await asyncio.to_thread(
            self._bus.saga_door.begin,
            transaction,
            dict(initial_data or {}),
            Because(actor="producer"),
        )
        return transaction.transaction_id

    async def execute(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a saga to its end and return what its steps produced.

        The saga outlives this call: cancelling the wait does not stop it. Calling
        again with the same transaction waits for the first run and starts nothing.

        Args:
            transaction: The steps, and how to undo them.
            initial_data: JSON input of the first steps.

        Returns:
            The outputs of all steps, overlaid in dependency order.

        Raises:
            SagaCompensated: A step failed, and what was done has been undone.
            SagaCompensationFailed: Undoing failed as well; it needs a person.
            SagaPaused: It stands still after its pivot, or with an unknown outcome.
            SagaFailed: It was halted for an operator.
            InvalidSaga: As for ``start``, like all its errors.
        """
        saga_id = await self.start(transaction, initial_data)
        return result_or_raise(await self.wait(saga_id))

    async def wait(
        self, saga_id: str, *, timeout_ms: int | None = None
    ) -> SagaExecution:
        """Wait until a saga is over, or stands still for a person.

        Args:
            saga_id: Of a saga that has been started.
            timeout_ms: How long to wait, milliseconds; None: as long as it takes.

        Raises:
            SagaStillRunning: The time is over; the saga goes on.
            SagaNotFound: There is no such saga.
        """
        waiter = self._bus.saga_ends
        # Asked for before each look, so that an end in between is not missed.
        end = waiter.wait_for(saga_id)
        try:
            status = await self.get_execution_status(saga_id)
            limit_s = None if timeout_ms is None else timeout_ms / 1_000
            async with asyncio.timeout(limit_s):
                while not status.state.is_final:
                    await asyncio.wrap_future(end)
                    # The word may have been of another system's saga of that id.
                    end = waiter.wait_for(saga_id)
                    status = await self.get_execution_status(saga_id)
        except TimeoutError as exc:
            raise SagaStillRunning(
                f"saga {saga_id} still runs after {timeout_ms} ms; it goes on", saga_id
            ) from exc
        finally:
            waiter.forget(saga_id, end)
        return status

    async def get_execution_status(self, saga_id: str) -> SagaExecution:
        """Return how a saga stands, from its events.

        Raises:
            SagaNotFound: There is no such saga.
        """
        return await asyncio.to_thread(self._status, saga_id)

    async def history(self, saga_id: str) -> tuple[HistoryEvent, ...]:
        """Return every fact recorded of a saga, oldest first.

        Raises:
            SagaNotFound: There is no such saga.
        """
        return await asyncio.to_thread(self._history, saga_id)

    async def list(
        self, *, state: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[SagaSummary, ...]:
        """Return sagas, newest first.

        Args:
            state: Only those in this state.
            name: Only those of this definition's name.
            limit: At most so many.
        """
        return await asyncio.to_thread(
            self._bus.sagas.list, state=state, name=name, limit=limit
        )

    def _status(self, saga_id: str) -> SagaExecution:
        view = self._bus.sagas.view(saga_id)
        waiting_for = None
        if not view.state.is_over:
            waiting_for = self._bus.sagas.waiting_for(saga_id) or self._offline(view)
        return execution_of(view, waiting_for)

    def _offline(self, view: SagaView) -> str | None:
        """Name agents that the saga could use now and that no live worker hosts."""
        if view.state.is_final:
            return None
        wanted = {step.agent_id for step in view.plan.steps}
        offline = self._bus.saga_door.announcements.offline(wanted)
        return f"a worker that hosts {', '.join(offline)}" if offline else None

    def _history(self, saga_id: str) -> tuple[HistoryEvent, ...]:
        self._bus.sagas.view(saga_id)
        return tuple(
            HistoryEvent(event.version, event.type, event.recorded_at, event.data)
            for event in self._bus.sagas.read(saga_id).events
        )


_ENDS: Mapping[SagaState, type[SagaNotCompleted]] = {
    SagaState.COMPENSATED: SagaCompensated,
    SagaState.COMPENSATION_FAILED: SagaCompensationFailed,
    SagaState.PAUSED: SagaPaused,
    SagaState.FAILED: SagaFailed,
}


def result_or_raise(status: SagaExecution) -> dict[str, Any]:
    """Return a completed saga's result, or raise what stands for its other end."""
    if status.state is SagaState.COMPLETED:
        return dict(status.result)
    error = status.error or {}
    why = f"{error.get('type', 'timeout')}: {error.get('message', 'out of time')}"
    where = f"step {status.failed_step!r}" if status.failed_step else "the saga"
    message = f"saga {status.saga_id} is {status.state}: {where} gave up ({why})"
    raise _ENDS[status.state](message, status)
