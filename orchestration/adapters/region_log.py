"""What this region knows of others: copies of their agents, and which are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from eventstore import canonical_bytes
from orchestration.adapters.database import Database
from orchestration.adapters.queries import load_queries
from orchestration.adapters.region_peer import PeerPage, Place
from orchestration.adapters.registry_feed import FeedChange
from orchestration.adapters.registry_log import state_of
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.events import EventType, NewFact, agent_uuid
from orchestration.core.registry.fold import AgentState, apply
from orchestration.core.registry.regions import (
    Claim,
    RegionEvent,
    Standing,
    holder,
    region_event_id,
    region_stream,
    standing_of,
)

__all__ = ["RegionLog", "RegionRules", "RegionView"]

_MOST_SHOWN: Final = 500
"""Bounds one tick; what is left is taken by the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRules:
    """What this region is called, and what silence of others means.

    Attributes:
        own: Its name.
        stale_s: Silence after which agents are DEGRADED at best, seconds.
        lost_s: Silence after which they are INACTIVE, seconds.
    """

    own: str
    stale_s: float
    lost_s: float

    def standing(self, silent_s: float) -> Standing:
        """Return what is known of a region that is silent for so long is worth."""
        return standing_of(silent_s, stale_s=self.stale_s, lost_s=self.lost_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionView:
    """One other region as it is known here.

    Attributes:
        standing: What is known of it is worth.
        silent_s: How long ago it was last read, seconds.
        cursor: The number of its log up to which it is read.
        is_building: It is being read from the beginning.
        agents: How many of its agents are known.
        shown: How many are shown: others' ids are those of somebody else as well.
        fault: What the last attempt to read it ended with; empty: it went well.
        contested: Its ids that others have too, and the region that each is of by the
            rule.
    """

    standing: Standing
    silent_s: float
    cursor: int
    is_building: bool
    agents: int
    shown: int
    fault: str
    contested: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RegionLog:
    """The copies in one database."""

    db: Database
    rules: RegionRules
    sql: Mapping[str, str] = field(default_factory=lambda: load_queries("regions.sql"))

    def due(self, regions: Sequence[str], hold_s: float) -> tuple[str, ...]:
        """Claim the regions that may be read now, for so many seconds at most."""
        given = {"regions": list(regions), "hold": timedelta(seconds=hold_s)}
        return tuple(row[0] for row in self.db.rows(self.sql["due"], given))

    def place(self, region: str) -> Place:
        """Return how far a region has been read; it is made known if it is not."""
        self.db.rows(self.sql["make"], (region,))
        return _place(self.db.rows(self.sql["place"], (region,))[0])

    def take(
        self, region: str, before: Place, page: PeerPage, because: Because
    ) -> Place | None:
        """Take in a page, the copies and the place in one transaction.

        Returns:
            How far it is read now; None: another process was first, nothing was done.
        """
        with self.db.begin() as connection:
            rows = self.db.rows(
                self.sql["lock_place"], (region,), connection=connection
            )
            if not rows or _place(rows[0]) != before:
                return None
            if page.is_same_log:
                self._copy(connection, region, before, page, because)
                ended = before.is_building and not page.is_last
                after = replace(
                    before, cursor=page.cursor, leaf=page.leaf, is_building=ended
                )
            else:
                told = {"cursor": before.cursor, "head": page.head}
                self._append(
                    connection, region, RegionEvent.REGION_RESTORED, told, because
                )
                self._run(connection, "restored", (region,))
                after = Place(-1, None, before.generation + 1, is_building=True)
            connection.commit()
        return after

    def failed(self, region: str, fault: str, pause_s: float) -> None:
        """Note why a region could not be read; it is tried again after a pause."""
        given = (fault[:500], timedelta(seconds=pause_s), region)
        self.db.rows(self.sql["failed"], given)

    def settle(self, region: str, because: Because) -> tuple[FeedChange, ...]:
        """Bring in line what is shown with what is known; return what has changed."""
        with self.db.begin() as connection:
            rows = self._run(connection, "lock_standing", (region,))
            if rows:
                self._stand(connection, region, rows[0], because)
                self._contest(connection, region, because)
            changes = self._show(connection, because)
            connection.commit()
        return changes

    def forget(self, keep: Sequence[str], because: Because) -> tuple[FeedChange, ...]:
        """Drop the copies of regions that are no peers any more; return who left."""
        with self.db.begin() as connection:
            found = self._run(connection, "gone_regions", (list(keep),))
            if not found:
                return ()
            regions = [row[0] for row in found]
            self._run(connection, "forget_copies", (regions,))
            changes = self._show(connection, because)
            self._run(connection, "forget_region", (regions,))
            connection.commit()
        return changes

    def overview(self) -> dict[str, RegionView]:
        """Return each other region as it is known now."""
        contested = self._contested()
        return {
            region: RegionView(
                standing=self.rules.standing(silent_s),
                silent_s=silent_s,
                cursor=cursor,
                is_building=is_building,
                agents=agents,
                shown=shown,
                fault=fault,
                contested=contested.get(region, {}),
            )
            for region, cursor, is_building, fault, silent_s, agents, shown in (
                self.db.rows(self.sql["overview"])
            )
        }

    def _contested(self) -> dict[str, dict[str, str]]:
        """Return by region which of its ids others have too, and whose each is."""
        claims: dict[str, list[Claim]] = {}
        rows = self.db.rows(self.sql["claims"], (self.rules.own,))
        for agent_id, region, at in rows:
            claims.setdefault(agent_id, []).append(Claim(region, at))
        found: dict[str, dict[str, str]] = {}
        for agent_id, some in claims.items():
            for claim in some:
                found.setdefault(claim.region, {})[agent_id] = holder(some)
        return found

    def _copy(
        self,
        connection: Connection,
        region: str,
        before: Place,
        page: PeerPage,
        because: Because,
    ) -> None:
        """Bring copies up to the end of a page, and the place with them."""
        touched = sorted({event.agent_id or "" for event in page.events})
        states: dict[str, AgentState] = {}
        if touched:
            known = self._run(
                connection, "copies", (region, before.generation, touched)
            )
            found = (state_of(row) for row in known)
            states = {state.descriptor.agent_id: state for state in found}
        for event in page.events:
            agent_id = event.agent_id or ""
            states[agent_id] = apply(states.get(agent_id), event)
        kept = [one for one in states.values() if one.is_registered]
        if kept:
            self._run(connection, "copied", _columns(region, before, kept))
        gone = [a for a, state in states.items() if not state.is_registered]
        left = [*self._run(connection, "left", (region, gone))] if gone else []
        if before.is_building and page.is_last:
            left += self._run(connection, "left_behind", (region, before.generation))
        for agent_id, is_contested in left:
            if is_contested:
                told = {"agent_id": agent_id}
                self._append(
                    connection, region, RegionEvent.NAME_SETTLED, told, because
                )
        moved = (page.cursor, page.leaf, page.is_last, region)
        self._run(connection, "moved", moved)

    def _stand(
        self,
        connection: Connection,
        region: str,
        row: Sequence[Any],
        because: Because,
    ) -> None:
        """Record that a region is silent for too long, or was heard of again."""
        _, before, silent_s = row
        standing = self.rules.standing(silent_s)
        if standing == before:
            return
        told: dict[str, Any] = {"silent_s": round(silent_s, 3)}
        kind = RegionEvent.REGION_HEALED
        if standing is not Standing.FRESH:
            kind, told["standing"] = RegionEvent.REGION_STALE, str(standing)
        self._append(connection, region, kind, told, because)
        self._run(connection, "stand", (str(standing), region))

    def _contest(self, connection: Connection, region: str, because: Because) -> None:
        """Record which ids came to be two agents', and which are one's again."""
        found = self._run(connection, "contests", (region, _MOST_SHOWN))
        for agent_id, theirs, ours in found:
            told = {"agent_id": agent_id}
            kind = RegionEvent.NAME_SETTLED
            if ours is not None:
                kind = RegionEvent.NAME_CONTESTED
                claims = (Claim(region, theirs), Claim(self.rules.own, ours))
                told["holder"] = holder(claims)
            self._append(connection, region, kind, told, because)
            self._run(connection, "contest", (ours is not None, region, agent_id))

    def _show(self, connection: Connection, because: Because) -> tuple[FeedChange, ...]:
        changes: list[FeedChange] = []
        for *row, agent_id, before, stands in self._run(
            connection, "to_show", (_MOST_SHOWN,)
        ):
            state = None if row[0] is None else state_of(row)
            fact = _ended(agent_id, before) if state is None else _copied(state)
            given = (
                agent_id,
                stands,
                str(fact.event_id(stands)),
                str(fact.type),
                canonical_bytes(fact.data),
                str(agent_uuid(agent_id)),
                because.causation,
                because.actor,
                because.metadata,
                None if state is None else state.region,
                None if state is None else str(state.status),
                None if state is None else state.as_of,
            )
            ((version,),) = self._run(connection, "show", given)
            if version is None:
                continue  # somebody registers it this moment: the next tick sees
            if state is not None:
                changes.append(FeedChange.of(replace(state, version=version)))
                continue
            changes.append(FeedChange.gone(agent_id, version))
        return tuple(changes)

    def _append(
        self,
        connection: Connection,
        region: str,
        kind: RegionEvent,
        told: Mapping[str, Any],
        because: Because,
    ) -> None:
        ((version, *_),) = self._run(connection, "lock_standing", (region,))
        data = {"region": region, **told}
        given = {
            "region": region,
            "event_id": str(region_event_id(region_stream(region), version, data)),
            "type": str(kind),
            "causation": because.causation,
            "actor": because.actor,
            "metadata": because.metadata,
            "data": canonical_bytes(data),
        }
        self._run(connection, "append", given)

    def _run(
        self,
        connection: Connection,
        name: str,
        given: tuple[Any, ...] | dict[str, Any],
    ) -> Sequence[Sequence[Any]]:
        return self.db.rows(self.sql[name], given, connection=connection)


def _place(row: Sequence[Any]) -> Place:
    cursor, leaf, generation, is_building = row
    return Place(cursor, None if leaf is None else bytes(leaf), generation, is_building)


def _heard_ms(state: AgentState) -> int | None:
    heard = state.last_heartbeat
    return None if heard is None else round(heard.timestamp() * 1_000)


def _columns(
    region: str, place: Place, states: Sequence[AgentState]
) -> tuple[Any, ...]:
    """Return copies as the statement takes them."""
    return (
        region,
        [one.descriptor.agent_id for one in states],
        [place.generation for _ in states],
        [one.version for one in states],
        [canonical_bytes(one.descriptor.to_json()).decode() for one in states],
        [one.location for one in states],
        [one.owner for one in states],
        [str(one.status) for one in states],
        [one.health_score for one in states],
        [one.registered_at for one in states],
        [one.changed_at for one in states],
        [_heard_ms(one) for one in states],
    )


def _copied(state: AgentState) -> NewFact:
    data = {
        "agent_id": state.descriptor.agent_id,
        "region": state.region,
        "copy_version": state.version,
        "descriptor": state.descriptor.to_json(),
        "location": state.location,
        "owner": state.owner,
        "status": str(state.status),
        "health_score": state.health_score,
        "registered_at": state.registered_at.isoformat(),
        "last_heartbeat_ms": _heard_ms(state),
        "as_of": None if state.as_of is None else state.as_of.isoformat(),
    }
    return NewFact(EventType.AGENT_COPIED, data)


def _ended(agent_id: str, region: str) -> NewFact:
    return NewFact(EventType.AGENT_COPY_ENDED, {"agent_id": agent_id, "region": region})
