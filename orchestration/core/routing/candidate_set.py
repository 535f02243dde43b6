"""The agents that a route may pick from, and what strategies keep between messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from orchestration.core.routing.loads import AgentLoad
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.ring import Ring

__all__ = ["Candidates"]

_NOBODY: Final[frozenset[str]] = frozenset()


class Candidates:
    """The agents that a route may pick from.

    Attributes:
        rule: The route.
        pool: Their loads, in the order that the strategy needs.
        widened: DEGRADED agents are among them, since too few are ACTIVE.
        unknown: Targets of the rule that nobody knows.
        left_out: Agents that are well and that the shaping stage does not admit.
        places: The same by location, if one of them is picked first.
        passed_over: Agents of the pool that are not meant this time.
        turn: Whose turn is next, for ROUND_ROBIN.
        ring: For CONSISTENT_HASH, made when it is first asked for.
        positions: Where each agent is in the pool, likewise for AFFINITY.
        strategy: The rule's strategy, a plain text.
        membership: The registry's when it was made.
        shaped: The shaping stage's version when it was made.
        expires_at: When its time is over, seconds.
    """

    __slots__ = (
        "_at",
        "_before",
        "expires_at",
        "left_out",
        "membership",
        "passed_over",
        "places",
        "pool",
        "positions",
        "ring",
        "rule",
        "shaped",
        "strategy",
        "turn",
        "unknown",
        "widened",
    )

    def __init__(
        self,
        rule: RouteRule,
        pool: tuple[AgentLoad, ...],
        *,
        widened: bool = False,
        unknown: tuple[str, ...] = (),
        left_out: tuple[str, ...] = (),
        places: Mapping[str, tuple[AgentLoad, ...]] | None = None,
    ) -> None:
        self.rule = rule
        self.pool = pool
        self.strategy = str.__str__(rule.strategy)
        self.widened = widened
        self.unknown = unknown
        self.left_out = left_out
        self.places = places
        self.passed_over = _NOBODY
        # Most sets have no places: a dictionary for each would be a tenth of a set.
        self._at: dict[str, Candidates] | None = None
        self._before: dict[str, Candidates] | None = None
        self.turn = 0
        self.ring: Ring | None = None
        self.positions: dict[str, int] | None = None
        self.membership = 0
        self.shaped = 0
        self.expires_at = float("-inf")

    def for_rule(self, rule: RouteRule) -> Candidates:
        """Return the same agents for another rule, with turn and ring of its own."""
        return Candidates(
            rule,
            self.pool,
            widened=self.widened,
            unknown=self.unknown,
            left_out=self.left_out,
            places=self.places,
        )

    def of(self, pool: tuple[AgentLoad, ...]) -> Candidates:
        """Return some of them, for one decision or as a location's."""
        some = Candidates(
            self.rule,
            pool,
            widened=self.widened,
            unknown=self.unknown,
            left_out=self.left_out,
        )
        some.turn = self.turn
        return some

    def passing_over(self, agent_ids: frozenset[str]) -> Candidates:
        """Return the same for one decision that passes over some of them."""
        rest = self.of(self.pool)
        rest.ring, rest.positions = self.ring, self.positions
        rest.passed_over = agent_ids
        return rest

    def untried(self, tried: Collection[str]) -> dict[str, list[str]]:
        """Return each location's name for itself, if it has agents that are not tried.

        In that form a choice of targets by location is a choice of a location.
        """
        return {
            place: [place]
            for place, pool in (self.places or {}).items()
            if not tried or any(one.agent_id not in tried for one in pool)
        }

    def at(self, chosen: Sequence[str]) -> Candidates:
        """Return those of a location that ``untried`` has named; kept with the set."""
        (place,) = chosen
        if self._at is None:
            self._at = {}
        found = self._at.get(place)
        if found is None:
            found = self._at[place] = self.of((self.places or {})[place])
            before = (self._before or {}).get(place)
            if before is not None:
                found.take_over(before)
        return found

    def take_over(self, before: Candidates) -> None:
        """Go on with the turns and rings of the set that was there before."""
        self.turn, self.ring = before.turn, before.ring
        if self.ring is not None:
            self.ring.become(agent.agent_id for agent in self.pool)
        if before._at or before._before:
            self._before = {**(before._before or {}), **(before._at or {})}
