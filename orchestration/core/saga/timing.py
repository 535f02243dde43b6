"""When somebody should look at a saga again, if nothing has moved it by then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestration.core.saga.model import Direction, SagaState, UnknownPolicy
from orchestration.core.saga.undoing import current_wave
from orchestration.core.saga.view import PhaseStatus, SagaView

__all__ = [
    "RESEND_AFTER",
    "RETRY_SLACK",
    "check_after_claim",
    "check_at",
    "is_overdue",
    "must_be_lost",
    "needs_locks",
    "probes",
    "ready",
    "unrouted",
    "wake_at",
    "whole_ms",
]

RESEND_AFTER: Final = timedelta(seconds=10)
"""A message that nobody has claimed within this time is sent again."""

RETRY_SLACK: Final = timedelta(seconds=2)
"""Short waits end by a message of their own; the sweep looks only when it is late."""

_LONGEST_RESEND: Final = timedelta(minutes=5)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def whole_ms(at: datetime) -> int:
    """Return the last whole millisecond since 1970, never one still to come."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def ready(view: SagaView, direction: Direction, now: datetime) -> tuple[str, ...]:
    """Return the steps for which an agent may be called now."""
    match direction:
        case Direction.DO:
            if view.lacks_locks:
                return ()
            names: Iterable[str] = view.plan.ready(view.satisfied)
        case Direction.UNDO:
            if view.lacks_locks:
                return ()
            names = current_wave(view)
        case Direction.PROBE:
            return probes(view, now)
    steps, side = view.plan.by_name, view.side(direction)
    return tuple(
        name
        for name in names
        if steps[name].target(direction) is not None
        and name not in view.plan.instances
        and (name not in side or side[name].is_ready(now))
        and not (direction is Direction.DO and view.lacks_agent(name))
    )


def unrouted(view: SagaView, *, again: bool = False) -> tuple[str, ...]:
    """Return the steps for which an agent has to be chosen by capability.

    Args:
        view: The saga now.
        again: Also those whose agent was chosen and has not begun yet: it may be gone.
    """
    if not view.plan.chosen:
        return ()
    if view.state is not SagaState.RUNNING or view.cause is not None:
        return ()
    if view.lacks_locks:
        return ()
    return tuple(
        name
        for name in view.plan.ready(view.satisfied)
        if name in view.plan.chosen
        and name not in view.plan.instances
        and view.do_of(name).status in (PhaseStatus.IDLE, PhaseStatus.WAITING)
        and (again or view.lacks_agent(name))
    )


def needs_locks(view: SagaView) -> bool:
    """Whether a saga that is on its way has to get its locks first.

    Also one that was over, and so gave them back, and is now to be undone.
    """
    if not view.lacks_locks:
        return False
    if view.state is SagaState.COMPENSATING:
        return bool(current_wave(view))
    return view.state is SagaState.RUNNING and view.cause is None


def probes(view: SagaView, now: datetime | None = None) -> tuple[str, ...]:
    """Return the steps whose agents are to be asked what became of them.

    Args:
        view: The saga now.
        now: The database's clock; None: also those that are being asked, or will be.
    """
    out = []
    for name in view.settled(PhaseStatus.UNKNOWN):
        if view.plan.by_name[name].unknown_policy is not UnknownPolicy.PROBE:
            continue
        probe = view.phase(name, Direction.PROBE)
        if probe.status is PhaseStatus.FAILED:
            continue
        if now is None or probe.is_ready(now):
            out.append(name)
    return tuple(out)


def check_at(
    view: SagaView, now: datetime, *, claimed: tuple[str, Direction] | None = None
) -> datetime | None:
    """Return when to look at the saga again; None: somebody else wakes it.

    Args:
        view: The saga now.
        now: The database's clock.
        claimed: A step that is being claimed: its lease bounds it from here on.
    """
    times = [_resend_at(since, now) for since in _awaiting_others_since(view)]
    times += (
        _resend_at(_ready_since(view, name, Direction.DO), now)
        for name in unrouted(view)
    )
    if view.state.is_final:  # on hold, its children have to hear of it
        return min(times, default=None) if view.is_on_hold else None
    if (at := wake_at(view, now)) is not None:
        times.append(at)
    for direction in _directions(view):
        times += (
            _resend_at(_ready_since(view, name, direction), now)
            for name in ready(view, direction, now)
            if (name, direction) != claimed
        )
    if needs_locks(view):
        turned_at = view.turned_at if view.state is SagaState.COMPENSATING else None
        times.append(_resend_at(turned_at or view.clock_from, now))
    return min(times, default=None)


def check_after_claim(
    view: SagaView, step: str, direction: Direction, now: datetime
) -> datetime | None:
    """Return when to look again once ``step`` has been claimed from this view."""
    return check_at(view, now, claimed=(step, direction))


def _awaiting_others_since(view: SagaView) -> list[datetime]:
    return [
        view.paused_at or phase.started_at or view.started_at
        for direction in (Direction.DO, Direction.UNDO)
        for phase in view.side(direction).values()
        if phase.status is PhaseStatus.AWAITING and "signal" not in phase.awaits
    ]


def _directions(view: SagaView) -> tuple[Direction, ...]:
    if view.state is SagaState.COMPENSATING:
        return (Direction.UNDO,)
    if view.cause is not None:
        return (Direction.PROBE,)
    return Direction.DO, Direction.PROBE


def wake_at(view: SagaView, now: datetime | None = None) -> datetime | None:
    """Return when time alone will move the saga: a due retry, or a deadline.

    Args:
        view: The saga now.
        now: The database's clock: retries that are due by then have been sent and
            are sent again like any message. None: they count as well.
    """
    if view.state.is_final:
        return None
    sides = [view.side(direction) for direction in _directions(view)]
    phases = [phase for side in sides for phase in side.values()]
    times = [
        phase.due_at + _slack(view, name)
        for side in sides
        for name, phase in side.items()
        if phase.status is PhaseStatus.WAITING and phase.due_at is not None
    ]
    if now is not None:
        times = [at for at in times if at > now]
    if view.state is not SagaState.COMPENSATING and view.cause is None:
        times += (
            phase.until
            for phase in phases
            if phase.status is PhaseStatus.AWAITING
            and "signal" in phase.awaits  # a saga looks after its own end
            and phase.until is not None
        )
        times.append(view.deadline)
    return min(times, default=None)


def _slack(view: SagaView, name: str) -> timedelta:
    """Return how late a due attempt may be: for another agent it has no message yet."""
    return RETRY_SLACK if view.keeps_agent(name) else timedelta()


def _ready_since(view: SagaView, name: str, direction: Direction) -> datetime:
    """Return since when a step could have been claimed."""
    phase = view.phase(name, direction)
    if phase.due_at is not None:
        return phase.due_at
    match direction:
        case Direction.DO:
            before = [view.do_of(other).ended_at for other in view.plan.needs(name)]
            start = view.clock_from
        case Direction.UNDO:
            before = [phase.ended_at for phase in view.undo.values()]
            start = view.turned_at or view.started_at
        case Direction.PROBE:
            before = [view.do_of(name).ended_at]
            start = view.started_at
    return max([start, *(at for at in before if at is not None)])


def is_overdue(view: SagaView, name: str, direction: Direction, now: datetime) -> bool:
    """Whether a step has been ready for so long that its message must be lost.

    The end of a long wait has no message of its own: it is overdue after the slack.
    """
    waits = view.phase(name, direction).status is PhaseStatus.WAITING
    patience = _slack(view, name) if waits else RESEND_AFTER
    return _ready_since(view, name, direction) + patience <= now


def must_be_lost(
    view: SagaView, name: str, direction: Direction, now: datetime
) -> bool:
    """Whether a message cannot be waiting its turn in a long queue.

    After five minutes nobody counts on it. The end of a long wait has none to begin
    with.
    """
    if view.phase(name, direction).status is PhaseStatus.WAITING:
        return True
    return _ready_since(view, name, direction) + _LONGEST_RESEND <= now


def _resend_at(since: datetime, now: datetime) -> datetime:
    """Return the next time to send again what has waited since then.

    After 10 s, then after twice as long each time, at most every 5 minutes: a queue
    that is long is not made longer.
    """
    wait, at = RESEND_AFTER, since + RESEND_AFTER
    while at <= now and wait < _LONGEST_RESEND:
        wait = min(wait * 2, _LONGEST_RESEND)
        at += wait
    if at <= now:
        at += _LONGEST_RESEND * ((now - at) // _LONGEST_RESEND + 1)
    return at
