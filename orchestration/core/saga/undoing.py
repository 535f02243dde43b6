"""Undoing: what is to be undone, and which undos may run now."""

from __future__ import annotations

from orchestration.core.saga.compensation import compensation_waves, kept_steps
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import (
    CompensationStrategy,
    Direction,
    OnCompensationFailure,
)
from orchestration.core.saga.plan import MAX_STRETCH
from orchestration.core.saga.view import PhaseStatus, SagaView

__all__ = [
    "chained",
    "compensation_plan",
    "current_wave",
    "failed_undos",
    "newly_failed_undos",
    "open_undos",
]

_SETTLED = (PhaseStatus.DONE, PhaseStatus.SKIPPED, PhaseStatus.FAILED)


def compensation_plan(view: SagaView) -> NewFact:
    """Return the fact that turns a saga to undoing, with its plan."""
    strategy = CompensationStrategy(view.transaction.compensation_strategy)
    # About to be tried again after a lost attempt: that may have taken effect.
    waiting = [
        name
        for name, phase in view.do.items()
        if phase.is_doubtful and phase.status in (PhaseStatus.WAITING, PhaseStatus.IDLE)
    ]
    denied = [name for name, phase in view.do.items() if phase.is_denied]
    pivot = {name for name in denied if view.plan.by_name[name].is_pivot}
    settled = [
        name
        for name in view.settled(
            PhaseStatus.DONE, PhaseStatus.UNKNOWN, PhaseStatus.FAILED
        )
        if view.do_of(name).status is not PhaseStatus.FAILED or name in pivot
    ]
    unknown = {*view.settled(PhaseStatus.UNKNOWN), *waiting, *pivot}
    waves = compensation_waves(
        view.plan,
        strategy,
        done=[*settled, *waiting],
        unknown=unknown,
        failed=set(view.settled(PhaseStatus.FAILED)) - pivot,
        denied=pivot,
    )
    return NewFact(
        EventType.COMPENSATION_STARTED,
        {
            "cause": dict(view.cause or {}),
            "strategy": strategy,
            "waves": [list(wave) for wave in waves],
            "kept_steps": list(kept_steps(view.plan, strategy, view.completed)),
        },
    )


def current_wave(view: SagaView) -> tuple[str, ...]:
    """Return the first wave that has not settled; () if all have, or one halted."""
    halts = view.transaction.on_compensation_failure is OnCompensationFailure.HALT
    for wave in view.waves:
        statuses = [view.undo_of(name).status for name in wave]
        if not all(status in _SETTLED for status in statuses):
            return wave
        if halts and PhaseStatus.FAILED in statuses:
            return ()
    return ()


def failed_undos(view: SagaView) -> tuple[str, ...]:
    """Return the steps whose undoing failed for good, in the order of the waves."""
    return tuple(
        name
        for wave in view.waves
        for name in wave
        if view.undo_of(name).status is PhaseStatus.FAILED
    )


def open_undos(view: SagaView) -> tuple[str, ...]:
    """Return the steps that are neither undone nor left, in the order of the waves."""
    settled = (PhaseStatus.DONE, PhaseStatus.SKIPPED)
    names = (name for wave in view.waves for name in wave)
    return tuple(name for name in names if view.undo_of(name).status not in settled)


def newly_failed_undos(view: SagaView) -> tuple[str, ...]:
    """Return those of them that were tried since the saga last turned to undoing."""
    return tuple(
        name
        for name in failed_undos(view)
        if view.undo_of(name).settled_at > view.turned
    )


def chained(view: SagaView, wave: tuple[str, ...]) -> tuple[str, ...]:
    """Return the step of this wave of one and those of the waves of one after it.

    What is undone by a saga of its own ends the chain: no agent is called for it.
    """
    at = view.waves.index(wave)
    out: list[str] = []
    for following in view.waves[at : at + MAX_STRETCH]:
        if len(following) > 1:
            break
        (name,) = following
        if view.plan.by_name[name].target(Direction.UNDO) is None:
            break
        out.append(name)
    return tuple(out)
