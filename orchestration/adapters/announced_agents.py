"""Who is there by what workers announce, as the router asks for it.

Looking it up never leaves the process; ``refresh`` reads the announcements, and what
was read last counts as long as the database is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.database import DATABASE_ERRORS
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.ports import AgentView

__all__ = ["AnnouncedAgents"]

_ROUTER: Final = "router"
_LOG: Final = logging.getLogger(__name__)


class AnnouncedAgents:
    """The agents that workers host: ACTIVE if one of them is up, else INACTIVE.

    Announcements tell of no capabilities, locations or loads.

    Args:
        announcements: Where they are read.
        router: The name under which the router that asks is announced itself, so that
            others know how many they are; empty: it is not.

    Attributes:
        membership: Changes with each agent that comes, goes, or stands elsewhere.
        routers: How many routers are at work, this one included.
    """

    def __init__(self, announcements: Announcements, router: str = "") -> None:
        self.membership = 0
        self.routers = 1
        self._router = router
        self._told_at = float("-inf")
        self._announcements = announcements
        self._reading = threading.Lock()
        self._agents: Mapping[str, AgentView] = MappingProxyType({})
        self._live: Collection[str] = frozenset()
        self._tried_at = float("-inf")

    @property
    def is_known(self) -> bool:
        """Whether they have been read."""
        return self.membership > 0

    @property
    def age_s(self) -> float:
        """How long ago they were last read, or were tried to, seconds."""
        return time.monotonic() - self._tried_at

    def agent(self, agent_id: str) -> AgentView | None:
        """Return an agent; None if nobody ever announced it."""
        return self._agents.get(agent_id)

    @property
    def agents(self) -> Collection[AgentView]:
        """All agents that were ever announced."""
        return self._agents.values()

    def capable(self, capability: str) -> Sequence[str]:
        """Return nobody: hosted agents announce no capabilities."""
        del capability
        return ()

    def live(self) -> Collection[str]:
        """Return the agents that a worker hosts that is up."""
        return self._live

    def known(self) -> Collection[str]:
        """Return all agents that were ever announced."""
        return self._agents

    def refresh(self) -> None:
        """Read the announcements.

        Raises:
            TransportError: The database stayed away.
        """
        with self._reading:
            self._read()

    def refresh_quietly(self, *, asked_at: float | None = None) -> None:
        """Read them; if that fails the old ones count.

        Args:
            asked_at: By the monotonic clock: what was read since then is new enough,
                and a reading that goes on is waited for. None: if another thread
                reads them, that will do.
        """
        if not self._reading.acquire(blocking=asked_at is not None):
            return
        try:
            if asked_at is None or self._tried_at < asked_at:
                self._read()
        except DATABASE_ERRORS as exc:
            _LOG.warning(
                "announced agents could not be read; those read before count: %s", exc
            )
        finally:
            self._reading.release()

    def say_gone(self) -> None:
        """Say that the router has stopped; unsaid, it is found out a while later."""
        if self._router and self._told_at > float("-inf"):
            try:
                self._announcements.gone(self._router)
            except DATABASE_ERRORS as exc:
                _LOG.warning("the end of router %s not told: %s", self._router, exc)

    def _read(self) -> None:
        now = self._tried_at = time.monotonic()
        if self._router and now >= self._told_at + self._announcements.interval_s:
            self._announcements.announce(self._router, also=[(_ROUTER, "")])
            self._told_at = now
        listed = self._announcements.listed()
        self.routers = max(1, sum(o.kind == _ROUTER and o.is_live for o in listed))
        said = [one for one in listed if one.kind == "agent"]
        live = {one.name for one in said if one.is_live}
        agents = {
            one.name: AgentView(
                one.name,
                AgentStatus.ACTIVE if one.name in live else AgentStatus.INACTIVE,
            )
            for one in said
        }
        if agents != self._agents or not self.is_known:
            self._agents, self._live = MappingProxyType(agents), live
            self.membership += 1
