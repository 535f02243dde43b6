"""A swarm goes on: events first, conflicts, faults, recovery; all in memory."""

# ruff: noqa: ARG002  a stand-in takes what its model takes

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_log import Snapshot, Written
from orchestration.adapters.swarm_sender import hint_of
from orchestration.contracts import SwarmHint
from orchestration.core.swarm.events import EventType, NewFact, SwarmEvent
from orchestration.core.swarm.fold import SwarmStatus, SwarmView, apply, fold
from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.motions import search_settings
from orchestration.core.swarm.run import SwarmRun, started
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import Stopping
from orchestration.engine.swarm_replaying import replay
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_states import Differs, SwarmStates
from orchestration.swarm_metrics import SwarmMetrics

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ID = "s1"


def bowl(positions: Floats) -> Floats:
    return np.einsum("ij,ij->i", positions, positions)


def broken(positions: Floats) -> Floats:
    raise ValueError(f"{len(positions)} positions cannot be valued here")


def a_run(**changes: Any) -> SwarmRun:
    search = Search(lower=(-5.0, -5.0), upper=(5.0, 5.0), agents=12)
    run = SwarmRun(
        motion=search_settings(search),
        seed=3,
        stopping=Stopping(iterations=30),
        fitness="bowl",
    )
    return replace(run, **changes)


@dataclass
class Memory:
    """Log, hot states, sender, ends and clock of one swarm, in memory."""

    events: list[SwarmEvent] = field(default_factory=list)
    kept: Snapshot | None = None
    hot: bytes | None = None
    sent: list[SwarmHint] = field(default_factory=list)
    waits_ms: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    time: datetime = BEGAN
    meanwhile: Callable[[], None] | None = None
    asked: Sequence[NewFact] = ()
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = SwarmMetrics(self.registry)

    def now(self) -> datetime:
        return self.time

    def add(self, fact: NewFact) -> None:
        version = len(self.events) + 1
        self.events.append(SwarmEvent(version, fact.type, fact.data, self.time))

    def view(self, swarm_id: str) -> SwarmView:
        view = fold(swarm_id, self.events)
        assert view is not None
        return view

    def record(
        self,
        view: SwarmView,
        facts: Sequence[NewFact],
        because: Because,
        *,
        snapshot: bytes | None = None,
        is_listed: bool = True,
        took_s: float = 0.0,
    ) -> Written:
        self.asked = facts
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        if view.version != len(self.events):
            return Written(None)
        for fact in facts:
            self.add(fact)
            view = apply(view, self.events[-1])
        if snapshot is not None:
            self.kept = Snapshot(view.iteration, snapshot)
        return Written(view, is_new=True)

    def snapshot(self, swarm_id: str) -> Snapshot | None:
        return self.kept

    def iterations(self, swarm_id: str) -> list[Mapping[str, Any]]:
        return [e.data for e in self.events if e.type is EventType.SWARM_ITERATED]

    def note_waiting(self, swarm_id: str, what: str) -> None:
        self.told.append(what)

    def get(self, swarm_id: str) -> bytes | None:
        return self.hot

    def put(self, swarm_id: str, state: SwarmState, told: Mapping[str, Any]) -> bool:
        self.hot = state.to_bytes()
        return True

    def iterate(
        self,
        view: SwarmView,
        run: SwarmRun,
        *,
        kept_ms: int,
        listed_ms: int = 0,
        sends: int = 0,
        wait_ms: int = 0,
    ) -> None:
        self.sent.append(hint_of(view, kept_ms, listed_ms, sends))
        self.waits_ms.append(wait_ms)

    def tell(self, swarm_id: str) -> None:
        self.told.append(swarm_id)

    def moved(
        self,
        view: SwarmView,
        roles: Mapping[str, int],
        *,
        efficiency: float | None = None,
    ) -> None:
        self.metrics.moved(view, roles, efficiency=efficiency)

    def types(self) -> list[str]:
        return [str(event.type).removeprefix("SWARM_") for event in self.events]


def begun(**changes: Any) -> Memory:
    memory = Memory()
    memory.add(started(a_run(**changes)))
    return memory


def a_worker(
    memory: Memory, fitness: Fitness | None = bowl, snapshot_s: float = 1e9
) -> Callable[..., str]:
    """Return a process that has just started, by what it does with a message."""
    runner = SwarmRunner(
        log=memory,  # type: ignore[arg-type]  # all of it that is used here
        hot=memory,  # type: ignore[arg-type]
        states=SwarmStates(memory, memory),  # type: ignore[arg-type]
        sender=memory,  # type: ignore[arg-type]
        ends=memory,
        clock=memory,
        metrics=memory,
        fitness_of=lambda _: fitness,
        snapshot_s=snapshot_s,
    )

    def iterate(hint: SwarmHint | None = None, **options: bool) -> str:
        held = runner.take(ID, hint, Because(), **options)
        return held if isinstance(held, str) else runner.iterate(held, Because())

    return iterate


def run_on(memory: Memory, iterate: Callable[..., str], times: int = 1_000) -> None:
    for _ in range(times):
        if memory.view(ID).status.is_over:
            return
        iterate(memory.sent[-1] if memory.sent else None)


def finished(**changes: Any) -> SwarmView:
    memory = begun(**changes)
    run_on(memory, a_worker(memory))
    return memory.view(ID)


def test_a_swarm_goes_on_to_its_end_by_its_own_messages() -> None:
    memory = begun()
    run_on(memory, a_worker(memory))
    assert memory.types() == ["STARTED", *["ITERATED"] * 30, "COMPLETED"]
    assert memory.told == [ID]
    assert memory.view(ID).reason == "ITERATIONS"


@pytest.mark.parametrize("per_task", [7, 30, 50])
def test_the_bits_do_not_depend_on_how_many_a_task_does(per_task: int) -> None:
    at_once, one_by_one = finished(iterations_per_task=per_task), finished()
    assert (at_once.state, at_once.link) == (one_by_one.state, one_by_one.link)


def test_every_prefix_of_a_stream_has_a_state() -> None:
    memory = begun(iterations_per_task=7)
    run_on(memory, a_worker(memory))
    for count in range(1, len(memory.events) + 1):
        view = fold(ID, memory.events[:count])
        assert view is not None
        assert view.version == count


def test_the_last_record_of_iterations_folds_to_the_same_as_all() -> None:
    memory = begun(iterations_per_task=7)
    run_on(memory, a_worker(memory), times=3)
    first, *_, last = memory.events
    assert fold(ID, [first, last]) == memory.view(ID)


@pytest.mark.parametrize("lost", ["memory", "redis", "redis and snapshot"])
def test_what_is_lost_is_computed_anew(lost: str) -> None:
    memory = begun()
    run_on(memory, a_worker(memory, snapshot_s=0.0), times=11)
    if "redis" in lost:
        memory.hot = None
    if "snapshot" in lost:
        memory.kept = None
    run_on(memory, a_worker(memory))
    assert memory.view(ID).state == finished().state


def an_adaptive_run() -> dict[str, Any]:
    search = Search(
        lower=(-5.0, -5.0),
        upper=(5.0, 5.0),
        agents=14,
        sizing="ADAPTIVE",
        min_agents=10,
        max_agents=40,
        patience=2,
    )
    return {"motion": search_settings(search), "fitness": "bumps"}


def bumps(positions: Floats) -> Floats:
    return np.round(bowl(positions))  # where it stands still, and all begin anew


@pytest.mark.parametrize("per_task", [1, 4])
def test_a_size_that_changes_comes_out_the_same_when_all_is_lost(per_task: int) -> None:
    ends = []
    for is_lost in (False, True):
        memory = begun(**an_adaptive_run(), iterations_per_task=per_task)
        run_on(memory, a_worker(memory, bumps), times=5)
        if is_lost:
            memory.hot = memory.kept = None
        run_on(memory, a_worker(memory, bumps))
        view = memory.view(ID)
        ends.append((view.state, view.link, view.size))
        # Told of the last record, or of all of them.
        first, *_, last, end = memory.events
        assert fold(ID, [first, last, end]) == view
    assert ends[0] == ends[1]
    sizes = {
        count
        for event in memory.events
        if event.type is EventType.SWARM_ITERATED
        for count in event.data.get("agents", ())
    }
    assert max(sizes) == 40
    assert memory.view(ID).result["agents"] == view.size


def test_of_a_size_that_does_not_change_no_record_tells() -> None:
    memory = begun()
    run_on(memory, a_worker(memory))
    assert all("agents" not in event.data for event in memory.events[1:-1])


def test_a_state_in_redis_counts_only_if_it_is_the_one_on_record() -> None:
    memory = begun()
    run_on(memory, a_worker(memory), times=11)
    assert memory.hot is not None
    memory.hot = memory.hot[:-1] + bytes([memory.hot[-1] ^ 1])
    run_on(memory, a_worker(memory))
    assert memory.view(ID).state == finished().state


def test_a_snapshot_that_was_changed_does_not_count() -> None:
    memory = begun()
    run_on(memory, a_worker(memory, snapshot_s=0.0), times=11)
    assert memory.kept is not None
    memory.kept = replace(memory.kept, state=b"\0" * len(memory.kept.state))
    memory.hot = None
    run_on(memory, a_worker(memory))
    assert memory.view(ID).state == finished().state


def test_a_message_of_the_past_does_nothing() -> None:
    memory = begun()
    iterate = a_worker(memory)
    run_on(memory, iterate, times=5)
    assert iterate(memory.sent[1]) == "done already"
    assert a_worker(memory)(memory.sent[1]) == "done already"
    assert memory.view(ID).iteration == 5


def test_the_next_message_is_sent_before_the_record_it_follows() -> None:
    memory = begun()
    iterate = a_worker(memory)
    run_on(memory, iterate, times=2)  # what a process has not recorded it does not own
    memory.meanwhile = lambda: memory.told.append(f"{len(memory.sent)} sent")
    iterate(memory.sent[-1])
    assert memory.told == ["3 sent"]
    assert len(memory.sent) == 3
    assert [hint["version"] for hint in memory.sent] == [2, 3, 4]


def test_a_message_whose_record_never_came_is_taken_for_no_more_than_a_hint() -> None:
    memory = begun()
    worker, other = a_worker(memory), a_worker(memory)
    run_on(memory, worker, times=2)

    def die() -> None:
        raise KeyboardInterrupt

    memory.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        worker(memory.sent[-1])
    assert memory.sent[-1]["version"] == 4
    assert other(memory.sent[-1]) == "iteration 3"
    # The one that was interrupted comes again, as a broker delivers it.
    assert other(memory.sent[1]) == "done already"
    run_on(memory, other)
    assert memory.view(ID).state == finished().state


@pytest.mark.parametrize("fitness", [bowl, broken])
def test_who_uses_up_a_message_sent_ahead_of_a_slow_record_sends_the_next(
    fitness: Fitness,
) -> None:
    memory = begun()
    worker, other = a_worker(memory), a_worker(memory, fitness)
    run_on(memory, worker, times=2)

    def be_slow() -> None:
        [fact] = memory.asked
        # The other finds no record, does the iteration itself, and comes second.
        memory.meanwhile = lambda: memory.add(fact)
        with contextlib.suppress(ValueError):
            other(memory.sent[-1])

    memory.meanwhile = be_slow
    worker(memory.sent[-1])
    assert memory.view(ID).iteration == 3
    assert [hint["version"] for hint in memory.sent] == [2, 3, 4, 4]
    run_on(memory, worker)
    assert memory.view(ID).state == finished().state


def test_of_two_that_do_the_same_one_records_it() -> None:
    memory = begun()
    one, other = a_worker(memory), a_worker(memory)
    memory.meanwhile = lambda: (None, other())[0]
    assert one() == "done already"
    assert memory.types() == ["STARTED", "ITERATED"]


def test_of_two_that_differ_the_swarm_is_stopped() -> None:
    memory = begun()
    one = a_worker(memory, lambda x: bowl(x) + 1.0)
    other = a_worker(memory)
    memory.meanwhile = lambda: (None, other())[0]
    with pytest.raises(Differs, match="iteration 1 "):
        one()
    assert memory.view(ID).status is SwarmStatus.NON_DETERMINISTIC


def test_a_record_that_does_not_come_out_again_stops_the_swarm() -> None:
    memory = begun()
    run_on(memory, a_worker(memory), times=5)
    memory.hot = None
    with pytest.raises(Differs):
        a_worker(memory, lambda x: bowl(x) * 2.0)(memory.sent[-1])
    assert memory.types()[-1] == "NON_DETERMINISTIC"
    assert memory.view(ID).reason.startswith("iteration 1 is on record with hash")
    assert memory.told == [ID]


def test_a_stop_that_comes_while_an_iteration_runs_ends_after_it() -> None:
    memory = begun()
    memory.meanwhile = lambda: memory.add(
        NewFact(EventType.SWARM_STOP_REQUESTED, {"by": "me"})
    )
    a_worker(memory)()
    assert memory.types() == ["STARTED", "STOP_REQUESTED", "ITERATED", "STOPPED"]
    assert memory.view(ID).result["iterations"] == 1


def test_a_pause_that_comes_while_an_iteration_runs_leaves_it_undone() -> None:
    memory = begun()
    memory.meanwhile = lambda: memory.add(NewFact(EventType.SWARM_PAUSED, {"by": "me"}))
    assert a_worker(memory)() == "left alone: PAUSED"
    assert memory.types() == ["STARTED", "PAUSED"]


def test_time_that_is_over_ends_it_with_what_was_found() -> None:
    memory = begun(timeout_ms=1_000)
    iterate = a_worker(memory)
    run_on(memory, iterate, times=3)
    memory.time += timedelta(seconds=1)
    iterate(memory.sent[-1])
    view = memory.view(ID)
    assert (view.status, view.iteration) == (SwarmStatus.TIMED_OUT, 3)
    assert len(view.result["best_position"]) == 2


def test_a_pause_does_not_count_against_its_time() -> None:
    memory = begun(timeout_ms=1_000)
    memory.add(NewFact(EventType.SWARM_PAUSED, {"by": "me"}))
    memory.time += timedelta(seconds=60)
    memory.add(NewFact(EventType.SWARM_RESUMED, {"by": "me"}))
    assert memory.view(ID).deadline == BEGAN + timedelta(seconds=61)


def test_a_failure_is_tried_again_later_every_time_then_ends_it() -> None:
    memory = begun(retry_ms=10)
    iterate = a_worker(memory, lambda x: np.full(len(x), np.nan))
    for _ in range(3):
        with pytest.raises(ValueError, match="NaN for 12 of 12 positions"):
            iterate(memory.sent[-1] if memory.sent else None)
    assert memory.types() == ["STARTED", *["ATTEMPT_FAILED"] * 3, "FAILED"]
    assert memory.waits_ms == [10, 20]
    assert "failed 3 times, the last time with ValueError" in memory.view(ID).reason


def test_an_iteration_that_is_done_forgets_the_failures_before() -> None:
    memory = begun()
    with pytest.raises(ValueError, match="NaN"):
        a_worker(memory, lambda x: np.full(len(x), np.nan))()
    a_worker(memory)(memory.sent[-1])
    assert memory.view(ID).attempts == 0


def test_work_that_never_comes_back_is_given_up() -> None:
    memory = begun()
    memory.iterate(memory.view(ID), a_run(), kept_ms=0)
    for nth in range(3):
        memory.add(NewFact(EventType.SWARM_SENT_AGAIN, {"tries": nth + 1}))
    hint = hint_of(memory.view(ID), 0)
    a_worker(memory)(hint, is_redelivered=True)
    assert memory.view(ID).status is SwarmStatus.FAILED
    assert "begun 4 times" in memory.view(ID).reason


def test_a_worker_without_the_fitness_says_so_and_does_nothing() -> None:
    memory = begun()
    assert a_worker(memory, None)().startswith("not hosted here: fitness 'bowl'")
    assert memory.types() == ["STARTED"]


def test_replay_comes_to_the_record_and_tells_where_it_does_not() -> None:
    memory = begun(iterations_per_task=7)
    run_on(memory, a_worker(memory))
    states = SwarmStates(memory, memory)  # type: ignore[arg-type]
    same = replay(ID, states, memory, lambda _: bowl)  # type: ignore[arg-type]
    assert same.is_equal
    assert same.state_hash == finished().state
    at = memory.events[2].data["hashes"]
    at[1] = "00" * 32
    other = replay(ID, states, memory, lambda _: bowl)  # type: ignore[arg-type]
    assert (other.is_equal, other.differs_at, other.recorded) == (False, 9, "00" * 32)


def test_all_faults_of_a_run_are_told_together() -> None:
    run = a_run(seed=-1, iterations_per_task=0, stopping=Stopping(iterations=0))
    search = Search(lower=(0.0,), upper=(1.0,), agents=5)
    faults = replace(run, motion=search_settings(search)).faults(1_000)
    told = "; ".join(faults)
    for what in ("seed", "iterations_per_task", "iterations is 0", "5 agents"):
        assert what in told


def test_the_spec_of_a_run_reads_back_as_it_was() -> None:
    run = a_run(evaluate="partitions", slices=3)
    assert SwarmRun.from_json(run.to_json()) == run


def test_slices_are_disjoint_and_whole() -> None:
    bounds = a_run(slices=5).slice_bounds(12)
    assert [n for a, b in bounds for n in range(a, b)] == list(range(12))


def test_a_swarm_that_moves_has_all_four_metrics_until_it_is_over() -> None:
    memory = begun()
    iterate = a_worker(memory)
    registry, by_id = memory.registry, {"swarm_id": ID}
    for _ in range(3):
        memory.time += timedelta(seconds=1)
        iterate(memory.sent[-1] if memory.sent else None)
    worker = {**by_id, "role": "worker"}
    assert 0 < registry.get_sample_value("swarm_agents_total", worker) <= 12
    assert 0 < registry.get_sample_value("swarm_efficiency", by_id) < 1
    run_on(memory, iterate)
    for name, labels in (("swarm_agents_total", worker), ("swarm_efficiency", by_id)):
        assert registry.get_sample_value(name, labels) is None
    completed = {"status": "completed"}
    assert registry.get_sample_value("swarm_tasks_total", completed) == 1
    assert registry.get_sample_value("swarm_convergence_time_ms_count") == 1


def test_what_others_have_ended_is_shown_no_longer_either() -> None:
    now_s = 0.0
    registry = CollectorRegistry()
    metrics = SwarmMetrics(registry, lambda: now_s)
    view = begun().view(ID)
    metrics.moved(view, {"WORKER": 9}, efficiency=0.5)
    metrics.moved(view, {}, efficiency=0.25)  # its state is not in hand
    labels = {"swarm_id": ID, "role": "worker"}
    now_s = 299.0
    assert registry.get_sample_value("swarm_agents_total", labels) == 9
    assert registry.get_sample_value("swarm_efficiency", {"swarm_id": ID}) == 0.25
    now_s = 301.0
    assert registry.get_sample_value("swarm_agents_total", labels) is None
    assert registry.get_sample_value("swarm_efficiency", {"swarm_id": ID}) is None
    assert metrics.shown == ()
