"""Who dies, and who is put in instead: a swarm's state with other agents in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from orchestration.core.swarm.energy import EnergySettings, Ledger, exhausted
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.neighbours import Indices
from orchestration.core.swarm.roles import (
    CODES,
    Roles,
    RoleShares,
    assigned,
    crowned,
    nursing,
)
from orchestration.core.swarm.state import SwarmState

__all__ = ["buried", "killed", "replenished", "with_rows"]

_COLUMNS: Final = (
    "position",
    "velocity",
    "own_best",
    "value",
    "own_best_value",
    "energy",
    "agent",
    "generation",
    "stagnant",
    "role",
    "flags",
)


def with_rows(state: SwarmState, rows: Indices) -> SwarmState:
    """Return a swarm with these rows of another, in this order, some more than once.

    Everything that is not of an agent stays.
    """
    new = SwarmState.blank(len(rows), state.dims, state.trails)
    for name in state.record.dtype.names or ():
        old = state.record[name]
        new.record[name] = old[rows] if name in _COLUMNS else old
    return new


def killed(
    state: SwarmState, ledger: Ledger, rows: Indices
) -> tuple[SwarmState, Ledger]:
    """Return a swarm without some; what they had left is paid with their lives.

    If the queen is among them, the eldest is the queen now.
    """
    rows = np.unique(rows)
    lost = int(state.record["energy"][rows].sum())
    state = with_rows(state, np.setdiff1d(np.arange(state.size), rows))
    crowned(state)
    ledger = replace(ledger, cost=ledger.cost + lost, deaths=ledger.deaths + len(rows))
    return state, ledger


def buried(state: SwarmState, ledger: Ledger) -> tuple[SwarmState, Ledger, Indices]:
    """Return a swarm without its exhausted, the books, and the ids of the dead."""
    dead = exhausted(state)
    ids = state.record["agent"][dead].astype(np.intp)
    if dead.size:
        state, ledger = killed(state, ledger, dead)
    return state, ledger, ids


def replenished(
    state: SwarmState,
    ledger: Ledger,
    settings: EnergySettings,
    *,
    agents: int,
    shares: RoleShares,
    each: int = 10,
) -> tuple[SwarmState, Ledger]:
    """Return a swarm that its nurses have made up to its number, as far as they can.

    The youngest are the nurses. Who is put in begins where the queen is, with the
    energy of a beginner and a role of which there are too few.

    Args:
        state: At least one agent.
        ledger: The books so far.
        settings: What a beginner has.
        agents: How many there are to be.
        shares: Which part of them has which role.
        each: How many a nurse can bring up in a tick.
    """
    nurses = nursing(state, shares.nurse)
    room = max(0, agents - state.size)
    count = min(room, each * max(1, len(nurses)))
    if not count:
        return state, ledger
    queen = int((state.record["role"] == CODES[AgentRole.QUEEN]).argmax())
    before, first_id = state.size, int(state.record["next_id"])
    rows = np.concatenate((np.arange(before), np.full(count, queen)))
    state = with_rows(state, rows)
    record = state.record
    record["energy"][before:] = settings.initial
    record["agent"][before:] = first_id + np.arange(count)
    record["next_id"] = first_id + count
    record["generation"][before:] = 0
    record["stagnant"][before:] = 0
    record["role"][before:] = _missing(state, before, assigned(agents, shares))
    injected = ledger.injected + count * settings.initial
    return state, replace(ledger, injected=injected)


def _missing(state: SwarmState, before: int, wanted: Roles) -> Roles:
    """Return roles for those after ``before``: first what is missing most."""
    have = np.bincount(state.record["role"][:before], minlength=len(CODES))
    lack = np.bincount(wanted, minlength=len(CODES)) - have
    lack[CODES[AgentRole.QUEEN]] = 0
    count = state.size - before
    roles = []
    for _ in range(count):
        role = int(lack.argmax()) if lack.max() > 0 else CODES[AgentRole.WORKER]
        lack[role] -= 1
        roles.append(role)
    return np.array(roles, np.uint8)
