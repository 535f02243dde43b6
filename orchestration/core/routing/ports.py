"""What the router asks of others: who is there, who may be picked, who is held to.

A view of agents comes from the registry's replica. ``Shaping`` stands between a route's
candidates and its strategy: outlier ejection, circuit breaking, slow start, limits.
``Stickiness`` remembers for AFFINITY, ``Costs`` knows for PREDICTIVE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from orchestration.core.messaging.model import Message
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.loads import AgentLoad, Report

__all__ = [
    "AgentView",
    "Costs",
    "Heard",
    "Reports",
    "Shaping",
    "Stickiness",
    "Unshaped",
    "View",
]


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent as the router sees it.

    Attributes:
        agent_id: Its id.
        status: Where it stands.
        location: Region or cluster that it runs in; empty if it did not say.
        health: From 0.0 to 1.0.
    """

    agent_id: str
    status: AgentStatus = AgentStatus.ACTIVE
    location: str = ""
    health: float = 1.0


class View(Protocol):
    """Who is there, asked without leaving the process."""

    @property
    def membership(self) -> int:
        """Changes with each agent that comes, goes, or changes what is asked here."""

    def agent(self, agent_id: str) -> AgentView | None:
        """Return an agent; None if nobody knows it."""

    def capable(self, capability: str) -> Sequence[str]:
        """Return the ids of all agents that have a capability, in a steady order."""

    def live(self) -> Collection[str]:
        """Return the ids of all agents that are ACTIVE or DEGRADED."""

    def known(self) -> Collection[str]:
        """Return the ids of all agents that ``agent`` returns, however they stand."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one agent's load.

    Attributes:
        agent_id: Whose.
        report: What it said.
        capacity: How many requests it takes at once; None: it did not say.
        age_s: How long ago it said so, seconds.
    """

    agent_id: str
    report: Report
    capacity: int | None = None
    age_s: float = 0.0


class Reports(Protocol):
    """Where agents' loads are heard of."""

    @property
    def routers(self) -> int:
        """How many routers send to the same agents, this one included."""

    def news(self) -> Iterable[Heard]:
        """Return what was heard since the last call."""


class Shaping(Protocol):
    """A stage between a route's candidates and its strategy."""

    @property
    def version(self) -> int:
        """Changes whenever ``admit`` would answer otherwise than before."""

    def admit(self, agent_ids: Sequence[str], now: float) -> Sequence[str]:
        """Return those that may be picked, in the same order.

        The answer is kept until ``version`` changes, so that no message pays for it.
        """

    def weights(self, now: float) -> Mapping[str, float]:
        """Return the agents that are to get less than their share, above 0 to 1.

        Asked for on each message, before ``version``, which time may change here.
        The mapping is not changed afterwards: decisions hold it.
        """

    def picked(self, agent_id: str, now: float) -> bool:
        """Take note of a pick; False: its limit is reached, it is not admitted now.

        Then ``version`` has changed, and the router decides again without it.
        """


class Stickiness(Protocol):
    """Remembers which agent a conversation is held to, for AFFINITY."""

    def held(self, key: str, now: float) -> str | None:
        """Return the agent that a key is held to."""

    def hold(self, key: str, agent_id: str, now: float) -> None:
        """Hold a key to an agent from now on."""


class Costs(Protocol):
    """What a message is expected to cost on an agent, for PREDICTIVE."""

    def cost(self, agent: AgentLoad, message: Message, now: float) -> float:
        """Return it in any unit that is the same for all agents; less is better."""


class Unshaped:
    """A stage that admits everybody at full weight."""

    version = 0
    _nobody: Final[Mapping[str, float]] = MappingProxyType({})

    def admit(self, agent_ids: Sequence[str], now: float) -> Sequence[str]:
        """Return all of them."""
        del now
        return agent_ids

    def weights(self, now: float) -> Mapping[str, float]:
        """Return nobody."""
        del now
        return self._nobody

    def picked(self, agent_id: str, now: float) -> bool:
        """Let it have the message."""
        del agent_id, now
        return True
