"""What goes wrong with messages between agents."""

from __future__ import annotations

from orchestration.errors.base import OrchestrationError

__all__ = [
    "AgentError",
    "InvalidMessage",
    "InvalidTopic",
    "MessageError",
    "MessageExpired",
    "NoHandler",
    "RequestTimedOut",
    "UnknownRecipient",
]


class InvalidTopic(OrchestrationError):
    """A text is no topic, or no pattern of topics; the error says what one is."""


class MessageError(OrchestrationError):
    """Something about one message.

    Attributes:
        message_id: The message's id.
    """

    def __init__(self, message: str, message_id: str) -> None:
        super().__init__(message, message_id)
        self.message_id = message_id

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidMessage(MessageError, ValueError):
    """A message cannot be made or sent like this; nothing was sent."""


class UnknownRecipient(MessageError):
    """No worker has ever announced the agent; nothing was sent."""


class NoHandler(MessageError):
    """The agent is known and takes no such message; nothing was sent."""


class MessageExpired(MessageError):
    """The message's deadline had passed before it was sent."""


class RequestTimedOut(MessageError):
    """No answer came by the deadline; whether the agent did anything is unknown."""


class AgentError(MessageError):
    """The agent answered a request with an error.

    Attributes:
        error_type: The kind of error, by its class's name.
        error_text: What it said.
    """

    def __init__(
        self, message: str, message_id: str, error_type: str, error_text: str
    ) -> None:
        super().__init__(message, message_id)
        self.args = (message, message_id, error_type, error_text)
        self.error_type = error_type
        self.error_text = error_text
