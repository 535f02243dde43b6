"""Who is there for one router: what it reads of the registry and of announcements."""

from __future__ import annotations

import time
from collections.abc import Callable
from socket import gethostname
from typing import Final
from uuid import uuid4

from orchestration.adapters.announced_agents import AnnouncedAgents
from orchestration.adapters.announcements import Announcements
from orchestration.adapters.registered_agents import RegisteredAgents
from orchestration.core.routing.decision import Decision
from orchestration.engine.registry_client import RegistryClient
from orchestration.errors import AllUnhealthy, NoRoute, UnknownTarget

__all__ = ["MENDED_BY_NEWS", "Surroundings"]

MENDED_BY_NEWS: Final = (NoRoute, UnknownTarget, AllUnhealthy)
"""What a worker that has just come may mend; limits that are reached it does not."""

_REFRESH_S: Final = 2.0


class Surroundings:
    """Reads who is there, and keeps it up; making it blocks.

    Args:
        announcements: What workers announce.
        registry: The registry in this process.
        is_router: Whether this router counts among those that send.

    Attributes:
        announced: What workers announce, as it was last read.
        agents: Who is there, and how loaded.

    Raises:
        TransportError: The database does not answer.
    """

    def __init__(
        self,
        announcements: Announcements,
        registry: RegistryClient,
        *,
        is_router: bool = True,
    ) -> None:
        name = f"router-{uuid4().hex[:8]}@{gethostname()}" if is_router else ""
        self.announced = AnnouncedAgents(announcements, name)
        self.announced.refresh()
        registry.start()
        self.agents = RegisteredAgents(registry.replica, self.announced)
        self._asked_at = float("-inf")

    def is_due(self) -> bool:
        """Tell whether announcements are to be read again: of all who ask, one.

        Until a thread is free to read, thousands of messages may ask.
        """
        now = time.monotonic()
        if self.announced.age_s <= _REFRESH_S or now < self._asked_at + _REFRESH_S:
            return False
        self._asked_at = now
        return True

    def has_news(self, since: int) -> bool:
        """Read announcements now; tell whether there is anything new.

        Args:
            since: The agents' ``membership`` before it was decided by what was known:
                another thread may have read the news since.
        """
        self.announced.refresh_quietly(asked_at=time.monotonic())
        return self.agents.membership != since

    def decided(self, decide: Callable[[], Decision]) -> Decision:
        """Decide by what is known, and once more if somebody has just come."""
        if self.is_due():
            self.announced.refresh_quietly()
        known = self.agents.membership
        try:
            return decide()
        except MENDED_BY_NEWS:
            if not self.has_news(known):
                raise
        return decide()

    def close(self) -> None:
        """Hear of nothing more."""
        self.agents.close()
        self.announced.say_gone()
