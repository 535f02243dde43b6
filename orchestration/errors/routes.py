"""What goes wrong with routes, and with scatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestration.errors.base import OrchestrationError

if TYPE_CHECKING:
    from orchestration.core.routing.gather import ScatterResult

__all__ = [
    "AggregationConflict",
    "AllUnhealthy",
    "InsufficientResponses",
    "InvalidRoute",
    "InvalidScatter",
    "NoRoute",
    "NoTargetAvailable",
    "RoutingError",
    "ScatterError",
    "UnknownTarget",
]


class InvalidRoute(OrchestrationError):
    """A routing rule or static route was refused, for each of its ``faults``."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__(name, tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"route {self.args[0]!r} was refused: " + "; ".join(self.faults)


class RoutingError(OrchestrationError):
    """A message has no way to go; nothing was sent, and the text says what would help.

    Attributes:
        recipient_id: Whom the message was for.
        rule: Name of the rule or route that took it; empty if none did.
    """

    def __init__(self, message: str, recipient_id: str, rule: str = "") -> None:
        super().__init__(message, recipient_id, rule)
        self.recipient_id = recipient_id
        self.rule = rule


class NoRoute(RoutingError):
    """No rule matches, there is no static route, and no agent has that name."""


class UnknownTarget(RoutingError):
    """A route names agents, or a capability, that nobody has ever heard of."""


class NoTargetAvailable(RoutingError):
    """A route's agents are known, but none of them may get the message now."""


class AllUnhealthy(NoTargetAvailable):
    """Each agent of a route is INACTIVE or DECOMMISSIONED."""


class InvalidScatter(OrchestrationError):
    """A scatter was refused and nothing was sent; ``faults`` has a sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "the scatter was refused: " + "; ".join(self.faults)


class ScatterError(OrchestrationError):
    """A scatter came to nothing; ``responses`` has the answers there are, by target."""

    def __init__(self, message: str, responses: Mapping[str, Any]) -> None:
        super().__init__(message, dict(responses))
        self.responses = dict(responses)

    def __str__(self) -> str:
        return str(self.args[0])


class InsufficientResponses(ScatterError):
    """Fewer than ``min_responses`` have answered; ``result`` tells who did what."""

    def __init__(self, message: str, result: ScatterResult) -> None:
        super().__init__(message, result.responses)
        self.args = (message, result)
        self.result = result


class AggregationConflict(ScatterError):
    """The answers contradict each other; ``faults`` says where, and whose."""

    def __init__(
        self, message: str, faults: Sequence[str], responses: Mapping[str, Any]
    ) -> None:
        super().__init__(message, responses)
        self.args = (message, tuple(faults), self.responses)
        self.faults = tuple(faults)
