"""One heartbeat in 32 bytes, and thousands of them as columns.

The layout, little-endian: when it was received (int64, epoch milliseconds); cpu, memory
and error rate (uint32 each, billionths, so that 0.2 comes back as 0.2); response time
(uint32, hundredths of a millisecond); queue size (uint32); version of the layout
(uint8); which of the metrics were given (uint8, a bit each); two bytes of padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOB_BYTES",
    "MAX_BATCH",
    "METRICS",
    "Beats",
    "Heartbeat",
    "pack",
    "pack_batch",
    "unpack",
    "unpack_many",
]

METRICS: Final = (
    "cpu_usage",
    "memory_usage",
    "error_rate",
    "response_time_ms",
    "queue_size",
)
"""The metrics of a heartbeat; the bit of each is its place here."""

BLOB_BYTES: Final = 32
MAX_BATCH: Final = 1_000
"""How many heartbeats one message carries at most."""

_LAYOUT: Final = 1
_BLOB: Final = Struct("<qIIIIIBB2x")
_DTYPE: Final = np.dtype(
    [
        ("received_at_ms", "<i8"),
        ("cpu_usage", "<u4"),
        ("memory_usage", "<u4"),
        ("error_rate", "<u4"),
        ("response_time_ms", "<u4"),
        ("queue_size", "<u4"),
        ("layout", "u1"),
        ("given", "u1"),
        ("padding", "V2"),
    ]
)
_SCALE: Final = (1_000_000_000, 1_000_000_000, 1_000_000_000, 100, 1)
_MOST: Final = (1_000_000_000, 1_000_000_000, 1_000_000_000, 2**32 - 1, 2**32 - 1)
_MAX_TIME_MS: Final = 2**53
"""Beyond it, arithmetic with times would not be exact; 285,000 years."""
_NOTHING: Final = bytes(BLOB_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One heartbeat, as it was received.

    Attributes:
        received_at_ms: When it arrived, on the receiver's clock, epoch milliseconds.
        metrics: What it told; a metric that it did not give is not in it.
    """

    received_at_ms: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """Many heartbeats as columns of shape ``(n,)``.

    Attributes:
        received_at_ms: When each arrived, epoch milliseconds; int64.
        cpu_usage: 0-1, as are memory and error rate; 0.0 where not given; float64.
        memory_usage: See ``cpu_usage``.
        error_rate: See ``cpu_usage``.
        response_time_ms: 0.0 where not given; float64.
        queue_size: 0 where not given; int64.
        given: Which metrics were given, a bit each; see ``METRICS``; uint8.
        is_known: Whether there was a heartbeat that could be read; bool. Where not,
            the other columns are 0.
    """

    received_at_ms: NDArray[np.int64]
    cpu_usage: NDArray[np.float64]
    memory_usage: NDArray[np.float64]
    error_rate: NDArray[np.float64]
    response_time_ms: NDArray[np.float64]
    queue_size: NDArray[np.int64]
    given: NDArray[np.uint8]
    is_known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.received_at_ms)


def pack(received_at_ms: int, metrics: Mapping[str, float]) -> bytes:
    """Return a heartbeat as 32 bytes.

    A response time of more than 11 hours, or a queue of more than 4 billion, is kept as
    that.

    Args:
        received_at_ms: When it arrived, on the receiver's clock, epoch milliseconds.
        metrics: What it told, free of faults (``checks.metric_faults``).
    """
    given = 0
    numbers = [0, 0, 0, 0, 0]
    for place, name in enumerate(METRICS):
        if name in metrics:
            given |= 1 << place
            scaled = min(metrics[name] * _SCALE[place], _MOST[place])
            numbers[place] = round(scaled)
    return _BLOB.pack(received_at_ms, *numbers, _LAYOUT, given)


def pack_batch(
    received_at_ms: int, batch: Sequence[Mapping[str, float]]
) -> tuple[bytes, ...]:
    """Return the heartbeats of one message, each as 32 bytes.

    Raises:
        ValueError: There are more than ``MAX_BATCH``.
    """
    if len(batch) > MAX_BATCH:
        raise ValueError(
            f"{len(batch)} heartbeats in one message: send at most {MAX_BATCH} in each"
        )
    return tuple(pack(received_at_ms, metrics) for metrics in batch)


def unpack(blob: bytes | None) -> Heartbeat | None:
    """Return the heartbeat that was packed; None if there is none to read."""
    if blob is None or len(blob) != BLOB_BYTES:
        return None
    received_at_ms, *numbers, layout, given = _BLOB.unpack(blob)
    if layout != _LAYOUT or not 0 <= received_at_ms <= _MAX_TIME_MS:
        return None
    if any(number > most for number, most in zip(numbers, _MOST, strict=True)):
        return None
    metrics = {
        name: numbers[place] / _SCALE[place] if _SCALE[place] > 1 else numbers[place]
        for place, name in enumerate(METRICS)
        if given & 1 << place
    }
    return Heartbeat(received_at_ms=received_at_ms, metrics=metrics)


def unpack_many(blobs: Sequence[bytes | None]) -> Beats:
    """Return many heartbeats as columns, in the order of ``blobs``.

    One that is missing or cannot be read costs nobody else: it is not ``is_known``.
    """
    whole = [
        blob if blob is not None and len(blob) == BLOB_BYTES else _NOTHING
        for blob in blobs
    ]
    rows = np.frombuffer(b"".join(whole), dtype=_DTYPE)
    known = rows["layout"] == _LAYOUT
    received = rows["received_at_ms"]
    known &= (received >= 0) & (received <= _MAX_TIME_MS)
    for place in range(3):
        known &= rows[METRICS[place]] <= _MOST[place]
    if not known.all():
        rows = np.where(known, rows, np.zeros(1, _DTYPE))
    return Beats(
        received_at_ms=rows["received_at_ms"].astype(np.int64),
        cpu_usage=rows["cpu_usage"] / _SCALE[0],
        memory_usage=rows["memory_usage"] / _SCALE[1],
        error_rate=rows["error_rate"] / _SCALE[2],
        response_time_ms=rows["response_time_ms"] / _SCALE[3],
        queue_size=rows["queue_size"].astype(np.int64),
        given=rows["given"].copy(),
        is_known=known,
    )
