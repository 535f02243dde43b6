"""Whether a saga's end is true: what it says of itself against what is in the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import combinations
from typing import Final

from orchestration.core.saga.model import Direction, SagaState
from orchestration.testing.references import References
from orchestration.testing.runs import Run
from orchestration.testing.scenarios import Scenario
from orchestration.testing.snapshots import Difference, differences
from orchestration.testing.stand_ins import base_name
from orchestration.testing.standing import Standing, standing

__all__ = ["CannotTell", "faults_of"]

_MOST_DOUBTS: Final = 4
_MOST_LINES: Final = 10


class CannotTell(Exception):
    """There is no world to compare with."""


def faults_of(
    scenario: Scenario, run: Run, world: object, known: References, stays: Set[str]
) -> tuple[str, ...]:
    """Return what is wrong with the end of a run, a sentence each.

    Args:
        scenario: What went wrong on purpose.
        run: How the saga ended.
        world: The snapshot after it.
        known: The worlds to compare with.
        stays: Steps that have no compensation and whose effects may stay.

    Raises:
        CannotTell: There is nothing to compare the world with.
    """
    return (*_of_status(scenario, run), *_of_world(run, world, known, stays))


def _of_status(scenario: Scenario, run: Run) -> Iterator[str]:
    """Yield what is wrong whatever the world is like."""
    status = run.status
    pivots = {e.data["step"] for e in run.events if e.type == "STEP_COMPLETED"}
    pivots &= {*_pivots(run)}
    if pivots and status.compensated_steps:
        undone = ", ".join(status.compensated_steps)
        yield f"undone after the pivot {', '.join(pivots)}: {undone}"
    match status.state:
        case SagaState.RUNNING | SagaState.WAITING | SagaState.COMPENSATING:
            what = f", for {status.waiting_for}" if status.waiting_for else ""
            yield f"it has not ended: it is {status.state}{what}"
        case SagaState.COMPENSATION_FAILED:
            yield from _of_undos(scenario, run)
        case _:
            pass


def _pivots(run: Run) -> Iterator[str]:
    [definition] = (
        event.data["definition"] for event in run.events if event.type == "SAGA_STARTED"
    )
    yield from (s["name"] for s in definition["steps"] if s.get("is_pivot"))


def _of_undos(scenario: Scenario, run: Run) -> Iterator[str]:
    """Yield undos that failed for good, though nobody told them to."""
    told = {
        fault.step.partition("/")[0]
        for fault in scenario
        if fault.direction is Direction.UNDO
    }
    if not run.status.failed_compensations:
        yield "it is COMPENSATION_FAILED and names no undo that failed"
    errors = {
        event.data["step"]: event.data.get("error", {})
        for event in run.events
        if event.type == "STEP_COMPENSATION_FAILED"
    }
    for step in run.status.failed_compensations:
        if base_name(step) not in told:
            error = errors.get(step, {})
            why = f"{error.get('type')}: {error.get('message')}"
            yield f"the undo of {step} fails, and not on purpose ({why})"


def _of_world(
    run: Run, world: object, known: References, stays: Set[str]
) -> Iterator[str]:
    """Yield how the world differs from all that would be as the saga says."""
    is_done = run.status.state is SagaState.COMPLETED
    stands = Standing(frozenset(known.steps)) if is_done else standing(run, stays)
    sure, doubts = stands.sure & known.steps, stands.maybe & known.steps
    worlds = [known.find(steps) for steps in _possible(sure, doubts)]
    found = [differences(world, one[0]) for one in worlds if one is not None]
    if () in found:
        return
    if None in worlds:
        raise CannotTell(
            f"it is {run.status.state}, and of {_listed(sure | doubts)} alone there "
            "is no run to compare with"
        )
    least = min(found, key=len)
    should = _should(sure, doubts, known)
    whose = _whose(world, [*_possible(sure, doubts)], least, known)
    lines = [f"  {one}" for one in least[:_MOST_LINES]]
    if len(least) > _MOST_LINES:
        lines.append(f"  and {len(least) - _MOST_LINES} more")
    head = f"it is {run.status.state}, so {should}; but {whose}:"
    yield "\n".join([head, *lines])


def _possible(sure: Set[str], doubts: Set[str]) -> Iterator[Set[str]]:
    """Yield which steps' effects there may be."""
    if len(doubts) > _MOST_DOUBTS:
        raise CannotTell(f"nobody knows of too many steps: {_listed(doubts)}")
    for count in range(len(doubts) + 1):
        for some in combinations(sorted(doubts), count):
            yield sure | {*some}


def _should(sure: Set[str], doubts: Set[str], known: References) -> str:
    if sure == known.steps:
        should = "the world should be as after a run without faults"
    elif sure:
        should = f"only the effects of {_listed(sure)} should stand"
    else:
        should = "the world should be as before"
    return f"{should}, with or without {_listed(doubts)}" if doubts else should


def _whose(
    world: object,
    possible: Sequence[Set[str]],
    found: Sequence[Difference],
    known: References,
) -> str:
    """Return whose effects the differences are, as far as can be told."""
    for steps in possible:
        if (step := known.left_of(world, steps)) is not None:
            return f"the effect of {step} stands"
    touched = known.touched_by(found)
    return f"it differs where {_listed(touched)} acted" if touched else "it differs"


def _listed(steps: Iterable[str]) -> str:
    return ", ".join(sorted(steps)) or "no step"
