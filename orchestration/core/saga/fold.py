"""From events to a state: the one place where a saga's past gets its meaning.

``apply`` takes one event, ``fold`` a whole stream; any prefix of a stream folds to a
valid view. An outcome counts only if it belongs to the attempt that is open: whatever
comes later is kept as history, and changes nothing but that an undo is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from orchestration.core.saga.acted import apply_act
from orchestration.core.saga.data import gathered
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.model import (
    Direction,
    SagaState,
    SagaTransaction,
    UnknownPolicy,
)
from orchestration.core.saga.plan import Plan
from orchestration.core.saga.view import Parent, Phase, PhaseStatus, SagaView

__all__ = ["apply", "fold"]


def fold(saga_id: str, events: Iterable[SagaEvent]) -> SagaView | None:
    """Return the state after ``events``, which start at version 1; None if none."""
    view: SagaView | None = None
    for event in events:
        view = _begin(saga_id, event) if view is None else apply(view, event)
    return view


def apply(view: SagaView, event: SagaEvent) -> SagaView:
    """Return the state after one more event."""
    view = evolve(view, version=event.version)
    match event.type:
        case EventType.STEP_STARTED:
            return _attempt_began(view, event, Direction.DO)
        case EventType.STEP_COMPENSATION_STARTED:
            return _attempt_began(view, event, Direction.UNDO)
        case EventType.STEP_PROBE_STARTED:
            return _attempt_began(view, event, Direction.PROBE)
        case EventType.STEP_COMPLETED:
            return _attempt_ended(view, event, Direction.DO)
        case EventType.STEP_COMPENSATED:
            return _attempt_ended(view, event, Direction.UNDO)
        case EventType.STEP_PROBED:
            return _probed(view, event)
        case EventType.STEP_FAILED:
            return _attempt_failed(view, event, Direction.DO)
        case EventType.STEP_COMPENSATION_FAILED:
            return _attempt_failed(view, event, Direction.UNDO)
        case EventType.STEP_PROBE_FAILED:
            return _attempt_failed(view, event, Direction.PROBE)
        case EventType.STEP_TIMED_OUT | EventType.STEP_UNKNOWN:
            return _attempt_lost(view, event)
        case EventType.STEP_LATE_RESULT:
            return _too_late(view, event, Direction(event.data["direction"]))
        case EventType.STEP_WAITING:
            return _waits(view, event)
        case EventType.STEP_ROUTED:
            return _routed(view, event)
        case EventType.STEP_SKIPPED | EventType.STEP_GATHERED:
            return _passed(view, event)
        case EventType.STEP_EXPANDED:
            plan = view.plan.expanded(event.step, event.data["count"])
            return evolve(view, plan=plan)
        case EventType.SAGA_TIMED_OUT:
            return evolve(view, cause=view.cause or {"reason": "timeout"})
        case EventType.COMPENSATION_STARTED:
            return evolve(
                view,
                state=SagaState.COMPENSATING,
                turned_at=event.recorded_at,
                turned=event.version,
                waves=tuple(tuple(wave) for wave in event.data["waves"]),
                kept=tuple(event.data.get("kept_steps", ())),
            )
        case EventType.COMPENSATION_COMPLETED:
            return _ended(view, event, SagaState.COMPENSATED)
        case EventType.COMPENSATION_FAILED:
            return _ended(view, event, SagaState.COMPENSATION_FAILED)
        case EventType.SAGA_HALTED:
            return _ended(view, event, SagaState.FAILED)
        case EventType.SAGA_COMPLETED:
            return _ended(view, event, SagaState.COMPLETED)
        case EventType.SAGA_STARTED:  # only ever the first; see ``_begin``
            return view
        case _:
            return apply_act(view, event)


def _begin(saga_id: str, event: SagaEvent) -> SagaView:
    if event.type is not EventType.SAGA_STARTED:
        raise ValueError(f"saga {saga_id}: its first event is {event.type}")
    data = event.data
    transaction, plan = _defined(saga_id, data)
    parent, ends_by_ms = data.get("parent"), data.get("ends_by_ms")
    return SagaView(
        saga_id=saga_id,
        version=event.version,
        transaction=transaction,
        plan=plan,
        definition_hash=data["definition_hash"],
        initial_data=data["initial_data"],
        parent=Parent(**parent) if parent else None,
        started_at=event.recorded_at,
        clock_from=event.recorded_at,
        ends_by=_time(ends_by_ms) if ends_by_ms is not None else None,
    )


def _defined(saga_id: str, data: Mapping[str, Any]) -> tuple[SagaTransaction, Plan]:
    transaction, plan = _read(json.dumps(data["definition"]))
    attributes = data.get("search_attributes", {})
    return (
        replace(transaction, transaction_id=saga_id, search_attributes=attributes),
        plan,
    )


@lru_cache(maxsize=256)
def _read(definition: str) -> tuple[SagaTransaction, Plan]:
    """Return a definition and its plan, which all its sagas share."""
    transaction = SagaTransaction.from_json(json.loads(definition), transaction_id="")
    return transaction, Plan(tuple(transaction.steps))


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _attempt_began(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    phase = evolve(
        view.phase(event.step, direction),
        status=PhaseStatus.RUNNING,
        attempt=event.data["attempt"],
        round=event.data["round"],
        token=event.data["token"],
        started_at=event.recorded_at,
        due_at=None,
    )
    return view.with_phase(event.step, direction, phase)


def _waits(view: SagaView, event: SagaEvent) -> SagaView:
    direction, until_ms = Direction(event.data["direction"]), event.data.get("until_ms")
    phase = evolve(
        view.phase(event.step, direction),
        status=PhaseStatus.AWAITING,
        attempt=event.data["attempt"],
        round=event.data["round"],
        token="",
        started_at=event.recorded_at,
        due_at=None,
        awaits=event.data["for"],
        until=_time(until_ms) if until_ms is not None else None,
    )
    return view.with_phase(event.step, direction, phase)


def _routed(view: SagaView, event: SagaEvent) -> SagaView:
    data = event.data
    phase = evolve(
        view.do_of(event.step),
        agent_id=data["agent_id"],
        chosen_for=data["for_attempt"],
    )
    return view.with_phase(event.step, Direction.DO, phase)


def _open_phase(view: SagaView, event: SagaEvent, direction: Direction) -> Phase | None:
    """Return the phase if the event belongs to its open attempt."""
    phase, data = view.phase(event.step, direction), event.data
    if data.get("unopened"):  # it failed before anybody could try
        return evolve(phase, attempt=data["attempt"])
    same = (phase.attempt, phase.round) == (data["attempt"], data["round"])
    return phase if same and phase.is_open else None


def _too_late(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    """Remember a late result; an effect that nobody counts on is undone."""
    data, step = event.data, event.step
    attempt = (step, direction, data["attempt"], data["round"])
    view = evolve(view, late=view.late | {attempt})
    if direction is not Direction.DO or not data.get("landed"):
        return view
    done, undone = view.do_of(step), view.undo_of(step)
    settled = undone.status in (PhaseStatus.DONE, PhaseStatus.SKIPPED)
    if not (settled or undone.is_open):
        return _did_not_fail(view, event, done)
    if done.output is None and "output" in data:
        # What it returned may be what the undo needs to find the effect.
        view = view.with_phase(step, Direction.DO, evolve(done, output=data["output"]))
    again = undone.anew(next_round=True) if settled else evolve(undone, repeats=True)
    return _undoing_again(view.with_phase(step, Direction.UNDO, again), event)


def _did_not_fail(view: SagaView, event: SagaEvent, done: Phase) -> SagaView:
    """Take back that a step had no effect, as its last attempt or its probe said."""
    step, data = event.step, event.data
    if done.round != data["round"] or done.status not in _MAY_BE_WRONG:
        return view
    is_turned = view.state in _TURNED
    done = evolve(done, is_doubtful=True)
    if done.status is PhaseStatus.FAILED:
        done = evolve(
            done,
            status=PhaseStatus.UNKNOWN,
            output=data.get("output"),
            is_denied=done.is_denied and is_turned,
        )
    view = view.with_phase(step, Direction.DO, done)
    definition = view.plan.by_name[step]
    if (
        not is_turned  # what is decided next reckons with it
        or definition.is_pivot  # a person decides, or nobody
        or not definition.can_be_undone
        or any(step in wave for wave in view.waves)
    ):
        return view
    return _undoing_again(evolve(view, waves=(*view.waves, (step,))), event)


_MAY_BE_WRONG = (
    PhaseStatus.FAILED,
    PhaseStatus.WAITING,
    PhaseStatus.IDLE,
    PhaseStatus.RUNNING,
)
_TURNED = (
    SagaState.COMPENSATING,
    SagaState.COMPENSATED,
    SagaState.COMPENSATION_FAILED,
)


def _undoing_again(view: SagaView, event: SagaEvent) -> SagaView:
    if view.state in (SagaState.COMPENSATED, SagaState.COMPENSATION_FAILED):
        view = evolve(view, turned_at=event.recorded_at, turned=event.version)
        return evolve(view, state=SagaState.COMPENSATING, ended_at=None)
    return view


def _attempt_ended(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    step = event.step
    phase = _open_phase(view, event, direction)
    if phase is None:
        return _too_late(view, event, direction)
    if phase.repeats:
        return view.with_phase(step, direction, _once_more(phase))
    if "signal" in phase.awaits and direction is Direction.DO:
        name = phase.awaits["signal"]
        rest = view.signals.get(name, ())[1:]
        view = evolve(view, signals={**view.signals, name: rest})
    return view.with_phase(step, direction, _done(phase, event))


def _once_more(phase: Phase) -> Phase:
    """Begin another round; its last attempt is still known, should it tell twice."""
    return evolve(phase.anew(next_round=True), token=phase.token)


def _done(phase: Phase, event: SagaEvent) -> Phase:
    output = event.data.get("output")
    phase = evolve(phase, status=PhaseStatus.DONE, output=output, error=None)
    return _settled(phase, event)


def _settled(phase: Phase, event: SagaEvent) -> Phase:
    return evolve(phase, settled_at=event.version, ended_at=event.recorded_at)


def _passed(view: SagaView, event: SagaEvent) -> SagaView:
    """Settle a step that nobody had to do: passed over, or gathered."""
    step, phase = event.step, view.do_of(event.step)
    if event.type is EventType.STEP_SKIPPED:
        phase = evolve(phase, status=PhaseStatus.SKIPPED)
    else:
        output = gathered(view, step)
        phase = evolve(phase, status=PhaseStatus.DONE, output=output)
    phase = _settled(phase, event)
    return view.with_phase(step, Direction.DO, phase)


def _attempt_failed(view: SagaView, event: SagaEvent, direction: Direction) -> SagaView:
    phase = _open_phase(view, event, direction)
    if phase is None:
        return _too_late(view, event, direction)
    lost = bool(event.data.get("lost"))
    phase = evolve(
        phase,
        failures=phase.failures + (not lost),
        recoveries=phase.recoveries + lost,
    )
    return _retry_or_give_up(view, event, direction, phase, PhaseStatus.FAILED)


def _attempt_lost(view: SagaView, event: SagaEvent) -> SagaView:
    phase = _open_phase(view, event, Direction.DO)
    if phase is None:
        return _too_late(view, event, Direction.DO)
    phase = evolve(phase, recoveries=phase.recoveries + 1, is_doubtful=True)
    return _retry_or_give_up(view, event, Direction.DO, phase, PhaseStatus.UNKNOWN)


def _retry_or_give_up(
    view: SagaView,
    event: SagaEvent,
    direction: Direction,
    phase: Phase,
    given_up: PhaseStatus,
) -> SagaView:
    """Set a phase whose attempt ended badly to its wait, or to its end."""
    step, error = event.step, event.data.get("error")
    retry_at = event.data.get("retry_at_ms")
    if retry_at is not None:
        waiting = PhaseStatus.WAITING
        due_at = _due_at(view, event, retry_at)
        phase = evolve(phase, status=waiting, due_at=due_at, error=error)
        return view.with_phase(step, direction, phase)
    if phase.repeats:
        return view.with_phase(step, direction, _once_more(phase))
    if direction is Direction.DO and phase.is_doubtful:
        # An earlier attempt may have taken effect: this was no clean failure.
        given_up = PhaseStatus.UNKNOWN
    phase = _settled(evolve(phase, status=given_up, error=error), event)
    view = view.with_phase(step, direction, phase)
    if direction is Direction.UNDO:
        return view
    if direction is Direction.PROBE:
        # Nobody can tell: the step stays unknown, for a person.
        return _gave_up(view, step, view.do_of(step).error, "outcome unknown")
    if given_up is PhaseStatus.UNKNOWN and _is_probed(view, step):
        return view  # the probe decides
    why = "step failed" if given_up is PhaseStatus.FAILED else "outcome unknown"
    return _gave_up(view, step, error, why)


def _due_at(view: SagaView, event: SagaEvent, retry_at_ms: int) -> datetime:
    """Return when a retry is due; of a paused saga, if it went on at once."""
    stood = timedelta()
    if view.paused_at is not None:  # the wait begins when the saga goes on
        stood = event.recorded_at - view.paused_at
    return _time(retry_at_ms) - stood


def _is_probed(view: SagaView, step: str) -> bool:
    return view.plan.by_name[step].unknown_policy is UnknownPolicy.PROBE


def _gave_up(
    view: SagaView, step: str, error: Mapping[str, Any] | None, reason: str
) -> SagaView:
    if view.cause is not None:
        return view
    return evolve(view, cause={"reason": reason, "step": step, "error": error})


def _probed(view: SagaView, event: SagaEvent) -> SagaView:
    """Let the agent's word about an unknown outcome count."""
    step, data = event.step, event.data
    probe = _open_phase(view, event, Direction.PROBE)
    if probe is None:
        return _too_late(view, event, Direction.PROBE)
    verdict = data["verdict"]
    ended = PhaseStatus.FAILED if verdict == "unknown" else PhaseStatus.IDLE
    probe = evolve(probe, status=ended, failures=0, recoveries=0)
    view = view.with_phase(step, Direction.PROBE, probe)
    done = view.do_of(step)
    if verdict == "unknown":
        return _gave_up(view, step, done.error, "outcome unknown")
    if verdict == "done":
        return view.with_phase(step, Direction.DO, _done(done, event))
    done = evolve(done, is_doubtful=False)
    if (retry_at := data.get("retry_at_ms")) is not None:
        waiting = PhaseStatus.WAITING
        due_at = _due_at(view, event, retry_at)
        done = evolve(done, status=waiting, due_at=due_at)
        return view.with_phase(step, Direction.DO, done)
    done = _settled(evolve(done, status=PhaseStatus.FAILED), event)
    view = view.with_phase(step, Direction.DO, done)
    return _gave_up(view, step, done.error, "step failed")


def _ended(view: SagaView, event: SagaEvent, state: SagaState) -> SagaView:
    # Whoever is over has given its locks back.
    locks = None if state.is_over else view.locks
    return evolve(view, state=state, ended_at=event.recorded_at, locks=locks)
