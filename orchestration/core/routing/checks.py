"""What a rule or a static route may not be: every fault at once, with its way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from orchestration.core.conditions import condition_fault
from orchestration.core.routing.bounds import between
from orchestration.core.routing.model import RouteRule, RoutingStrategy, Variant

__all__ = ["CONDITION_NAMES", "rule_faults"]

CONDITION_NAMES: Final = frozenset(
    {"payload", "sender_id", "recipient_id", "message_type", "priority", "headers"}
)
"""What the condition of a rule may read."""

_MAX_NAME: Final = 200  # characters
_AGENT: Final = re.compile(r"[\w-]{1,200}")


def rule_faults(rule: RouteRule) -> tuple[str, ...]:
    """Return everything that is wrong with a rule; empty if nothing is."""
    return (
        *_about_fields(rule),
        *_about_condition(rule),
        *_about_ways(rule),
        *_about_mirror(rule),
    )


def _about_fields(rule: RouteRule) -> Iterator[str]:
    priority: object = rule.priority
    enabled: object = rule.enabled
    nearest: object = rule.nearest
    if not _is_name(rule.name):
        yield f"name {rule.name!r}: give it 1 to {_MAX_NAME} printable characters"
    if type(priority) is not int:
        yield f"priority {rule.priority!r}: give a whole number"
    if type(enabled) is not bool:
        yield f"enabled {rule.enabled!r}: give True or False"
    if type(nearest) is not bool:
        yield f"nearest {rule.nearest!r}: give True or False"
    if not isinstance(rule.strategy, RoutingStrategy):
        names = ", ".join(RoutingStrategy)
        yield f"strategy {rule.strategy!r}: use one of {names}"
    if rule.key is not None and not _is_name(rule.key):
        yield f"key {rule.key!r}: give the name of a key of the payload"
    if not isinstance(rule.locations, tuple) or not all(map(_is_name, rule.locations)):
        yield f"locations {rule.locations!r}: give a list of names"


def _about_condition(rule: RouteRule) -> Iterator[str]:
    if rule.condition is not None:
        fault = condition_fault(rule.condition, names=CONDITION_NAMES)
        if fault:
            yield fault


def _about_ways(rule: RouteRule) -> Iterator[str]:
    if rule.split == ():
        yield from _about_targets(rule)
        return
    if rule.targets or rule.capability is not None:
        yield "it has a split, and targets or a capability of its own: leave one out"
    variants = rule.split
    if not isinstance(variants, tuple) or not all(
        isinstance(one, Variant) for one in variants
    ):
        yield f"split {variants!r}: give a list of variants"
        return
    known = [one for one in variants if isinstance(one, Variant)]
    if len({one.name for one in known}) < len(known):
        yield "its split names a variant twice: name each once"
    if not any(_is_weight(one.weight) and one.weight > 0 for one in known):
        yield "no variant of its split has a weight: give one more than 0"
    for one in known:
        where = f"variant {one.name!r}"
        if not _is_name(one.name):
            yield f"{where}: give a name of 1 to {_MAX_NAME} printable characters"
        yield from between(f"{where}: weight", one.weight, 0)
        yield from (f"{where}: {fault}" for fault in _about_targets(one))


def _about_mirror(rule: RouteRule) -> Iterator[str]:
    if rule.mirror is not None and not _is_agent(rule.mirror):
        yield f"mirror {rule.mirror!r}: give the id of an agent"
    yield from between("mirror_share", rule.mirror_share, 0, 1)


def _is_weight(given: object) -> bool:
    return not between("weight", given, 0)


def _is_agent(given: object) -> bool:
    return isinstance(given, str) and _AGENT.fullmatch(given) is not None


def _about_targets(rule: RouteRule | Variant) -> Iterator[str]:
    if not isinstance(rule.targets, tuple):
        yield f"targets {rule.targets!r}: give a list of agents' ids"
        return
    if rule.capability is not None and not _is_name(rule.capability):
        yield f"capability {rule.capability!r}: give the name of one"
    if not rule.targets and rule.capability is None:
        yield "it leads nowhere: give targets or a capability"
    if rule.targets and rule.capability is not None:
        yield "it has targets and a capability: give one of them"
    for target in rule.targets:
        if not _is_agent(target):
            yield f"target {target!r}: use letters, digits, '_' and '-'"
    if len(set(map(repr, rule.targets))) < len(rule.targets):
        yield "it names a target twice: name each once"


def _is_name(given: object) -> bool:
    return (
        isinstance(given, str) and 0 < len(given) <= _MAX_NAME and given.isprintable()
    )
