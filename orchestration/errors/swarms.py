"""What goes wrong with swarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.errors.base import OrchestrationError

if TYPE_CHECKING:
    from orchestration.core.swarm.fold import SwarmView

__all__ = [
    "InvalidSwarm",
    "SwarmActRefused",
    "SwarmConflict",
    "SwarmError",
    "SwarmFailed",
    "SwarmHandlerNotFound",
    "SwarmNonDeterministic",
    "SwarmNotFound",
    "SwarmSourceNotFound",
    "SwarmStillRunning",
    "UnknownFitness",
]


class InvalidSwarm(OrchestrationError):
    """What a swarm was to do was refused; nothing has been started.

    Attributes:
        faults: One sentence per fault, each naming the value and the way out.
    """

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        # All arguments go to the base, so that a worker can hand the error on.
        super().__init__(name, tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"swarm {self.args[0]!r} was refused: " + "; ".join(self.faults)


class UnknownFitness(InvalidSwarm):
    """No worker has ever announced the fitness that positions are valued by."""


class SwarmHandlerNotFound(InvalidSwarm):
    """No worker has ever announced the handler that partitions are given to."""


class SwarmSourceNotFound(InvalidSwarm):
    """No worker has ever announced the data source that rows are to come from."""


class SwarmError(OrchestrationError):
    """Something about one swarm.

    Attributes:
        swarm_id: The swarm's id.
    """

    def __init__(self, message: str, swarm_id: str) -> None:
        super().__init__(message, swarm_id)
        self.swarm_id = swarm_id


class SwarmNotFound(SwarmError):
    """There is no swarm of that id."""


class SwarmConflict(SwarmError):
    """The id is taken by a swarm that was told otherwise."""


class SwarmStillRunning(SwarmError):
    """The wait is over and the swarm is not; it goes on without the caller."""


class SwarmActRefused(SwarmError):
    """What was asked of a swarm does not fit its status; the text says what would."""


class SwarmFailed(SwarmError):
    """A swarm could not go on; the text says why.

    Attributes:
        view: The swarm when that was read.
    """

    def __init__(self, message: str, view: SwarmView) -> None:
        super().__init__(message, view.swarm_id)
        self.args = (message, view)
        self.view = view


class SwarmNonDeterministic(SwarmFailed):
    """A state came out otherwise than it is on record, so the swarm was stopped."""
