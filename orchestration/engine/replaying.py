"""Decisions on record, decided once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestration.adapters.route_log import RecordedDecision
from orchestration.core.routing.record import replay

__all__ = ["Difference", "Replayed", "replay_recorded"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that comes out otherwise than it is recorded.

    Attributes:
        decision: As it is recorded.
        targets: As it comes out; empty if the record does not suffice.
        reason: Why not; empty if it does.
    """

    decision: RecordedDecision
    targets: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replaying came to.

    Attributes:
        count: Decisions that were replayed.
        differences: Those that came out otherwise: they were altered, or the code has
            changed.
    """

    count: int
    differences: tuple[Difference, ...]


def replay_recorded(decisions: Iterable[RecordedDecision]) -> Replayed:
    """Decide once more what is on record, and compare."""
    count, differences = 0, []
    for one in decisions:
        count += 1
        try:
            targets = replay(one.record)
        except LookupError as exc:
            differences.append(Difference(one, reason=str(exc)))
        else:
            if targets != one.record.targets:
                differences.append(Difference(one, targets))
    return Replayed(count, tuple(differences))
