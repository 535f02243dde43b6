"""What the engine needs of the world: a log, a sender, a clock, somebody to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from orchestration.adapters.saga_records import Answer, Because, Record, Start
from orchestration.core.saga.children import Errand
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.events import NewFact
from orchestration.core.saga.outcomes import Outcome
from orchestration.core.saga.view import SagaView

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

__all__ = ["Chooser", "Clock", "Ends", "Log", "Metrics", "Sender", "Swarms"]


class Clock(Protocol):
    """Tells the time that all agree on."""

    def now(self) -> datetime:
        """Return the time, in UTC."""


class Log(Protocol):
    """Where sagas are recorded; each call is all or nothing."""

    def begin(
        self, start: Start, because: Because, *, connection: Connection | None = None
    ) -> SagaView | None:
        """Begin a saga and return it; None if this very saga has begun before."""

    def record(
        self, record: Record, because: Because, *, connection: Connection | None = None
    ) -> Answer:
        """Append a decision if the saga still stands where it was taken."""

    def read(self, saga_id: str) -> Answer:
        """Return all events of a saga; none if there is no such saga."""

    def view(self, saga_id: str) -> SagaView:
        """Return a saga's state."""

    def heal(self, saga_id: str, connection: Connection | None = None) -> None:
        """Rebuild what is derived from a saga's events."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Return a transaction that commits at its end, unless an error ends it."""

    def take_locks(
        self, saga_id: str, names: Sequence[str], connection: Connection
    ) -> dict[str, int] | None:
        """Take all of a saga's locks, or none and wait in line."""

    def next_in_line(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sagas whose turn it is for those of these locks that are free."""

    def note_waiting(self, saga_id: str, what: str) -> None:
        """Show in the saga's status what it waits for."""


class Sender(Protocol):
    """What carries hints to workers; it may lose and double them."""

    def send(self, decision: Decision) -> None:
        """Send what a decision names.

        Raises:
            TransportError: It was not taken; the sweep sends it again.
        """

    def attend(self, saga_ids: Iterable[str]) -> None:
        """Have sagas looked after that wait for locks, or for other sagas.

        Raises:
            TransportError: It was not taken; the sweep sends it again.
        """


class Chooser(Protocol):
    """Who knows which agents there are, and how they do."""

    def choose(
        self, capability: str, action: str, *, other_than: str = ""
    ) -> str | None:
        """Return an agent that has a capability and the action, and can act now.

        Args:
            capability: Its name; with a version behind, as ``name@>=1.2``.
            action: What it is to do.
            other_than: An agent to be taken only if there is no other.

        Returns:
            The agent's id; None if there is none now.
        """

    def is_live(self, agent_id: str) -> bool:
        """Return whether an agent can act now."""


class Swarms(Protocol):
    """Who runs the swarms that are steps of sagas."""

    def attend(
        self, view: SagaView, errand: Errand, because: Because
    ) -> Outcome | None:
        """Carry out one order; return how the swarm ended, None: it is still at it.

        Each may be given any number of times: the swarm is begun once.
        """


class Ends(Protocol):
    """Who tells waiting callers that a saga has come to a stand."""

    def tell(self, saga_id: str) -> None:
        """Tell it; nobody may be listening."""


class Metrics(Protocol):
    """Who counts what is recorded."""

    def observe(self, facts: Iterable[NewFact], view: SagaView) -> None:
        """Count facts that have just been recorded; ``view`` is the saga after them."""
