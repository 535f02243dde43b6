"""How a swarm begins that moves through space without searching it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestration.core.jsonable import shown
from orchestration.core.swarm.checked import MAX_AGENTS, Checked, whole
from orchestration.core.swarm.roles import RoleShares, assigned
from orchestration.core.swarm.state import Floats, SwarmState

__all__ = ["Roaming", "started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roaming(Checked):
    """What every such swarm is told.

    Attributes:
        agents: How many.
        dims: 2 or 3, of the space.
        roles: Which part of them has which role; a mapping is accepted.
    """

    agents: int = 100
    dims: int = 3
    roles: RoleShares = field(default_factory=RoleShares)

    def __post_init__(self) -> None:
        given: Any = self.roles
        if isinstance(given, Mapping):
            object.__setattr__(self, "roles", RoleShares.from_json(given))

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        yield from whole("agents", self.agents, 1, MAX_AGENTS)
        yield from whole("dims", self.dims, 2, 3)
        roles: object = self.roles
        if isinstance(roles, RoleShares):
            yield from (f"roles.{fault}" for fault in roles.faults())
        else:
            yield f"roles is {shown(roles)}: give it an object of shares"


def started(
    settings: Roaming, position: Floats, velocity: Floats, trails: int = 0
) -> SwarmState:
    """Return a swarm at iteration 0 at these places; each remembers where it began."""
    state = SwarmState.blank(settings.agents, settings.dims, trails)
    record = state.record
    record["position"] = position
    record["own_best"] = position
    record["velocity"] = velocity
    record["value"] = 0.0
    record["role"] = assigned(settings.agents, settings.roles)
    return state
