"""The facts of a saga's life: event types, their identity, and how they read.

Every event's id is a uuid5 of what happened, so that two processes that record the
same fact write one event: an attempt's events by (saga, step, type, attempt, round),
all others by (saga, type, version at which it was decided).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from orchestration.core.saga.model import Direction

__all__ = ["EventType", "NewFact", "SagaEvent", "saga_uuid", "stream_of"]


class EventType(StrEnum):
    """Every type of event on a saga's stream."""

    SAGA_STARTED = "SAGA_STARTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_COMPLETED = "STEP_COMPLETED"
    STEP_FAILED = "STEP_FAILED"
    STEP_TIMED_OUT = "STEP_TIMED_OUT"
    STEP_UNKNOWN = "STEP_UNKNOWN"
    STEP_LATE_RESULT = "STEP_LATE_RESULT"
    STEP_SKIPPED = "STEP_SKIPPED"
    STEP_EXPANDED = "STEP_EXPANDED"
    STEP_GATHERED = "STEP_GATHERED"
    STEP_ROUTED = "STEP_ROUTED"
    STEP_WAITING = "STEP_WAITING"
    STEP_PROBE_STARTED = "STEP_PROBE_STARTED"
    STEP_PROBED = "STEP_PROBED"
    STEP_PROBE_FAILED = "STEP_PROBE_FAILED"
    STEP_RESOLVED = "STEP_RESOLVED"
    SIGNAL_RECEIVED = "SIGNAL_RECEIVED"
    LOCKS_ACQUIRED = "LOCKS_ACQUIRED"
    SAGA_TIMED_OUT = "SAGA_TIMED_OUT"
    COMPENSATION_STARTED = "COMPENSATION_STARTED"
    STEP_COMPENSATION_STARTED = "STEP_COMPENSATION_STARTED"
    STEP_COMPENSATED = "STEP_COMPENSATED"
    STEP_COMPENSATION_FAILED = "STEP_COMPENSATION_FAILED"
    COMPENSATION_COMPLETED = "COMPENSATION_COMPLETED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    COMPENSATION_REQUESTED = "COMPENSATION_REQUESTED"
    COMPENSATION_RETRIED = "COMPENSATION_RETRIED"
    COMPENSATION_REPLAYED = "COMPENSATION_REPLAYED"
    COMPENSATION_SKIPPED = "COMPENSATION_SKIPPED"
    COMPENSATION_RESOLVED = "COMPENSATION_RESOLVED"
    SAGA_PAUSED = "SAGA_PAUSED"
    SAGA_RESUMED = "SAGA_RESUMED"
    SAGA_RETRIED = "SAGA_RETRIED"
    SAGA_CANCEL_REQUESTED = "SAGA_CANCEL_REQUESTED"
    SAGA_CANCEL_REFUSED = "SAGA_CANCEL_REFUSED"
    SAGA_HALTED = "SAGA_HALTED"
    SAGA_REWOUND = "SAGA_REWOUND"
    SAGA_COMPLETED = "SAGA_COMPLETED"


# The types that mean "an attempt began", by direction.
STARTED = {
    Direction.DO: EventType.STEP_STARTED,
    Direction.UNDO: EventType.STEP_COMPENSATION_STARTED,
    Direction.PROBE: EventType.STEP_PROBE_STARTED,
}
COMPLETED = {
    Direction.DO: EventType.STEP_COMPLETED,
    Direction.UNDO: EventType.STEP_COMPENSATED,
    Direction.PROBE: EventType.STEP_PROBED,
}
FAILED = {
    Direction.DO: EventType.STEP_FAILED,
    Direction.UNDO: EventType.STEP_COMPENSATION_FAILED,
    Direction.PROBE: EventType.STEP_PROBE_FAILED,
}

_SAGAS = uuid5(NAMESPACE_URL, "urn:agent-foundation-orchestration:saga")


@lru_cache(maxsize=4_096)
def saga_uuid(saga_id: str) -> UUID:
    """Return the correlation id of everything that a saga causes."""
    return uuid5(_SAGAS, saga_id)


def stream_of(saga_id: str) -> str:
    """Return the name of the saga's event stream."""
    return f"saga-{saga_id}"


@dataclass(frozen=True, slots=True)
class SagaEvent:
    """One recorded fact; ``recorded_at`` is the database's clock, in UTC."""

    version: int
    type: EventType
    data: Mapping[str, Any]
    recorded_at: datetime

    @property
    def step(self) -> str:
        """Name of the step it is about."""
        return str(self.data["step"])


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact about to be recorded.

    Attributes:
        key: What makes it the same fact when it is told again, for facts that come
            from outside, such as a signal's id.
    """

    type: EventType
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def event_id(self, saga_id: str, version: int) -> str:
        """Return its id, a UUID of version 5.

        Args:
            saga_id: The saga.
            version: The version the decision was taken at; identifies facts about
                the saga as a whole, which may come again (a second pause).
        """
        if self.key:
            return _uuid5(saga_id, f"{self.type}:{self.key}")
        if "attempt" not in self.data:
            return _uuid5(saga_id, f"{self.type}:{version}")
        data = self.data
        key = f"{data['step']}:{self.type}:{data['attempt']}:{data['round']}"
        # A late result may be told of the same attempt by any direction.
        return _uuid5(saga_id, f"{key}:{data.get('direction', '')}")


def _uuid5(saga_id: str, name: str) -> str:
    """Return the text of ``uuid5(saga_uuid(saga_id), name)``, at half its price."""
    hashed = bytearray(sha1(saga_uuid(saga_id).bytes + name.encode()).digest()[:16])  # noqa: S324  as RFC 9562 says
    hashed[6] = hashed[6] & 0x0F | 0x50
    hashed[8] = hashed[8] & 0x3F | 0x80
    text = hashed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
