"""What may be asked of sagas once they are begun, for code that blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.engine.asking import who
from orchestration.message_bus import MessageBus

__all__ = ["SagaActs"]


class SagaActs:
    """The acts of ``SagaClient``.

    Every act is recorded with who asked (``by``; by default the user and host of this
    process) and ``why``. An act that does not fit the saga's state raises
    SagaActRefused, whose text says what would; an unknown id raises SagaNotFound.
    """

    def __init__(self, message_bus: MessageBus) -> None:
        self._bus = message_bus

    def signal(
        self,
        saga_id: str,
        name: str,
        data: object = None,
        *,
        signal_id: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Hand a signal to the step that waits for it, or will.

        Args:
            saga_id: The saga.
            name: What the step's ``wait_for`` says.
            data: JSON; an object becomes the step's output, anything else its value
                under the step's name.
            signal_id: Two signals of one id count once.
            by: Who asks.
            why: For the record.
        """
        desk, told = self._bus.saga_desk, who(by, why)
        view = desk.signal(saga_id, told, name=name, data=data, signal_id=signal_id)
        return execution_of(view)

    def cancel(self, saga_id: str, *, by: str = "", why: str = "") -> SagaExecution:
        """Give up and undo, once what runs has ended; refused after the pivot."""
        return execution_of(self._bus.saga_desk.cancel(saga_id, who(by, why)))

    def pause(self, saga_id: str, *, by: str = "", why: str = "") -> SagaExecution:
        """Let what runs end, and begin nothing; timers stand still."""
        return execution_of(self._bus.saga_desk.pause(saga_id, who(by, why)))

    def resume(self, saga_id: str, *, by: str = "", why: str = "") -> SagaExecution:
        """Go on after a pause."""
        return execution_of(self._bus.saga_desk.resume(saga_id, who(by, why)))

    def retry(
        self,
        saga_id: str,
        *,
        from_step: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Try again what failed; of a failed compensation, the undos that failed.

        Args:
            saga_id: Of a saga that is FAILED, PAUSED or COMPENSATION_FAILED.
            from_step: Begin anew with this step, which may be completed: it and what
                came after it are undone first.
            by: Who asks.
            why: For the record.
        """
        desk, told = self._bus.saga_desk, who(by, why)
        return execution_of(desk.retry(saga_id, told, from_step=from_step))

    def resolve(
        self,
        saga_id: str,
        step: str,
        *,
        happened: bool | None = None,
        output: Mapping[str, Any] | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Say what a person has found out about a step.

        Args:
            saga_id: The saga.
            step: Of unknown outcome: ``happened`` says whether it took effect. Or one
                whose undoing failed: it was undone by hand.
            happened: Whether the step took effect.
            output: What the step would have returned.
            by: Who asks.
            why: For the record.
        """
        view = self._bus.saga_desk.resolve(
            saga_id, who(by, why), step=step, happened=happened, output=output
        )
        return execution_of(view)

    def skip(
        self, saga_id: str, step: str, *, by: str = "", why: str = ""
    ) -> SagaExecution:
        """Leave the effect of a step whose undoing failed; the rest is undone."""
        return execution_of(self._bus.saga_desk.skip(saga_id, who(by, why), step=step))

    def replay_compensation(
        self,
        saga_id: str,
        *,
        from_step: str | None = None,
        by: str = "",
        why: str = "",
    ) -> SagaExecution:
        """Undo once more what was undone, each undo under a new key.

        Args:
            saga_id: Of a saga that is COMPENSATED or COMPENSATION_FAILED.
            from_step: Leave out what was undone before this step.
            by: Who asks.
            why: For the record.
        """
        desk, told = self._bus.saga_desk, who(by, why)
        return execution_of(desk.replay(saga_id, told, from_step=from_step))

    def fork(
        self,
        saga_id: str,
        *,
        initial_data: Mapping[str, Any] | None = None,
        transaction_id: str | None = None,
        by: str = "",
        why: str = "",
    ) -> str:
        """Begin a saga anew under a new id, whatever became of it; return that id.

        Args:
            saga_id: The saga to repeat.
            initial_data: In place of the old saga's.
            transaction_id: The new id; None: one is made.
            by: Who asks.
            why: For the record.
        """
        return self._bus.saga_desk.fork(
            saga_id, who(by, why), initial_data=initial_data, new_id=transaction_id
        )
