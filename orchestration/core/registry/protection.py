"""When so many agents fall silent at once that their silence is not believed.

A network that broke, or a broker that stands still, silences thousands of agents which
all are well. They are held as DEGRADED then, for a bounded time: after it, silence is
believed, and protection does not begin again before the silent are few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from orchestration.core.registry.events import (
    EventType,
    NewFact,
    Reason,
    RegistryEvent,
)

__all__ = ["Protection", "fold_protection", "protected", "protection_facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Silent agents are held, or were held for as long as they may be.

    Attributes:
        since_ms: When it began, epoch milliseconds.
        until_ms: When it ends at the latest.
        is_spent: It has ended by time, and the silent are still many: nobody is held.
    """

    since_ms: int
    until_ms: int
    is_spent: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; the fields are the arguments."""
        return {
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "is_spent": self.is_spent,
        }


def protected(
    before: Protection | None,
    *,
    now_ms: int,
    is_mass: bool,
    is_needed: bool,
    hold_ms: int,
) -> Protection | None:
    """Return the protection that holds from this sweep on; None: there is none.

    Args:
        before: What the sweep before this one left.
        now_ms: When this sweep looks.
        is_mass: So many are silent that it looks like a failure of another kind.
        is_needed: Somebody would expire in this sweep.
        hold_ms: How long protection lasts at most.
    """
    if not is_mass:
        return None
    if before is None:
        until_ms = now_ms + hold_ms
        return Protection(since_ms=now_ms, until_ms=until_ms) if is_needed else None
    if now_ms >= before.until_ms:
        return replace(before, is_spent=True)
    return before


def protection_facts(
    before: Protection | None,
    after: Protection | None,
    *,
    now_ms: int,
    silent: int,
    agents: int,
) -> tuple[NewFact, ...]:
    """Return what to record of protection that began or ended with a sweep."""
    was_on = before is not None and not before.is_spent
    is_on = after is not None and not after.is_spent
    if after is not None and is_on and not was_on:
        data = {
            "since_ms": after.since_ms,
            "until_ms": after.until_ms,
            "silent": silent,
            "agents": agents,
        }
        return (NewFact(EventType.PROTECTION_STARTED, data),)
    if before is not None and was_on and not is_on:
        reason = Reason.RECOVERED if after is None else Reason.EXPIRED
        ended = {
            "since_ms": before.since_ms,
            "until_ms": before.until_ms,
            "ended_ms": now_ms,
            "reason": str(reason),
        }
        return (NewFact(EventType.PROTECTION_ENDED, ended),)
    return ()


def fold_protection(events: Iterable[RegistryEvent]) -> Protection | None:
    """Return the protection that the recorded sweeps leave, for the next one.

    Each sweep records all of it, so that the last one is enough to read.
    """
    state: Protection | None = None
    for event in events:
        if event.type is EventType.HEALTH_SWEPT:
            told = event.data["protection"]
            state = None if told is None else Protection(**told)
    return state
