"""What is forgotten of sagas that ended long ago: their rows, never their events."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Retired", "retire_ended"]


class Retired(Protocol):
    """The lists that ended sagas leave."""

    def retire(self, older_than_s: float, limit: int) -> int:
        """Forget rows of sagas that ended long ago; return how many."""


def retire_ended(
    lists: Retired, older_than_s: float, *, batch: int = 1_000, batches: int = 100
) -> int:
    """Have ended sagas leave the lists; return how many did.

    Args:
        lists: What they leave.
        older_than_s: Since when they have been over at least, seconds.
        batch: How many go in one transaction.
        batches: How many such; what is left goes next time.
    """
    gone = 0
    for _ in range(batches):
        count = lists.retire(older_than_s, batch)
        gone += count
        if count < batch:
            break
    return gone
