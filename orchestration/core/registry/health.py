"""How well an agent is, from 0.0 to 1.0, and what is settled about that.

Health is the product of

- recency: 1, or ``late_factor`` after a silence of more than ``late_intervals``;
- what succeeds: 1 - error rate;
- speed: ``slow_ms`` / response time, at most 1;
- room: 1 - (cpu - ``busy_cpu``), at most 1;
- kept promises: ``sla_factor`` for each term of its SLA that it breaks. Who breaks none
  is judged by the first four alone.

``health_score`` judges one agent and ``health_scores`` all of them, to the same bit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.pulse import Pulse

__all__ = ["RULES", "HealthRules", "health_score", "health_scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """Where the lines are drawn; an interval is the agent's own.

    Attributes:
        late_intervals: More intervals of silence make it DEGRADED, and less healthy.
        inactive_intervals: Intervals of silence that make it INACTIVE.
        decommission_after_ms: Silence that deregisters it.
        decommission_intervals: Intervals that it has for that, should they be longer.
        late_factor: What is left of the health of one that is late.
        slow_ms: Response time up to which speed costs nothing.
        busy_cpu: Cpu usage up to which room costs nothing.
        active_health: Health below which it is DEGRADED.
        sla_factor: What is left of its health by each promise that it breaks.
        protect_share: Share of agents whose silence at once is not believed.
        protect_least: As long as fewer are silent, they are believed.
        protect_hold_ms: How long silence is not believed at most.
    """

    late_intervals: float = 2.0
    inactive_intervals: float = 4.0
    decommission_after_ms: int = 300_000
    decommission_intervals: float = 5.0
    late_factor: float = 0.5
    slow_ms: float = 2_000.0
    busy_cpu: float = 0.7
    active_health: float = 0.8
    sla_factor: float = 0.85
    protect_share: float = 0.3
    protect_least: int = 10
    protect_hold_ms: int = 300_000

    def faults(self) -> tuple[str, ...]:
        """Return what makes no sense of these lines, each with its way out."""
        shares = ("late_factor", "busy_cpu", "active_health", "sla_factor")
        found = [
            f"{name} is {getattr(self, name)}: give it 0 to 1"
            for name in (*shares, "protect_share")
            if not 0 <= getattr(self, name) <= 1
        ]
        positive = ("late_intervals", "slow_ms", "decommission_after_ms")
        found += [
            f"{name} is {getattr(self, name)}: give it more than 0"
            for name in positive
            if not 0 < getattr(self, name) < math.inf
        ]
        found += [
            f"{name} is {getattr(self, name)}: give it 0 or more"
            for name in ("protect_least", "protect_hold_ms")
            if not getattr(self, name) >= 0
        ]
        lines = ("late_intervals", "inactive_intervals", "decommission_intervals")
        found += [
            f"{later} is {getattr(self, later)}: give it at least {sooner}, "
            f"{getattr(self, sooner)}"
            for sooner, later in itertools.pairwise(lines)
            if not getattr(self, sooner) <= getattr(self, later) < math.inf
        ]
        return tuple(found)


RULES: Final = HealthRules()
"""The lines as the contract draws them."""

_MAX_VIOLATIONS: Final = 8
"""More promises than an SLA has terms; it bounds a table."""


def health_score(
    *,
    silence_ms: int,
    interval_ms: int,
    cpu_usage: float = 0.0,
    error_rate: float = 0.0,
    response_time_ms: float = 0.0,
    violations: int = 0,
    rules: HealthRules = RULES,
) -> float:
    """Return the health of one agent; what is no number counts as no health.

    Args:
        silence_ms: How long it was not heard of.
        interval_ms: How often it promised to be heard of.
        cpu_usage: 0-1.
        error_rate: 0-1.
        response_time_ms: 0 or more.
        violations: How many promises of its SLA it breaks.
        rules: Where the lines are.
    """
    is_late = silence_ms > rules.late_intervals * interval_ms
    recency = rules.late_factor if is_late else 1.0
    succeeds = 1.0 - min(max(error_rate, 0.0), 1.0)
    speed = rules.slow_ms / max(response_time_ms, rules.slow_ms)
    room = 1.0 - max(min(cpu_usage, 1.0) - rules.busy_cpu, 0.0)
    kept = rules.sla_factor ** min(max(violations, 0), _MAX_VIOLATIONS)
    # In this order: of 0.0 and what is no number, the first is kept.
    return max(0.0, recency * succeeds * speed * room * kept)


def health_scores(
    pulse: Pulse, silence_ms: NDArray[np.int64], rules: HealthRules = RULES
) -> NDArray[np.float64]:
    """Return the health of every agent, shape ``(n,)``.

    Args:
        pulse: What is known of the agents.
        silence_ms: How long each was not heard of (``Pulse.silence_ms``).
        rules: Where the lines are.
    """
    is_late = silence_ms > rules.late_intervals * pulse.interval_ms
    health = np.where(is_late, rules.late_factor, 1.0)
    health *= 1.0 - np.clip(pulse.error_rate, 0.0, 1.0)
    health *= rules.slow_ms / np.maximum(pulse.response_time_ms, rules.slow_ms)
    busy = np.minimum(pulse.cpu_usage, 1.0) - rules.busy_cpu
    health *= 1.0 - np.maximum(busy, 0.0)
    if pulse.violations.any():
        powers = [rules.sla_factor**count for count in range(_MAX_VIOLATIONS + 1)]
        broken = np.clip(pulse.violations, 0, _MAX_VIOLATIONS)
        health *= np.asarray(powers)[broken]
    return np.where(health > 0.0, health, 0.0)
