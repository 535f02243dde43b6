"""What is recorded of a swarm that moves: its iterations, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.islands import islands_of
from orchestration.core.swarm.model import ROLES
from orchestration.core.swarm.motion import Advanced, Fitness
from orchestration.core.swarm.motions import TUNING
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.tuning import settings_of

__all__ = [
    "attempt_failed",
    "checked",
    "differs",
    "ended",
    "iterated_fact",
    "never_came_back",
    "result_of",
    "roles_of",
]

_LONGEST_ERROR = 2_000


def iterated_fact(view: SwarmView, done: Advanced) -> NewFact:
    """Return the fact that iterations were done.

    Args:
        view: The swarm before them.
        done: What they came to.
    """
    data: dict[str, Any] = {
        "first": view.iteration + 1,
        "count": len(done.hashes),
        "hashes": list(done.hashes),
        "best": [_finite(value) for value in done.best],
        "convergence": done.convergence,
        "state": done.state.digest(),
    }
    if set(done.agents) - {view.agents}:
        data["agents"] = list(done.agents)
    return NewFact(EventType.SWARM_ITERATED, data)


def ended(
    type_: EventType, view: SwarmView, state: SwarmState | None, reason: str
) -> NewFact:
    """Return the fact that a swarm is over.

    Args:
        type_: Which end.
        view: Where it stands.
        state: Its state there; None: nobody has it.
        reason: Why it ends.
    """
    return NewFact(type_, {"reason": reason, "result": result_of(view, state)})


def result_of(view: SwarmView, state: SwarmState | None) -> dict[str, Any]:
    """Return what a swarm has come to so far."""
    result: dict[str, Any] = {
        "best": view.best,
        "iterations": view.iteration,
        "convergence": view.convergence,
        "agents": view.size,
        "state_hash": view.state,
        "chain_head": view.link,
    }
    if state is not None:
        result["agents"] = state.size
        if state.islands:
            result["islands"] = [_found(one) for one in islands_of(state)]
        if math.isfinite(float(state.record["best"])):
            result["best_position"] = state.record["best_position"].tolist()
            if view.spec["motion"]["kind"] == TUNING:
                result["settings"] = settings_of(state.record["best_position"])
    return result


def roles_of(state: SwarmState) -> dict[str, int]:
    """Return how many agents have each role."""
    counts = np.bincount(state.record["role"], minlength=len(ROLES))
    return {str(role): int(count) for role, count in zip(ROLES, counts, strict=True)}


def never_came_back(view: SwarmView) -> str:
    """Return why a swarm is given up whose work was begun several times."""
    return (
        f"iteration {view.iteration + 1} was begun {view.tries + 1} times and never "
        "came back: its fitness takes more than task_timeout_ms, or ends the process "
        "that it runs in"
    )


def attempt_failed(
    view: SwarmView, error: BaseException, *, most: int, retry_ms: int
) -> NewFact:
    """Return the fact that the next iterations could not be done.

    Args:
        view: Where the swarm stands.
        error: Why not.
        most: How many attempts there are in a row.
        retry_ms: The wait after the first; doubled each time.
    """
    attempt = view.attempts + 1
    wait_ms = None if attempt >= most else retry_ms * 2 ** (attempt - 1)
    text = f"{type(error).__name__}: {error}"
    data: Mapping[str, Any] = {
        "iteration": view.iteration + 1,
        "attempt": attempt,
        "error": text[:_LONGEST_ERROR],
        "retry_in_ms": wait_ms,
    }
    return NewFact(EventType.SWARM_ATTEMPT_FAILED, data)


def differs(view: SwarmView, iteration: int, recorded: str, found: str) -> NewFact:
    """Return the fact that a state came out otherwise than it is on record."""
    reason = (
        f"iteration {iteration} is on record with hash {recorded} and came out with "
        f"{found or 'none: the swarm had stopped before'}: its fitness does not return "
        "the same for the same positions, or processes differ in their version of NumPy"
    )
    data = {
        "reason": reason,
        "iteration": iteration,
        "recorded": recorded,
        "found": found,
        "result": result_of(view, None),
    }
    return NewFact(EventType.SWARM_NON_DETERMINISTIC, data)


def checked(fitness: Fitness) -> Fitness:
    """Return a fitness that is refused its changes to positions, and NaN.

    The shape of what it returns is looked at where it is taken in.
    """

    def value(position: Floats) -> Floats:
        shown = position.view()
        shown.flags.writeable = False
        values = np.asarray(fitness(shown), np.float64)
        if math.isnan(values.sum()) and (count := int(np.isnan(values).sum())):
            raise ValueError(
                f"the fitness returned NaN for {count} of {len(position)} positions: "
                "return numbers; inf for a position that is not allowed"
            )
        return values

    return value


def _found(island: SwarmState) -> dict[str, Any]:
    best = _finite(float(island.record["best"]))
    found: dict[str, Any] = {"agents": island.size, "best": best}
    if best is not None:
        found["best_position"] = island.record["best_position"].tolist()
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
