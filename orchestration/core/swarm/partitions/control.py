"""What a tick decides: what it records, who is woken, whose turn is taken for lost."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Final

from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.outcome import outcome

__all__ = [
    "end_of",
    "idle_to_wake",
    "lost_turns",
    "may_pull",
    "pullers",
    "ticked",
]

_PATIENCE: Final = 4
"""A turn that is that many times as old as others is lost, and not just waiting."""


def may_pull(role: AgentRole) -> bool:
    """Tell whether agents of a role take partitions: queen and nurses do not."""
    match role:
        case AgentRole.QUEEN | AgentRole.NURSE:
            return False
        case AgentRole.WORKER | AgentRole.SCOUT | AgentRole.SOLDIER | AgentRole.FORAGER:
            return True


def pullers(colony: Colony) -> dict[int, AgentRole]:
    """Return the agents that may take partitions, and their roles."""
    roles = colony.agents.roles
    return {one: role for one, role in roles.items() if may_pull(role)}


def end_of(colony: Colony, view: SwarmView, now: datetime) -> NewFact:
    """Return the fact that a swarm is over, with what has come of it.

    Args:
        colony: All that is on record.
        view: The same swarm; it is finished, was asked to stop, or is late.
        now: When it ends.
    """
    if colony.is_finished:
        type_, status = EventType.SWARM_COMPLETED, "COMPLETED"
        reason = "there was nothing left to do"
    elif view.is_stopping:
        type_, status = EventType.SWARM_STOPPED, "STOPPED"
        reason = "it was asked to stop"
    else:
        type_, status = EventType.SWARM_TIMED_OUT, "TIMEOUT"
        left, count = colony.pending, colony.plan.count
        reason = f"its time was over with {left} of {count} partitions left"
    result = {"status": status, **outcome(colony, now)}
    return NewFact(type_, {"reason": reason, "result": result})


def ticked(colony: Colony) -> NewFact:
    """Return the fact of a tick now; the swarm itself is left as it is."""
    after = copy.copy(colony)
    after.agents, after.trails = copy.deepcopy((colony.agents, colony.trails))
    happened = after.tick(colony.version)
    data = {
        "tick": after.ticks,
        "upto": colony.version,
        "done": len(colony.done),
        "failed": len(colony.given_up),
        "convergence": colony.convergence,
        "agents": after.agents.state.size,
        "deaths": list(happened.died),
        "births": list(happened.born),
        "replaced": list(happened.replaced),
        **after.trails.told(),
        "state": after.agents.digest(),
    }
    return NewFact(EventType.SWARM_TICKED, data, key=str(after.ticks))


def idle_to_wake(
    idle: Sequence[int],
    roles: Mapping[int, AgentRole],
    *,
    ready: int,
    due: int,
    asking: int = 0,
) -> tuple[int, ...]:
    """Return who of those that rest is to ask again: as many as there is to do.

    Args:
        idle: They rest.
        roles: Of those who may take partitions.
        ready: How many partitions nobody has tried yet.
        due: How many may be tried again.
        asking: How many agents are about to ask anyway.
    """
    resting = [one for one in idle if one in roles]
    if ready:
        wanted = min(len(resting), max(0, ready + due - asking))
        # Some of each role, for they come in the order of their ids.
        return tuple(resting[n * len(resting) // wanted] for n in range(wanted))
    # One more than there is to do: who had it last will not get it.
    soldiers_first = sorted(resting, key=lambda one: roles[one] != AgentRole.SOLDIER)
    return tuple(soldiers_first[: due + 1]) if due else ()


def lost_turns(
    unseen_ms: Mapping[int, int], still_ms: int, lease_ms: int
) -> tuple[int, ...]:
    """Return the agents whose message has most likely been lost.

    Args:
        unseen_ms: How long ago each asked last that should be about to ask.
        still_ms: How long nothing has been taken or settled.
        lease_ms: What is shorter is no silence.
    """
    if not unseen_ms:
        return ()
    # When nothing moves, none of them is on its way.
    usual = 0.0 if still_ms >= lease_ms else float(median(unseen_ms.values()))
    limit = max(lease_ms, _PATIENCE * usual)
    return tuple(one for one, age in unseen_ms.items() if age >= limit)
