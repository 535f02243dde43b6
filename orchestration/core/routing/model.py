"""What a routing rule is, and by which strategies one of several agents is picked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestration.core.words import member

__all__ = ["RouteRule", "RoutingStrategy", "Variant"]


class RoutingStrategy(StrEnum):
    """How agents are picked from a route's candidates.

    ROUND_ROBIN gives each its turn. LEAST_LOADED takes the idlest of a few.
    WEIGHTED_RANDOM throws dice, by the inverse of the load. CONTENT_BASED takes those
    that have the capability which the payload names. PRIORITY_BASED keeps the healthier
    half for what is urgent. AFFINITY holds a conversation to one agent. BROADCAST
    takes all. FAILOVER takes the first that is there, in the order of status, location
    and the rule. CONSISTENT_HASH keeps each key where it was, as far as that agent is
    not over its share. PREDICTIVE takes the one that is expected to answer first.
    """

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_LOADED = "LEAST_LOADED"
    WEIGHTED_RANDOM = "WEIGHTED_RANDOM"
    CONTENT_BASED = "CONTENT_BASED"
    PRIORITY_BASED = "PRIORITY_BASED"
    AFFINITY = "AFFINITY"
    BROADCAST = "BROADCAST"
    FAILOVER = "FAILOVER"
    CONSISTENT_HASH = "CONSISTENT_HASH"
    PREDICTIVE = "PREDICTIVE"


@dataclass(frozen=True, slots=True)
class Variant:
    """One side of a rule's split: who gets the conversations that fall to it.

    Attributes:
        name: Unique in its rule; decisions name the rule as ``rule:variant``.
        weight: Of all weights of the split, its share of the conversations.
        targets: Ids of agents.
        capability: Instead of targets: all agents that have it.
    """

    name: str
    weight: float = 1.0
    targets: Sequence[str] = ()
    capability: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", _words(self.targets))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; ``Variant(**json)`` takes it back."""
        return {
            "name": self.name,
            "weight": self.weight,
            "targets": list(self.targets),
            "capability": self.capability,
        }


@dataclass(frozen=True, slots=True)
class RouteRule:
    """Which messages go to which agents, and how one of those is picked.

    Nothing is checked here: ``checks.rule_faults`` lists all that is wrong.

    Attributes:
        name: Unique in a table.
        priority: The rule of the highest is asked first; of equals, the older.
        condition: Over ``payload``, ``sender_id``, ``recipient_id``, ``message_type``,
            ``priority`` and ``headers``; see ``core.conditions``. None: all messages.
        targets: Ids of agents.
        strategy: How one is picked; a plain name is accepted.
        capability: Instead of targets: all agents that have it.
        enabled: A rule that is not enabled matches nothing.
        key: The key of the payload that CONSISTENT_HASH, AFFINITY and CONTENT_BASED go
            by. None: for CONTENT_BASED ``task_type``, for the others the header
            ``affinity_key``, and without that the conversation.
        locations: For FAILOVER and ``nearest``: where agents are preferred, the best
            first; before them all goes the message's header ``location``.
        nearest: Only agents of one location are picked from: the one that answers
            soonest from here, as far as that is known, else as ``locations`` says.
        split: In place of targets: variants among which conversations are shared out,
            each of which keeps its own; by ``key``, as AFFINITY goes by it.
        mirror: An agent that gets copies of messages that are sent under this rule;
            what it answers, nobody hears.
        mirror_share: Of these messages that are copied, 0.0 to 1.0.
    """

    name: str
    priority: int = 0
    condition: str | None = None
    targets: Sequence[str] = ()
    strategy: RoutingStrategy | str = RoutingStrategy.LEAST_LOADED
    capability: str | None = None
    enabled: bool = True
    key: str | None = None
    locations: Sequence[str] = ()
    nearest: bool = False
    split: Sequence[Variant | Mapping[str, Any]] = ()
    mirror: str | None = None
    mirror_share: float = 1.0

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "targets", _words(self.targets))
        put(self, "split", _variants(self.split))
        put(self, "locations", _words(self.locations))
        put(self, "strategy", _known(self.strategy))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; ``RouteRule(**json)`` takes it back."""
        return {
            "name": self.name,
            "priority": self.priority,
            "condition": self.condition,
            "targets": list(self.targets),
            "strategy": str(self.strategy),
            "capability": self.capability,
            "enabled": self.enabled,
            "key": self.key,
            "locations": list(self.locations),
            "nearest": self.nearest,
            "split": [one.to_json() for one in self.split if isinstance(one, Variant)],
            "mirror": self.mirror,
            "mirror_share": self.mirror_share,
        }


def _words(given: Any) -> Any:  # noqa: ANN401  what is no list is named as a fault
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return tuple(given)
    return given


def _variants(given: Any) -> Any:  # noqa: ANN401  what is none is named as a fault
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        return given
    try:
        return tuple(
            Variant(**one) if isinstance(one, Mapping) else one for one in given
        )
    except TypeError:
        return given


def _known(given: Any) -> Any:  # noqa: ANN401  what is no strategy is named as a fault
    try:
        return member(RoutingStrategy, given)
    except ValueError:
        return given
