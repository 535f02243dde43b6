"""Whether a failed attempt is tried again, and after which wait."""

from __future__ import annotations

import hashlib

from orchestration.core.saga.model import RetryPolicy

__all__ = ["backoff_ms"]


def backoff_ms(policy: RetryPolicy, attempt: int, seed: str) -> int:
    """Return the wait after failed attempt number ``attempt``, milliseconds.

    Exponential with a cap; the jitter is drawn from a hash of ``seed`` and the
    attempt, so that every process that asks gets the same answer.

    Args:
        policy: The step's retry policy.
        attempt: Which attempt failed; 1 is the first.
        seed: What tells this step from others, such as its idempotency key.
    """
    # Beyond 64 doublings any cap is reached; the bound keeps the power finite.
    wait = policy.backoff_ms * policy.multiplier ** min(attempt - 1, 64)
    wait = min(wait, policy.max_backoff_ms)
    digest = hashlib.sha256(f"{seed}:{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return round(wait * (1 - policy.jitter * share))
