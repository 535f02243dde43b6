"""Who builds the registry's hot state when Redis has lost it, and what that lacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from orchestration.adapters.registry_feed import FeedChange
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import RegistryLog

__all__ = ["differences", "ensure_built", "rebuild"]

logger = logging.getLogger(__name__)
_POLL_S: Final = 0.02


def ensure_built(log: RegistryLog, hot: HotState, *, wait_s: float = 0.0) -> bool:
    """Build the hot state from Postgres, unless it is there or another process does.

    Args:
        log: Where all is recorded.
        hot: What is built.
        wait_s: How long to wait for another process that builds it, seconds.

    Returns:
        Whether it is there now.

    Raises:
        TransportError: Redis or Postgres does not answer.
    """
    deadline = time.monotonic() + wait_s
    while not hot.look():
        with log.rebuilding() as is_mine:
            # Looked at again: the one before may just have finished.
            if is_mine and not hot.look():
                _build(log, hot)
        if hot.look():
            break
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def rebuild(log: RegistryLog, hot: HotState) -> int:
    """Build the hot state anew though it is there; return of how many agents."""
    with log.rebuilding() as is_mine:
        return _build(log, hot) if is_mine else 0


def differences(
    log: RegistryLog, known: Mapping[str, int], expected: Mapping[str, int]
) -> list[FeedChange]:
    """Return what has to be told so that those who know one thing know another.

    A row that was lost in Postgres is put right on the way.

    Args:
        log: Asked again about what differs: what came in meanwhile is no difference.
        known: The version of each agent that is known of, by id.
        expected: The same, as it was last read from Postgres.
    """
    differing = [
        agent_id
        for agent_id in known.keys() | expected.keys()
        if known.get(agent_id) != expected.get(agent_id)
    ]
    changes: list[FeedChange] = []
    for agent_id, now in log.some(differing).items() if differing else ():
        if now.state is not None and known.get(agent_id, 0) < now.version:
            changes.append(FeedChange.of(now.state))
        elif now.state is None and agent_id in known:
            if known[agent_id] < now.version:
                changes.append(FeedChange.gone(agent_id, now.version))
            else:
                log.heal(agent_id)
    return changes


def _build(log: RegistryLog, hot: HotState) -> int:
    began = time.monotonic()
    agents = [FeedChange.of(state) for state in log.states().values()]
    epoch = hot.build(agents)
    # What was recorded after the agents were read and told before this epoch held, it
    # lacks; what is told from here on reaches it.
    known = {agent.agent_id: agent.version for agent in agents}
    late = differences(log, known, log.versions())
    hot.change(late)
    logger.warning(
        "built the registry's hot state from Postgres: epoch %s, %d agents, %.0f ms",
        epoch,
        len(agents),
        (time.monotonic() - began) * 1_000,
    )
    return len(agents)
