"""Which agents answer a query, and in which order.

A query is answered in two stages. ``candidates`` selects by what agents say of
themselves, which seldom changes; ``ranked`` takes those of them that are served and
healthy now, and puts the best first. Nothing leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.checksum import status_number
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.constraint import compile_constraint
from orchestration.core.registry.index import GRADES, id_words
from orchestration.core.registry.model import AgentStatus, RegisteredAgent
from orchestration.core.registry.postings import Mask, Posting, Rows, united
from orchestration.core.registry.query import (
    Order,
    Query,
    cursor_key,
    query_faults,
)
from orchestration.errors import InvalidQuery

__all__ = ["candidates", "discover", "ranked", "refuse_faults"]

_NOWHERE: Final = -1  # the number of a location where no agent is

_Values = NDArray[Any]
_Key = Callable[[Rows], _Values]
"""Returns of each row what it is ranked by; the lower the better."""


def discover(columns: Columns, query: Query) -> tuple[RegisteredAgent, ...]:
    """Return the agents that answer a query, the best first.

    Raises:
        InvalidQuery: The query makes no sense; the error lists all faults.
    """
    refuse_faults(query)
    with columns.lock:
        return ranked(columns, query, candidates(columns, query))


def refuse_faults(query: Query) -> None:
    """Raise InvalidQuery if there are faults in a query."""
    if faults := query_faults(query):
        raise InvalidQuery(faults)


def candidates(columns: Columns, query: Query) -> Rows:
    """Return the rows that say of themselves what is asked. Hold the lock.

    They are good as long as ``columns.members`` stands still, for every query with
    the same capabilities, service types, tags, version constraint, cost and promises.
    """
    postings = _required(columns, query)
    if postings is None:
        return np.zeros(0, np.int64)
    rows = _common(columns, postings)
    if query.version_constraint is not None:
        fits = columns.code_versions.allowed(
            compile_constraint(query.version_constraint)
        )
        rows = rows[fits.take(columns.code_version.take(rows))]
    if query.max_cost is not None:
        rows = rows[columns.cost.take(rows) <= query.max_cost]
    if query.max_latency_ms is not None:
        rows = rows[columns.max_latency_ms.take(rows) <= query.max_latency_ms]
    if query.min_availability is not None:
        rows = rows[columns.availability.take(rows) >= query.min_availability]
    return rows


def ranked(columns: Columns, query: Query, rows: Rows) -> tuple[RegisteredAgent, ...]:
    """Return the best of some rows that are served and healthy now. Hold the lock."""
    kept = _served(query, columns.status.take(rows))
    if query.min_health_score > 0:
        kept &= columns.health.take(rows) >= query.min_health_score
    rows = rows[kept]
    keys = _keys(columns, query)
    if (cursor := cursor_key(query)) is not None:
        figures, agent_id = cursor
        rows = _beyond(keys, [*figures, *_padded(columns, agent_id)], rows)
    best = _first(keys, rows, query.max_results)
    return tuple(map(columns.agent, best.tolist()))


def _required(columns: Columns, query: Query) -> list[Posting] | None:
    """Return what each wanted word is found under; None: there is a word nobody has."""
    index, found = columns.index, []
    for capability in query.capabilities:
        name, _, constraint = capability.partition("@")
        if constraint:
            found.append(_releases(columns, name, constraint))
        else:
            found.append(index.capabilities.get(name))
    found += [index.tags.get(tag) for tag in query.tags]
    if query.service_types:
        kinds = [index.service_types.get(kind) for kind in query.service_types]
        found.append(_any(columns, [kind for kind in kinds if kind is not None]))
    postings = [posting for posting in found if posting is not None]
    return postings if len(postings) == len(found) else None


def _releases(columns: Columns, name: str, constraint: str) -> Posting | None:
    """Return who has a capability in a version that fits."""
    releases = columns.index.releases.get(name)
    if releases is None:
        return None
    allows = compile_constraint(constraint).allows
    fitting = (releases.get(release) for release in releases if allows(release))
    return _any(columns, [one for one in fitting if one is not None])


def _any(columns: Columns, postings: list[Posting]) -> Posting | None:
    return united(postings, columns.capacity) if postings else None


def _common(columns: Columns, postings: list[Posting]) -> Rows:
    """Return the rows that are in all postings; of no postings, all agents."""
    if not postings:
        return np.flatnonzero(columns.status >= 0)
    # A set of rows is few rows: what is left to look up is less than a column.
    postings.sort(key=lambda posting: (posting.mask is not None, posting.count))
    first, *others = postings
    if first.mask is None:
        rows = first.rows()
        for posting in others:
            rows = rows[posting.has(rows)]
        return rows
    mask = first.mask
    for posting in others:
        mask = mask & posting.as_mask(columns.capacity)
    return np.flatnonzero(mask)


def _served(query: Query, statuses: _Values) -> Mask:
    """Tell of each status whether it is asked for."""
    served = np.zeros(len(statuses), np.bool_)
    for status in query.statuses:
        served |= statuses == status_number(AgentStatus(status))
    return served


def _keys(columns: Columns, query: Query) -> list[_Key]:
    """Return what rows are ranked by, what counts most first."""
    by_id: list[_Key] = [part.take for part in columns.id_parts]
    by_place: list[_Key] = []
    if query.location_preference is not None:
        by_place = [partial(_place, columns, query.location_preference)]
    # Messages reach no other region: its agents come last.
    by_place.append(columns.is_foreign.take)
    by_health: list[_Key] = [partial(_grade, columns), columns.load.take]
    match query.order:
        case Order.AGENT_ID:
            return by_id
        case Order.COST:
            return [*by_place, columns.cost.take, *by_health, *by_id]
        case _:
            return [*by_place, *by_health, *by_id]


def _place(columns: Columns, preferred: str, rows: Rows) -> _Values:
    wanted = columns.locations.find(preferred)
    elsewhere: _Values = columns.location.take(rows) != (
        _NOWHERE if wanted is None else wanted
    )
    return elsewhere


def _grade(columns: Columns, rows: Rows) -> _Values:
    return GRADES - columns.grade.take(rows)


def _padded(columns: Columns, agent_id: str) -> list[int]:
    """Return an id as the columns hold ids: as long as the longest they have had."""
    parts = len(columns.id_parts)
    return [*id_words(agent_id), *[0] * parts][:parts]


def _beyond(keys: list[_Key], bounds: list[float], rows: Rows) -> Rows:
    """Return the rows that are ranked behind some bounds, one for each key."""
    beyond = np.zeros(len(rows), np.bool_)
    level = np.ones(len(rows), np.bool_)
    for key, bound in zip(keys, bounds, strict=True):
        values = key(rows)
        beyond |= level & (values > bound)
        level &= values == bound
    return rows[beyond]


def _first(keys: list[_Key], rows: Rows, count: int) -> Rows:
    """Return the best rows in their order.

    Key by key those are kept that are surely among the best, and those on the edge
    are told apart by the next key; only what is kept is sorted.
    """
    sure: list[Rows] = []
    edge, wanted = rows, count
    for key in keys:
        if len(edge) <= wanted:
            break
        values = key(edge)
        level = values == values.min()
        if np.count_nonzero(level) >= wanted:  # the usual case, and a cheap one
            edge = edge[level]
            continue
        cut = np.partition(values, wanted - 1)[wanted - 1]
        better = edge[values < cut]
        sure.append(better)
        wanted -= len(better)
        edge = edge[values == cut]
    best = np.concatenate([*sure, edge])
    if len(best) <= 1:  # there may have been no agent ever, and so no part of an id
        return best
    return best[np.lexsort([key(best) for key in reversed(keys)])]
