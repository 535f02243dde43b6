"""A saga's undoing, read off its events: run by run, and what had happened before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.model import CompensationStrategy

__all__ = ["UndoRun", "is_done", "settled_before", "undo_runs"]

_BEGIN: Final = (
    EventType.COMPENSATION_STARTED,
    EventType.COMPENSATION_RETRIED,
    EventType.COMPENSATION_REPLAYED,
    EventType.COMPENSATION_SKIPPED,
    EventType.COMPENSATION_RESOLVED,
    EventType.SAGA_REWOUND,
)
_OUTCOMES: Final = (
    EventType.STEP_FAILED,
    EventType.STEP_TIMED_OUT,
    EventType.STEP_UNKNOWN,
)
_UNDO_ENDS: Final = (EventType.STEP_COMPENSATED, EventType.STEP_COMPENSATION_FAILED)


@dataclass
class UndoRun:
    """The undos between one turn of a saga and the next.

    What landed late is undone whenever it is heard of: it has no place in the order.

    Attributes:
        begins_at: Version of the event that began it.
        strategy: Of the order; None: the saga's own.
        completed: Steps that were completed when it began.
        first: Version at which each step's undo was begun, in its first round here.
        last: Version of the last word of that round.
    """

    begins_at: int
    strategy: CompensationStrategy | None
    completed: frozenset[str]
    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)

    @property
    def undone(self) -> list[str]:
        """Names of its steps, in the order in which their undos began."""
        return sorted(self.first, key=self.first.__getitem__)


def undo_runs(events: Sequence[SagaEvent]) -> Iterator[UndoRun]:
    """Yield the runs, oldest first."""
    run: UndoRun | None = None
    late: set[str] = set()
    for event in events:
        if event.type in _BEGIN:
            if run is not None:
                yield run
            completed = frozenset(_completed(events[: event.version]))
            is_rewind = event.type is EventType.SAGA_REWOUND or (
                run is not None and run.strategy is not None and _goes_on(event)
            )
            strategy = CompensationStrategy.BACKWARD if is_rewind else None
            run = UndoRun(event.version, strategy, completed)
        elif event.type is EventType.STEP_LATE_RESULT and event.data.get("landed"):
            late.add(event.step)
        elif event.type is EventType.SAGA_RETRIED:
            late.clear()
        elif run is not None and "step" in event.data and event.step not in late:
            _enter(run, event)
    if run is not None:
        yield run


def _goes_on(event: SagaEvent) -> bool:
    return event.type is not EventType.COMPENSATION_STARTED


def _enter(run: UndoRun, event: SagaEvent) -> None:
    step, waits = event.step, event.type is EventType.STEP_WAITING
    begins = event.type is EventType.STEP_COMPENSATION_STARTED
    if begins or (waits and event.data["direction"] == "undo"):
        if run.rounds.setdefault(step, event.data["round"]) == event.data["round"]:
            run.first.setdefault(step, event.version)
            run.last[step] = event.version
    elif event.type in _UNDO_ENDS and run.rounds.get(step) == event.data["round"]:
        run.last[step] = event.version


def settled_before(events: Sequence[SagaEvent], version: int) -> dict[str, int]:
    """Return when the doing of each step came to its end, if it had by then."""
    settled: dict[str, int] = {}
    for event in events[:version]:
        match event.type:
            case EventType.STEP_STARTED:
                settled.pop(event.step, None)
            case EventType.STEP_COMPLETED | EventType.STEP_RESOLVED:
                settled[event.step] = event.version
            case EventType.STEP_PROBED if event.data["verdict"] != "unknown":
                settled[event.step] = event.version
            case _ if event.type in _OUTCOMES and "retry_at_ms" not in event.data:
                settled[event.step] = event.version
    return settled


def _completed(events: Sequence[SagaEvent]) -> Iterator[str]:
    """Yield the steps that are completed after these events."""
    done: set[str] = set()
    for event in events:
        if event.type is EventType.STEP_STARTED:
            done.discard(event.step)
        elif event.type is EventType.STEP_GATHERED or is_done(event):
            done.add(event.step)
    yield from done


def is_done(event: SagaEvent) -> bool:
    """Whether an event says that its step is done."""
    match event.type:
        case EventType.STEP_COMPLETED:
            return True
        case EventType.STEP_PROBED:
            return bool(event.data["verdict"] == "done")
        case EventType.STEP_RESOLVED:
            return bool(event.data["happened"])
        case _:
            return False
