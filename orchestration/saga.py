"""Sagas: transactions of many steps that undo themselves.

    saga = SagaOrchestrator(message_bus)
    await saga.initialize()
    result = await saga.execute(transaction, initial_data={...})

The saga runs on Celery workers and outlives its caller; what happened is read from
its events. docs/sagas.md tells the whole story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestration.adapters.saga_index import DeadLetter, SagaSummary
from orchestration.adapters.schedules import SagaSchedule
from orchestration.core.saga.ends import is_on_its_way, result_or_raise, still_running
from orchestration.core.saga.execution import SagaExecution, StepReport
from orchestration.core.saga.model import (
    CompensationStrategy,
    OnCompensationFailure,
    OnFailure,
    RetryPolicy,
    SagaState,
    SagaStep,
    SagaTransaction,
    UnknownPolicy,
)
from orchestration.message_bus import MessageBus
from orchestration.opening import Opened
from orchestration.saga_client import HistoryEvent, SagaClient

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "CompensationStrategy",
    "DeadLetter",
    "HistoryEvent",
    "OnCompensationFailure",
    "OnFailure",
    "RetryPolicy",
    "SagaClient",
    "SagaExecution",
    "SagaOrchestrator",
    "SagaSchedule",
    "SagaState",
    "SagaStep",
    "SagaSummary",
    "SagaTransaction",
    "StepReport",
    "UnknownPolicy",
]


class SagaOrchestrator(Opened):
    """Starts sagas, waits for them, tells how they stand, and acts upon them.

    Every method but ``wait`` and ``execute`` is ``SagaClient``'s of the same name, run
    in a thread: its arguments, guarantees and errors are told there.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(self, message_bus: MessageBus | None = None) -> None:
        self._client = SagaClient(message_bus)

    async def initialize(self) -> None:
        """Connect, unless the message bus is connected already."""
        await asyncio.to_thread(self._client.connect)

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        await asyncio.to_thread(self._client.close)

    async def start(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> str:
        """Start a saga and return its id without waiting for it."""
        return await asyncio.to_thread(
            self._client.start, transaction, initial_data, connection=connection
        )

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
            SagaCancelled: It was cancelled, and what was done has been undone.
            SagaCompensationFailed: Undoing failed as well; it needs a person.
            SagaPaused: It stands still after its pivot, or with an unknown outcome.
            SagaFailed: It was halted for an operator.
            InvalidSaga: As for ``start``, like all its errors.
        """
        saga_id = transaction.transaction_id
        end = self._client.end_of(saga_id)
        try:
            if await asyncio.to_thread(self._client.begin, transaction, initial_data):
                # To look at what has just begun would only take time.
                await asyncio.wrap_future(end)
        finally:
            end.cancel()
        return result_or_raise(await self.wait(saga_id))

    async def wait(
        self, saga_id: str, *, timeout_ms: int | None = None
    ) -> SagaExecution:
        """Wait until a saga is over, or stands still for a person.

        A saga that an operator has paused is waited for.

        Args:
            saga_id: Of a saga that has been started.
            timeout_ms: How long to wait, milliseconds; None: as long as it takes.

        Raises:
            SagaStillRunning: The time is over; the saga goes on.
            SagaNotFound: There is no such saga.
        """
        # Asked for before each look, so that an end in between is not missed.
        end = self._client.end_of(saga_id)
        try:
            status = await self.get_execution_status(saga_id)
            limit_s = None if timeout_ms is None else timeout_ms / 1_000
            async with asyncio.timeout(limit_s):
                while is_on_its_way(status):
                    await asyncio.wrap_future(end)
                    # The word may have been of another system's saga of that id.
                    end = self._client.end_of(saga_id)
                    status = await self.get_execution_status(saga_id)
        except TimeoutError as exc:
            raise still_running(saga_id, timeout_ms) from exc
        finally:
            end.cancel()
        return status

    async def schedule(
        self,
        name: str,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
        *,
        every_s: float | None = None,
        cron: str | None = None,
        first_at: datetime | None = None,
    ) -> SagaSchedule:
        """Have a saga started again and again, by beat; return the schedule."""
        return await asyncio.to_thread(
            self._client.schedule,
            name,
            transaction,
            initial_data,
            every_s=every_s,
            cron=cron,
            first_at=first_at,
        )

    async def unschedule(self, name: str) -> bool:
        """Remove a schedule; its sagas go on. Return whether there was one."""
        return await asyncio.to_thread(self._client.unschedule, name)

    async def schedules(self) -> tuple[SagaSchedule, ...]:
        """Return all schedules by name: next slot, last saga, last error."""
        return await asyncio.to_thread(self._client.schedules)

    async def get_execution_status(self, saga_id: str) -> SagaExecution:
        """Return how a saga stands, from its events."""
        return await asyncio.to_thread(self._client.get_execution_status, saga_id)

    async def history(self, saga_id: str) -> tuple[HistoryEvent, ...]:
        """Return every fact recorded of a saga, oldest first."""
        return await asyncio.to_thread(self._client.history, saga_id)

    async def find(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        attributes: Mapping[str, str | float] | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        after: SagaSummary | None = None,
        limit: int = 50,
    ) -> tuple[SagaSummary, ...]:
        """Return sagas, newest first."""
        return await asyncio.to_thread(
            self._client.find,
            state=state,
            name=name,
            attributes=attributes,
            started_after=started_after,
            started_before=started_before,
            after=after,
            limit=limit,
        )

    async def dead_letters(self, saga_id: str | None = None) -> Sequence[DeadLetter]:
        """Return undos that failed for good, of one saga or of all."""
        return await asyncio.to_thread(self._client.dead_letters, saga_id)

    async def signal(
        self,
        saga_id: str,
        name: str,
        data: object = None,
        *,
        signal_id: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Hand a signal to the step that waits for it, or will."""
        return await asyncio.to_thread(
            self._client.signal,
            saga_id,
            name,
            data,
            signal_id=signal_id,
            by=by,
            why=why,
        )

    async def cancel(
        self, saga_id: str, *, by: str = "", why: str = ""
    ) -> SagaExecution:
        """Give up and undo, once what runs has ended; refused after the pivot."""
        return await asyncio.to_thread(self._client.cancel, saga_id, by=by, why=why)

    async def pause(
        self, saga_id: str, *, by: str = "", why: str = ""
    ) -> SagaExecution:
        """Let what runs end, and begin nothing; timers stand still."""
        return await asyncio.to_thread(self._client.pause, saga_id, by=by, why=why)

    async def resume(
        self, saga_id: str, *, by: str = "", why: str = ""
    ) -> SagaExecution:
        """Go on after a pause."""
        return await asyncio.to_thread(self._client.resume, saga_id, by=by, why=why)

    async def retry(
        self,
        saga_id: str,
        *,
        from_step: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Try again what failed; of a failed compensation, the undos that failed."""
        return await asyncio.to_thread(
            self._client.retry, saga_id, from_step=from_step, by=by, why=why
        )

    async def resolve(
        self,
        saga_id: str,
        step: str,
        *,
        happened: bool | None = None,
        output: Mapping[str, Any] | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Say what a person has found out about a step."""
        return await asyncio.to_thread(
            self._client.resolve,
            saga_id,
            step,
            happened=happened,
            output=output,
            by=by,
            why=why,
        )

    async def skip(
        self, saga_id: str, step: str, *, by: str = "", why: str = ""
    ) -> SagaExecution:
        """Leave the effect of a step whose undoing failed; the rest is undone."""
        return await asyncio.to_thread(self._client.skip, saga_id, step, by=by, why=why)

    async def replay_compensation(
        self,
        saga_id: str,
        *,
        from_step: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Undo once more what was undone, each undo under a new key."""
        return await asyncio.to_thread(
            self._client.replay_compensation,
            saga_id,
            from_step=from_step,
            by=by,
            why=why,
        )

    async def fork(
        self,
        saga_id: str,
        *,
        initial_data: Mapping[str, Any] | None = None,
        transaction_id: str | None = None,
        by: str = "",
        why: str = "",
    ) -> str:
        """Begin a saga anew under a new id, whatever became of it; return that id."""
        return await asyncio.to_thread(
            self._client.fork,
            saga_id,
            initial_data=initial_data,
            transaction_id=transaction_id,
            by=by,
            why=why,
        )
