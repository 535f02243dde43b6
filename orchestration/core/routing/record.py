"""A decision on record: what it takes to make it again, to the same targets.

The record holds the dice, and what was seen of the agents that were looked at. A replay
hands both to the same functions that have decided; what they do not look at is not on
record, so a record among ten thousand agents is as short as one among ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

from orchestration.core.routing.decision import Decision
from orchestration.core.routing.ring import first_within
from orchestration.core.routing.strategies import (
    CHOICES,
    Dice,
    Method,
    Pick,
    all_of_them,
    first,
    idlest_of,
    idlest_of_all,
    in_turn,
    share_of,
    weighted,
)

__all__ = ["DecisionRecord", "Seen", "replay"]


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent that was looked at.

    Attributes:
        position: Where it was among the candidates.
        agent_id: Its id.
        score: Its load then; for the ring, how many messages it had been given.
        weight: Below 1.0 if it was to get less than its share.
    """

    position: int
    agent_id: str
    score: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision, as JSON can hold it.

    Attributes:
        message_id: Of the message.
        recipient_id: Whom it was for.
        priority: Its priority.
        rule: The rule or static route that it fell under.
        strategy: That rule's.
        method: How the targets were picked.
        count: How many there were to pick from.
        dice: What was thrown, or whose turn it was, or the ring's limit.
        seen: The agents that were looked at, in that order.
        targets: Who got the message.
        key: What CONSISTENT_HASH and AFFINITY went by.
        at: When, seconds.
        staleness_s: How old the oldest report was of those looked at, seconds.
        panic: DEGRADED agents were taken in.
    """

    message_id: str
    recipient_id: str
    priority: str
    rule: str
    strategy: str
    method: Method
    count: int
    dice: tuple[float, ...]
    seen: tuple[Seen, ...]
    targets: tuple[str, ...]
    key: str = ""
    at: float = 0.0
    staleness_s: float | None = None
    panic: bool = False

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return the record of a decision."""
        _, dice, positions, scores = decision.pick
        pool, message = decision.pool, decision.message
        seen = {}
        for at, score in zip(positions, scores, strict=True):
            agent_id = pool[at].agent_id
            weight = decision.weights.get(agent_id, 1.0)
            seen[at] = Seen(at, agent_id, score, weight)
        return cls(
            message_id=message.message_id,
            recipient_id=message.recipient_id,
            priority=str(message.priority),
            rule=decision.rule.name,
            strategy=decision.strategy,
            method=decision.method,
            count=len(pool),
            dice=dice,
            seen=tuple(seen.values()),
            targets=decision.targets,
            key=decision.key,
            at=decision.at,
            staleness_s=decision.staleness_s,
            panic=decision.panic,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; ``from_json`` takes it back."""
        out = {name: getattr(self, name) for name in self.__slots__}
        seen = [[s.position, s.agent_id, s.score, s.weight] for s in self.seen]
        return out | {
            "method": self.method.name,
            "dice": list(self.dice),
            "seen": seen,
            "targets": list(self.targets),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Return the record that JSON tells of.

        Raises:
            KeyError: There is no such method.
            TypeError: A field is missing, or there is no such field.
        """
        more = {
            "method": Method[given["method"]],
            "dice": tuple(given["dice"]),
            "seen": tuple(Seen(*one) for one in given["seen"]),
            "targets": tuple(given["targets"]),
        }
        return cls(**{**given, **more})


def replay(record: DecisionRecord) -> tuple[str, ...]:
    """Decide again what is on record, and return the targets.

    Raises:
        LookupError: The decision looks at what is not on record, so the record is not
            of this decision, or was altered.
    """
    pool = _Recalled(record)
    weights = {one.agent_id: one.weight for one in record.seen if one.weight != 1.0}
    left = iter(record.dice)
    positions = _again(record, pool, lambda: _next(left), weights)[0]
    return tuple(pool[at].agent_id for at in positions)


def _again(
    record: DecisionRecord, pool: _Recalled, dice: Dice, weights: Mapping[str, float]
) -> Pick:
    choices, span = CHOICES, (0, record.count)
    if record.strategy == "PRIORITY_BASED":
        choices, span = share_of(record.priority, record.count)
    match record.method:
        case Method.CHOICES:
            return idlest_of(pool, dice, weights, choices, span)
        case Method.COSTS:
            return idlest_of(pool, dice, weights)
        case Method.SCAN | Method.COSTS_OF_ALL:
            return idlest_of_all(pool, dice, weights)
        case Method.TURN:
            return in_turn(pool, int(dice()), dice, weights, span)
        case Method.WEIGHTED:
            return weighted(pool, dice, weights)
        case Method.ALL:
            return all_of_them(pool)
        case Method.FIRST | Method.HELD:
            return first(pool)
        case Method.RING:
            counts = _Counts(pool)
            walk = (one.position for one in record.seen)
            walked = first_within(walk, counts, dice())
            return walked[-1:], (), walked, ()


class _Recalled(Sequence[Seen]):
    """The candidates of a decision, as far as they are on record."""

    def __init__(self, record: DecisionRecord) -> None:
        self._count = record.count
        self._seen = {one.position: one for one in record.seen}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Seen: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Seen]: ...
    def __getitem__(self, at: int | slice) -> Seen | Sequence[Seen]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(self._count))]
        if not 0 <= at < self._count:
            raise IndexError(at)
        try:
            return self._seen[at]
        except KeyError:
            raise LookupError(f"candidate {at} is not on record") from None


class _Counts(Sequence[float]):
    """What members of a ring had been given, as far as it is on record."""

    def __init__(self, pool: _Recalled) -> None:
        self._pool = pool

    def __len__(self) -> int:
        return len(self._pool)

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        if isinstance(at, slice):
            return [one.score for one in self._pool[at]]
        return self._pool[at].score


def _next(dice: Iterator[float]) -> float:
    try:
        return next(dice)
    except StopIteration:
        raise LookupError("the decision throws more dice than are on record") from None
