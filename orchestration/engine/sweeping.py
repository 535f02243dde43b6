"""The registry's sweep: who stands where by now, recorded and told to the replicas."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np

from orchestration.adapters.registry_feed import FeedChange, Glance, Kind
from orchestration.adapters.registry_log import LastSweep, RowsToSweep
from orchestration.adapters.registry_rebuild import (
    differences,
    ensure_built,
    rebuild,
)
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.checksum import digests, id_hash, sum_of
from orchestration.core.registry.events import NewFact
from orchestration.core.registry.health import HealthRules
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.packed import unpack_many
from orchestration.core.registry.pulse import STATUSES, Pulse, code_of, pulse_of
from orchestration.core.registry.sla import (
    SLA_RULES,
    SlaChange,
    SlaRules,
    SlaState,
    judge,
    limits_of,
    sla_facts,
)
from orchestration.core.registry.sla_book import SlaBook
from orchestration.core.registry.sweep import SweepResult, sweep
from orchestration.core.registry.swept import swept_facts
from orchestration.engine.registering import RegistryDesk
from orchestration.errors import TransportError
from orchestration.metrics import RegistryMetrics

__all__ = ["RegistrySweeper", "Swept"]

logger = logging.getLogger(__name__)
_GONE: Final = code_of(AgentStatus.DECOMMISSIONED)
_LONG_AGO: Final = timedelta(seconds=30)
"""Since the last sweep: who takes heartbeats was away as well, most likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep has done.

    Attributes:
        agents: How many it looked at.
        changed: How many stand elsewhere now, or keep other promises.
        held: How many are silent and held.
        repaired: How many Redis had otherwise than Postgres.
    """

    agents: int
    changed: int
    held: int
    repaired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What a sweep has found.

    Attributes:
        pulse: The heartbeats that it went by, and the promises broken by now.
        result: Where everybody stands.
        before: What was known of the promises; row by row, like all here.
        after: What is known of them now.
        changes: Of the promises.
    """

    pulse: Pulse
    result: SweepResult
    before: SlaState
    after: SlaState
    changes: Sequence[SlaChange]


@dataclass(frozen=True, slots=True)
class RegistrySweeper:
    """Looks at every agent, and says where it stands by now."""

    desk: RegistryDesk
    rules: HealthRules
    metrics: RegistryMetrics
    sla_rules: SlaRules = SLA_RULES

    def sweep(self, because: Because) -> Swept | None:
        """Sweep once; None: it was not possible, or another sweep was first.

        Raises:
            TransportError: Redis or Postgres does not answer.
        """
        log, hot = self.desk.log, self.desk.hot
        if not ensure_built(log, hot):
            return None
        last, rows = log.last_sweep(), log.rows_to_sweep()
        glance = hot.look_at(rows.agent_ids)
        if glance is None:
            return None
        since_ms = glance.heard_since_ms
        if glance.is_restarted or last.ago > _LONG_AGO:
            # Nobody could be heard meanwhile, or nobody was there to hear.
            hot.hear_anew(glance)
            since_ms = glance.now_ms
        judged = self._judge(rows, glance, since_ms, last)
        facts = self._facts(rows, glance, judged, last)
        # Of nobody there is nothing to record, and no digest.
        versions = log.swept(facts, rows, last, because) if rows.agent_ids else {}
        if versions is None:
            return None
        self.desk.tell(_told(rows, judged, versions))
        self._keep(rows, glance, judged, versions)
        self._show(rows, judged.result)
        return Swept(
            agents=len(rows.agent_ids),
            changed=len(versions),
            held=int(judged.result.is_held.sum()),
            repaired=self._repair(rows, judged.result, versions),
        )

    def _judge(
        self, rows: RowsToSweep, glance: Glance, since_ms: int, last: LastSweep
    ) -> _Judged:
        """Judge everybody, first by what was known of their promises."""
        now_ms = glance.now_ms
        before = SlaBook.from_bytes(glance.promises).state_of(
            rows.agent_ids, rows.registered_ms, rows.violations, now_ms
        )
        pulse = self._pulse(rows, glance)

        def swept(pulse: Pulse) -> SweepResult:
            return sweep(
                pulse,
                now_ms,
                self.rules,
                protection=last.protection,
                epoch_ms=since_ms,
            )

        result = swept(pulse)
        after, changes = judge(
            limits_of(rows.slas),
            before,
            pulse,
            now_ms,
            rules=self.sla_rules,
            health_rules=self.rules,
            epoch_ms=since_ms,
            is_excused=result.is_held,
        )
        if changes:  # which tell on health
            pulse = replace(pulse, violations=after.violations)
            result = swept(pulse)
        return _Judged(
            pulse=pulse,
            result=result,
            before=before,
            after=after,
            # Of one that is taken out there is no more to say.
            changes=[one for one in changes if result.status[one.row] != _GONE],
        )

    def _facts(
        self, rows: RowsToSweep, glance: Glance, judged: _Judged, last: LastSweep
    ) -> Sequence[NewFact]:
        """Return what is to be recorded; of one agent, its promises come first."""
        pulse, result = judged.pulse, judged.result
        promises = sla_facts(
            rows.agent_ids,
            judged.changes,
            health=result.health,
            last_seen_ms=pulse.last_seen_ms,
        )
        transitions = swept_facts(
            rows.agent_ids, pulse, result, before=last.protection, epoch=glance.epoch
        )
        return (*promises, *transitions)

    def _keep(
        self,
        rows: RowsToSweep,
        glance: Glance,
        judged: _Judged,
        versions: dict[str, int],
    ) -> None:
        """Leave to the next sweep what is known of promises; in vain, it is lost."""
        changed = {change.row for change in judged.changes}
        left = [row for row in changed if rows.agent_ids[row] not in versions]
        book = SlaBook.of(
            rows.agent_ids,
            rows.registered_ms,
            limits_of(rows.slas),
            judged.after.taken_back(left, judged.before),
        )
        if not book.agent_ids and not glance.promises:
            return
        try:
            self.desk.hot.keep_promises(glance.epoch, book.to_bytes())
        except TransportError as exc:
            logger.warning("how often promises were missed is not kept: %s", exc)

    def _pulse(self, rows: RowsToSweep, glance: Glance) -> Pulse:
        # Registrations are timed by Postgres, heartbeats by Redis.
        postgres_now = self.desk.log.db.clock.now()
        skew_ms = glance.now_ms - round(postgres_now.timestamp() * 1_000)
        return pulse_of(
            unpack_many(glance.blobs),
            registered_ms=rows.registered_ms + skew_ms,
            interval_ms=rows.interval_ms,
            violations=np.array([len(broken) for broken in rows.violations], np.int64),
            status=rows.status,
        )

    def _show(self, rows: RowsToSweep, result: SweepResult) -> None:
        by_status = result.by_status
        by_status[AgentStatus.DECOMMISSIONED] = 0  # they are registered no longer
        registered = result.status < _GONE
        healths = zip(
            np.array(rows.agent_ids, object)[registered].tolist(),
            result.health[registered].tolist(),
            strict=True,
        )
        self.metrics.swept(by_status, dict(healths))

    def _repair(
        self, rows: RowsToSweep, result: SweepResult, versions: dict[str, int]
    ) -> int:
        """Put right what Redis has otherwise than Postgres; return how much."""
        log, hot = self.desk.log, self.desk.hot
        stands = _after(rows, result, versions) | log.shown_stands()
        told = hot.checksum(hot.epoch)
        if told is None or (told[1], *hot.sizes()) == (
            _checksum(stands),
            len(stands),
            len(stands),
        ):
            return 0
        states, is_sound = hot.states()
        if not is_sound or len({len(states), *hot.sizes()}) > 1:
            # A part of it was lost, and nothing that is told would put that right.
            return rebuild(log, hot)
        known = {agent: change.version for agent, change in states.items()}
        expected = {agent: version for agent, (version, _) in stands.items()}
        changes = differences(log, known, expected)
        if changes:
            logger.info("Redis had %d agents otherwise than Postgres", len(changes))
            self.desk.tell(changes)
        return len(changes)


def _after(
    rows: RowsToSweep, result: SweepResult, versions: dict[str, int]
) -> dict[str, tuple[int, int]]:
    """Return version and status code of everybody who is registered after a sweep."""
    stands: dict[str, tuple[int, int]] = {}
    columns = (rows.version.tolist(), rows.status.tolist(), result.status.tolist())
    for agent, version, before, after in zip(rows.agent_ids, *columns, strict=True):
        if agent not in versions:
            stands[agent] = (version, before)
        elif after != _GONE:
            stands[agent] = (versions[agent], after)
    return stands


def _checksum(stands: dict[str, tuple[int, int]]) -> int:
    """Return the checksum of a replica where agents stand so."""
    return sum_of(
        digests(
            np.array([id_hash(agent) for agent in stands], np.uint64),
            np.array([version for version, _ in stands.values()], np.int64),
            np.array([status for _, status in stands.values()], np.int8),
        )
    )


def _told(
    rows: RowsToSweep, judged: _Judged, versions: dict[str, int]
) -> list[FeedChange]:
    """Return what replicas are to hear of a sweep: what was recorded of it."""
    found = []
    for row, agent_id in enumerate(rows.agent_ids):
        version = versions.get(agent_id)
        if version is None:
            continue
        if judged.result.status[row] == _GONE:
            found.append(FeedChange.gone(agent_id, version))
            continue
        change = FeedChange(
            kind=Kind.STATUS,
            agent_id=agent_id,
            version=version,
            status=STATUSES[judged.result.status[row]],
            health=float(judged.result.health[row]),
            heard_ms=int(judged.pulse.last_seen_ms[row]),
            violations=judged.after.broken(row),
        )
        found.append(change)
    return found
