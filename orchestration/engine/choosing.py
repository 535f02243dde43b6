"""Which agent makes a step's next attempt, where its capability is all that is said."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestration.adapters.announcements import Announcements
from orchestration.core.messaging.model import Message
from orchestration.core.routing.table import RouteTable
from orchestration.engine.routing import RouteDesk
from orchestration.engine.surroundings import Surroundings
from orchestration.errors import RoutingError

__all__ = ["AgentChooser"]


class AgentChooser:
    """Picks the idlest of the agents that have a capability and host the action.

    Whoever is registered but hosted by no worker that is up gets nothing: a step is a
    Celery task, and needs one.

    Args:
        announcements: Who hosts what.
        around: Returns who is there; it may block at the first call.
        make_desk: Makes the desk that decides, at the first call.
    """

    def __init__(
        self,
        announcements: Announcements,
        around: Callable[[], Surroundings],
        make_desk: Callable[[Surroundings], RouteDesk],
    ) -> None:
        self._announcements = announcements
        self._around = around
        self._make_desk = make_desk
        self._desk: RouteDesk | None = None
        self._lock = threading.Lock()

    def choose(
        self, capability: str, action: str, *, other_than: str = ""
    ) -> str | None:
        """Return such an agent that is up; None if there is none.

        Args:
            capability: Its name; with a version behind, as ``name@>=1.2``.
            action: What it is to do.
            other_than: An agent to be taken only if there is no other.

        Raises:
            TransportError: The database does not answer.
        """
        around = self._around()
        if around.is_due():
            around.announced.refresh_quietly()
        known = around.agents.membership
        targets = self._targets(around, capability, action)
        if not targets and around.has_news(known):
            targets = self._targets(around, capability, action)
        others = [agent_id for agent_id in targets if agent_id != other_than]
        return self._picked(around, capability, others or targets)

    def is_live(self, agent_id: str) -> bool:
        """Return whether a worker that is up hosts the agent."""
        around = self._around()
        if around.is_due():
            around.announced.refresh_quietly()
        return agent_id in around.announced.live()

    def _targets(self, around: Surroundings, capability: str, action: str) -> list[str]:
        hosting = self._announcements.hosting(action)
        live = frozenset(around.announced.live())
        capable = around.agents.capable(capability)
        return [one for one in capable if one in live and one in hosting]

    def _picked(
        self, around: Surroundings, capability: str, targets: list[str]
    ) -> str | None:
        if not targets:
            return None
        message = Message(
            sender_id="saga", recipient_id=capability, message_type="REQUEST"
        )
        with self._lock:
            desk = self._desk = self._desk or self._make_desk(around)
            desk.table = RouteTable().with_static(capability, targets)
            try:
                return desk.decide(message).targets[0]
            except RoutingError:
                return None
