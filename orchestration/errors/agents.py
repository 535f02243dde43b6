"""What goes wrong with agents in the registry."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.errors.base import OrchestrationError

__all__ = [
    "AgentNotFound",
    "DiscoveryTimeout",
    "DuplicateAgent",
    "ForeignAgent",
    "InvalidAgentData",
    "InvalidCard",
    "InvalidDescriptor",
    "InvalidHeartbeat",
    "InvalidQuery",
    "TokenRefused",
    "TooManyAgents",
]


class InvalidAgentData(OrchestrationError):
    """What was told of an agent was refused; nothing has been recorded.

    Attributes:
        subject: The agent's id, or the card's name, as it was given.
        faults: One sentence per fault, each naming the field and the way out.
    """

    _what = "agent"

    def __init__(self, subject: str, faults: Sequence[str]) -> None:
        super().__init__(subject, tuple(faults))
        self.subject = subject
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"{self._what} {self.subject!r} was refused: " + "; ".join(self.faults)


class InvalidDescriptor(InvalidAgentData):
    """An agent cannot be registered with what it says of itself."""


class InvalidHeartbeat(InvalidAgentData):
    """The metrics of a heartbeat are none; it does not count."""

    _what = "a heartbeat of agent"


class InvalidCard(InvalidAgentData):
    """An A2A agent card tells of no agent that could be registered."""

    _what = "agent card"


class InvalidQuery(OrchestrationError):
    """A query of the registry was refused.

    Attributes:
        faults: One sentence per fault, each naming the field and the way out.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "the query was refused: " + "; ".join(self.faults)


class DuplicateAgent(OrchestrationError):
    """The id is that of a live agent which somebody else owns.

    Attributes:
        agent_id: The id that is taken.
    """

    def __init__(self, message: str, agent_id: str) -> None:
        super().__init__(message, agent_id)
        self.agent_id = agent_id


class ForeignAgent(OrchestrationError):
    """The agent is another region's, which alone may change it.

    Attributes:
        agent_id: The id that was asked for.
    """

    def __init__(self, message: str, agent_id: str) -> None:
        super().__init__(message, agent_id)
        self.agent_id = agent_id

    def __str__(self) -> str:
        return str(self.args[0])


class AgentNotFound(OrchestrationError):
    """No agent of that id is registered.

    Attributes:
        agent_id: The id that was asked for.
    """

    def __init__(self, message: str, agent_id: str) -> None:
        super().__init__(message, agent_id)
        self.agent_id = agent_id

    def __str__(self) -> str:
        return str(self.args[0])


class TooManyAgents(OrchestrationError):
    """So many agents are registered that no more are; the text names the limit."""


class DiscoveryTimeout(OrchestrationError):
    """Agents were not found in the time that was given; the text says why."""


class TokenRefused(OrchestrationError):
    """A registration token does not allow what was asked; the text says what would.

    Attributes:
        reason: ``MALFORMED``, ``FORGED``, ``EXPIRED`` or ``OTHER_AGENT``.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason)
        self.reason = reason
