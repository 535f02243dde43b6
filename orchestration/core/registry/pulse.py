"""What a sweep looks at: the last heartbeat of every agent, as columns.

Row ``i`` of every column is the same agent. All times are of the receiver's clock: the
moment at which a heartbeat arrived, never one that its sender wrote, so that a sender
whose clock is wrong is neither younger nor older for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.packed import Beats

__all__ = ["STATUSES", "Pulse", "code_of", "pulse_of"]

STATUSES: Final = tuple(AgentStatus)
"""The statuses by their codes in a column: the greater, the worse."""

_CLOCKS_DIFFER_MS: Final = 1_000
"""By so much the clocks of Postgres and Redis are not told apart.

Registrations are timed by the one, heartbeats by the other, and a busy process learns
of both late.
"""


def code_of(status: AgentStatus) -> int:
    """Return the code of a status in a column."""
    return STATUSES.index(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Columns of shape ``(n,)``, one row an agent.

    Attributes:
        last_seen_ms: When it was last heard of, or else when it registered, epoch
            milliseconds; int64.
        interval_ms: How often it promised to be heard of; int64, 1 or more.
        cpu_usage: 0-1; float64.
        error_rate: 0-1; float64.
        response_time_ms: 0 or more; float64.
        given: Which metrics its last heartbeat gave, a bit each; uint8, see
            ``packed.METRICS``. What was not given is 0 in its column.
        violations: How many promises of its SLA it breaks; int64.
        status: Where it stood after the sweep before; int8, see ``STATUSES``.
    """

    last_seen_ms: NDArray[np.int64]
    interval_ms: NDArray[np.int64]
    cpu_usage: NDArray[np.float64]
    error_rate: NDArray[np.float64]
    response_time_ms: NDArray[np.float64]
    given: NDArray[np.uint8]
    violations: NDArray[np.int64]
    status: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.last_seen_ms)

    def silence_ms(self, now_ms: int, epoch_ms: int = 0) -> NDArray[np.int64]:
        """Return how long each was not heard of, milliseconds, never below zero.

        Args:
            now_ms: When the sweep looks.
            epoch_ms: When the hot state was last rebuilt. What was heard before that
                may have been lost, so that silence counts from there at the earliest.
        """
        heard = np.maximum(self.last_seen_ms, epoch_ms)
        silence: NDArray[np.int64] = np.maximum(now_ms - heard, 0)
        return silence

    def digest(self, agent_ids: Sequence[str]) -> str:
        """Return what proves later which heartbeats a sweep went by.

        It is the SHA-256, in hex, of the ids, each ended by a line feed, and of the
        columns from ``last_seen_ms`` to ``violations`` without ``given``,
        little-endian, one after the other.

        Args:
            agent_ids: The agents of the rows.
        """
        digest = sha256("".join(f"{one}\n" for one in agent_ids).encode())
        for column in (
            self.last_seen_ms.astype("<i8"),
            self.interval_ms.astype("<i8"),
            self.cpu_usage.astype("<f8"),
            self.error_rate.astype("<f8"),
            self.response_time_ms.astype("<f8"),
            self.violations.astype("<i8"),
        ):
            digest.update(column.tobytes())
        return digest.hexdigest()


def pulse_of(
    beats: Beats,
    *,
    registered_ms: NDArray[np.int64],
    interval_ms: NDArray[np.int64],
    violations: NDArray[np.int64],
    status: NDArray[np.int8],
) -> Pulse:
    """Return the columns of agents from their last heartbeats.

    An agent of which no heartbeat is known, or whose last one is clearly older than its
    registration, was last heard of when it registered.

    Args:
        beats: The last heartbeat of each.
        registered_ms: When each joined, epoch milliseconds, shape ``(n,)``.
        interval_ms: As in ``Pulse``.
        violations: As in ``Pulse``.
        status: As in ``Pulse``.
    """
    is_since = beats.received_at_ms >= registered_ms - _CLOCKS_DIFFER_MS
    counts = beats.is_known & is_since
    return Pulse(
        last_seen_ms=np.where(counts, beats.received_at_ms, registered_ms),
        interval_ms=interval_ms,
        cpu_usage=np.where(counts, beats.cpu_usage, 0.0),
        error_rate=np.where(counts, beats.error_rate, 0.0),
        response_time_ms=np.where(counts, beats.response_time_ms, 0.0),
        given=np.where(counts, beats.given, 0).astype(np.uint8),
        violations=violations,
        status=status,
    )
