"""Who builds the registry's hot state when Redis has lost it."""

from __future__ import annotations

import logging
import time

from orchestration.adapters.registry_feed import FeedChange
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import RegistryLog

__all__ = ["ensure_built", "rebuild"]

logger = logging.getLogger(__name__)


def ensure_built(log: RegistryLog, hot: HotState) -> bool:
    """Build the hot state from Postgres, unless it is there or another process does.

    Returns:
        Whether it is there now.

    Raises:
        TransportError: Redis or Postgres does not answer.
    """
    if hot.look():
        return True
    with log.rebuilding() as is_mine:
        # Looked at again: the one before may just have finished.
        if is_mine and not hot.look():
            _build(log, hot)
    return bool(hot.look())


def rebuild(log: RegistryLog, hot: HotState) -> int:
    """Build the hot state anew though it is there; return of how many agents."""
    with log.rebuilding() as is_mine:
        return _build(log, hot) if is_mine else 0


def _build(log: RegistryLog, hot: HotState) -> int:
    began = time.monotonic()
    # Read under the lock: what is recorded from here on is told to the new epoch as
    # soon as it holds.
    agents = [FeedChange.of(state) for state in log.states().values()]
    epoch = hot.build(agents)
    logger.warning(
        "built the registry's hot state from Postgres: epoch %s, %d agents, %.0f ms",
        epoch,
        len(agents),
        (time.monotonic() - began) * 1_000,
    )
    return len(agents)
