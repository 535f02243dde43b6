"""What came of a swarm that shared out partitions: its result, from its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import numpy as np

from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.partitions.colony import Colony, Settled
from orchestration.core.swarm.state import Floats

__all__ = ["PartitionRecord", "efficiency_at", "outcome", "slots_of", "state_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRecord:
    """A partition that is done, as it is on record.

    Attributes:
        partition: Which one, from 0.
        rows: How many rows were handled.
        quality: How good that is, 0.0 to 1.0.
        value: What its handler returned.
        agent: Who has done it.
        attempt: At which attempt.
        busy_ms: How long that took, milliseconds.
    """

    partition: int
    rows: int
    quality: float
    value: Any
    agent: int
    attempt: int
    busy_ms: float

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> PartitionRecord:
        """Return the record that an event tells of."""
        names = ("partition", "rows", "quality", "value", "agent", "attempt")
        given = {name: told[name] for name in names}
        return cls(**given, busy_ms=float(told["timing"]["busy_ms"]))


def outcome(colony: Colony, ended_at: datetime) -> dict[str, Any]:
    """Return the result as JSON; docs/swarms.md says what its keys mean.

    Args:
        colony: All that is on record.
        ended_at: When the swarm has ended.
    """
    task, done = colony.plan.task, colony.done
    weights = colony.plan.weights
    at = sorted(done)
    total = float(weights[at].sum())
    fitness = sum(float(weights[p]) * done[p].quality for p in at) / total if at else 0
    convergence = colony.convergence
    rows = sum(one.rows for one in done.values())
    duration_ms = max((ended_at - colony.started_at).total_seconds() * 1_000, 1e-3)
    failed = sorted(colony.given_up)
    return {
        "objective": task.objective,
        "behavior": str(task.behavior),
        "convergence": convergence,
        "converged": convergence >= task.convergence_threshold,
        "fitness": fitness,
        "iterations": colony.ticks,
        "duration_ms": duration_ms,
        "rows": rows,
        "throughput": rows / (duration_ms / 1_000),
        "partitions": {
            "done": len(done),
            "failed": len(failed),
            "pending": colony.pending,
        },
        "failed_partitions": failed,
        "attempts": len(colony.settled),
        "duplicates_suppressed": colony.repeated,
        "state_hash": state_hash(colony),
        "groups": {"all": colony.trails.visits.size, "known": colony.known},
        **_efficiency(colony, duration_ms),
        **_balance(colony),
        **_living(colony),
    }


def state_hash(colony: Colony) -> str:
    """Return the SHA-256 of what came of partitions, in their order, in hex.

    Who has done them, at which attempt and how fast does not go into it.
    """
    told = (f"{p} {colony.done[p].digest}" for p in sorted(colony.done))
    return sha256("\n".join(told).encode()).hexdigest()


def slots_of(settled: Sequence[Settled]) -> int:
    """Return how many attempts were at work at once, at most.

    An attempt has ended when it was recorded, and lasted as long as its agent was busy:
    so those of one slot never overlap.
    """
    moments: list[tuple[float, int]] = []
    for one in settled:
        if one.busy_ms <= 0:
            continue
        end = one.at.timestamp() * 1_000
        moments += ((end - one.busy_ms, 1), (end, -1))
    at_once = most = 0
    for _, change in sorted(moments):  # ends come before begins
        at_once += change
        most = max(most, at_once)
    return max(most, 1)


def efficiency_at(colony: Colony, now: datetime) -> float:
    """Return which part of the slots' time went into what is done so far."""
    passed_ms = (now - colony.started_at).total_seconds() * 1_000
    return float(_efficiency(colony, max(passed_ms, 1e-3))["efficiency"])


def _efficiency(colony: Colony, duration_ms: float) -> dict[str, Any]:
    """Return which part of the slots' time went into what was done."""
    busy = [one.busy_ms for one in colony.settled if one.quality is not None]
    slots = slots_of(colony.settled)
    work, longest = sum(busy), max(busy, default=0.0)
    shortest_ms = max(work / slots, longest)
    return {
        "slots": slots,
        "efficiency": work / (slots * duration_ms),
        "efficiency_bound": work / (slots * shortest_ms) if shortest_ms else 0.0,
    }


def _balance(colony: Colony) -> dict[str, Any]:
    """Return how evenly the agents were at work who may take partitions."""
    off = (AgentRole.QUEEN, AgentRole.NURSE)
    roles = colony.agents.roles
    busy_ms = {one: 0.0 for one, role in roles.items() if role not in off}
    counts: dict[int, int] = {}
    for one in colony.settled:
        busy_ms[one.agent] = busy_ms.get(one.agent, 0.0) + one.busy_ms
    for done in colony.done.values():
        counts[done.agent] = counts.get(done.agent, 0) + 1
    times: Floats = np.array(list(busy_ms.values()), np.float64)
    if not times.any():
        return {"load_balance": 0.0, "jain_index": 0.0, "agent_partitions": {}}
    return {
        "load_balance": float(times.mean() / times.max()),
        "jain_index": float(times.sum() ** 2 / (times.size * np.square(times).sum())),
        "agent_partitions": {str(one): counts[one] for one in sorted(counts)},
    }


def _living(colony: Colony) -> dict[str, Any]:
    agents, ledger = colony.agents, colony.agents.ledger
    return {
        "agents": agents.state.size,
        "deaths": ledger.deaths,
        "births": ledger.births,
        "replaced": agents.replaced,
        "evolution_overflow": ledger.evolution_overflow,
        "energy": {
            "initial": ledger.initial,
            "injected": ledger.injected,
            "income": ledger.income,
            "cost": ledger.cost,
            "unpaid": ledger.unpaid,
            "total": agents.energy,
        },
    }
