"""Every error of the project, in one tree.

OrchestrationError
├── ConfigurationError            a setting, a schema, a worker's set of agents
│   └── SchemaOutdated            the database lacks a migration
├── EmbeddedServerError           a server or process of the embedded stack
│   └── EmbeddedServerMissing     there is no program to start: the extra is missing
├── InvalidSaga                   refused before anything started; ``faults`` lists why
│   └── UnknownAgent              no worker ever announced the agent or its action
├── InvalidCondition              a text is no condition of a rule or of a step
├── TooManySagas                  the limit of open sagas is reached: try later
├── InvalidTemplate               a template was refused; ``faults`` lists why
├── TemplateNotFound              the folder has no template of that name or version
├── PayloadTooLarge               a message or an event over its limit
├── TransportError                the broker or the database could not be reached
├── SagaError                     about one saga, whose ``saga_id`` it carries
│   ├── SagaNotFound              no such saga
│   ├── SagaConflict              the id belongs to a saga with another definition
│   ├── SagaStillRunning          the caller's wait ended before the saga did
│   ├── SagaActRefused            what was asked of it does not fit its state
│   └── SagaNotCompleted          the outcome is final and is not COMPLETED
│       ├── SagaCompensated       a step failed; what was done has been undone
│       ├── SagaCompensationFailed   undoing failed as well: a person is needed
│       ├── SagaFailed            halted for an operator
│       ├── SagaPaused            after the pivot, or with an unknown outcome
│       └── SagaCancelled         cancelled on request, and undone
└── StepError                     raised by actions, or about one step
    ├── NonRetryable              raised by an action: trying again is useless
    ├── RetryLater                raised by an action: nothing was done, try then
    ├── OutcomeUnknown            raised by an action: it may have taken effect
    ├── StepTimedOut              raised into an action whose time is over
    └── DataConflict              two unordered steps wrote one key differently
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.core.saga.execution import SagaExecution

__all__ = [
    "ConfigurationError",
    "DataConflict",
    "EmbeddedServerError",
    "EmbeddedServerMissing",
    "InvalidCondition",
    "InvalidSaga",
    "InvalidTemplate",
    "NonRetryable",
    "OrchestrationError",
    "OutcomeUnknown",
    "PayloadTooLarge",
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
    "SchemaOutdated",
    "StepError",
    "StepTimedOut",
    "TemplateNotFound",
    "TooManySagas",
    "TransportError",
    "UnknownAgent",
]


class OrchestrationError(Exception):
    """Base of every error here, for the caller's ``try``."""


class ConfigurationError(OrchestrationError):
    """A setting is missing or wrong; the text names it, its value and the fix."""


class SchemaOutdated(ConfigurationError):
    """The database lacks a migration that this version needs."""


class EmbeddedServerError(OrchestrationError):
    """A server or process of the embedded stack did not do what it was started for."""


class EmbeddedServerMissing(EmbeddedServerError):
    """There is no program to start: the extra is not installed, or not for here."""


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


class InvalidCondition(OrchestrationError):
    """A text is no condition; the error says where, and what a condition may hold.

    Attributes:
        text: The condition as it was given; empty if it was no text at all.
        position: The character at which it goes wrong; the first is 1.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(message, text, position)
        self.text = text
        self.position = position

    def __str__(self) -> str:
        return str(self.args[0])


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


class PayloadTooLarge(OrchestrationError):
    """A message or event is over its size limit, which the text names."""


class TransportError(OrchestrationError):
    """The broker or the database did not take a message; the text names which."""


class SagaError(OrchestrationError):
    """Something about one saga.

    Attributes:
        saga_id: The saga's id, equal to its ``transaction_id``.
    """

    def __init__(self, message: str, saga_id: str) -> None:
        super().__init__(message, saga_id)
        self.saga_id = saga_id

    def __str__(self) -> str:
        return str(self.args[0])


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

    def __str__(self) -> str:
        return str(self.args[0])


class OutcomeUnknown(StepError):
    """Raised by an action that cannot tell whether its effect took place."""


class StepTimedOut(StepError):
    """Raised into an action whose ``timeout_ms`` is over; its outcome is unknown."""


class DataConflict(StepError):
    """Two steps without an order between them wrote one key with different values."""
