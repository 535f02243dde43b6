"""Waiting for a condition, in place of sleeping for a guess."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, *, timeout_s: float = 60.0
) -> None:
    """Return as soon as the condition is true; fail naming ``what`` if it never is."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            msg = f"waited {timeout_s:.0f} s in vain: {what}"
            raise AssertionError(msg)
        time.sleep(0.02)
