"""Waits between attempts: growing, capped, spread, and the same for everybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.saga.model import RetryPolicy
from orchestration.core.saga.retry import backoff_ms

STEADY = RetryPolicy(backoff_ms=100, multiplier=2.0, max_backoff_ms=1_000, jitter=0)


@pytest.mark.parametrize(
    ("attempt", "wait_ms"), [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000)]
)
def test_waits_double_up_to_their_cap(attempt: int, wait_ms: int) -> None:
    assert backoff_ms(STEADY, attempt, "any") == wait_ms


POLICIES = st.builds(
    RetryPolicy,
    backoff_ms=st.integers(0, 10**6),
    multiplier=st.floats(1.0, 100.0),
    max_backoff_ms=st.integers(0, 10**6),
    jitter=st.floats(0.0, 1.0),
)


@given(POLICIES, st.integers(1, 10_000), st.text(max_size=20))
def test_a_wait_stays_between_its_jitter_and_its_cap(
    policy: RetryPolicy, attempt: int, seed: str
) -> None:
    wait_ms = backoff_ms(policy, attempt, seed)
    assert wait_ms == backoff_ms(policy, attempt, seed)
    full = min(
        policy.backoff_ms * policy.multiplier ** min(attempt - 1, 64),
        policy.max_backoff_ms,
    )
    assert full * (1 - policy.jitter) - 1 <= wait_ms <= full + 1


def test_jitter_spreads_different_steps_and_attempts() -> None:
    policy = RetryPolicy(backoff_ms=10_000, multiplier=1.0, jitter=1.0)
    waits = {backoff_ms(policy, n, seed) for n in (1, 2) for seed in "abcdefgh"}
    assert len(waits) == 16
