"""What the acts of operators, other sagas and signals mean for a saga's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.view import Phase, PhaseStatus, SagaView

__all__ = ["apply_act"]


def apply_act(view: SagaView, event: SagaEvent) -> SagaView:
    """Return the state after an event that did not come from an attempt."""
    return _MEANING[event.type](view, event)


def _signal_received(view: SagaView, event: SagaEvent) -> SagaView:
    name = event.data["name"]
    heard = (*view.signals.get(name, ()), event.data["data"])
    return evolve(
        view,
        signals={**view.signals, name: heard},
        heard=view.heard | {event.data["signal_id"]},
    )


def _locks_acquired(view: SagaView, event: SagaEvent) -> SagaView:
    return evolve(view, locks=dict(event.data["locks"]))


def _paused(view: SagaView, event: SagaEvent) -> SagaView:
    paused = evolve(
        view, state=SagaState.PAUSED, paused_because=str(event.data["reason"])
    )
    if not event.data.get("on_hold"):
        return paused
    return evolve(
        paused,
        paused_by=event.data.get("by"),
        paused_at=event.recorded_at,
        resumes_to=view.state,
    )


def _resumed(view: SagaView, event: SagaEvent) -> SagaView:
    """Go on, every timer put off by as long as the saga stood still."""
    stood = event.recorded_at - (view.paused_at or event.recorded_at)
    state = view.resumes_to or SagaState.RUNNING
    view = evolve(
        view,
        state=state,
        clock_from=view.clock_from + stood,
        ends_by=view.ends_by + stood if view.ends_by else None,
        do=_put_off(view.do, stood),
        undo=_put_off(view.undo, stood),
        probe=_put_off(view.probe, stood),
    )
    return _moving(view, state)


def _put_off(side: Mapping[str, Phase], by: timedelta) -> dict[str, Phase]:
    return {
        name: evolve(
            phase,
            due_at=phase.due_at + by if phase.due_at else None,
            until=phase.until + by if phase.until else None,
        )
        for name, phase in side.items()
    }


def _moving(view: SagaView, state: SagaState) -> SagaView:
    return evolve(
        view,
        state=state,
        paused_because=None,
        paused_by=None,
        paused_at=None,
        resumes_to=None,
        ended_at=None,
    )


def _turned(view: SagaView, event: SagaEvent) -> SagaView:
    view = _moving(view, SagaState.COMPENSATING)
    return evolve(view, turned_at=event.recorded_at, turned=event.version)


def _retried(view: SagaView, event: SagaEvent) -> SagaView:
    """Go forward again: what failed, or is to be done anew, is as never tried."""
    rewound = view.rewinds
    sagas = {
        step.name
        for step in view.plan.steps
        if step.saga is not None or step.swarm is not None
    }
    do = {
        # A saga that was undone is no more to be had: the next round has another.
        # What awaits a signal gets all its time again, as the saga does.
        name: phase.anew(next_round=name in rewound or name in sagas)
        if name in rewound or phase.status in (*_GIVEN_UP, PhaseStatus.AWAITING)
        else phase
        for name, phase in view.do.items()
    }
    probe = {
        name: phase.anew(next_round=False) if phase.status in _GIVEN_UP else phase
        for name, phase in view.probe.items()
    }
    undo = {name: phase.anew(next_round=True) for name, phase in view.undo.items()}
    view = evolve(
        view,
        do=do,
        undo=undo,
        probe=probe,
        cause=None,
        waves=(),
        kept=(),
        rewinds=(),
        clock_from=event.recorded_at,
    )
    return _moving(view, SagaState.RUNNING)


_GIVEN_UP = (PhaseStatus.FAILED, PhaseStatus.UNKNOWN)


def _rewound(view: SagaView, event: SagaEvent) -> SagaView:
    """Undo a part of the saga, to do it again."""
    view = evolve(
        view,
        waves=tuple(tuple(wave) for wave in event.data["waves"]),
        rewinds=tuple(event.data["steps"]),
    )
    return _turned(view, event)


def _cancel_requested(view: SagaView, event: SagaEvent) -> SagaView:
    cause = {"reason": "cancelled"}
    cause |= {key: event.data[key] for key in ("by", "why") if key in event.data}
    view = evolve(view, cause=cause)
    return _moving(view, SagaState.RUNNING)


def _cancel_refused(view: SagaView, event: SagaEvent) -> SagaView:
    del event
    return evolve(view, cause=None) if view.is_cancelled else view


def _compensation_requested(view: SagaView, event: SagaEvent) -> SagaView:
    del event
    view = evolve(view, cause={"reason": "undone with its parent"})
    return _moving(view, SagaState.RUNNING)


def _resolved(view: SagaView, event: SagaEvent) -> SagaView:
    """Let a person's word about an unknown outcome count."""
    step, data = event.step, event.data
    phase = evolve(
        view.do_of(step),
        is_doubtful=False,
        error=None,
        settled_at=event.version,
        ended_at=event.recorded_at,
    )
    if data["happened"]:
        output = data.get("output") or phase.output
        phase = evolve(phase, status=PhaseStatus.DONE, output=output)
    else:
        error = {"type": "NotDone", "message": "an operator said so"}
        phase = evolve(phase, status=PhaseStatus.FAILED, error=error, is_denied=True)
    view = view.with_phase(step, Direction.DO, phase)
    cause = view.cause
    if data["happened"] and cause is not None and cause.get("step") == step:
        cause = _still_a_cause(view)  # it was no failure after all
    return _moving(evolve(view, cause=cause), SagaState.RUNNING)


def _still_a_cause(view: SagaView) -> Mapping[str, object] | None:
    """Return what else has the saga give up: a sibling that failed, or is unknown."""
    for name in view.settled(*_GIVEN_UP):
        phase = view.do_of(name)
        failed = phase.status is PhaseStatus.FAILED
        why = "step failed" if failed else "outcome unknown"
        return {"reason": why, "step": name, "error": phase.error}
    return None


def _undo_retried(view: SagaView, event: SagaEvent) -> SagaView:
    """Try failed undos again, under their old keys."""
    for name in event.data["steps"]:
        phase = view.undo_of(name).anew(next_round=False)
        view = view.with_phase(name, Direction.UNDO, phase)
    if "order" in event.data:
        view = evolve(view, heard=view.heard | {event.data["order"]})
    return _turned(view, event)


def _undo_replayed(view: SagaView, event: SagaEvent) -> SagaView:
    """Undo once more what was undone: each undo has a new key."""
    waves = tuple(tuple(wave) for wave in event.data["waves"])
    for name in (name for wave in waves for name in wave):
        phase = view.undo_of(name).anew(next_round=True)
        view = view.with_phase(name, Direction.UNDO, phase)
    return _turned(evolve(view, waves=waves), event)


def _undo_settled_by_hand(view: SagaView, event: SagaEvent) -> SagaView:
    """Take an operator's word: it was undone by hand, or is to stay as it is."""
    by_hand = event.type is EventType.COMPENSATION_RESOLVED
    phase = evolve(
        view.undo_of(event.step),
        status=PhaseStatus.DONE if by_hand else PhaseStatus.SKIPPED,
        settled_at=event.version,
        ended_at=event.recorded_at,
    )
    view = view.with_phase(event.step, Direction.UNDO, phase)
    return _turned(view, event)


_MEANING: Final[Mapping[EventType, Callable[[SagaView, SagaEvent], SagaView]]] = {
    EventType.SIGNAL_RECEIVED: _signal_received,
    EventType.LOCKS_ACQUIRED: _locks_acquired,
    EventType.SAGA_PAUSED: _paused,
    EventType.SAGA_RESUMED: _resumed,
    EventType.SAGA_RETRIED: _retried,
    EventType.SAGA_REWOUND: _rewound,
    EventType.SAGA_CANCEL_REQUESTED: _cancel_requested,
    EventType.SAGA_CANCEL_REFUSED: _cancel_refused,
    EventType.COMPENSATION_REQUESTED: _compensation_requested,
    EventType.STEP_RESOLVED: _resolved,
    EventType.COMPENSATION_RETRIED: _undo_retried,
    EventType.COMPENSATION_REPLAYED: _undo_replayed,
    EventType.COMPENSATION_SKIPPED: _undo_settled_by_hand,
    EventType.COMPENSATION_RESOLVED: _undo_settled_by_hand,
}
