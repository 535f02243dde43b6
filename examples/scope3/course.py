"""How a swarm came to its result, out of its events: who did which partition when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from examples.scope3.emissions import Totals
from orchestration.swarm import SwarmEvent

__all__ = ["Course", "Piece", "course_of", "totals_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One partition's attempt that counted.

    Attributes:
        partition: Which one.
        agent: Which agent had it.
        slot: Place of the worker process that it ran in, among ``Course.slots``.
        began_s: When it began, seconds after the swarm did.
        ended_s: When it was done.
        mg: The emissions it came to, mg CO2e.
        quality: The share of its suppliers that report their electricity.
    """

    partition: int
    agent: int
    slot: int
    began_s: float
    ended_s: float
    mg: int
    quality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run from its begin to its end.

    Attributes:
        partitions: How many there are.
        agents: How many agents.
        threshold: The convergence that was asked for.
        slots: Names of the worker processes.
        pieces: In the order of their commits.
    """

    partitions: int
    agents: int
    threshold: float
    slots: Sequence[str]
    pieces: Sequence[Piece]

    @property
    def duration_s(self) -> float:
        """How long it took until the last commit, seconds."""
        return max((piece.ended_s for piece in self.pieces), default=0.0)


def course_of(events: Sequence[SwarmEvent]) -> Course:
    """Return a swarm's course.

    Args:
        events: All of a swarm that has shared out partitions, oldest first.
    """
    first, spec = events[0], events[0].data["spec"]
    slots: dict[str, int] = {}
    free_at: dict[int, float] = {}
    pieces = []
    for event in _committed(events):
        data, timing = event.data, event.data["timing"]
        slot = slots.setdefault(timing["worker"], len(slots))
        ended_s = (event.recorded_at - first.recorded_at).total_seconds()
        # A process does one at a time; clocks of two machines differ a little.
        began_s = max(ended_s - timing["busy_ms"] / 1_000, free_at.get(slot, 0.0))
        free_at[slot] = ended_s
        totals = Totals.from_json(data["value"])
        pieces.append(
            Piece(
                partition=data["partition"],
                agent=data["agent"],
                slot=slot,
                began_s=min(began_s, ended_s),
                ended_s=ended_s,
                mg=totals.all_mg,
                quality=data["quality"],
            )
        )
    return Course(
        partitions=spec["data_partitions"],
        agents=spec["agents_required"],
        threshold=spec["convergence_threshold"],
        slots=[*slots],
        pieces=pieces,
    )


def totals_of(events: Sequence[SwarmEvent]) -> Totals:
    """Return what all partitions that were committed come to together."""
    return Totals.together(
        Totals.from_json(event.data["value"]) for event in _committed(events)
    )


def _committed(events: Sequence[SwarmEvent]) -> Sequence[SwarmEvent]:
    return [event for event in events if event.type == "PARTITION_COMMITTED"]
