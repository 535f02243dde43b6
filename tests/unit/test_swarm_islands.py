"""A federation goes on, its islands in tasks of their own; all in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_sender import hint_of
from orchestration.contracts import Moved, SwarmHint
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.report import SwarmIsland, report_of
from orchestration.core.swarm.run import Evaluate, SwarmRun, started
from orchestration.core.swarm.state import Floats
from orchestration.core.swarm.stopping import Stopping
from orchestration.engine.swarm_asking import search_run
from orchestration.engine.swarm_islands import SwarmFederator
from orchestration.engine.swarm_replaying import replay
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_states import SwarmStates
from orchestration.errors import InvalidSwarm
from tests.unit.test_swarm_running import ID, Memory, a_worker, bowl, run_on

ISLANDS: Any = [{}, {"algorithm": "SPSO_2011"}, {"topology": "RING"}]
BOUNDS = [(-5.0, 5.0)] * 2


def a_run(**options: Any) -> SwarmRun:
    told = {"islands": ISLANDS, "agents": 16, "migrate_every": 4, "seed": 3}
    stopping = {"iterations": 30}
    return search_run("bowl", BOUNDS, {**told, **stopping, **options})[1]


class Message(NamedTuple):
    task: str
    hint: SwarmHint
    moved: Moved | None = None
    nth: int = 0


@dataclass
class Ring(Memory):
    """What ``Memory`` is, with a broker for the tasks of islands and their join."""

    blobs: dict[int, bytes] = field(default_factory=dict)
    parts: dict[int, dict[int, bytes]] = field(default_factory=dict)
    queue: list[Message] = field(default_factory=list)

    def iterate(self, view: SwarmView, run: SwarmRun, **told: Any) -> None:
        super().iterate(view, run, **told)
        self.queue.append(Message("iterate", self.sent[-1]))

    def island(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        del run
        self.queue.append(Message("island", hint_of(view, kept_ms), moved, nth))

    def join(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved
    ) -> None:
        del run
        self.queue.append(Message("join", hint_of(view, kept_ms), moved))

    def put_moved(self, swarm_id: str, iteration: int, moved: bytes) -> None:
        del swarm_id
        self.blobs[iteration] = moved

    def moved_to(self, swarm_id: str, iteration: int) -> bytes | None:
        del swarm_id
        return self.blobs.get(iteration)

    def put_values(self, swarm_id: str, iteration: int, nth: int, values: bytes) -> int:
        del swarm_id
        self.parts.setdefault(iteration, {})[nth] = values
        return len(self.parts[iteration])

    def values(self, swarm_id: str, iteration: int) -> dict[int, bytes]:
        del swarm_id
        return self.parts.get(iteration, {})

    def drop_valued(self, swarm_id: str, iteration: int) -> None:
        del swarm_id
        self.blobs.pop(iteration, None)
        self.parts.pop(iteration, None)

    def wipe(self) -> None:
        """Lose all that Redis has, messages too."""
        self.hot = None
        self.blobs.clear()
        self.parts.clear()
        self.queue.clear()

    def begin_anew(self) -> None:
        """Send what is next, as the sweep does."""
        self.iterate(self.view(ID), a_run(), kept_ms=0)


class Hot:
    """The ring's Redis: ``moved`` has a meaning for metrics besides."""

    def __init__(self, ring: Ring) -> None:
        self.moved = ring.moved_to
        for name in ("get", "put", "put_moved", "put_values", "values", "drop_valued"):
            setattr(self, name, getattr(ring, name))


def begun(**options: Any) -> Ring:
    ring = Ring()
    ring.add(started(a_run(**{"evaluate": "islands", **options})))
    ring.begin_anew()
    return ring


def a_process(ring: Ring, fitness: Fitness | None = bowl) -> Callable[[Message], str]:
    """Return a process that has just started, by what it does with a message."""
    hot: Any = Hot(ring)
    runner = SwarmRunner(
        log=ring,  # type: ignore[arg-type]  # all of it that is used here
        hot=hot,
        states=SwarmStates(ring, hot),  # type: ignore[arg-type]
        sender=ring,
        ends=ring,
        clock=ring,
        metrics=ring,
        fitness_of=lambda _: fitness,
        snapshot_s=1e9,
    )
    federator = SwarmFederator(runner)

    def work(message: Message) -> str:
        if message.task == "island":
            assert message.moved is not None
            return federator.stretch(
                ID, message.hint, message.moved, message.nth, Because()
            )
        if message.moved is None:
            held = runner.take(ID, message.hint, Because())
            return held if isinstance(held, str) else federator.scatter(held, Because())
        held = runner.take_valued(ID, message.hint, Because())
        if isinstance(held, str):
            return held
        return federator.join(held, message.moved, Because())

    return work


def work_off(ring: Ring, work: Callable[[Message], str], times: int = 10_000) -> None:
    """Work off messages, first come, first served."""
    for _ in range(times):
        if not ring.queue:
            return
        work(ring.queue.pop(0))


def finished(**options: Any) -> SwarmView:
    ring = begun(**options)
    work_off(ring, a_process(ring))
    return ring.view(ID)


def together(fitness: Fitness = bowl, **options: Any) -> SwarmView:
    """Return the same federation at its end, all islands in one task."""
    memory = Memory()
    memory.add(started(a_run(**options)))
    run_on(memory, a_worker(memory, fitness))
    return memory.view(ID)


@pytest.mark.parametrize("per_task", [1, 10, 50])
def test_the_bits_are_the_same_in_one_task_and_in_many(per_task: int) -> None:
    one, many = together(iterations_per_task=per_task), finished()
    assert (one.state, one.link, one.best) == (many.state, many.link, many.best)
    assert one.convergence == many.convergence
    assert one.result == many.result


def test_a_stretch_is_one_task_for_each_island_a_join_and_one_event() -> None:
    ring, seen = begun(), []
    work = a_process(ring)
    while ring.queue:
        seen.append(ring.queue[0].task)
        work(ring.queue.pop(0))
    assert seen == ["iterate", "island", "island", "island", "join"] * 8
    assert [one["count"] for one in ring.iterations(ID)] == [4] * 7 + [2]
    assert ring.types() == ["STARTED", *["ITERATED"] * 8, "COMPLETED"]
    assert not ring.blobs
    assert not ring.parts


def test_islands_that_were_sent_again_meanwhile_count_all_the_same() -> None:
    ring = begun()
    work, other = a_process(ring), a_process(ring)
    work_off(ring, work, times=4)
    [join] = ring.queue
    # The sweep's message is there before the join.
    other(Message("iterate", hint_of(ring.view(ID), 0, 0, 1)))
    assert ring.types()[-1] == "SENT_AGAIN"
    assert work(join) == "iteration 4"
    work_off(ring, other)
    assert ring.view(ID).state == together().state


@pytest.mark.parametrize("seed", range(5))
def test_messages_that_are_doubled_and_overtaken_change_nothing(seed: int) -> None:
    ring, dice = begun(), random.Random(seed)
    processes = [a_process(ring) for _ in range(3)]
    while ring.queue:
        nth = dice.randrange(len(ring.queue))
        message = ring.queue[nth]
        if dice.random() < 0.6:
            del ring.queue[nth]
        dice.choice(processes)(message)
    assert ring.view(ID).state == together().state
    assert sum(one["count"] for one in ring.iterations(ID)) == 30


@pytest.mark.parametrize("after", [1, 3, 5, 8, 14, 20, 23])
def test_a_wiped_redis_costs_no_bit(after: int) -> None:
    ring = begun()
    work_off(ring, a_process(ring), times=after)
    ring.wipe()
    ring.begin_anew()
    work_off(ring, a_process(ring))
    assert ring.view(ID).state == together().state


@pytest.mark.parametrize("task", ["island", "join"])
def test_a_task_whose_redis_is_wiped_says_so_and_does_nothing(task: str) -> None:
    ring = begun()
    while ring.queue[0].task != task or ring.view(ID).iteration < 8:
        a_process(ring)(ring.queue.pop(0))
    message, events = ring.queue[0], len(ring.events)
    ring.wipe()
    assert a_process(ring)(message) == "its islands are not in Redis any more"
    assert len(ring.events) == events


def test_an_island_that_is_there_is_not_done_again_if_all_are_sent_again() -> None:
    ring, valued = begun(), []

    def counted(positions: Floats) -> Floats:
        valued.append(len(positions))
        return bowl(positions)

    work_off(ring, a_process(ring, counted), times=3)
    assert len(valued) == 2 * 5  # two islands, at their begin and four times after
    ring.begin_anew()
    work_off(ring, a_process(ring, counted))
    assert ring.view(ID).state == together().state
    assert len(valued) == 3 * 31


def test_what_islands_of_another_run_have_left_does_not_count() -> None:
    left = begun(seed=4)
    work_off(left, a_process(left), times=3)
    ring = begun()
    ring.parts = left.parts
    work_off(ring, a_process(ring))
    assert ring.view(ID).state == together().state


def test_a_message_of_the_past_does_nothing() -> None:
    ring, past = begun(), []
    work = a_process(ring)
    while ring.view(ID).iteration < 8:
        past.append(ring.queue[0])
        work(ring.queue.pop(0))
    for process in (work, a_process(ring)):
        assert {process(message) for message in past} == {"done already"}


@pytest.mark.parametrize(
    "until",
    [
        pytest.param({"target": 0.05}, id="target"),
        pytest.param({"convergence": 0.5}, id="convergence"),
        pytest.param({"ftol": 0.2, "window": 6}, id="ftol"),
    ],
)
def test_islands_apart_stop_where_they_do_together(until: dict[str, Any]) -> None:
    one, many = (run_to(**until) for run_to in (together, finished))
    assert (one.state, one.link, one.reason) == (many.state, many.link, many.reason)
    assert many.iteration < 30
    assert many.iteration % 4  # where nobody knew of it before


def test_a_stop_amid_a_stretch_ends_it_where_it_stands() -> None:
    ring = begun()
    work_off(ring, a_process(ring), times=7)
    ring.add(NewFact(EventType.SWARM_STOP_REQUESTED, {"by": "me"}))
    ring.begin_anew()
    work_off(ring, a_process(ring))
    assert ring.types() == ["STARTED", "ITERATED", "STOP_REQUESTED", "STOPPED"]
    assert ring.view(ID).result["iterations"] == 4


def test_a_pause_amid_a_stretch_leaves_it_to_be_done_later() -> None:
    ring = begun()
    work_off(ring, a_process(ring), times=8)
    ring.add(NewFact(EventType.SWARM_PAUSED, {"by": "me"}))
    work_off(ring, a_process(ring))
    assert ring.types() == ["STARTED", "ITERATED", "PAUSED"]
    ring.add(NewFact(EventType.SWARM_RESUMED, {"by": "me"}))
    ring.begin_anew()
    work_off(ring, a_process(ring))
    assert ring.view(ID).state == together().state


def test_an_island_that_fails_is_tried_again_then_ends_the_federation() -> None:
    ring = begun(retry_ms=10, max_attempts=2)
    work = a_process(ring, lambda x: np.full(len(x), np.nan))
    failures = 0
    while ring.queue:
        try:
            work(ring.queue.pop(0))
        except ValueError:
            failures += 1
    assert failures >= 2
    assert ring.view(ID).status is SwarmStatus.FAILED
    assert "NaN for 6 of 6 positions" in ring.view(ID).reason


def test_a_failure_that_passes_costs_no_bit() -> None:
    ring = begun(retry_ms=10)
    work_off(ring, a_process(ring), times=6)
    with pytest.raises(ValueError, match="shape"):
        a_process(ring, lambda x: bowl(x)[:-1])(ring.queue.pop(0))
    work_off(ring, a_process(ring))
    assert "ATTEMPT_FAILED" in ring.types()
    assert ring.view(ID).state == together().state


def test_a_process_without_the_fitness_says_so_and_does_nothing() -> None:
    ring = begun()
    work_off(ring, a_process(ring), times=1)
    for message in [Message("iterate", ring.sent[0]), *ring.queue]:
        assert a_process(ring, None)(message).startswith("not hosted here: fitness")
    assert ring.types() == ["STARTED"]


def counting(positions: Floats) -> Floats:
    """What no fitness should do: its values depend on how many there are."""
    return bowl(positions) + 1e-9 * len(positions)


@pytest.mark.parametrize("evaluate", [Evaluate.TASK, Evaluate.ISLANDS])
def test_replay_values_positions_as_the_run_did(evaluate: Evaluate) -> None:
    ring = begun(evaluate=evaluate)
    if evaluate is Evaluate.ISLANDS:
        work_off(ring, a_process(ring, counting))
    else:
        run_on(ring, a_worker(ring, counting))
    hot: Any = Hot(ring)
    states = SwarmStates(ring, hot)  # type: ignore[arg-type]
    same = replay(ID, states, ring, lambda _: counting)  # type: ignore[arg-type]
    assert same.is_equal
    assert same.iterations == 30


def test_its_report_tells_what_each_island_found() -> None:
    report = report_of(finished())
    assert [one.agents for one in report.islands] == [6, 5, 5]
    assert report.best == min(one.best for one in report.islands if one.best)
    best = next(one for one in report.islands if one.best == report.best)
    assert best.best_position == report.best_position
    assert report.agents == 16


def test_an_island_that_found_nothing_says_so() -> None:
    nowhere = together(lambda x: np.full(len(x), np.inf), iterations=3)
    (first, *_) = report_of(nowhere).islands
    assert first == SwarmIsland(agents=6, best=None, best_position=None)


# --- what is asked


def test_agents_are_shared_out_and_options_hold_for_all_islands() -> None:
    run = a_run(patience=9, migrants=2)
    islands = run.motion["islands"]
    assert [one["agents"] for one in islands] == [6, 5, 5]
    kinds = ["CONSTRICTED", "SPSO_2011", "CONSTRICTED"]
    assert [one["algorithm"] for one in islands] == kinds
    assert {one["patience"] for one in islands} == {9}
    assert (run.motion["migrate_every"], run.motion["migrants"]) == (4, 2)
    assert {one["patience"] for one in a_run().motion["islands"]} == {100}
    assert run.faults(1_000) == ()


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"islands": 1}, ["islands is 1"]),
        ({"islands": True}, ["islands is True"]),
        ({"islands": "four"}, ["islands is 'four'"]),
        ({"islands": [{}, 3]}, ["islands is [{}, 3]"]),
        ({"islands": 2, "sizing": "ADAPTIVE"}, ["sizing is for one swarm"]),
        ({"islands": [{}, {"sizing": "ADAPTIVE"}]}, ["island 2: there is no 'sizing'"]),
        ({"islands": []}, ["there are 0 islands"]),
        ({"islands": 64}, ["its 16 agents are too few for 64 islands"]),
        (
            {"islands": [{"agents": 3}, {}], "migrants": 99, "agents": "many"},
            ["agents is 'many'", "island 1: there is no 'agents'", "migrants is 99"],
        ),
        (
            {"evaluate": "islands", "iterations_per_task": 5, "migrate_every": 0},
            ["migrate_every is 0", "iterations_per_task is 5"],
        ),
    ],
)
def test_all_faults_of_a_federation_are_told(
    options: dict[str, Any], faults: list[str]
) -> None:
    with pytest.raises(InvalidSwarm) as refused:
        a_run(**options)
    starts = zip(refused.value.faults, faults, strict=True)
    assert all(fault.startswith(start) for fault, start in starts), refused.value


def test_options_of_islands_are_refused_where_there_are_none() -> None:
    with pytest.raises(InvalidSwarm) as refused:
        search_run("bowl", BOUNDS, {"migrants": 2, "evaluate": "islands"})
    assert [fault.split(" ")[0] for fault in refused.value.faults] == [
        "migrants",
        "evaluate",
    ]
    run = SwarmRun(
        motion={**search_run("bowl", BOUNDS, {})[1].motion},
        seed=1,
        fitness="bowl",
        evaluate=Evaluate.ISLANDS,
        stopping=Stopping(),
    )
    assert [fault.split(" ")[0] for fault in run.faults(1_000)] == ["evaluate"]
