"""Which agents get a message: rule, candidates, strategy, one after the other.

``look`` decides and leaves no trace beside the cache; ``decide`` also counts what it
has picked, so that the next message finds the load higher. What ``explain`` shows comes
from ``look``, so it is what the next message would get.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Final, Protocol

from orchestration.core.messaging.model import Message
from orchestration.core.routing.candidate_set import Candidates
from orchestration.core.routing.candidates import (
    CandidateCache,
    Wanted,
    candidates_for,
)
from orchestration.core.routing.costed import Costed
from orchestration.core.routing.decision import Ask, Decision, Picked
from orchestration.core.routing.geography import Geography
from orchestration.core.routing.keys import content_of, conversation, direct_route
from orchestration.core.routing.loads import AgentLoad, Loads
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.ports import (
    Costs,
    Shaping,
    Stickiness,
    Unshaped,
    View,
)
from orchestration.core.routing.ring import Ring
from orchestration.core.routing.strategies import (
    CHOICES,
    SCANNED,
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
from orchestration.core.routing.table import RouteTable
from orchestration.errors import NoRoute, NoTargetAvailable

__all__ = ["Random", "Router"]

_CONTENT_BASED: Final = RoutingStrategy.CONTENT_BASED
_FAILOVER: Final = RoutingStrategy.FAILOVER
_BY_RING: Final = frozenset({"AFFINITY", "CONSISTENT_HASH"})
_NOBODY: Final[frozenset[str]] = frozenset()
_BOUND: Final = 1.25  # of the mean, for CONSISTENT_HASH
_UNBOUNDED: Final = 1e12  # a number that JSON can hold
# Members of an enum, looked up once and not on every message.
_CHOICES: Final = Method.CHOICES
_SCAN: Final = Method.SCAN
_TURN: Final = Method.TURN
_WEIGHTED: Final = Method.WEIGHTED
_RING: Final = Method.RING
_FIRST: Final = Method.FIRST
_HELD: Final = Method.HELD
_CORRUPT: Final = (AttributeError, TypeError, IndexError, KeyError)


class Random(Protocol):
    """Where dice come from; ``random.Random`` is one."""

    def random(self) -> float:
        """Return a number from 0.0 to below 1.0."""


class Router:
    """Decides for one process; it keeps loads, turns and candidates between messages.

    Args:
        loads: How loaded agents are.
        shaping: A stage between candidates and strategy.
        stickiness: Remembers for AFFINITY; None: the ring holds a key to its agent.
        costs: Knows for PREDICTIVE; None: the load is what it goes by.
        geography: Knows which location is nearest, for rules that ask for it.
        location: Where this router runs.
        cache: Of candidates.
        floor: The share of ACTIVE agents below which DEGRADED ones are picked as well.
    """

    def __init__(
        self,
        loads: Loads | None = None,
        *,
        shaping: Shaping | None = None,
        stickiness: Stickiness | None = None,
        costs: Costs | None = None,
        geography: Geography | None = None,
        location: str = "",
        cache: CandidateCache | None = None,
        floor: float = 0.5,
    ) -> None:
        self.loads = Loads() if loads is None else loads
        self.cache = CandidateCache() if cache is None else cache
        self._is_shaped = shaping is not None
        self._shaping = Unshaped() if shaping is None else shaping
        self._stickiness = stickiness
        self._costs = costs
        self._geography = Geography() if geography is None else geography
        self._location = location
        self._floor = floor
        self._by: Mapping[str, Callable[[Candidates, Ask], Picked]] = {
            "ROUND_ROBIN": self._round_robin,
            "LEAST_LOADED": self._least_loaded,
            "WEIGHTED_RANDOM": self._weighted_random,
            "CONTENT_BASED": self._least_loaded,
            "PRIORITY_BASED": self._by_priority,
            "AFFINITY": self._affinity,
            "BROADCAST": self._broadcast,
            "FAILOVER": self._failover,
            "CONSISTENT_HASH": self._on_ring,
            "PREDICTIVE": self._predictive,
        }

    def decide(
        self,
        message: Message,
        table: RouteTable,
        view: View,
        rng: Random,
        now: float,
        without: frozenset[str] = _NOBODY,
    ) -> Decision:
        """Decide who gets a message, and count it as sent.

        Args:
            message: The message.
            table: The routes.
            view: Who is there.
            rng: Where dice come from.
            now: Seconds, on the clock that reports of loads go by.
            without: Agents that are not meant, since they were tried.

        Raises:
            NoRoute: No rule, no static route, no agent of that name.
            UnknownTarget: Nobody knows the route's agents.
            NoTargetAvailable: None of them may get it now.
        """
        decision = self.look(message, table, view, rng, now, without)
        if self._is_shaped:
            picked = self._shaping.picked
            while len(decision.targets) == 1 and not picked(decision.targets[0], now):
                # Its limit was reached since it was admitted: it is not any more.
                decision = self.look(message, table, view, rng, now, without)
            if len(decision.targets) > 1:
                for agent_id in decision.targets:  # all were admitted: all get it
                    picked(agent_id, now)
        self._settle(decision)
        return decision

    def look(
        self,
        message: Message,
        table: RouteTable,
        view: View,
        rng: Random,
        now: float,
        without: frozenset[str] = _NOBODY,
    ) -> Decision:
        """Decide as ``decide`` would now, and count nothing as sent."""
        rule = table.route(message) or _direct(message, view)
        loads, cache, shaping = self.loads, self.cache, self._shaping
        if now >= loads.next_tick:
            loads.tick(now)
        key: Hashable = rule.name
        if rule.strategy is _CONTENT_BASED:
            key = (key, content_of(rule, message))
        elif rule.strategy is _FAILOVER:
            key = (key, message.headers.get("location", ""))
        weights = shaping.weights(now)
        membership, version = view.membership, shaping.version
        found = cache.get(key, rule, membership, version, now)
        ask = (message, weights, rng.random, now)
        if found is not None:
            try:
                if without or found.places is not None:
                    return self._narrowed(found, ask, without)
                return Decision(found, ask, self._by[found.strategy](found, ask))
            except _CORRUPT:
                cache.drop(key)  # then it is made anew, and what fails still is a bug
        wanted = Wanted(
            rule,
            message.recipient_id,
            message.headers.get("location", ""),
            content_of(rule, message),
        )
        found = cache.put(
            key,
            wanted,
            lambda: candidates_for(
                wanted, view, loads, shaping=shaping, floor=self._floor, now=now
            ),
            membership=membership,
            shaped=version,
            now=now,
            die=rng.random(),
        )
        decision = self._narrowed(found, ask, without)
        decision.cached = False
        return decision

    def _narrowed(
        self, found: Candidates, ask: Ask, without: Collection[str]
    ) -> Decision:
        """Decide among the nearest candidates, if that is asked for, and the untried.

        A location whose agents have all been tried is passed over.
        """
        message, _, dice, now = ask
        if found.places is not None:
            rule, wish = found.rule, message.headers.get("location", "")
            place = self._geography.choose(
                self._location,
                found.untried(without),
                preference=(*([wish] if wish else ()), *rule.locations),
                now_s=now,
                draw=dice,
            )
            found = found.at(place) if place else found
        if without:
            left = tuple([one for one in found.pool if one.agent_id not in without])
            if not left:
                raise NoTargetAvailable(
                    f"route {found.rule.name!r} of a message to "
                    f"{message.recipient_id!r}: all of its agents have been tried "
                    f"({', '.join(without)})",
                    message.recipient_id,
                    found.rule.name,
                )
            if found.strategy in _BY_RING:
                found = found.passing_over(frozenset(without))
            else:
                found = found.of(left)
        return Decision(found, ask, self._by[found.strategy](found, ask))

    def _settle(self, decision: Decision) -> None:
        """Count what was picked."""
        found = decision.candidates_set
        method, _, (places, dice, looked_at, _), key = decision.picked
        if method is _TURN:
            found.turn = int(dice[0]) + len(looked_at)
        elif method is _RING and found.ring is not None:
            found.ring.given(places[0])
        stickiness = self._stickiness
        if key and stickiness is not None and found.strategy == "AFFINITY":
            session = _session(found.rule, key)
            stickiness.hold(session, decision.targets[0], decision.at)
        pool = found.pool
        for at in decision.places if method is _HELD else places:
            load = pool[at]
            load.sent += 1.0
            load.score += load.raise_by

    def _least_loaded(self, found: Candidates, ask: Ask) -> Picked:
        _, weights, dice, now = ask
        pool = found.pool
        if now > self.loads.fresh_until:
            return self._round_robin(found, ask)
        if len(pool) <= SCANNED and self._may_scan(len(pool)):
            method, pick = _SCAN, idlest_of_all(pool, dice, weights)
        else:
            method, pick = _CHOICES, idlest_of(pool, dice, weights)
        if self.loads.old and _is_old(pool, pick):
            return self._round_robin(found, ask)
        return method, pool, pick, ""

    def _may_scan(self, count: int) -> bool:
        """Tell whether to look at all of so many candidates.

        That is right where nobody else does, or hardly more could be drawn: many
        routers that all find the same idlest agent all send to it.
        """
        return count <= (SCANNED if self.loads.routers == 1 else CHOICES)

    def _round_robin(self, found: Candidates, ask: Ask) -> Picked:
        _, weights, dice, _ = ask
        return (
            Method.TURN,
            found.pool,
            in_turn(found.pool, found.turn, dice, weights),
            "",
        )

    def _weighted_random(self, found: Candidates, ask: Ask) -> Picked:
        _, weights, dice, now = ask
        if now > self.loads.fresh_until:
            return self._round_robin(found, ask)
        pick = weighted(found.pool, dice, weights)
        if self.loads.old and _is_old(found.pool, pick):
            return self._round_robin(found, ask)
        return _WEIGHTED, found.pool, pick, ""

    def _by_priority(self, found: Candidates, ask: Ask) -> Picked:
        message, weights, dice, now = ask
        pool = found.pool
        choices, span = share_of(message.priority, len(pool))
        if now <= self.loads.fresh_until:
            pick = idlest_of(pool, dice, weights, choices, span)
            if not (self.loads.old and _is_old(pool, pick)):
                return _CHOICES, pool, pick, ""
        return _TURN, pool, in_turn(pool, found.turn, dice, weights, span), ""

    def _broadcast(self, found: Candidates, ask: Ask) -> Picked:
        del ask
        return Method.ALL, found.pool, all_of_them(found.pool), ""

    def _failover(self, found: Candidates, ask: Ask) -> Picked:
        del ask
        return _FIRST, found.pool, first(found.pool), ""

    def _on_ring(self, found: Candidates, ask: Ask) -> Picked:
        message = ask[0]
        if found.ring is None:
            # A conversation stays where it is, however busy its agent.
            bound = _UNBOUNDED if found.strategy == "AFFINITY" else _BOUND
            found.ring = Ring((agent.agent_id for agent in found.pool), bound=bound)
        key = conversation(found.rule, message)
        limit, walked, counts = found.ring.within(key, found.passed_over)
        return _RING, found.pool, (walked[-1:], (limit,), walked, counts), key

    def _affinity(self, found: Candidates, ask: Ask) -> Picked:
        message, _, _, now = ask
        if self._stickiness is None:
            return self._on_ring(found, ask)
        key = conversation(found.rule, message)
        if found.positions is None:
            found.positions = {
                agent.agent_id: at for at, agent in enumerate(found.pool)
            }
        held = self._stickiness.held(_session(found.rule, key), now)
        at = None if held is None else found.positions.get(held)
        if at is None or held in found.passed_over:
            # By its key alone, so that processes which share nothing agree.
            return self._on_ring(found, ask)
        pool = (found.pool[at],)
        return _HELD, pool, first(pool), key

    def _predictive(self, found: Candidates, ask: Ask) -> Picked:
        message, weights, dice, now = ask
        if self._costs is None:
            return self._least_loaded(found, ask)
        pool = Costed(found.pool, self._costs, message, now)
        if self._may_scan(len(pool)):
            return Method.COSTS_OF_ALL, pool, idlest_of_all(pool, dice, weights), ""
        return Method.COSTS, pool, idlest_of(pool, dice, weights), ""


def _is_old(pool: Sequence[AgentLoad], pick: Pick) -> bool:
    """Tell whether one of the agents looked at has not reported of late.

    One is enough: beside old loads the agent that has just reported looks idle, and all
    routers would send to it.
    """
    for at in pick[2]:  # noqa: SIM110  in a third of the time of any()
        if not pool[at].is_fresh:
            return True
    return False


def _direct(message: Message, view: View) -> RouteRule:
    """Return the route of a message to an agent by its id."""
    recipient = message.recipient_id
    if view.agent(recipient) is None:
        raise NoRoute(
            f"there is no way for a message to {recipient!r}: no rule matches it, it "
            "has no static route, and no agent has that id; add a rule or a static "
            "route, or register the agent",
            recipient,
        )
    return direct_route(recipient)


def _session(rule: RouteRule, key: str) -> str:
    """Return what a conversation is held by: one for each rule that it falls under."""
    return f"{rule.name}\0{key}"
