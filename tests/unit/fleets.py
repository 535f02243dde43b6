"""Fleets of agents as columns, for the tests of health, sweeps and promises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.pulse import STATUSES, Pulse, code_of

__all__ = ["NOW_MS", "fleet", "statuses"]

NOW_MS = 1_772_323_200_000


def fleet(
    *silences_ms: int,
    now_ms: int = NOW_MS,
    interval_ms: int = 30_000,
    status: AgentStatus | Sequence[AgentStatus] = AgentStatus.ACTIVE,
    cpu_usage: float | Sequence[float] = 0.0,
    error_rate: float | Sequence[float] = 0.0,
    response_time_ms: float | Sequence[float] = 0.0,
    given: int = 0b11111,
    violations: int | Sequence[int] = 0,
) -> Pulse:
    """Return agents that have been silent for so long; the rest for each or for all."""
    count = len(silences_ms)
    stood = [status] * count if isinstance(status, AgentStatus) else status
    return Pulse(
        last_seen_ms=now_ms - np.array(silences_ms, dtype=np.int64),
        interval_ms=np.full(count, interval_ms, dtype=np.int64),
        cpu_usage=_column(cpu_usage, count),
        error_rate=_column(error_rate, count),
        response_time_ms=_column(response_time_ms, count),
        given=np.full(count, given, dtype=np.uint8),
        violations=np.full(count, violations, dtype=np.int64)
        if isinstance(violations, int)
        else np.array(violations, dtype=np.int64),
        status=np.array([code_of(one) for one in stood], dtype=np.int8),
    )


def statuses(codes: np.ndarray) -> list[str]:
    """Return the names of a column of statuses."""
    return [str(STATUSES[code]) for code in codes]


def _column(value: float | Sequence[float], count: int) -> np.ndarray:
    if isinstance(value, int | float):
        return np.full(count, value, dtype=np.float64)
    return np.array(value, dtype=np.float64)
