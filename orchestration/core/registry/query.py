"""What is asked of the registry, and whether the question makes sense."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from orchestration.core.registry.constraint import constraint_fault
from orchestration.core.registry.index import GRADES
from orchestration.core.registry.model import (
    AgentStatus,
    RegisteredAgent,
    ServiceType,
)
from orchestration.core.words import member

__all__ = ["Order", "Query", "cursor_after", "cursor_key", "query_faults"]


class Order(StrEnum):
    """What comes first, after the preferred location; the agent's id decides last.

    HEALTH: health in hundredths, then the lower load. COST: the lower cost, then as
    by HEALTH. AGENT_ID: the ids alone, whatever the location: for lists of everything.
    """

    HEALTH = "HEALTH"
    COST = "COST"
    AGENT_ID = "AGENT_ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which agents are looked for; two that ask the same are equal.

    Nothing is checked here: ``query_faults`` lists all that is wrong.

    Attributes:
        capabilities: All of these; ``name`` in any version or none,
            ``name@constraint`` in one that fits.
        service_types: Any of these; none: any at all.
        tags: All of these.
        version_constraint: What the version of the agent's code must fit.
        location_preference: Agents there come first; no agent is left out for it.
        min_health_score: From 0.0 to 1.0.
        max_results: How many at most, at least 1.
        statuses: Those that are served: ACTIVE, DEGRADED, or both.
        max_cost: What a request may cost at most.
        max_latency_ms: What the agent must promise, or less; one that promises
            nothing is left out.
        min_availability: The same, or more; from 0.0 to 1.0.
        order: What comes first.
        after: The last page's ``cursor_after``; None: the first page.
    """

    capabilities: Sequence[str] = ()
    service_types: Sequence[ServiceType | str] = ()
    tags: Sequence[str] = ()
    version_constraint: str | None = None
    location_preference: str | None = None
    min_health_score: float = 0.0
    max_results: int = 10
    statuses: Sequence[AgentStatus | str] = (AgentStatus.ACTIVE, AgentStatus.DEGRADED)
    max_cost: float | None = None
    max_latency_ms: float | None = None
    min_availability: float | None = None
    order: Order | str = Order.HEALTH
    after: str | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "capabilities", _words(self.capabilities))
        put(self, "service_types", _words(self.service_types, ServiceType))
        put(self, "tags", _words(self.tags))
        put(self, "statuses", _words(self.statuses, AgentStatus))
        put(self, "order", _known(self.order, Order))


def query_faults(query: Query) -> tuple[str, ...]:
    """Return all that is wrong with a query, one sentence each; empty if nothing."""
    faults = [
        *_word_faults("capabilities", query.capabilities),
        *_word_faults("tags", query.tags),
        *_member_faults("service_types", query.service_types, ServiceType),
        *_member_faults("statuses", query.statuses, AgentStatus),
        *_number_faults(query),
    ]
    if not faults:  # what follows reads fields that are of their types
        faults += _meaning_faults(query)
    return tuple(faults)


def cursor_after(query: Query, agent: RegisteredAgent) -> str:
    """Return where the page after ``agent``, a result of ``query``, begins.

    An agent whose figures stay is neither skipped nor shown twice, whatever comes and
    goes; one that moves in the ranking meanwhile may be. By AGENT_ID none can move.
    """
    text = json.dumps([_mark(query), *_key(query, agent), agent.agent_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def cursor_key(query: Query) -> tuple[tuple[float, ...], str] | None:
    """Return the figures and the id behind which this page begins; None: the first.

    Raises:
        ValueError: The cursor is none, or one of another query.
    """
    if query.after is None:
        return None
    try:
        mark, *figures, agent_id = json.loads(base64.urlsafe_b64decode(query.after))
        key = tuple(float(figure) for figure in figures)
    except (ValueError, TypeError, binascii.Error):
        mark, key, agent_id = "", (), ""
    whole = isinstance(agent_id, str) and len(key) == _key_length(query)
    if mark != _mark(query) or not whole:
        raise ValueError(
            f"after is {reprlib.repr(query.after)}: it is no cursor of this query; "
            "take it from the last page, and change nothing but max_results"
        )
    return key, agent_id


def _grade_of(health: float) -> int:
    """Return the step of health that agents are ranked by; the lower the better."""
    return GRADES - round(health * GRADES)


def _key(query: Query, agent: RegisteredAgent) -> tuple[float, ...]:
    """Return what agents are ranked by before their ids; the lower the better."""
    if query.order == Order.AGENT_ID:
        return ()
    key: tuple[float, ...] = (_grade_of(agent.health_score), agent.load)
    if query.order == Order.COST:
        key = (agent.descriptor.cost_per_request, *key)
    key = (int(agent.region != ""), *key)
    if query.location_preference is not None:
        key = (int(agent.location != query.location_preference), *key)
    return key


def _key_length(query: Query) -> int:
    if query.order == Order.AGENT_ID:
        return 0
    return 3 + (query.order == Order.COST) + (query.location_preference is not None)


def _mark(query: Query) -> str:
    """Return what tells this query from others, all pages of it being one."""
    asked = repr(replace(query, after=None, max_results=1))
    return hashlib.blake2b(asked.encode(), digest_size=6).hexdigest()


def _words(given: Any, kind: type[StrEnum] | None = None) -> Any:  # noqa: ANN401  what is no list is named as a fault
    """Return words once each, in order; so that two that ask the same are equal."""
    if isinstance(given, str):
        given = (given,)
    try:
        words = tuple(given)
    except TypeError:
        return given
    if kind is not None:
        words = tuple(_known(word, kind) for word in words)
    if all(isinstance(word, str) for word in words):
        return tuple(sorted(set(words)))
    return words


def _known(given: Any, kind: type[StrEnum]) -> Any:  # noqa: ANN401  the same
    try:
        return member(kind, given)
    except ValueError:
        return given


def _word_faults(name: str, words: Any) -> list[str]:  # noqa: ANN401  the same
    if not isinstance(words, tuple):
        return [f"{name} is {reprlib.repr(words)}: give a list of texts"]
    return [
        f"{name} has {reprlib.repr(word)}: give texts that are not empty"
        for word in words
        if not isinstance(word, str) or not word
    ]


def _member_faults(name: str, words: Any, kind: type[StrEnum]) -> list[str]:  # noqa: ANN401  the same
    if not isinstance(words, tuple):
        return [f"{name} is {reprlib.repr(words)}: give a list of {kind.__name__}"]
    known = ", ".join(kind.__members__)
    return [
        f"{name} has {reprlib.repr(word)}: use {known}"
        for word in words
        if not isinstance(word, kind)
    ]


def _number_faults(query: Query) -> list[str]:
    """Name numbers that are none, or out of their bounds."""
    bounds = {
        "min_health_score": 1.0,
        "max_cost": math.inf,
        "max_latency_ms": math.inf,
        "min_availability": 1.0,
    }
    faults = []
    for name, most in bounds.items():
        value = getattr(query, name)
        if value is None and name != "min_health_score":
            continue
        if not _is_number(value) or not 0 <= value <= most:
            between = "0 or more" if most == math.inf else f"0.0 to {most}"
            faults.append(f"{name} is {reprlib.repr(value)}: give a number, {between}")
    count = query.max_results
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        faults.append(
            f"max_results is {reprlib.repr(count)}: give a whole number, 1 or more"
        )
    for name in ("location_preference", "after"):
        value = getattr(query, name)
        if value is not None and not isinstance(value, str):
            faults.append(f"{name} is {reprlib.repr(value)}: give a text, or None")
    if not isinstance(query.order, Order):
        known = ", ".join(Order)
        faults.append(f"order is {reprlib.repr(query.order)}: use {known}")
    return faults


def _meaning_faults(query: Query) -> list[str]:
    """Name constraints that are none, statuses never served, and foreign cursors."""
    faults = []
    if query.version_constraint is not None:
        fault = constraint_fault(query.version_constraint)
        faults += [fault] if fault else []
    for capability in query.capabilities:
        name, at, constraint = capability.partition("@")
        if not name:
            faults.append(f"capability {capability!r} has no name before the @")
        elif at and (fault := constraint_fault(constraint)):
            faults.append(f"capability {capability!r}: {fault}")
    served = (AgentStatus.ACTIVE, AgentStatus.DEGRADED)
    if not query.statuses:
        faults.append("statuses is empty: name ACTIVE, DEGRADED, or both")
    faults += [
        f"statuses has {status}: such agents are never served; use ACTIVE or DEGRADED"
        for status in query.statuses
        if status not in served
    ]
    try:
        cursor_key(query)
    except ValueError as exc:
        faults.append(str(exc))
    return faults


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
