"""Holds what was done to the world against what the histories say was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine

from eventstore import EventStore
from eventstore.verify import verify
from orchestration.saga import HistoryEvent, SagaExecution, SagaState
from tests.support.front import Front
from tests.support.waiting import wait_until
from tests.support.world import Attempt, World

__all__ = [
    "Verdict",
    "chain_is_sound",
    "has_told",
    "judge",
    "noticed_after_s",
    "taken_over_after_s",
]

_TOLD = {
    "do": ("STEP_COMPLETED", "STEP_FAILED", "STEP_TIMED_OUT", "STEP_UNKNOWN"),
    "undo": ("STEP_COMPENSATED", "STEP_COMPENSATION_FAILED"),
    "probe": ("STEP_PROBED", "STEP_PROBE_FAILED"),
}
_BEGAN = {
    "do": "STEP_STARTED",
    "undo": "STEP_COMPENSATION_STARTED",
    "probe": "STEP_PROBE_STARTED",
}


@dataclass(slots=True)
class Verdict:
    """What was found; every list of faults must be empty.

    Attributes:
        stuck: Sagas that are neither COMPLETED nor COMPENSATED, and their state.
        false: Sagas whose state is not what became of their steps.
        left: Effects that remain of a saga that was undone.
        unrecorded: Effects of attempts that no event tells the end of.
        unexplained: Effects that came twice though nothing struck their attempts.
        doubles: How many effects there are beyond the first of their key.
    """

    states: Counter[str] = field(default_factory=Counter)
    stuck: dict[str, str] = field(default_factory=dict)
    false: dict[str, str] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)
    unrecorded: list[Attempt] = field(default_factory=list)
    unexplained: list[list[Attempt]] = field(default_factory=list)
    doubles: int = 0

    @property
    def faults(self) -> dict[str, object]:
        """Whatever may not be."""
        names = ("stuck", "false", "left", "unrecorded", "unexplained")
        return {name: found for name in names if (found := getattr(self, name))}


def judge(
    front: Front,
    world: World,
    sagas: Mapping[str, bool],
    in_flight: Collection[Attempt] = frozenset(),
) -> Verdict:
    """Judge sagas that are over.

    Args:
        front: Where to read of them.
        world: What their agents did.
        sagas: For each id, whether one of its steps fails for good.
        in_flight: Attempts that something struck.
    """
    verdict = Verdict()
    for saga_id, fails in sagas.items():
        status, history = front.status(saga_id), front.history(saga_id)
        verdict.states[status.state] += 1
        if status.state not in (SagaState.COMPLETED, SagaState.COMPENSATED):
            verdict.stuck[saga_id] = status.state
        if why := _falsehood(status, world, fails=fails):
            verdict.false[saga_id] = why
        if status.state is SagaState.COMPENSATED and (left := world.left(saga_id)):
            verdict.left[saga_id] = left
        verdict.unrecorded += _unrecorded(world, saga_id, history)
    for attempts in world.doubled():
        verdict.doubles += len(attempts) - 1
        struck = {one for one in attempts if one in in_flight}
        if len(attempts) - len(struck) > 1:
            verdict.unexplained.append(attempts)
    return verdict


def _falsehood(status: SagaExecution, world: World, *, fails: bool) -> str:
    """Return what a saga says of itself that is not so."""
    done, undone = set(world.done(status.saga_id)), world.done(status.saga_id, "undo")
    if status.state is SagaState.COMPLETED:
        if fails:
            return "COMPLETED, though a step of it fails"
        missing = {step.name for step in status.steps} - set(status.completed_steps)
        # A step without an agent, that waits for a signal or a saga, has no effect.
        if missing or done != {step.name for step in status.steps if step.agent_id}:
            return f"COMPLETED; missing {missing}, done {done}"
        return f"COMPLETED, but undone: {undone}" if undone else ""
    if status.state is SagaState.COMPENSATED and not fails:
        # A step that was struck more often than it is tried again is undone rightly.
        lost = [step.name for step in status.steps if step.attempts > 1]
        if status.failed_step not in lost:
            return f"COMPENSATED without a cause: {status.error}"
    return ""


def _unrecorded(
    world: World, saga_id: str, history: tuple[HistoryEvent, ...]
) -> list[Attempt]:
    told = {
        (event.data["step"], direction, event.data["attempt"])
        for event in history
        for direction, types in _TOLD.items()
        if event.type in types
        or (event.type == "STEP_LATE_RESULT" and event.data["direction"] == direction)
    }
    return [
        effect.of_attempt
        for effect in world.by_saga.get(saga_id, ())
        if effect.what in ("do", "undo") and effect.of_attempt[1:] not in told
    ]


def has_told(front: Front, attempt: Attempt) -> bool:
    """Whether the holder of an attempt has told its end itself, in time or late."""
    for event in front.history(attempt.saga_id):
        data = event.data
        if (data.get("step"), data.get("attempt")) != (attempt.step, attempt.attempt):
            continue
        if event.type == "STEP_LATE_RESULT" and data["direction"] == attempt.direction:
            return True
        by_holder = data.get("error", {}).get("type") != "WorkerLost"
        if event.type in _TOLD[attempt.direction] and by_holder:
            return True
    return False


def noticed_after_s(front: Front, attempt: Attempt, since: datetime) -> float | None:
    """Return when it was on record that an attempt's worker was lost, seconds.

    By the times on record. None: its end was on record before.
    """
    sought = (attempt.step, attempt.attempt)
    for event in front.history(attempt.saga_id):
        data = event.data
        if event.type not in _TOLD[attempt.direction]:
            continue
        lost = data.get("error", {}).get("type") == "WorkerLost"
        if lost and (data["step"], data["attempt"]) == sought:
            return (event.recorded_at - since).total_seconds()
    return None


def taken_over_after_s(front: Front, attempt: Attempt, since: datetime) -> float | None:
    """Return when the next attempt at a step began, seconds; None: there was none."""
    sought = (attempt.step, attempt.attempt + 1)
    for event in front.history(attempt.saga_id):
        key = (event.data.get("step"), event.data.get("attempt"))
        if event.type == _BEGAN[attempt.direction] and key == sought:
            return (event.recorded_at - since).total_seconds()
    return None


def told(front: Front, saga_id: str) -> str:
    """Return a saga's history for people, a line for each event."""
    return "\n".join(
        f"{event.version:3} {event.recorded_at:%H:%M:%S.%f} {event.type} "
        + " ".join(
            f"{key}={event.data[key]}"
            for key in ("step", "direction", "attempt", "round", "for", "error", "by")
            if key in event.data
        )
        for event in front.history(saga_id)
    )


def chain_is_sound(engine: Engine) -> bool:
    """Whether the event store is sound, once all its events have their number."""
    store = EventStore(engine)
    wait_until(lambda: store.sequence() == 0, "all events are numbered")
    return verify(engine).sound
