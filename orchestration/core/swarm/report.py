"""How a swarm stands, or what came of it, for callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.errors import (
    SwarmFailed,
    SwarmNonDeterministic,
    SwarmStillRunning,
)

__all__ = [
    "SwarmIsland",
    "SwarmReport",
    "report_of",
    "report_or_raise",
    "sizes",
    "still_running",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmIsland:
    """What one island of a federation has found.

    Attributes:
        agents: How many there are.
        best: The best value found; None: none.
        best_position: Where.
    """

    agents: int
    best: float | None
    best_position: Sequence[float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmReport:
    """How a swarm stands.

    Attributes:
        swarm_id: Its id.
        name: For people.
        kind: What sort of work it does.
        status: Where it stands.
        reason: Why it ended; empty before.
        seed: Of its random numbers.
        agents: How many there are.
        iterations: How many are done.
        best: The best value found; None: none, or it does not search.
        best_position: Where; None before the end.
        islands: What each has found, of a federation; empty before the end.
        convergence: 0.0 to 1.0.
        state_hash: SHA-256 of its whole state, hex.
        chain_head: The last link of the chain of its iterations' hashes, hex.
        started_at: When it began.
        ended_at: When it ended.
        duration_ms: From the one to the other; None before the end.
        attempts: How often in a row the next iteration has failed.
        error: How it did the last time.
        waiting_for: What it waits for, as far as that was noted.
        settings: Of a tuning, what it has found, as ``optimize`` takes it; empty before
            the end, and of other swarms.
        result: All that the end told.
    """

    swarm_id: str
    name: str
    kind: str
    status: SwarmStatus
    reason: str
    seed: int
    agents: int
    iterations: int
    best: float | None
    best_position: Sequence[float] | None
    convergence: float
    state_hash: str
    chain_head: str
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None
    islands: Sequence[SwarmIsland] = ()
    attempts: int = 0
    error: str = ""
    waiting_for: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


def report_of(view: SwarmView, waiting_for: str | None = None) -> SwarmReport:
    """Return how a swarm stands."""
    took = None if view.ended_at is None else view.ended_at - view.started_at
    return SwarmReport(
        swarm_id=view.swarm_id,
        name=view.name,
        kind=view.kind,
        status=view.status,
        reason=view.reason,
        seed=view.seed,
        agents=view.result.get("agents", view.size),
        iterations=view.iteration,
        best=view.best,
        best_position=_place(view.result),
        islands=tuple(
            SwarmIsland(
                agents=one["agents"], best=one["best"], best_position=_place(one)
            )
            for one in view.result.get("islands", ())
        ),
        convergence=view.convergence,
        state_hash=view.state,
        chain_head=view.link,
        started_at=view.started_at,
        ended_at=view.ended_at,
        duration_ms=None if took is None else took.total_seconds() * 1_000,
        attempts=view.attempts,
        error=view.error,
        waiting_for=waiting_for,
        settings=view.result.get("settings", {}),
        result=view.result,
    )


def _place(found: Mapping[str, Any]) -> tuple[float, ...] | None:
    position = found.get("best_position")
    return None if position is None else tuple(position)


def sizes(view: SwarmView, iterations: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return how many agents there were in each iteration.

    Args:
        view: The swarm.
        iterations: What is on record of them, oldest first.
    """
    return tuple(
        agents
        for told in iterations
        for agents in told.get("agents", told["count"] * (view.agents,))
    )


_FAILURES: Final[Mapping[SwarmStatus, type[SwarmFailed]]] = {
    SwarmStatus.FAILED: SwarmFailed,
    SwarmStatus.NON_DETERMINISTIC: SwarmNonDeterministic,
}


def report_or_raise(view: SwarmView) -> SwarmReport:
    """Return what came of a swarm, or raise that it could not go on.

    Raises:
        SwarmFailed: It could not.
    """
    failure = _FAILURES.get(view.status)
    if failure is None:
        return report_of(view)
    message = f"swarm {view.swarm_id} is {view.status}: {view.reason}"
    raise failure(message, view)


def still_running(swarm_id: str, timeout_ms: int | None) -> SwarmStillRunning:
    """Return the error that a wait ended before its swarm did."""
    return SwarmStillRunning(
        f"swarm {swarm_id} still runs after {timeout_ms} ms; it goes on", swarm_id
    )
