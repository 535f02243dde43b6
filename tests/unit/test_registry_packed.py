"""Heartbeats in 32 bytes: what comes back, and what cannot be read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.packed import (
    BLOB_BYTES,
    METRICS,
    Heartbeat,
    pack,
    pack_batch,
    unpack,
    unpack_many,
)
from orchestration.core.registry.pulse import code_of, pulse_of
from tests.unit.fleets import NOW_MS
from tests.unit.profiles import examples

FIRST = {
    "cpu_usage": 0.45,
    "memory_usage": 0.62,
    "error_rate": 0.01,
    "response_time_ms": 234,
    "queue_size": 12,
}


def test_a_heartbeat_comes_back_as_it_was() -> None:
    blob = pack(NOW_MS, FIRST)

    assert len(blob) == BLOB_BYTES
    assert unpack(blob) == Heartbeat(received_at_ms=NOW_MS, metrics=FIRST)


def test_a_metric_that_was_not_given_is_not_there() -> None:
    assert unpack(pack(NOW_MS, {"queue_size": 3})) == Heartbeat(
        received_at_ms=NOW_MS, metrics={"queue_size": 3}
    )
    assert unpack(pack(NOW_MS, {})) == Heartbeat(received_at_ms=NOW_MS, metrics={})


def test_what_is_too_great_is_kept_as_the_most() -> None:
    beat = unpack(pack(NOW_MS, {"response_time_ms": 1e300, "queue_size": 10**30}))

    assert beat is not None
    assert beat.metrics == {"response_time_ms": 42_949_672.95, "queue_size": 2**32 - 1}


_DIGITS = st.integers(0, 10**9).map(lambda n: n / 10**9)
_METRICS = st.fixed_dictionaries(
    {},
    optional={
        "cpu_usage": _DIGITS,
        "memory_usage": _DIGITS,
        "error_rate": _DIGITS,
        "response_time_ms": st.integers(0, 4 * 10**9).map(lambda n: n / 100),
        "queue_size": st.integers(0, 2**32 - 1),
    },
)
_TIME = st.integers(0, 2**53)


@examples(200)
@given(_TIME, _METRICS)
def test_nine_digits_of_a_ratio_come_back_exactly(
    received_at_ms: int, metrics: dict[str, float]
) -> None:
    beat = unpack(pack(received_at_ms, metrics))

    assert beat == Heartbeat(received_at_ms=received_at_ms, metrics=metrics)


@examples(100)
@given(st.floats(0, 1))
def test_any_ratio_comes_back_to_a_billionth(ratio: float) -> None:
    beat = unpack(pack(NOW_MS, {"error_rate": ratio}))

    assert beat is not None
    assert math.isclose(beat.metrics["error_rate"], ratio, rel_tol=0, abs_tol=6e-10)


_BLOB = (
    st.none()
    | st.binary(max_size=40)
    | st.binary(min_size=32, max_size=32)
    | st.builds(pack, _TIME, _METRICS)
)


@examples(200)
@given(st.lists(_BLOB, max_size=12))
def test_many_at_once_say_what_each_alone_says(blobs: list[bytes | None]) -> None:
    beats = unpack_many(blobs)

    assert len(beats) == len(blobs)
    for row, blob in enumerate(blobs):
        alone = unpack(blob)
        assert beats.is_known[row] == (alone is not None)
        metrics = alone.metrics if alone else {}
        assert beats.received_at_ms[row] == (alone.received_at_ms if alone else 0)
        for place, name in enumerate(METRICS):
            assert getattr(beats, name)[row] == metrics.get(name, 0)
            if alone:
                assert bool(beats.given[row] & 1 << place) == (name in metrics)


def test_one_unreadable_blob_costs_nobody_else() -> None:
    other = bytearray(pack(NOW_MS, FIRST))
    other[28] = 9  # a layout that is not known here

    times = [pack(at_ms, FIRST) for at_ms in (-1, 2**53 + 1)]

    beats = unpack_many([pack(NOW_MS, FIRST), None, b"short", bytes(other), *times])

    assert beats.is_known.tolist() == [True, *[False] * 5]
    assert beats.error_rate.tolist() == [0.01, *[0.0] * 5]
    assert [unpack(blob) for blob in (b"short", bytes(other), *times)] == [None] * 4


def test_no_heartbeats_are_empty_columns() -> None:
    assert len(unpack_many([])) == 0


def test_a_message_carries_a_thousand() -> None:
    assert len(pack_batch(NOW_MS, [FIRST] * 1_000)) == 1_000
    with pytest.raises(ValueError, match="1001 heartbeats in one message: send at"):
        pack_batch(NOW_MS, [FIRST] * 1_001)


def test_who_was_not_heard_of_since_it_joined_counts_from_there() -> None:
    # The last was heard of just after it joined, by clocks that differ a little.
    at_ms = (NOW_MS, None, NOW_MS - 9_000, NOW_MS - 5_400)
    blobs = [None if at is None else pack(at, FIRST) for at in at_ms]
    registered = np.array([NOW_MS - 5_000] * 4)

    pulse = pulse_of(
        unpack_many(blobs),
        registered_ms=registered,
        interval_ms=np.full(4, 30_000),
        violations=np.zeros(4, dtype=np.int64),
        status=np.full(4, code_of(AgentStatus.ACTIVE), dtype=np.int8),
    )

    seen = [NOW_MS, NOW_MS - 5_000, NOW_MS - 5_000, NOW_MS - 5_400]
    assert pulse.last_seen_ms.tolist() == seen
    assert pulse.cpu_usage.tolist() == [0.45, 0.0, 0.0, 0.45]
    assert pulse.response_time_ms.tolist() == [234.0, 0.0, 0.0, 234.0]


def test_a_digest_tells_one_pulse_from_another() -> None:
    def digest(metrics: dict[str, float], *agent_ids: str) -> str:
        return pulse_of(
            unpack_many([pack(NOW_MS, metrics)]),
            registered_ms=np.zeros(1, dtype=np.int64),
            interval_ms=np.full(1, 30_000),
            violations=np.zeros(1, dtype=np.int64),
            status=np.zeros(1, dtype=np.int8),
        ).digest(agent_ids)

    assert digest(FIRST, "agent-a") == digest(FIRST, "agent-a")
    assert digest(FIRST, "agent-a") != digest(FIRST, "agent-b")
    assert digest(FIRST, "agent-a") != digest({**FIRST, "cpu_usage": 0.46}, "agent-a")
