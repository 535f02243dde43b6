"""Where every agent stands now: by its silence, and by its health.

An agent that was silent for more than two of its intervals is DEGRADED, for four
INACTIVE, and after five minutes it is DECOMMISSIONED, which nothing but a new
registration ends. One that is heard of is ACTIVE or DEGRADED by its health. Two things
are not taken for silence: what happened before the hot state was rebuilt (see
``Pulse.silence_ms``), and the silence of very many at once (see ``protection``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.health import RULES, HealthRules, health_scores
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.protection import Protection, protected
from orchestration.core.registry.pulse import STATUSES, Pulse, code_of

__all__ = ["SweepResult", "sweep"]

_ACTIVE: Final = code_of(AgentStatus.ACTIVE)
_DEGRADED: Final = code_of(AgentStatus.DEGRADED)
_INACTIVE: Final = code_of(AgentStatus.INACTIVE)
_DECOMMISSIONED: Final = code_of(AgentStatus.DECOMMISSIONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Where the agents stand after a sweep; columns of shape ``(n,)``.

    Attributes:
        now_ms: When the sweep looked, epoch milliseconds.
        status: Where each stands now; int8, see ``STATUSES``.
        health: How well each is; float64, 0.0-1.0.
        changed: The rows whose status is another than before, ascending; int64.
        is_silent: Who is silent for so long that health is not what counts; bool.
        is_held: Who would have expired, and is held; bool.
        silent: How many of those that had not expired before are silent.
        live: How many had not expired before.
        protection: What the next sweep is to be given; None: there is none.
    """

    now_ms: int
    status: NDArray[np.int8]
    health: NDArray[np.float64]
    changed: NDArray[np.int64]
    is_silent: NDArray[np.bool_]
    is_held: NDArray[np.bool_]
    silent: int
    live: int
    protection: Protection | None

    @property
    def is_protected(self) -> bool:
        """Whether silence is not believed at present."""
        return self.protection is not None and not self.protection.is_spent

    @property
    def by_status(self) -> dict[AgentStatus, int]:
        """How many agents stand where."""
        counts = np.bincount(self.status, minlength=len(STATUSES))
        return {status: int(counts[code]) for code, status in enumerate(STATUSES)}


def sweep(
    pulse: Pulse,
    now_ms: int,
    rules: HealthRules = RULES,
    *,
    protection: Protection | None = None,
    epoch_ms: int = 0,
) -> SweepResult:
    """Return where every agent stands now.

    Args:
        pulse: The last heartbeat of each, and where it stood.
        now_ms: The receiver's clock, epoch milliseconds.
        rules: Where the lines are.
        protection: What the sweep before this one returned.
        epoch_ms: When the hot state was last rebuilt, epoch milliseconds. Nobody
            expires before its intervals of silence have passed since then.
    """
    silence = pulse.silence_ms(now_ms, epoch_ms)
    health = health_scores(pulse, silence, rules)
    before = pulse.status
    is_silent = silence > rules.late_intervals * pulse.interval_ms
    status = _verdicts(pulse, silence, health, rules)
    # Who was not heard of since the hot state was rebuilt cannot have done better.
    unheard = pulse.last_seen_ms < epoch_ms
    status = np.where(unheard, np.maximum(status, before), status)
    status[before == _DECOMMISSIONED] = _DECOMMISSIONED

    is_live = before < _INACTIVE
    expires = is_live & (status >= _INACTIVE)
    live, silent = int(is_live.sum()), int((is_live & is_silent).sum())
    after = protected(
        protection,
        now_ms=now_ms,
        is_mass=silent >= rules.protect_least and silent > rules.protect_share * live,
        is_needed=bool(expires.any()),
        hold_ms=rules.protect_hold_ms,
    )
    is_held = np.zeros(len(pulse), dtype=np.bool_)
    if after is not None and not after.is_spent:
        is_held = expires
        status[is_held] = _DEGRADED
        status[(before == _INACTIVE) & (status == _DECOMMISSIONED)] = _INACTIVE
    return SweepResult(
        now_ms=now_ms,
        status=status,
        health=health,
        changed=np.flatnonzero(status != before),
        is_silent=is_silent,
        is_held=is_held,
        silent=silent,
        live=live,
        protection=after,
    )


def _verdicts(
    pulse: Pulse,
    silence: NDArray[np.int64],
    health: NDArray[np.float64],
    rules: HealthRules,
) -> NDArray[np.int8]:
    """Return where each would stand if every silence were believed."""
    interval = pulse.interval_ms
    status = np.full(len(pulse), _ACTIVE, dtype=np.int8)
    status[health < rules.active_health] = _DEGRADED
    # At the same millisecond as its health: replicas hear of both together, and once.
    status[silence > rules.late_intervals * interval] = _DEGRADED
    status[silence >= rules.inactive_intervals * interval] = _INACTIVE
    patience = np.maximum(
        rules.decommission_intervals * interval, rules.decommission_after_ms
    )
    status[silence >= patience] = _DECOMMISSIONED
    return status
