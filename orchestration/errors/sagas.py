"""What goes wrong with sagas, their templates and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.errors.base import OrchestrationError

if TYPE_CHECKING:
    from orchestration.core.saga.execution import SagaExecution

__all__ = [
    "DataConflict",
    "InvalidSaga",
    "InvalidTemplate",
    "NonRetryable",
    "OutcomeUnknown",
    "RetryLater",
    "SagaActRefused",
    "SagaCancelled",
    "SagaCompensated",
    "SagaCompensationFailed",
    "SagaConflict",
    "SagaError",
    "SagaFailed",
    "SagaNotCompleted",
    "SagaNotFound",
    "SagaPaused",
    "SagaStillRunning",
    "StepError",
    "StepTimedOut",
    "TemplateNotFound",
    "TooManySagas",
    "UnknownAgent",
]


class InvalidSaga(OrchestrationError):
    """A definition was refused; nothing has been started.

    Attributes:
        faults: One sentence per fault, each naming the step and the way out.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        # All arguments go to the base, so that a worker can hand the error on.
        super().__init__(name, tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"saga {self.args[0]!r} was refused: " + "; ".join(self.faults)


class UnknownAgent(InvalidSaga):
    """No worker has ever announced an agent, or an action of it, that a step names."""


class TooManySagas(OrchestrationError):
    """So many sagas are open that no more are begun; the text names the limit."""


class InvalidTemplate(OrchestrationError):
    """A saga template, or what it was to be filled with, was refused.

    Attributes:
        faults: One sentence per fault, each naming the parameter and the way out.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(name, tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"template {self.args[0]!r} was refused: " + "; ".join(self.faults)


class TemplateNotFound(OrchestrationError):
    """The folder has no template of that name or version; the text lists its own."""


class SagaError(OrchestrationError):
    """Something about one saga.

    Attributes:
        saga_id: The saga's id, equal to its ``transaction_id``.
    """

    def __init__(self, message: str, saga_id: str) -> None:
        super().__init__(message, saga_id)
        self.saga_id = saga_id


class SagaNotFound(SagaError):
    """There is no saga of that id."""


class SagaConflict(SagaError):
    """The id is taken by a saga with another definition or other input."""


class SagaStillRunning(SagaError):
    """The wait is over and the saga is not; it goes on without the caller."""


class SagaActRefused(SagaError):
    """What was asked of a saga does not fit its state; the text says what would."""


class SagaNotCompleted(SagaError):
    """The saga's outcome is final, and it is not COMPLETED.

    Attributes:
        status: The saga's full status when the outcome was read.
    """

    def __init__(self, message: str, status: SagaExecution) -> None:
        super().__init__(message, status.saga_id)
        self.args = (message, status)
        self.status = status


class SagaCompensated(SagaNotCompleted):
    """A step failed, and every completed step that can be undone was undone."""


class SagaCompensationFailed(SagaNotCompleted):
    """A step failed, and undoing another failed too: the saga needs a person."""


class SagaFailed(SagaNotCompleted):
    """The saga halted as it stands, for an operator to decide."""


class SagaPaused(SagaNotCompleted):
    """The saga stands still after its pivot, or with an outcome nobody knows."""


class SagaCancelled(SagaNotCompleted):
    """The saga was cancelled on request; what was done has been undone."""


class StepError(OrchestrationError):
    """Something about one step; agents may raise the subclasses."""


class NonRetryable(StepError):
    """Raised by an action to say: nothing was done, and trying again is useless."""


class RetryLater(StepError):
    """Raised by an action to say: nothing was done, and when to try again.

    It counts as a failed attempt.

    Attributes:
        retry_in_ms: The wait before the next attempt, milliseconds.
    """

    def __init__(self, message: str, retry_in_ms: int) -> None:
        super().__init__(message, retry_in_ms)
        self.retry_in_ms = retry_in_ms


class OutcomeUnknown(StepError):
    """Raised by an action that cannot tell whether its effect took place."""


class StepTimedOut(StepError):
    """Raised into an action whose ``timeout_ms`` is over; its outcome is unknown."""


class DataConflict(StepError):
    """Two steps without an order between them wrote one key with different values."""
