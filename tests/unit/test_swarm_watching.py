"""What who watches is shown: the newest state there is, at last that of the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from orchestration.adapters.swarm_log import Snapshot
from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.state import SwarmState
from orchestration.engine.swarm_watching import SwarmFrame, _frame

TOLD = {"iteration": 40, "best": 0.5, "convergence": 1.0, "status": "COMPLETED"}


def state_at(iteration: int) -> bytes:
    state = SwarmState.blank(3, 2)
    state.record["iteration"] = iteration
    state.record["position"] = np.full((3, 2), float(iteration))
    return state.to_bytes()


def shown(hot: int | None, kept: int | None) -> SwarmFrame | None:
    """Return what is shown of such states in Redis and on record."""
    snapshot = None if kept is None else Snapshot(kept, state_at(kept))
    swarms: Any = SimpleNamespace(
        hot=SimpleNamespace(get=lambda _: None if hot is None else state_at(hot)),
        log=SimpleNamespace(snapshot=lambda _: snapshot),
    )
    return _frame(swarms, "s", TOLD)


def test_an_end_is_shown_though_redis_gets_its_state_after_the_record() -> None:
    frame = shown(hot=39, kept=40)
    assert frame is not None
    assert (frame.iteration, frame.status) == (40, SwarmStatus.COMPLETED)
    assert frame.positions.max() == 40.0


def test_what_redis_has_is_shown_if_it_is_the_newest_there_is() -> None:
    for kept in (None, 30):
        frame = shown(hot=39, kept=kept)
        assert frame is not None
        assert frame.iteration == 39


def test_what_redis_has_lost_is_shown_as_it_was_kept() -> None:
    frame = shown(hot=None, kept=30)
    assert frame is not None
    assert frame.iteration == 30
    assert shown(hot=None, kept=None) is None
