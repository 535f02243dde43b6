"""What operators, signals and other sagas may ask of a saga, and when.

Each act is a decision like any other: facts that say who asked and why, and what
follows. An act that does not fit the saga's state is refused with the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.core.saga.compensation import compensation_waves
from orchestration.core.saga.decide import Decision, advance, record
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.model import CompensationStrategy, SagaState
from orchestration.core.saga.undoing import failed_undos, open_undos
from orchestration.core.saga.view import PhaseStatus, SagaView
from orchestration.errors import SagaActRefused

__all__ = [
    "Who",
    "cancel",
    "leave",
    "pause",
    "replay",
    "resolve",
    "resume",
    "retry",
    "retry_due",
    "signal",
    "skip",
    "undo",
]


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, and why: part of the act's event."""

    by: str
    why: str = ""

    @property
    def told(self) -> dict[str, str]:
        """As the event's data; an empty reason is left out."""
        return {"by": self.by} | ({"why": self.why} if self.why else {})


def pause(view: SagaView, now: datetime, who: Who) -> Decision:
    """Let what runs end, and begin nothing; timers stand still. Twice is once."""
    if view.is_on_hold:
        return Decision(view=view)
    if view.state.is_final:
        raise _refused(view, "pause", "only a saga on its way can be paused")
    data = who.told | {"reason": f"paused by {who.by}", "on_hold": True}
    return _act(view, now, NewFact(EventType.SAGA_PAUSED, data))


def resume(view: SagaView, now: datetime, who: Who) -> Decision:
    """Go on after an operator's pause."""
    if view.state is not SagaState.PAUSED:
        raise _refused(view, "resume", "only a paused saga can be resumed")
    if not view.is_on_hold:
        way_out = f"it paused by itself ({view.paused_because}): retry it"
        if _unknown(view):
            way_out += f", or resolve {', '.join(_unknown(view))}"
        raise _refused(view, "resume", way_out)
    return _act(view, now, NewFact(EventType.SAGA_RESUMED, who.told))


def cancel(view: SagaView, now: datetime, who: Who) -> Decision:
    """Give up and undo, once what runs has ended; refused, by an event, after a pivot.

    A pivot that is running decides: if it is done, the saga goes on.
    """
    if view.is_cancelled:
        return Decision(view=view)
    undoing = (view.state, view.resumes_to)
    if view.state not in _CAN_CANCEL or SagaState.COMPENSATING in undoing:
        raise _refused(view, "cancel", "there is nothing left to cancel")
    if view.pivot_committed:
        reason = "the point of no return is behind"
        data = who.told | {"reason": reason}
        return _act(view, now, NewFact(EventType.SAGA_CANCEL_REFUSED, data))
    return _act(view, now, NewFact(EventType.SAGA_CANCEL_REQUESTED, who.told))


_CAN_CANCEL = (SagaState.RUNNING, SagaState.PAUSED, SagaState.FAILED)


def retry(
    view: SagaView, now: datetime, who: Who, *, from_step: str | None = None
) -> Decision:
    """Try again what failed; of a failed compensation, the undos that failed.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        from_step: Begin again with this step, which may be completed: it and all
            that came after it are undone first. Of a failed compensation: the one
            undo to try again.
    """
    if from_step is not None:
        _known(view, from_step)
    if view.state is SagaState.COMPENSATION_FAILED:
        steps = _failed_undo(view, from_step) if from_step else failed_undos(view)
        data = who.told | {"steps": list(steps)}
        return _act(view, now, NewFact(EventType.COMPENSATION_RETRIED, data))
    if view.is_on_hold or view.state not in (SagaState.PAUSED, SagaState.FAILED):
        way_out = "retry is for sagas that failed, or that paused by themselves"
        if view.is_on_hold:
            way_out += "; resume it"
        elif view.state is SagaState.COMPENSATED:
            way_out += "; fork it"
        raise _refused(view, "retry", way_out)
    if from_step is not None and (touched := _from(view, from_step)):
        return _rewind(view, now, who, from_step, touched)
    return _act(view, now, NewFact(EventType.SAGA_RETRIED, who.told))


def retry_due(
    view: SagaView, now: datetime, who: Who, *, due: Mapping[str, datetime]
) -> Decision:
    """Try undos that failed again by themselves: these, and no others.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        due: The steps whose time has come, each with when that was found. One that has
            failed since then was tried by somebody else, and has a time of its own.
    """
    steps = [
        name
        for name in failed_undos(view)
        if name in due and (view.undo_of(name).ended_at or now) <= due[name]
    ]
    if view.state is not SagaState.COMPENSATION_FAILED or not steps:
        raise _refused(view, f"undo {', '.join(due)}", "somebody else was faster")
    data = who.told | {"steps": steps}
    return _act(view, now, NewFact(EventType.COMPENSATION_RETRIED, data))


def _from(view: SagaView, step: str) -> tuple[str, ...]:
    """Return a step and those after it that were begun; () if it only failed."""
    if view.do_of(step).status in (PhaseStatus.FAILED, PhaseStatus.UNKNOWN):
        return ()
    after = {name for name in view.plan.order if step in view.plan.ancestors[name]}
    return tuple(n for n in view.plan.order if n in {step, *after} and n in view.do)


def _rewind(
    view: SagaView, now: datetime, who: Who, step: str, touched: tuple[str, ...]
) -> Decision:
    by_name = view.plan.by_name
    committed = {view.plan.pivot, *view.plan.before_pivot}
    if view.pivot_committed and step in committed:
        raise _refused(view, "retry", f"the pivot {view.plan.pivot!r} comes after it")
    if mapped := [n for n in touched if n in view.plan.instances]:
        names = ", ".join(mapped)
        raise _refused(
            view, "retry", f"{names} was done per item or agent: fork the saga"
        )
    settled = view.settled(PhaseStatus.DONE, PhaseStatus.UNKNOWN)
    done = [name for name in settled if name in touched]
    if stuck := [
        name
        for name in done
        if not (by_name[name].can_be_undone or by_name[name].read_only)
        and by_name[name].wait_for is None
    ]:
        way_out = f"{', '.join(stuck)} cannot be undone, so not be done anew"
        raise _refused(view, "retry", f"{way_out}: begin after it, or fork the saga")
    strategy = CompensationStrategy.BACKWARD
    waves = compensation_waves(
        view.plan, strategy, done=done, unknown=frozenset(), failed=frozenset()
    )
    data = who.told | {
        "from_step": step,
        "steps": list(touched),
        "waves": [list(wave) for wave in waves],
    }
    return _act(view, now, NewFact(EventType.SAGA_REWOUND, data))


def resolve(
    view: SagaView,
    now: datetime,
    who: Who,
    *,
    step: str,
    happened: bool | None = None,
    output: Mapping[str, Any] | None = None,
) -> Decision:
    """Say what a person has found out about a step.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        step: A step of unknown outcome, or one whose undoing failed.
        happened: Of an unknown outcome: whether the step took effect. Of a failed
            undo it is not asked: resolving it says that it was undone by hand.
        output: What the step would have returned.
    """
    _known(view, step)
    if view.state is SagaState.COMPENSATION_FAILED:
        _failed_undo(view, step)
        told = who.told | {"step": step}
        return _act(view, now, NewFact(EventType.COMPENSATION_RESOLVED, told))
    if view.state not in (SagaState.PAUSED, SagaState.FAILED) or view.is_on_hold:
        raise _refused(view, "resolve", "only sagas that stand still have open ends")
    if step not in _unknown(view):
        unknown = ", ".join(_unknown(view)) or "none"
        raise _refused(view, "resolve", f"steps of unknown outcome: {unknown}")
    if happened is None:
        way_out = f"say whether step {step!r} took effect (happened=True or False)"
        raise _refused(view, "resolve", way_out)
    data: dict[str, Any] = {**who.told, "step": step, "happened": happened}
    if output is not None:
        data["output"] = dict(output)
    return _act(view, now, NewFact(EventType.STEP_RESOLVED, data))


def skip(view: SagaView, now: datetime, who: Who, *, step: str) -> Decision:
    """Leave the effect of a step whose undoing failed as it is; the rest is undone."""
    _known(view, step)
    _failed_undo(view, step)
    told = who.told | {"step": step}
    return _act(view, now, NewFact(EventType.COMPENSATION_SKIPPED, told))


def replay(
    view: SagaView, now: datetime, who: Who, *, from_step: str | None = None
) -> Decision:
    """Undo once more what was undone, each undo under a new key.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        from_step: Leave out the waves before this step's, but for what failed there.
    """
    if view.state not in (SagaState.COMPENSATED, SagaState.COMPENSATION_FAILED):
        raise _refused(view, "replay", "only what has been undone is undone again")
    waves = view.waves
    if from_step is not None:
        _known(view, from_step)
        at = next((n for n, w in enumerate(waves) if from_step in w), None)
        if at is None:
            raise _refused(view, "replay", f"step {from_step!r} was not to be undone")
        failed = failed_undos(view)
        broken = (tuple(n for n in wave if n in failed) for wave in waves[:at])
        waves = (*filter(None, broken), *waves[at:])
    data = who.told | {"waves": [list(wave) for wave in waves]}
    return _act(view, now, NewFact(EventType.COMPENSATION_REPLAYED, data))


def signal(
    view: SagaView, now: datetime, who: Who, *, name: str, data: object, signal_id: str
) -> Decision:
    """Hand a signal to the step that waits for it, or will; the same id counts once."""
    if signal_id in view.heard:
        return Decision(view=view)
    awaited = {s.wait_for for s in view.plan.steps if s.wait_for is not None}
    if name not in awaited:
        names = ", ".join(sorted(awaited)) or "none"
        raise _refused(view, f"signal {name!r}", f"signals that it takes: {names}")
    to_come = [
        step
        for step in view.plan.steps
        if step.wait_for == name and step.name not in view.satisfied
    ]
    if view.state.is_over or len(to_come) <= len(view.signals.get(name, ())):
        raise _refused(view, f"signal {name!r}", "no step waits for it any more")
    told = {**who.told, "name": name, "data": data, "signal_id": signal_id}
    return _act(view, now, NewFact(EventType.SIGNAL_RECEIVED, told, key=signal_id))


def undo(view: SagaView, now: datetime, who: Who, *, again: str = "") -> Decision:
    """Undo a completed saga, as its parent does that is being undone.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        again: What tells the order from those before it, if it is not the first: the
            undos that failed are tried again, once for each order.
    """
    has_failed = view.state is SagaState.COMPENSATION_FAILED
    if has_failed and again and again not in view.heard:
        data = who.told | {"steps": list(failed_undos(view)), "order": again}
        return _act(view, now, NewFact(EventType.COMPENSATION_RETRIED, data))
    if view.state is not SagaState.COMPLETED:
        if view.state in _UNDOING:
            return Decision(view=view)
        raise _refused(view, "undo", "only a completed saga is undone as a whole")
    if view.pivot_committed:
        raise _refused(view, "undo", "the point of no return is behind")
    return _act(view, now, NewFact(EventType.COMPENSATION_REQUESTED, who.told))


def leave(view: SagaView, now: datetime, who: Who, *, by_hand: bool) -> Decision:
    """End the undoing of a saga whose parent has been told about it as a whole.

    Args:
        view: The saga now.
        now: The database's clock.
        who: Who asks, and why.
        by_hand: What is left was undone by hand; else its effects stay.
    """
    if view.state is not SagaState.COMPENSATION_FAILED:
        return Decision(view=view)
    by = EventType.COMPENSATION_RESOLVED if by_hand else EventType.COMPENSATION_SKIPPED
    facts: list[NewFact] = []
    after = view
    for step in open_undos(view):
        facts.append(NewFact(by, who.told | {"step": step}))
        after = record(after, facts[-1], now)
    following = advance(after, now, before=view)
    return evolve(following, facts=(*facts, *following.facts))


_UNDOING = (
    SagaState.COMPENSATING,
    SagaState.COMPENSATED,
    SagaState.COMPENSATION_FAILED,
)


def _act(view: SagaView, now: datetime, fact: NewFact) -> Decision:
    following = advance(record(view, fact, now), now, before=view)
    return evolve(following, facts=(fact, *following.facts))


def _unknown(view: SagaView) -> tuple[str, ...]:
    return view.settled(PhaseStatus.UNKNOWN)


def _known(view: SagaView, step: str) -> None:
    if step not in view.plan.by_name:
        names = ", ".join(view.plan.by_name)
        raise _refused(view, f"touch step {step!r}", f"its steps are {names}")


def _failed_undo(view: SagaView, step: str) -> tuple[str, ...]:
    failed = failed_undos(view)
    if view.state is not SagaState.COMPENSATION_FAILED or step not in failed:
        names = ", ".join(failed) or "none"
        raise _refused(view, f"settle the undoing of {step!r}", f"failed: {names}")
    return (step,)


def _refused(view: SagaView, what: str, way_out: str) -> SagaActRefused:
    return SagaActRefused(
        f"saga {view.saga_id} is {view.state}, cannot {what}: {way_out}", view.saga_id
    )
