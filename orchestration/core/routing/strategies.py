"""How one of several agents is picked, each strategy a function of what it is given.

A method looks at a few agents of the pool, at most ``SCANNED``, so a decision costs the
same among ten agents and among ten thousand. It returns a ``Pick``: all that it has
looked at and all dice it has thrown, from which ``record`` can have it decide again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from orchestration.core.messaging.model import Priority

__all__ = [
    "CHOICES",
    "SCANNED",
    "Agents",
    "Dice",
    "Method",
    "Pick",
    "Scored",
    "all_of_them",
    "first",
    "idlest_of",
    "idlest_of_all",
    "in_turn",
    "share_of",
    "weighted",
]

SCANNED: Final = 16
"""So few candidates are looked at one and all, if no other router does the same."""

CHOICES: Final = 4
_CRITICAL, _HIGH, _LOW = map(
    str.__str__, (Priority.CRITICAL, Priority.HIGH, Priority.LOW)
)
_URGENT_CHOICES: Final = 8
_WEIGHED: Final = 16  # agents among which WEIGHTED_RANDOM throws its dice
_INFINITE: Final = float("inf")
_NO_LOAD: Final = 0.05  # so that an idle agent has no infinite weight


class Method(StrEnum):
    """What a pick was made by."""

    CHOICES = "the idlest of some drawn"
    SCAN = "the idlest of all"
    TURN = "in turn"
    WEIGHTED = "drawn by inverse load"
    ALL = "all"
    FIRST = "the first in order"
    HELD = "held to it"
    RING = "its place on the ring"
    COSTS = "the least expected cost of some drawn"
    COSTS_OF_ALL = "the least expected cost of all"


class Scored(Protocol):
    """An agent that can be picked."""

    @property
    def agent_id(self) -> str:
        """Its id."""

    @property
    def score(self) -> float:
        """Its load."""


Agents: TypeAlias = Sequence[Scored]
Dice: TypeAlias = Callable[[], float]
Pick: TypeAlias = tuple[
    tuple[int, ...],  # positions in the pool that are picked
    tuple[float, ...],  # dice thrown, or whose turn it was
    tuple[int, ...],  # positions that were looked at
    tuple[float, ...],  # what was seen there
]


def idlest_of(
    pool: Agents,
    dice: Dice,
    weights: Mapping[str, float],
    choices: int = CHOICES,
    span: tuple[int, int] | None = None,
) -> Pick:
    """Pick the idlest of a few that are drawn; of equals the one drawn first.

    Args:
        pool: The candidates.
        dice: From 0.0 to below 1.0.
        weights: Agents that are to get less than their share.
        choices: How many are drawn, an even number; one agent may be drawn twice.
        span: The part of the pool that they are drawn from; None: all of it.
    """
    if not weights and choices == CHOICES and span is None:
        return _idlest_of_four(pool, dice)
    low, high = span or (0, len(pool))
    thrown = [dice() for _ in range(choices >> 1)]
    drawn = [low + at for die in thrown for at in _two_of(high - low, die)]
    return _idlest(pool, drawn, thrown, dice, weights)


def _two_of(n: int, die: float) -> tuple[int, int]:
    """Draw two of n: one throw has the digits for both."""
    return divmod(int(die * (n * n)), n)


def _idlest(
    pool: Agents,
    drawn: Sequence[int],
    thrown: list[float],
    dice: Dice,
    weights: Mapping[str, float],
) -> Pick:
    """Pick the idlest of those drawn; of equals the first.

    Loads are not divided by weights: an idle agent's load would still be nothing, and
    it would get everything. One of less weight takes part only as often as its weight
    says, and if nobody takes part, the one of the highest weight is picked.
    """
    scores = tuple([pool[at].score for at in drawn])
    best, least = drawn[0], _INFINITE
    spare, most = drawn[0], 0.0
    for at, score in zip(drawn, scores, strict=True):
        if weights:
            weight = weights.get(pool[at].agent_id, 1.0)
            if weight < 1.0:
                die = dice()
                thrown.append(die)
                if die >= weight:
                    if weight > most:
                        spare, most = at, weight
                    continue
        if score < least:
            best, least = at, score
    picked = spare if least == _INFINITE else best
    return (picked,), tuple(thrown), tuple(drawn), scores


def _idlest_of_four(pool: Agents, dice: Dice) -> Pick:
    """Do the same for what is asked on most messages, in a third of the time."""
    n = len(pool)
    pairs = n * n
    die, other = dice(), dice()
    pair, another = int(die * pairs), int(other * pairs)
    a, b, c, d = pair // n, pair % n, another // n, another % n
    first, second = pool[a].score, pool[b].score
    third, fourth = pool[c].score, pool[d].score
    best, least = a, first
    if second < least:
        best, least = b, second
    if third < least:
        best, least = c, third
    if fourth < least:
        best = d
    return (best,), (die, other), (a, b, c, d), (first, second, third, fourth)


def idlest_of_all(pool: Agents, dice: Dice, weights: Mapping[str, float]) -> Pick:
    """Pick the idlest; among equals the dice decide."""
    n = len(pool)
    die = dice()
    start = int(die * n)
    seen = (*range(start, n), *range(start))
    if weights:
        return _idlest(pool, seen, [die], dice, weights)
    scores = tuple([pool[at].score for at in seen])
    return (seen[scores.index(min(scores))],), (die,), seen, scores


def share_of(priority: str, count: int) -> tuple[int, tuple[int, int]]:
    """Return how many are drawn for a priority, and from which part of the pool.

    The pool is in the order of health. Urgent messages go to the healthier half, which
    is kept free of those that can wait; all others go anywhere.
    """
    half = (count + 1) // 2
    if priority == _CRITICAL:
        return _URGENT_CHOICES, (0, half)
    if priority == _HIGH:
        return CHOICES, (0, half)
    if priority == _LOW and count > half:
        return CHOICES, (half, count)
    return CHOICES, (0, count)


def in_turn(
    pool: Agents,
    turn: int,
    dice: Dice,
    weights: Mapping[str, float],
    span: tuple[int, int] | None = None,
) -> Pick:
    """Pick the one whose turn it is; one of less weight lets some turns pass."""
    low, high = span or (0, len(pool))
    n = high - low
    at = low + turn % n
    if not weights:
        return (at,), (float(turn),), (at,), (pool[at].score,)
    thrown = [float(turn)]
    seen = []
    for _ in range(n):
        seen.append(at)
        weight = weights.get(pool[at].agent_id, 1.0)
        if weight >= 1.0:
            break
        thrown.append(dice())
        if thrown[-1] < weight:
            break
        at = low + (at - low + 1) % n
    return (at,), tuple(thrown), tuple(seen), tuple(pool[at].score for at in seen)


def weighted(pool: Agents, dice: Dice, weights: Mapping[str, float]) -> Pick:
    """Throw dice, by the inverse of the load: half the load, twice the chance.

    Of more than 16 candidates 16 are drawn first, each with the same chance.
    """
    n = len(pool)
    thrown: list[float] = []
    if n <= _WEIGHED:
        seen: Sequence[int] = range(n)
    else:
        thrown += [dice() for _ in range(_WEIGHED >> 1)]
        seen = [at for die in thrown for at in _two_of(n, die)]
    scores = [pool[at].score for at in seen]
    chances = [1.0 / (_NO_LOAD + score) for score in scores]
    if weights:
        chances = [
            chance * weights.get(pool[at].agent_id, 1.0)
            for chance, at in zip(chances, seen, strict=True)
        ]
    thrown.append(dice())
    left = thrown[-1] * sum(chances)
    best = seen[-1]
    for at, chance in zip(seen, chances, strict=True):
        left -= chance
        if left < 0.0:
            best = at
            break
    return (best,), tuple(thrown), tuple(seen), tuple(scores)


def first(pool: Agents) -> Pick:
    """Pick the first."""
    return (0,), (), (0,), (pool[0].score,)


def all_of_them(pool: Agents) -> Pick:
    """Pick everyone."""
    everyone = tuple(range(len(pool)))
    return everyone, (), everyone, tuple(agent.score for agent in pool)
