"""Who in a swarm has which role, and who takes over.

One agent is the queen; the others are shared out. What each role is good for can be
seen: the queen is the only one, and there always is one; scouts go where nobody has
been (``foraging.chosen``), foragers where most was found; soldiers act on strong
stimuli only (``allocation``); nurses make up for those who died (``pool.replenished``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.swarm.checked import Checked, number
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.state import SwarmState

__all__ = ["CODES", "RoleShares", "Roles", "assigned", "crowned", "having", "nursing"]

Roles = NDArray[np.uint8]

CODES: Final = {role: code for code, role in enumerate(ROLES)}
"""The codes of the roles in the state of a swarm."""

_SHARED: Final = (
    AgentRole.SCOUT,
    AgentRole.SOLDIER,
    AgentRole.NURSE,
    AgentRole.FORAGER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleShares(Checked):
    """Which part of a swarm has which role; one is the queen, the rest are workers.

    Attributes:
        scout: Part of all agents, 0.0 to 1.0.
        soldier: The same.
        nurse: The same.
        forager: The same.
    """

    scout: float = 0.05
    soldier: float = 0.10
    nurse: float = 0.05
    forager: float = 0.30

    def each_fault(self) -> Iterator[str]:
        """Name all that is wrong with them."""
        names = [role.lower() for role in _SHARED]
        wrong = [
            fault
            for name in names
            for fault in number(name, getattr(self, name), 0.0, 1.0)
        ]
        yield from wrong
        if not wrong and sum(getattr(self, name) for name in names) > 1.0 + 1e-12:
            yield f"{', '.join(names)} are more than 1.0 together: lessen one of them"


def assigned(agents: int, shares: RoleShares) -> Roles:
    """Return the roles of so many agents, the queen first, shape ``(agents,)``.

    Shares are rounded by the largest remainder, so that they add up; the queen's place
    is taken from the workers, or from the largest share where there are none.
    """
    parts = [getattr(shares, role.lower()) for role in _SHARED]
    exact = np.array([*parts, max(0.0, 1.0 - sum(parts))]) * agents
    count = np.floor(exact + 1e-9).astype(np.intp)
    for at in np.argsort(count - exact, kind="stable")[: agents - int(count.sum())]:
        count[at] += 1
    count[-1 if count[-1] else int(count.argmax())] -= 1
    codes = [*(CODES[role] for role in _SHARED), CODES[AgentRole.WORKER]]
    rest = np.repeat(np.array(codes, np.uint8), count)
    return np.concatenate(([np.uint8(CODES[AgentRole.QUEEN])], rest))


def having(state: SwarmState, *roles: AgentRole) -> Indices:
    """Return the rows of the agents that have one of these roles."""
    codes = [CODES[role] for role in roles]
    return np.flatnonzero(np.isin(state.record["role"], codes))


def crowned(state: SwarmState) -> bool:
    """See to it that there is exactly one queen: the eldest, if there is none.

    Returns:
        Whether another agent than before is the queen now; ``state`` is changed.
    """
    record = state.record
    queens = having(state, AgentRole.QUEEN)
    if len(queens) == 1 or not state.size:
        return False
    heirs = queens if len(queens) else np.arange(state.size)
    eldest = heirs[record["agent"][heirs].argmin()]  # ids are given in order of birth
    record["role"][queens] = CODES[AgentRole.WORKER]
    record["role"][eldest] = CODES[AgentRole.QUEEN]
    return True


def nursing(state: SwarmState, share: float) -> Indices:
    """Let the youngest nurse and the older ones go out (age polyethism, Seeley 1982).

    Nurses who are among the youngest no more become foragers; the youngest workers and
    foragers take their places. The queen, scouts and soldiers stay what they are.

    Args:
        state: Its roles are changed.
        share: Which part of those who may nurse do, 0.0 to 1.0.

    Returns:
        The rows of those who nurse now, the youngest first.
    """
    record = state.record
    may = having(state, AgentRole.NURSE, AgentRole.WORKER, AgentRole.FORAGER)
    youngest_first = may[np.argsort(record["agent"][may], kind="stable")[::-1]]
    nurses = youngest_first[: round(share * len(may))]
    grown = np.setdiff1d(having(state, AgentRole.NURSE), nurses)
    record["role"][grown] = CODES[AgentRole.FORAGER]
    record["role"][nurses] = CODES[AgentRole.NURSE]
    return nurses
