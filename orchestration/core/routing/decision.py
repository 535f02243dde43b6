"""What the router has decided, and why; made on every message, so it is cheap.

A decision holds what was looked at as it was then; words and lists are made when they
are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from orchestration.core.messaging.model import Message
from orchestration.core.routing.candidate_set import Candidates
from orchestration.core.routing.loads import AgentLoad
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.strategies import Agents, Dice, Method, Pick

__all__ = ["Ask", "Decision", "Picked"]

_HELD: Final = Method.HELD

Ask: TypeAlias = tuple[Message, Mapping[str, float], Dice, float]
"""What is asked of a strategy: the message, weights, dice, and the time."""

Picked: TypeAlias = tuple[Method, Agents, Pick, str]
"""What it answers: how, from what, which, and by what key."""


class Decision:
    """Which agents get a message.

    Attributes:
        candidates_set: What there was to pick from.
        ask: What was asked of the strategy.
        picked: What it answered.
        cached: The candidates were in the cache.
        targets: Ids of the agents that get it.
    """

    __slots__ = ("ask", "cached", "candidates_set", "picked", "targets")

    def __init__(self, candidates_set: Candidates, ask: Ask, picked: Picked) -> None:
        self.candidates_set = candidates_set
        self.ask = ask
        self.picked = picked
        self.cached = True
        pool, positions = picked[1], picked[2][0]
        self.targets: tuple[str, ...] = (
            (pool[positions[0]].agent_id,)
            if len(positions) == 1
            else tuple([pool[at].agent_id for at in positions])
        )

    def __repr__(self) -> str:
        return f"<Decision {self.rule.name!r} -> {', '.join(self.targets)}>"

    @property
    def message(self) -> Message:
        """The message."""
        return self.ask[0]

    @property
    def weights(self) -> Mapping[str, float]:
        """Agents that were to get less than their share."""
        return self.ask[1]

    @property
    def at(self) -> float:
        """When it was decided, seconds."""
        return self.ask[3]

    @property
    def method(self) -> Method:
        """How they were picked.

        Not always what the strategy is for, since loads that are old are not gone by.
        """
        return self.picked[0]

    @property
    def pool(self) -> Agents:
        """What was picked from."""
        return self.picked[1]

    @property
    def pick(self) -> Pick:
        """What was thrown and seen."""
        return self.picked[2]

    @property
    def key(self) -> str:
        """What CONSISTENT_HASH and AFFINITY went by."""
        return self.picked[3]

    @property
    def rule(self) -> RouteRule:
        """The rule or static route that the message fell under."""
        return self.candidates_set.rule

    @property
    def strategy(self) -> str:
        """The strategy of that rule."""
        return self.candidates_set.strategy

    @property
    def candidates(self) -> tuple[str, ...]:
        """Ids of all agents that could have been picked."""
        return tuple([agent.agent_id for agent in self.candidates_set.pool])

    @property
    def places(self) -> tuple[int, ...]:
        """Where its targets are among the candidates."""
        at = self.candidates_set.positions
        if self.method is _HELD and at is not None:
            return (at[self.targets[0]],)
        return self.pick[0]

    @property
    def panic(self) -> bool:
        """Whether DEGRADED agents were taken in, for lack of ACTIVE ones."""
        return self.candidates_set.widened

    @property
    def seen(self) -> dict[str, float]:
        """The load of each agent looked at; for the ring, what it had been given."""
        _, _, positions, scores = self.pick
        ids = [self.pool[at].agent_id for at in positions]
        return dict(zip(ids, scores, strict=True))

    @property
    def ages_s(self) -> dict[str, float | None]:
        """How old each candidate's report of its load was, seconds; None: it had none.

        This and ``staleness_s`` are looked up when they are asked for: a report that
        came after the decision counts as 0.0.
        """
        return {one.agent_id: self._age_s(one) for one in self.candidates_set.pool}

    @property
    def staleness_s(self) -> float | None:
        """How old the oldest report was of the agents looked at; None: of none."""
        pool = self.candidates_set.pool
        looked_at = self.places if self.method is _HELD else self.pick[2]
        ages = [self._age_s(pool[at]) for at in looked_at]
        return max((age for age in ages if age is not None), default=None)

    def _age_s(self, load: AgentLoad) -> float | None:
        return None if load.told_at is None else max(0.0, self.at - load.told_at)

    @property
    def reason(self) -> str:
        """Why these agents, in a sentence."""
        rule, pool = self.rule, self.candidates_set.pool
        targets, method = ", ".join(self.targets), self.method.value
        route = f"{rule.name!r} ({self.strategy})"
        parts = [f"{route} of {len(pool)} candidates: {targets}, {method}"]
        if self.method is Method.TURN and self.strategy != "ROUND_ROBIN":
            parts.append(self._why_not_by_load())
        if self.panic:
            parts.append("too few are ACTIVE, so DEGRADED agents were taken in")
        if left_out := self.candidates_set.left_out:
            parts.append(
                f"left out for now, as failing or at their limit: {', '.join(left_out)}"
            )
        if unknown := self.candidates_set.unknown:
            parts.append(f"nobody knows {', '.join(unknown)}")
        return "; ".join(parts)

    def _why_not_by_load(self) -> str:
        every = self.ages_s.values()
        ages = [age for age in every if age is not None]
        if not ages:
            return "no load is known"
        silent = len(every) - len(ages)
        return f"loads are old: reports of {min(ages):.1f} to {max(ages):.1f} s ago" + (
            f", and none of {silent} candidates" if silent else ""
        )

    def explain(self) -> dict[str, Any]:
        """Return everything about it as JSON."""
        return {
            "targets": list(self.targets),
            "rule": self.rule.name,
            "strategy": self.strategy,
            "method": self.method.name,
            "candidates": list(self.candidates),
            "unknown_targets": list(self.candidates_set.unknown),
            "left_out": list(self.candidates_set.left_out),
            "loads": self.seen,
            "weights": dict(self.weights),
            "load_ages_s": self.ages_s,
            "staleness_s": self.staleness_s,
            "panic": self.panic,
            "cached": self.cached,
            "reason": self.reason,
        }
