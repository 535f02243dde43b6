"""Sagas for code that blocks, as in Django or Flask views and in scripts.

    with SagaClient() as sagas:
        result = sagas.execute(transaction, {"order": 7})

``orchestration.saga.SagaOrchestrator`` is the same for asyncio code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from orchestration.adapters.saga_index import DeadLetter, SagaSummary
from orchestration.adapters.saga_records import Because, Start
from orchestration.adapters.schedules import SagaSchedule
from orchestration.core.saga.ends import is_on_its_way, result_or_raise, still_running
from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.core.saga.model import SagaTransaction
from orchestration.core.saga.view import SagaView
from orchestration.message_bus import MessageBus
from orchestration.saga_acts import SagaActs

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["HistoryEvent", "SagaClient"]


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One recorded fact of a saga, in the order of ``version``."""

    version: int
    type: str
    recorded_at: datetime
    data: Mapping[str, Any]


class SagaClient(SagaActs):
    """Starts sagas, waits for them, tells how they stand, and acts upon them.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(self, message_bus: MessageBus | None = None) -> None:
        super().__init__(message_bus or MessageBus())
        self._owns_bus = message_bus is None

    def connect(self) -> None:
        """Connect, unless the message bus is connected already."""
        self._bus.connect()

    def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        if self._owns_bus:
            self._bus.disconnect()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- begin and wait

    def start(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> str:
        """Start a saga and return its id without waiting for it.

        Starting the same transaction with the same data again starts nothing.

        Args:
            transaction: The steps, and how to undo them.
            initial_data: JSON input of the first steps.
            connection: Joins this connection's transaction: the saga begins if that
                commits, within about a second of it.

        Raises:
            InvalidSaga: The definition has faults; all are named, nothing started.
            UnknownAgent: No worker ever announced an agent or action of it.
            PayloadTooLarge: The initial data are over the limit.
            TooManySagas: As many sagas are open as may be.
            SagaConflict: The id is taken by another saga.
            TransportError: The database does not answer.
        """
        self.begin(transaction, initial_data, connection=connection)
        return transaction.transaction_id

    def begin(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> bool:
        """Do as ``start`` and return whether the saga began now, not earlier."""
        begun = Start(transaction=transaction, initial_data=dict(initial_data or {}))
        because = Because.here("producer")
        return self._bus.saga_desk.door.begin(begun, because, connection=connection)

    def execute(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a saga to its end and return what its steps produced.

        The saga outlives this call. Calling again with the same transaction waits for
        the first run and starts nothing.

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
        end = self.end_of(saga_id)
        try:
            if self.begin(transaction, initial_data):
                end.result()  # to look at what has just begun would only take time
        finally:
            end.cancel()
        return result_or_raise(self.wait(saga_id))

    def wait(self, saga_id: str, *, timeout_ms: int | None = None) -> SagaExecution:
        """Wait until a saga is over, or stands still for a person.

        A saga that an operator has paused is waited for.

        Args:
            saga_id: Of a saga that has been started.
            timeout_ms: How long to wait, milliseconds; None: as long as it takes.

        Raises:
            SagaStillRunning: The time is over; the saga goes on.
        """
        give_up_at = None if timeout_ms is None else monotonic() + timeout_ms / 1_000
        # Asked for before each look, so that an end in between is not missed.
        end = self.end_of(saga_id)
        try:
            status = self.get_execution_status(saga_id)
            while is_on_its_way(status):
                left = None if give_up_at is None else give_up_at - monotonic()
                end.result(left if left is None else max(0.0, left))
                # The word may have been of another system's saga of that id.
                end = self.end_of(saga_id)
                status = self.get_execution_status(saga_id)
        except FutureTimeoutError as exc:
            raise still_running(saga_id, timeout_ms) from exc
        finally:
            end.cancel()
        return status

    def end_of(self, saga_id: str) -> Future[None]:
        """Return a future that is done when the saga may have come to a stand.

        Who waits no longer cancels it.
        """
        return self._bus.saga_ends.wait_for(saga_id)

    # --- schedule

    def schedule(
        self,
        name: str,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any] | None = None,
        *,
        every_s: float | None = None,
        cron: str | None = None,
        first_at: datetime | None = None,
    ) -> SagaSchedule:
        """Have a saga started again and again, by beat; return the schedule.

        Each slot starts one saga, whose id is the name with the slot's epoch seconds.
        Of slots that passed while beat, chores worker or database were down, the last
        is made up for. A start that is refused, since an agent is unknown or too many
        sagas are open, is shown by ``schedules`` and tried at the next slot.

        The same name replaces a schedule; with the same times, it keeps its next slot.

        Args:
            name: Letters, digits, ``_`` and ``-``.
            transaction: What is started; its own id is not used.
            initial_data: JSON input of each saga's first steps.
            every_s: Seconds from one slot to the next, at least 1.
            cron: In place of that, minute, hour, day of month, month and day of week,
                as Celery's ``crontab`` reads them, in UTC; all of them must fit.
            first_at: Not before this time; of a period, count from it. None: the first
                slot is one period from now, or the first that fits.

        Raises:
            InvalidSaga: Name, times or definition have faults; all are named, and
                nothing is stored.
            PayloadTooLarge: The initial data are over the limit.
        """
        return self._bus.saga_scheduler.add(
            name,
            transaction,
            dict(initial_data or {}),
            every_s=every_s,
            cron=cron,
            first_at=first_at,
        )

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; its sagas go on. Return whether there was one."""
        return self._bus.saga_scheduler.schedules.remove(name)

    def schedules(self) -> tuple[SagaSchedule, ...]:
        """Return all schedules by name: next slot, last saga, last error."""
        return self._bus.saga_scheduler.schedules.listed()

    # --- look

    def get_execution_status(self, saga_id: str) -> SagaExecution:
        """Return how a saga stands, from its events."""
        view = self._bus.sagas.view(saga_id)
        waiting_for = None
        if not view.state.is_over:
            waiting_for = self._bus.sagas.waiting_for(saga_id) or self._offline(view)
        return execution_of(view, waiting_for)

    def history(self, saga_id: str) -> tuple[HistoryEvent, ...]:
        """Return every fact recorded of a saga, oldest first."""
        self._bus.sagas.view(saga_id)
        return tuple(
            HistoryEvent(event.version, event.type, event.recorded_at, event.data)
            for event in self._bus.sagas.read(saga_id).events
        )

    def find(
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
        """Return sagas, newest first.

        Args:
            state: Only those in this state; those that wait are RUNNING.
            name: Only those of this definition's name.
            attributes: Only those with all of these search attributes.
            started_after: Only those begun at this time or later.
            started_before: Only those begun earlier.
            after: Only those that follow this one in the list: the next page.
            limit: At most so many.
        """
        return self._bus.saga_index.find(
            state=state,
            name=name,
            attributes=attributes,
            started_after=started_after,
            started_before=started_before,
            after=after,
            limit=limit,
        )

    def dead_letters(self, saga_id: str | None = None) -> Sequence[DeadLetter]:
        """Return undos that failed for good, of one saga or of all."""
        return self._bus.saga_index.letters(saga_id)

    def _offline(self, view: SagaView) -> str | None:
        """Name agents that the saga could use now and that no live worker hosts."""
        if view.state.is_final:
            return None
        wanted = {view.agent_of(step.name) for step in view.plan.steps} - {""}
        offline = self._bus.announcements.offline(wanted)
        return f"a worker that hosts {', '.join(offline)}" if offline else None
