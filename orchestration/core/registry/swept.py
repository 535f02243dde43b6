"""What a sweep leaves in the log: its transitions, protection, and one digest."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.core.registry.events import (
    EventType,
    NewFact,
    Reason,
    deregistered,
    status_changed,
)
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.protection import Protection, protection_facts
from orchestration.core.registry.pulse import STATUSES, Pulse
from orchestration.core.registry.sweep import SweepResult

__all__ = ["swept_facts"]


def swept_facts(
    agent_ids: Sequence[str],
    pulse: Pulse,
    result: SweepResult,
    *,
    before: Protection | None,
    epoch: str = "",
) -> tuple[NewFact, ...]:
    """Return the facts of a sweep: transitions by row, protection, the digest last.

    Args:
        agent_ids: The agents of the rows.
        pulse: What the sweep looked at.
        result: What it found.
        before: The protection that it was given.
        epoch: Which build of the hot state it looked at.
    """
    transitions = [_transition(agent_ids[r], r, pulse, result) for r in result.changed]
    protection = protection_facts(
        before,
        result.protection,
        now_ms=result.now_ms,
        silent=result.silent,
        agents=result.live,
    )
    return (*transitions, *protection, _digest(agent_ids, pulse, result, epoch))


def _transition(agent_id: str, row: int, pulse: Pulse, result: SweepResult) -> NewFact:
    before, after = STATUSES[pulse.status[row]], STATUSES[result.status[row]]
    last_heartbeat_ms = int(pulse.last_seen_ms[row])
    if after is AgentStatus.DECOMMISSIONED:
        return deregistered(
            agent_id,
            before,
            last_heartbeat_ms=last_heartbeat_ms,
            reason=Reason.SILENCE,
        )
    return status_changed(
        agent_id,
        before,
        after,
        health_score=float(result.health[row]),
        last_heartbeat_ms=last_heartbeat_ms,
        reason=_reason(row, pulse, result),
    )


def _reason(row: int, pulse: Pulse, result: SweepResult) -> Reason:
    if result.status[row] < pulse.status[row]:
        return Reason.RECOVERED
    if result.is_held[row]:
        return Reason.HELD
    return Reason.SILENCE if result.is_silent[row] else Reason.HEALTH


def _digest(
    agent_ids: Sequence[str], pulse: Pulse, result: SweepResult, epoch: str
) -> NewFact:
    listed = result.health[result.status < STATUSES.index(AgentStatus.DECOMMISSIONED)]
    data = {
        "swept_at_ms": result.now_ms,
        "epoch": epoch,
        "agents": len(pulse),
        "by_status": {str(one): count for one, count in result.by_status.items()},
        "average_health": float(listed.mean()) if len(listed) else 0.0,
        "changes": len(result.changed),
        "held": int(result.is_held.sum()),
        "protection": result.protection and result.protection.to_json(),
        "digest": pulse.digest(agent_ids),
    }
    return NewFact(EventType.HEALTH_SWEPT, data)
