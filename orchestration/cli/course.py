"""What a picture of a saga shows: lanes of spans, times of standing still, turns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestration.cli.facts import asked, told
from orchestration.cli.output import span_text
from orchestration.cli.spans import Ended, Kind, Span, spans_of
from orchestration.core.saga.events import EventType, SagaEvent
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import Direction, SagaState
from orchestration.core.saga.view import SagaView

__all__ = ["Course", "Lane", "Mark", "Stand", "Turn", "course_of"]

MANY_ITEMS = 12
"""Of so many items of one step each has a lane of its own."""

_MOMENT = timedelta(milliseconds=1)
_LONG_S = 120


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a step at one moment, beside its attempts.

    Attributes:
        type: STEP_LATE_RESULT, STEP_SKIPPED, STEP_RESOLVED, COMPENSATION_SKIPPED or
            COMPENSATION_RESOLVED.
        text: What it says, in words.
    """

    at: datetime
    type: EventType
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The doing of a step, with what its agent was asked of it; or its undoing.

    Attributes:
        step: The step's name; of many items that share it, in words.
        is_pivot: Whether it is the point of no return.
    """

    step: str
    direction: Direction
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    is_pivot: bool = False

    @property
    def is_smooth(self) -> bool:
        """Whether nothing happened, or the first attempt did it."""
        outcomes = [span.outcome for span in self.spans]
        return outcomes in ([], [Ended.DONE]) and not self.marks

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of it in a few words."""
        own = [s for s in self.spans if s.direction is self.direction]
        calls = sum(1 for span in own if span.kind is Kind.CALL)
        rounds = len({span.round for span in own})
        awaits = {key: name for span in own for key, name in span.awaits.items()}
        notes = [
            f"{calls} attempts" if calls > rounds else "",
            f"{rounds} rounds" if rounds > 1 else "",
            f"signal {awaits['signal']}" if "signal" in awaits else "",
            *(f"a {kind} of its own" for kind in ("saga", "swarm") if kind in awaits),
            *(_NOTES.get(mark.type, "") for mark in self.marks),
        ]
        if not (self.spans or self.marks):
            notes.append("not begun")
        return tuple(dict.fromkeys(note for note in notes if note))

    def seconds(self, until: datetime) -> float | None:
        """Return the time from its first beginning to its last end, if it began."""
        if not self.spans:
            return None
        ended = max(span.ended or until for span in self.spans)
        return (ended - self.spans[0].began).total_seconds()


_NOTES = {
    EventType.STEP_SKIPPED: "passed over",
    EventType.STEP_LATE_RESULT: "late result",
    EventType.COMPENSATION_SKIPPED: "left as it is",
    EventType.COMPENSATION_RESOLVED: "by hand",
}


@dataclass(frozen=True, slots=True)
class Stand:
    """A time in which nothing could begin: it was paused, or waited for a person."""

    began: datetime
    ended: datetime | None
    state: SagaState


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Something that happened to the saga as a whole.

    Attributes:
        text: What, in words.
        asked: Who asked for it, and why; empty if it came by itself.
        number: Counts what was asked for, from 1; 0: it came by itself.
    """

    at: datetime
    type: EventType
    text: str
    asked: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A saga's course between two times.

    Attributes:
        forward: Lanes of doing, in the order in which they began; the rest is last.
        undoing: The same of undoing, of steps that were or are to be undone.
        strategy: The order of undoing, once it has turned to that.
        stands: When it stood still.
        turns: What happened to it as a whole, oldest first.
        committed_at: When the pivot was completed.
        spans: Every attempt and wait, those without a lane of their own included.
        late: Results that came late, of all steps.
    """

    began: datetime
    until: datetime
    forward: tuple[Lane, ...]
    undoing: tuple[Lane, ...]
    strategy: str
    stands: tuple[Stand, ...]
    turns: tuple[Turn, ...]
    committed_at: datetime | None
    spans: tuple[Span, ...]
    late: tuple[Mark, ...]

    @property
    def seconds(self) -> float:
        """How long it takes, at least a millisecond."""
        return (self.until - self.began).total_seconds()

    def after(self, at: datetime) -> str:
        """Return how long after the beginning a time is, in words."""
        seconds = (at - self.began).total_seconds()
        return f"{seconds:.1f} s" if seconds < _LONG_S else span_text(seconds)

    @property
    def turned_at(self) -> tuple[datetime, ...]:
        """When it turned to undoing."""
        return tuple(t.at for t in self.turns if t.type in _TURNS_BACK)

    @property
    def marked_turns(self) -> tuple[Turn, ...]:
        """Its turns but for those to undoing that came by themselves."""
        plain = EventType.COMPENSATION_STARTED
        return tuple(t for t in self.turns if t.type is not plain)


def course_of(saga_id: str, events: Sequence[SagaEvent], *, now: datetime) -> Course:
    """Return the course that a saga's events tell of.

    Args:
        saga_id: The saga.
        events: All of them.
        now: Until when it goes, if the saga is on its way or on hold.
    """
    view, stands = _folded(saga_id, events)
    is_moving = not view.state.is_final or view.is_on_hold
    began = events[0].recorded_at
    last = max(now, began) if is_moving else events[-1].recorded_at
    lanes = _lanes(events, view)
    pivot = view.plan.pivot
    return Course(
        began=began,
        until=max(last, began + _MOMENT),
        forward=_thinned(lanes, view, Direction.DO),
        undoing=_thinned(lanes, view, Direction.UNDO),
        strategy=_strategy(events),
        stands=stands,
        turns=_turns(events),
        committed_at=view.do_of(pivot).ended_at if pivot else None,
        spans=tuple(span for lane in lanes for span in lane.spans),
        late=tuple(
            mark
            for lane in lanes
            for mark in lane.marks
            if mark.type is EventType.STEP_LATE_RESULT
        ),
    )


def _folded(
    saga_id: str, events: Sequence[SagaEvent]
) -> tuple[SagaView, tuple[Stand, ...]]:
    """Return the saga, and when it stood still; once it is over it does not."""
    view = fold(saga_id, events[:1])
    if view is None:
        raise ValueError(f"saga {saga_id} has no events")
    stands: list[Stand] = []
    for event in events[1:]:
        before, view = view.state, apply(view, event)
        if view.state is before:
            continue
        if stands and stands[-1].ended is None:
            stands[-1] = replace(stands[-1], ended=event.recorded_at)
        if view.state.is_final:
            stands.append(Stand(event.recorded_at, None, view.state))
    if stands and stands[-1].ended is None and view.state.is_over:
        stands.pop()
    return view, tuple(stands)


_Place = tuple[Direction, str]


def _lanes(events: Sequence[SagaEvent], view: SagaView) -> list[Lane]:
    """Return the lanes of all steps and undos, in the order in which they began.

    What has not begun is last.
    """
    spans: defaultdict[_Place, list[Span]] = defaultdict(list)
    for span in spans_of(events):
        spans[_side(span.direction), span.step].append(span)
    marks: defaultdict[_Place, list[Mark]] = defaultdict(list)
    for event in events:
        if (side := _marked_side(event)) is not None:
            mark = Mark(event.recorded_at, event.type, told(event))
            marks[side, event.step].append(mark)
    begun = sorted(
        dict.fromkeys((*spans, *marks)),
        key=lambda place: min(
            [span.began for span in spans.get(place, ())]
            + [mark.at for mark in marks.get(place, ())]
        ),
    )
    planned = [(Direction.DO, name) for name in view.plan.order]
    planned += ((Direction.UNDO, name) for wave in view.waves for name in wave)
    return [
        Lane(
            step=step,
            direction=side,
            spans=tuple(spans.get((side, step), ())),
            marks=tuple(marks.get((side, step), ())),
            is_pivot=side is Direction.DO and step == view.plan.pivot,
        )
        for side, step in dict.fromkeys((*begun, *planned))
    ]


def _side(direction: Direction) -> Direction:
    return Direction.UNDO if direction is Direction.UNDO else Direction.DO


def _marked_side(event: SagaEvent) -> Direction | None:
    """Return which lane of a step an event marks; None: it marks none."""
    match event.type:
        case EventType.STEP_LATE_RESULT:
            return _side(Direction(event.data["direction"]))
        case EventType.STEP_SKIPPED | EventType.STEP_RESOLVED:
            return Direction.DO
        case EventType.COMPENSATION_SKIPPED | EventType.COMPENSATION_RESOLVED:
            return Direction.UNDO
        case _:
            return None


def _thinned(
    lanes: Iterable[Lane], view: SagaView, side: Direction
) -> tuple[Lane, ...]:
    """Return one side's lanes; of a step with many items, the remarkable ones.

    The other items of that step share one lane, at the place of their first.
    """
    lanes = [lane for lane in lanes if lane.direction is side]
    items: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in lanes:
        if lane.step in view.plan.places:
            items[view.plan.places[lane.step][0]].append(lane)
    shared: dict[str, Lane] = {}
    for base, own in items.items():
        if len(own) > MANY_ITEMS:
            own.sort(key=lambda lane: lane.is_smooth)
            rest = own[MANY_ITEMS - 1 :]
            together = _together(f"{base}, {len(rest)} items", rest)
            shared |= dict.fromkeys((lane.step for lane in rest), together)
    shown = [shared.get(lane.step, lane) for lane in lanes]
    return tuple({lane.step: lane for lane in shown}.values())


def _together(label: str, lanes: Sequence[Lane]) -> Lane:
    """Return one lane for many, from the first beginning to the last end."""
    spans = [span for lane in lanes for span in lane.spans]
    if not spans:
        return Lane(step=label, direction=lanes[0].direction)
    outcomes = {span.outcome for lane in lanes for span in lane.spans[-1:]}
    worst = next(one for one in _WORST_FIRST if one in outcomes)
    is_open = worst is Ended.RUNNING
    whole = Span(
        step=label,
        direction=lanes[0].direction,
        attempt=1,
        round=1,
        began=min(span.began for span in spans),
        ended=None if is_open else max(s.ended for s in spans if s.ended),
        outcome=worst,
    )
    return Lane(step=label, direction=whole.direction, spans=(whole,))


_WORST_FIRST = (Ended.RUNNING, Ended.FAILED, Ended.UNKNOWN, Ended.CUT, Ended.DONE)


def _strategy(events: Iterable[SagaEvent]) -> str:
    named = [e.data["strategy"] for e in events if "strategy" in e.data]
    return str(named[-1]) if named else ""


_TURNS_BACK = {
    EventType.COMPENSATION_STARTED,
    EventType.COMPENSATION_RETRIED,
    EventType.COMPENSATION_REPLAYED,
    EventType.SAGA_REWOUND,
}
_TURNS = {
    *_TURNS_BACK,
    EventType.STEP_RESOLVED,
    EventType.SIGNAL_RECEIVED,
    EventType.LOCKS_ACQUIRED,
    EventType.COMPENSATION_FAILED,
    EventType.COMPENSATION_REQUESTED,
    EventType.COMPENSATION_SKIPPED,
    EventType.COMPENSATION_RESOLVED,
    EventType.SAGA_TIMED_OUT,
    EventType.SAGA_PAUSED,
    EventType.SAGA_RESUMED,
    EventType.SAGA_RETRIED,
    EventType.SAGA_CANCEL_REQUESTED,
    EventType.SAGA_CANCEL_REFUSED,
    EventType.SAGA_HALTED,
}


def _turns(events: Iterable[SagaEvent]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    number = 0
    for event in events:
        who = asked(event)
        if event.type not in _TURNS and not who:  # a fork's start was asked for
            continue
        number += bool(who)
        turns.append(
            Turn(
                at=event.recorded_at,
                type=event.type,
                text=told(event),
                asked=who,
                number=number if who else 0,
            )
        )
    return tuple(turns)
