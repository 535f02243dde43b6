"""The laws of sagas, each a function that looks at a world and finds it in order.

They are judged by events and by the agent's ledger: what the engine planned counts
only where it is itself what the law is about.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from orchestration.core.saga.decide import advance
from orchestration.core.saga.events import COMPLETED, STARTED, EventType, SagaEvent
from orchestration.core.saga.execution import execution_of
from orchestration.core.saga.fold import fold
from orchestration.core.saga.model import CompensationStrategy, Direction, SagaState
from orchestration.core.saga.outcomes import idempotency_key
from orchestration.core.saga.view import PhaseStatus, SagaView
from tests.unit.drawn_world import DrawnWorld
from tests.unit.ledger import DO, PROBE, UNDO, Call
from tests.unit.undo_runs import UndoRun, is_done, settled_before, undo_runs

__all__ = ["LAWS", "check_all"]

_BEGINS: Final = {type_: direction for direction, type_ in STARTED.items()}
_ENDS: Final = {
    EventType.STEP_COMPLETED: DO,
    EventType.STEP_FAILED: DO,
    EventType.STEP_TIMED_OUT: DO,
    EventType.STEP_UNKNOWN: DO,
    EventType.STEP_COMPENSATED: UNDO,
    EventType.STEP_COMPENSATION_FAILED: UNDO,
    EventType.STEP_PROBED: PROBE,
    EventType.STEP_PROBE_FAILED: PROBE,
}


def attempts_come_one_at_a_time_and_are_counted(
    world: DrawnWorld, saga_id: str
) -> None:
    """Numbers grow by one, rounds never go back, an outcome closes what is open."""
    is_open: dict[tuple[str, Direction], int] = {}
    last: dict[tuple[str, Direction], tuple[int, int]] = {}
    for event in world.events(saga_id):
        if event.type is EventType.SAGA_RETRIED:  # who awaits a signal begins anew
            is_open.clear()
        if event.type in _BEGINS or event.type is EventType.STEP_WAITING:
            told = event.data.get("direction")
            side = Direction(told) if told else _BEGINS[event.type]
            key = event.step, side
            attempt, round_ = last.get(key, (0, 1))
            assert key not in is_open
            assert event.data["attempt"] == attempt + 1
            assert event.data["round"] >= round_
            is_open[key] = attempt + 1
            last[key] = event.data["attempt"], event.data["round"]
        elif event.type in _ENDS:
            key = event.step, _ENDS[event.type]
            if event.data.get("unopened"):
                last[key] = event.data["attempt"], event.data["round"]
                continue
            assert is_open.pop(key) == event.data["attempt"]


def every_call_was_claimed_and_has_its_key(world: DrawnWorld, saga_id: str) -> None:
    """No action runs without an attempt on record, and none twice for one attempt."""
    claimed = {
        (event.step, _BEGINS[event.type], event.data["attempt"], event.data["round"])
        for event in world.events(saga_id)
        if event.type in _BEGINS
    }
    calls = [c for c in world.ledger.calls if c.saga_id == saga_id and not c.by_hand]
    made = Counter((c.step, c.direction, c.attempt, c.round) for c in calls)
    assert made.keys() <= claimed
    assert max(made.values(), default=1) == 1
    for call in calls:
        key = idempotency_key(saga_id, call.step, call.direction, call.round)
        assert call.key == key


def steps_start_after_what_they_need(world: DrawnWorld, saga_id: str) -> None:
    plan = world.view(saga_id).plan
    done: set[str] = set()
    rewound: list[str] = []
    for event in world.events(saga_id):
        match event.type:
            case EventType.STEP_STARTED:
                assert plan.needs(event.step) <= done
                assert event.step not in done, "what is done is not begun again"
            case EventType.STEP_GATHERED:
                assert {*plan.instances[event.step]} <= done
                done.add(event.step)
            case EventType.STEP_SKIPPED:
                done.add(event.step)
            case _ if is_done(event):
                done.add(event.step)
            case EventType.SAGA_REWOUND:
                rewound = event.data["steps"]
            case EventType.SAGA_RETRIED:
                done.difference_update(rewound)
                rewound = []


def nothing_is_done_or_undone_twice_in_one_round(
    world: DrawnWorld, saga_id: str
) -> None:
    """Once a round is done it is not begun again: neither doing nor undoing."""
    ended: set[tuple[str, Direction, int]] = set()
    done = {type_: direction for direction, type_ in COMPLETED.items()}
    for event in world.events(saga_id):
        if event.type in _BEGINS and _BEGINS[event.type] is not PROBE:
            key = event.step, _BEGINS[event.type], event.data["round"]
            assert key not in ended
        elif done.get(event.type) in (DO, UNDO):
            key = event.step, done[event.type], event.data["round"]
            assert key not in ended
            ended.add(key)


def undos_keep_the_strategys_order(world: DrawnWorld, saga_id: str) -> None:
    """Of each run of undoing on its own: a retry of what failed begins another."""
    view = world.view(saga_id)
    own = CompensationStrategy(view.transaction.compensation_strategy)
    for run in undo_runs(world.events(saga_id)):
        strategy = own if run.strategy is None else run.strategy
        settled = settled_before(world.events(saga_id), run.begins_at)
        if strategy not in ("PARALLEL", "CASCADE"):
            _one_after_the_other(run)
        places = [settled[name] for name in run.undone if name in settled]
        match strategy:
            case CompensationStrategy.BACKWARD:
                assert places == sorted(places, reverse=True)
            case CompensationStrategy.FORWARD:
                assert places == sorted(places)
            case CompensationStrategy.CASCADE:
                _dependents_first(view, run)
            case CompensationStrategy.SELECTIVE:
                _the_chosen_only(view, run)
            case CompensationStrategy.PARALLEL:
                assert len(run.undone) == len(set(run.undone))


def _one_after_the_other(run: UndoRun) -> None:
    for one, other in itertools.pairwise(run.undone):
        assert run.last[one] < run.first[other]


def _dependents_first(view: SagaView, run: UndoRun) -> None:
    for one, other in itertools.permutations(run.undone, 2):
        is_before = one in view.plan.ancestors[other]
        assert not is_before or run.last[other] < run.first[one]


def _the_chosen_only(view: SagaView, run: UndoRun) -> None:
    for name in run.undone:
        is_chosen = view.plan.by_name[name].metadata.get("compensate") is True
        assert is_chosen or name not in run.completed


def nothing_completed_is_left_alone(world: DrawnWorld, saga_id: str) -> None:
    """A saga that says COMPENSATED has undone its steps, or names them."""
    view = world.view(saga_id)
    status = execution_of(view)
    if status.state is not SagaState.COMPENSATED:
        return
    named = {*status.kept_steps, *status.uncompensated_steps}
    selective = view.transaction.compensation_strategy == "SELECTIVE"
    assert selective or not status.kept_steps
    for name in view.completed:
        step = view.plan.by_name[name]
        harmless = step.read_only or step.wait_for or name in view.plan.instances
        assert name in (*status.compensated_steps, *named) or harmless


def no_effect_is_forgotten(world: DrawnWorld, saga_id: str) -> None:
    """Whatever took effect in the world is undone, or the status names it."""
    view = world.view(saga_id)
    status = execution_of(view)
    if status.state is not SagaState.COMPENSATED:
        return
    named = {
        *status.kept_steps,
        *status.uncompensated_steps,
        *status.unresolved_steps,
    }
    for step, call in world.ledger.left(saga_id).items():
        if not view.plan.by_name[step].read_only and step not in named:
            assert _landed_unheard(world, call), f"{step} is left"


def _landed_unheard(world: DrawnWorld, call: Call) -> bool:
    """Whether an effect came when its attempt was over, of a worker that then died.

    Nobody can see that; the agent could refuse it, by the attempt's number.
    """
    about = [
        event
        for event in world.events(call.saga_id)
        if event.data.get("step") == call.step
        and event.data.get("attempt") == call.attempt
        and (event.data.get("direction") == DO or _ENDS.get(event.type) is DO)
    ]
    is_told = any(event.type is EventType.STEP_LATE_RESULT for event in about)
    return not is_told and any(event.version <= call.at for event in about)


def what_is_completed_took_effect(world: DrawnWorld, saga_id: str) -> None:
    """Nothing is reported done that was not done."""
    view = world.view(saga_id)
    done = {
        (c.step, c.round) for c in world.ledger.effects(saga_id) if c.direction is DO
    }
    for name in view.completed:
        if view.plan.by_name[name].target(DO) and name not in view.plan.instances:
            assert (name, view.do_of(name).round) in done


def the_pivot_is_the_point_of_no_return(world: DrawnWorld, saga_id: str) -> None:
    view = world.view(saga_id)
    pivot = view.plan.pivot
    if pivot is None:
        return
    committed = denied = False
    for event in world.events(saga_id):
        if _begins_an_undo(event):
            before = event.step == pivot or event.step in view.plan.before_pivot
            assert not (committed and before), "undone after the pivot"
            assert event.step != pivot or denied, "the pivot undone by itself"
        if event.type is EventType.STEP_RESOLVED and event.step == pivot:
            denied = not event.data["happened"]
        committed = committed or (is_done(event) and event.step == pivot)
    if committed:
        assert view.plan.before_pivot <= view.satisfied
        assert view.state is not SagaState.COMPENSATED


def _begins_an_undo(event: SagaEvent) -> bool:
    """Whether an agent begins to undo a step, or the saga that the step ran."""
    if event.type is EventType.STEP_WAITING:
        return bool(event.data["direction"] == UNDO)
    return event.type is EventType.STEP_COMPENSATION_STARTED


def the_state_tells_the_truth(world: DrawnWorld, saga_id: str) -> None:
    view = world.view(saga_id)
    status = execution_of(view)
    planned = {name for wave in view.waves for name in wave}
    by_hand = {n for n, p in view.undo.items() if p.status is PhaseStatus.SKIPPED}
    match view.state:
        case SagaState.COMPLETED:
            assert {*status.completed_steps, *status.skipped_steps} == {
                *view.plan.by_name
            }
            assert status.failed_step is None
        case SagaState.COMPENSATED:
            assert not status.failed_compensations
            assert planned <= {*status.compensated_steps, *by_hand}
            assert view.cause is not None
        case SagaState.COMPENSATION_FAILED:
            assert status.failed_compensations
            if view.transaction.on_compensation_failure == "CONTINUE":
                settled = {*status.compensated_steps, *by_hand}
                assert planned <= settled | {*status.failed_compensations}
        case SagaState.FAILED:
            assert view.transaction.on_failure == "HALT"
            assert view.cause is not None
        case SagaState.PAUSED:
            assert status.waiting_for
            assert view.is_on_hold or view.cause is not None


def any_prefix_of_events_is_a_valid_state(world: DrawnWorld, saga_id: str) -> None:
    for length, view in enumerate(world.log.views(saga_id), start=1):
        assert view.version == length
        status = execution_of(view)
        assert status.state is view.state or view.state is SagaState.RUNNING
        known = {*view.plan.by_name}
        for side in (view.do, view.undo, view.probe):
            assert known >= side.keys()
        assert known >= {name for wave in view.waves for name in wave}
        assert not {*view.completed} & {*view.settled(PhaseStatus.UNKNOWN)}
        if view.state.is_final and not view.is_on_hold:
            assert not any(view.running(direction) for direction in (DO, UNDO))


def replay_equals_live_state(world: DrawnWorld, saga_id: str) -> None:
    world.log.compare(saga_id)
    views = world.log.views(saga_id)
    for at in {1, len(views) // 2, len(views)} - {0}:
        assert fold(saga_id, world.events(saga_id)[:at]) == views[at - 1]


def it_has_come_to_a_stand(world: DrawnWorld, saga_id: str) -> None:
    """Nothing is left that could be done, and no attempt is in anybody's hands."""
    view = world.view(saga_id)
    waits_for_a_person = any(
        world.view(child).state is SagaState.PAUSED
        for child in execution_of(view).child_ids.values()
    )
    waits = waits_for_a_person or _waits_for_locks(world, view)
    assert view.state.is_final or waits, f"{saga_id} is {view.state}"
    assert advance(view, world.machine.clock.now()).facts == ()
    assert not [key for key in world.machine.log.tables.leases if key[0] == saga_id]


def _waits_for_locks(world: DrawnWorld, view: SagaView) -> bool:
    """Whether another holds a lock of it, who stands still until people act."""
    rows = world.machine.log.tables.locks
    wanted = [rows[name] for name in view.lock_names if name in rows]
    holders = {row.holder for row in wanted if view.lacks_locks}
    return any(world.view(one).state.is_final for one in holders - {None})


def locks_are_held_by_one_at_a_time(world: DrawnWorld, saga_id: str) -> None:
    """Each holder of a lock has a higher number, and nobody keeps one at its end."""
    del saga_id
    seen: dict[str, list[int]] = {}
    taken = sorted(_fences(world), key=lambda one: one[1])
    for name, fence in taken:
        seen.setdefault(name, []).append(fence)
    for fences in seen.values():
        assert len(fences) == len(set(fences))
    for name, row in world.machine.log.tables.locks.items():
        if row.holder is not None:
            assert not world.view(row.holder).state.is_over, f"{name} is kept"


def _fences(world: DrawnWorld) -> Iterator[tuple[str, int]]:
    for saga_id in world.sagas():
        for event in world.events(saga_id):
            if event.type is EventType.LOCKS_ACQUIRED:
                yield from event.data["locks"].items()


Law = Callable[[DrawnWorld, str], None]


def each_call_is_of_the_agent_on_record(world: DrawnWorld, saga_id: str) -> None:
    """An attempt is made by the agent that is named, or that was chosen for it.

    What is undone is undone by an agent that has tried to do it.
    """
    steps = world.view(saga_id).plan.by_name
    chosen: dict[str, str] = {}
    doers: dict[tuple[str, int], str] = {}
    for event in world.events(saga_id):
        if event.type is EventType.STEP_ROUTED:
            chosen[event.step] = event.data["agent_id"]
        elif event.type is EventType.STEP_STARTED:
            own = steps[event.step].agent_id or chosen[event.step]
            doers[event.step, event.data["attempt"]] = own
    for call in world.ledger.calls:
        if call.saga_id != saga_id or call.by_hand:
            continue
        if call.direction is DO:
            assert call.agent_id == doers[call.step, call.attempt]
        else:
            tried = {agent for (step, _), agent in doers.items() if step == call.step}
            assert call.agent_id in tried


LAWS: Final[tuple[Law, ...]] = (
    attempts_come_one_at_a_time_and_are_counted,
    every_call_was_claimed_and_has_its_key,
    each_call_is_of_the_agent_on_record,
    steps_start_after_what_they_need,
    nothing_is_done_or_undone_twice_in_one_round,
    undos_keep_the_strategys_order,
    nothing_completed_is_left_alone,
    no_effect_is_forgotten,
    what_is_completed_took_effect,
    the_pivot_is_the_point_of_no_return,
    the_state_tells_the_truth,
    any_prefix_of_events_is_a_valid_state,
    replay_equals_live_state,
    locks_are_held_by_one_at_a_time,
    it_has_come_to_a_stand,
)


def check_all(world: DrawnWorld) -> None:
    """Check every law on every saga of a world that has come to a stand."""
    for saga_id in world.sagas():
        for law in LAWS:
            law(world, saga_id)
