"""Which agents a route may pick from, and a cache of these sets.

A set is made of the agents that a rule names or asks for, as far as they are known and
well: those that are ACTIVE, and with them those that are DEGRADED if too few are
ACTIVE to carry the load of all. What the shaping stage does not admit is left out.

The cache holds the set, never the pick, so a hit never pins the load to an agent. A set
counts until its time is over, or somebody came, went or changed in the registry, or
the shaping stage changed its mind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.candidate_set import Candidates
from orchestration.core.routing.loads import AgentLoad, Loads
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.ports import AgentView, Shaping, View
from orchestration.errors import (
    AllUnhealthy,
    NoTargetAvailable,
    UnknownTarget,
)

__all__ = ["CandidateCache", "Candidates", "Wanted", "candidates_for"]

_SHOWN: Final = 5  # ids that an error lists
_ACTIVE: Final = AgentStatus.ACTIVE  # looked up for each of ten thousand
_DEGRADED: Final = AgentStatus.DEGRADED
_BY_PLACE: Final = frozenset({RoutingStrategy.FAILOVER})
_BY_CONTENT: Final = frozenset({RoutingStrategy.CONTENT_BASED})
_APART: Final = _BY_PLACE | _BY_CONTENT | {RoutingStrategy.PRIORITY_BASED}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a set of candidates depends on, beside who is there.

    Attributes:
        rule: The route.
        recipient_id: Whom the message is for.
        location: Where the sender wants it to go, if it said so.
        content: The capability that the payload names, for CONTENT_BASED.
    """

    rule: RouteRule
    recipient_id: str
    location: str = ""
    content: str = ""

    @property
    def what(self) -> Hashable:
        """What the agents of the set, and their order, follow from."""
        rule, strategy = self.rule, self.rule.strategy
        return (
            rule.capability or rule.targets,
            strategy if strategy in _APART else "",
            (self.location, *rule.locations) if strategy in _BY_PLACE else "",
            self.content if strategy in _BY_CONTENT else "",
            rule.nearest,
        )


def candidates_for(
    wanted: Wanted,
    view: View,
    loads: Loads,
    *,
    shaping: Shaping,
    floor: float,
    now: float,
) -> Candidates:
    """Return the agents that a route may pick from, at least one.

    Args:
        wanted: The route, and what else it goes by.
        view: Who is there.
        loads: Where each agent's load is found.
        shaping: Who of them may be picked now.
        floor: The share of ACTIVE agents, 0.0 to 1.0, below which DEGRADED ones are
            picked as well.
        now: Seconds.

    Raises:
        UnknownTarget: Nobody knows any of them.
        AllUnhealthy: All of them are silent or gone.
        NoTargetAvailable: The payload asks for what none of them can do, or the shaping
            stage admits none.
    """
    rule = wanted.rule
    named = _named(wanted, view)
    agents = [view.agent(agent_id) for agent_id in named]
    known = [agent for agent in agents if agent is not None]
    unknown: tuple[str, ...] = ()
    if len(known) < len(agents):
        pairs = zip(named, agents, strict=True)
        unknown = tuple(agent_id for agent_id, agent in pairs if agent is None)
    if not known:
        raise _unknown(wanted, unknown)
    usable, widened = _usable(rule, known, floor)
    if not usable:
        raise _unhealthy(wanted, known)
    ordered = [agent.agent_id for agent in _ordered(usable, wanted)]
    admitted = shaping.admit(ordered, now)
    if not admitted:
        raise NoTargetAvailable(
            f"{_route(wanted)}: its {len(ordered)} agents take nothing for now "
            f"({_some(ordered)}): try again later, or give it more",
            wanted.recipient_id,
            rule.name,
        )
    left_out: tuple[str, ...] = ()
    if len(admitted) < len(ordered):
        left_out = tuple(sorted({*ordered} - {*admitted}))
    pool = tuple([loads.of(agent_id) for agent_id in admitted])
    return Candidates(
        rule,
        pool,
        widened=widened,
        unknown=unknown,
        left_out=left_out,
        places=_placed(pool, usable) if rule.nearest else None,
    )


def _usable(
    rule: RouteRule, known: Sequence[AgentView], floor: float
) -> tuple[Sequence[AgentView], bool]:
    """Return those that are well enough, and whether DEGRADED ones are among them."""
    active = [agent for agent in known if agent.status is _ACTIVE]
    degraded = []
    if len(active) < len(known):
        degraded = [agent for agent in known if agent.status is _DEGRADED]
    usable, widened = active, False
    if len(active) < floor * (len(active) + len(degraded)) or not active:
        usable, widened = active + degraded, bool(degraded)
    if rule.strategy == RoutingStrategy.FAILOVER:
        usable, widened = active + degraded, not active
        if rule.nearest and active:  # the best tier first, then the nearest of it
            usable = active
    return usable, widened


def _placed(
    pool: Sequence[AgentLoad], agents: Sequence[AgentView]
) -> dict[str, tuple[AgentLoad, ...]]:
    """Return loads by the location of their agents."""
    location = {agent.agent_id: agent.location for agent in agents}
    places: dict[str, list[AgentLoad]] = {}
    for one in pool:
        places.setdefault(location[one.agent_id], []).append(one)
    return {place: tuple(loads) for place, loads in places.items()}


class CandidateCache:
    """Sets of candidates by what they depend on.

    Args:
        ttl_s: How long a set counts, seconds.
        max_entries: Beyond so many the oldest is dropped.

    Attributes:
        hits: Times that a set was found and counted.
        misses: Times that it had to be made.
        corrupt: Entries that were none and have been dropped.
    """

    def __init__(self, *, ttl_s: float = 30.0, max_entries: int = 10_000) -> None:
        self.hits = self.misses = self.corrupt = 0
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._entries: dict[Hashable, Candidates] = {}
        self._alike: dict[Hashable, Candidates] = {}
        self._alike_of = (0, 0)  # membership and version that they were made for
        self._alike_until = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    def get(
        self, key: Hashable, rule: RouteRule, membership: int, shaped: int, now: float
    ) -> Candidates | None:
        """Return the set that counts now for a rule."""
        entry = self._entries.get(key)
        if entry is not None:
            if type(entry) is not Candidates or not entry.pool:
                self.drop(key)
            elif (
                entry.membership == membership
                and entry.shaped == shaped
                and now < entry.expires_at
                and entry.rule is rule
            ):
                self.hits += 1
                return entry
        self.misses += 1
        return None

    def put(
        self,
        key: Hashable,
        wanted: Wanted,
        make: Callable[[], Candidates],
        *,
        membership: int,
        shaped: int,
        now: float,
        die: float,
    ) -> Candidates:
        """Make a set, keep and return it; it takes over turn and ring of its forebear.

        Rules that ask for the same agents share them, so that a change in the registry
        costs no more with fifty such rules than with one. The die, from 0.0 to below
        1.0, says whose turn is first: routers that all began with the same agent
        would all send to it at once.
        """
        entry = self._made(wanted, make, (membership, shaped), now)
        entry.membership, entry.shaped = membership, shaped
        entry.turn = int(die * len(entry.pool))
        entry.expires_at = now + self._ttl_s
        before = self._entries.pop(key, None)
        if before is not None:
            entry.take_over(before)
        elif len(self._entries) >= self._max_entries:
            self._entries.pop(next(iter(self._entries)), None)
        self._entries[key] = entry
        return entry

    def clear(self) -> None:
        """Let go of everything: who is there is told by somebody else from now on."""
        self._entries.clear()
        self._alike.clear()

    def drop(self, key: Hashable) -> None:
        """Let go of an entry that turned out to be none, and count it."""
        self.corrupt += 1
        self._entries.pop(key, None)
        self._alike.clear()

    def _made(
        self,
        wanted: Wanted,
        make: Callable[[], Candidates],
        made_for: tuple[int, int],
        now: float,
    ) -> Candidates:
        is_current = made_for == self._alike_of and now < self._alike_until
        if not is_current or len(self._alike) >= self._max_entries:
            self._alike.clear()
            self._alike_of, self._alike_until = made_for, now + self._ttl_s
        like = self._alike.get(wanted.what)
        if like is None:
            like = self._alike[wanted.what] = make()
        if like.rule is wanted.rule:
            return like
        return like.for_rule(wanted.rule)


def _named(wanted: Wanted, view: View) -> Sequence[str]:
    """Return the ids that a rule names or asks for."""
    rule = wanted.rule
    named = rule.targets
    if rule.capability is not None:
        named = view.capable(rule.capability)
    if rule.strategy != RoutingStrategy.CONTENT_BASED:
        return named
    capable = frozenset(view.capable(wanted.content))
    left = [agent_id for agent_id in named if agent_id in capable]
    if named and not left:
        raise NoTargetAvailable(
            f"{_route(wanted)}: none of its {len(named)} agents has the capability "
            f"{wanted.content!r}, which the payload names in "
            f"{rule.key or 'task_type'!r}: register one, or correct the payload",
            wanted.recipient_id,
            rule.name,
        )
    return left


def _ordered(agents: Sequence[AgentView], wanted: Wanted) -> Sequence[AgentView]:
    """Return agents in the order that the rule's strategy goes by."""
    if wanted.rule.strategy == RoutingStrategy.PRIORITY_BASED:
        return sorted(agents, key=lambda agent: -agent.health)
    if wanted.rule.strategy != RoutingStrategy.FAILOVER:
        return agents
    places = dict.fromkeys((wanted.location, *wanted.rule.locations))
    rank = {place: at for at, place in enumerate(places) if place}
    return sorted(
        agents,
        key=lambda agent: (
            agent.status is not _ACTIVE,
            rank.get(agent.location, len(places)),
        ),
    )


def _unknown(wanted: Wanted, unknown: Sequence[str]) -> UnknownTarget:
    capability = wanted.rule.capability
    text = f"none of its targets is known ({_some(unknown)}): register or host them"
    if capability is not None:
        text = f"no agent has the capability {capability!r}: register one that has it"
    return UnknownTarget(
        f"{_route(wanted)}: {text}", wanted.recipient_id, wanted.rule.name
    )


def _unhealthy(wanted: Wanted, known: Sequence[AgentView]) -> AllUnhealthy:
    return AllUnhealthy(
        f"{_route(wanted)}: all of its {len(known)} known agents are INACTIVE or "
        f"DECOMMISSIONED ({_some([agent.agent_id for agent in known])}): start them, "
        "or give it others",
        wanted.recipient_id,
        wanted.rule.name,
    )


def _route(wanted: Wanted) -> str:
    return f"route {wanted.rule.name!r} of a message to {wanted.recipient_id!r}"


def _some(agent_ids: Sequence[str]) -> str:
    more = f" and {len(agent_ids) - _SHOWN} more" if len(agent_ids) > _SHOWN else ""
    return ", ".join(agent_ids[:_SHOWN]) + more
