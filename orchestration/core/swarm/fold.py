"""From events to where a swarm stands; any prefix of a stream folds to a valid view.

Each ``SWARM_ITERATED`` says all that is to be known of the iterations up to it. So the
last of them, and all events of other types, fold to the same view as the whole stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestration.core.saga.evolve import evolve
from orchestration.core.swarm.events import EventType, SwarmEvent

__all__ = ["SwarmStatus", "SwarmView", "apply", "first", "fold", "iterated"]


class SwarmStatus(StrEnum):
    """Where a swarm stands; all but the first two are ends."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"
    NON_DETERMINISTIC = "NON_DETERMINISTIC"

    @property
    def is_over(self) -> bool:
        """Whether nothing happens any more."""
        return self not in (SwarmStatus.RUNNING, SwarmStatus.PAUSED)


_ENDED = {
    EventType.SWARM_COMPLETED: SwarmStatus.COMPLETED,
    EventType.SWARM_STOPPED: SwarmStatus.STOPPED,
    EventType.SWARM_TIMED_OUT: SwarmStatus.TIMED_OUT,
    EventType.SWARM_FAILED: SwarmStatus.FAILED,
    EventType.SWARM_NON_DETERMINISTIC: SwarmStatus.NON_DETERMINISTIC,
}


@dataclass(frozen=True, kw_only=True)
class SwarmView:
    """A swarm as its events tell of it.

    Attributes:
        swarm_id: Its id.
        version: Of its stream.
        kind: What sort of work it does; says how ``spec`` is read.
        name: For people.
        spec: All that it was told.
        spec_hash: SHA-256 of that.
        seed: Of its random numbers.
        agents: How many there were at its begin.
        size: How many there are.
        digest: SHA-256 of the state that it begins with, before anything was valued.
        status: Where it stands.
        iteration: How many iterations are done.
        link: The last link of the chain of hashes; at first ``digest``.
        state: SHA-256 of the state after those iterations; at first ``digest``.
        best: The best value found; None: none yet.
        convergence: 0.0 to 1.0.
        attempts: How often in a row the next iteration has failed.
        error: How it did the last time.
        tries: How often work that did not come back was begun anew, since the swarm
            last moved on.
        tried_at: When, the last time.
        is_stopping: Somebody has asked it to stop.
        started_at: When it began.
        moved_at: When its last event was recorded.
        deadline: When its time is over; None: never. A pause moves it.
        paused_at: Since when it is paused.
        ended_at: When it ended.
        reason: Why it ended.
        result: What came out; empty before the end.
    """

    swarm_id: str
    version: int
    kind: str
    name: str
    spec: Mapping[str, Any]
    spec_hash: str
    seed: int
    agents: int
    size: int
    digest: str
    status: SwarmStatus = SwarmStatus.RUNNING
    iteration: int = 0
    link: str
    state: str
    best: float | None = None
    convergence: float = 0.0
    attempts: int = 0
    error: str = ""
    tries: int = 0
    tried_at: datetime | None = None
    is_stopping: bool = False
    started_at: datetime
    moved_at: datetime
    deadline: datetime | None = None
    paused_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    def is_late(self, now: datetime) -> bool:
        """Tell whether its time is over."""
        return (
            self.deadline is not None
            and self.status is SwarmStatus.RUNNING
            and now >= self.deadline
        )


def fold(swarm_id: str, events: Iterable[SwarmEvent]) -> SwarmView | None:
    """Return the state after ``events``, which start at version 1; None if none."""
    view: SwarmView | None = None
    for event in events:
        view = first(swarm_id, event) if view is None else apply(view, event)
    return view


def apply(view: SwarmView, event: SwarmEvent) -> SwarmView:
    """Return the state after one more event."""
    view = evolve(view, version=event.version, moved_at=event.recorded_at)
    data = event.data
    match event.type:
        case EventType.SWARM_ITERATED:
            return iterated(view, data)
        case EventType.SWARM_SENT_AGAIN:
            return evolve(view, tries=data["tries"], tried_at=event.recorded_at)
        case EventType.SWARM_ATTEMPT_FAILED:
            return evolve(
                view,
                attempts=data["attempt"],
                error=data["error"],
                tries=0,
                tried_at=None,
            )
        case EventType.SWARM_PAUSED:
            return evolve(view, status=SwarmStatus.PAUSED, paused_at=event.recorded_at)
        case EventType.SWARM_RESUMED:
            return _resumed(view, event)
        case EventType.SWARM_STOP_REQUESTED:
            return evolve(view, is_stopping=True)
        case (
            EventType.SWARM_COMPLETED
            | EventType.SWARM_STOPPED
            | EventType.SWARM_TIMED_OUT
            | EventType.SWARM_FAILED
            | EventType.SWARM_NON_DETERMINISTIC
        ):
            return evolve(
                view,
                status=_ENDED[event.type],
                ended_at=event.recorded_at,
                paused_at=None,
                reason=data["reason"],
                result=data.get("result", {}),
            )
        case EventType.SWARM_TICKED:
            return evolve(view, iteration=data["tick"], convergence=data["convergence"])
        case (
            EventType.SWARM_STARTED  # only ever the first; see ``first``
            | EventType.PARTITION_COMMITTED
            | EventType.PARTITION_FAILED
            | EventType.PARTITION_REPEATED  # of these a ``Colony`` tells
        ):
            return view


def iterated(view: SwarmView, data: Mapping[str, Any]) -> SwarmView:
    """Return the view after some iterations; its version is left as it is."""
    return evolve(
        view,
        iteration=data["first"] + data["count"] - 1,
        link=data["hashes"][-1],
        state=data["state"],
        size=data.get("agents", (view.agents,))[-1],
        best=data["best"][-1],
        convergence=data["convergence"],
        attempts=0,
        tries=0,
        tried_at=None,
        error="",
    )


def first(swarm_id: str, event: SwarmEvent) -> SwarmView:
    """Return the state after the first event."""
    if event.type is not EventType.SWARM_STARTED:
        raise ValueError(f"swarm {swarm_id}: its first event is {event.type}")
    data, at = event.data, event.recorded_at
    limit_ms = data["timeout_ms"]
    return SwarmView(
        swarm_id=swarm_id,
        version=event.version,
        kind=data["kind"],
        name=data["name"],
        spec=data["spec"],
        spec_hash=data["spec_hash"],
        seed=data["seed"],
        agents=data["agents"],
        size=data["agents"],
        digest=data["digest"],
        link=data["digest"],
        state=data["digest"],
        started_at=at,
        moved_at=at,
        deadline=at + timedelta(milliseconds=limit_ms) if limit_ms else None,
    )


def _resumed(view: SwarmView, event: SwarmEvent) -> SwarmView:
    """Return the view after a pause, which its time does not count."""
    deadline = view.deadline
    if deadline is not None and view.paused_at is not None:
        deadline += event.recorded_at - view.paused_at
    return evolve(view, status=SwarmStatus.RUNNING, paused_at=None, deadline=deadline)
