"""Positions that are valued in slices, each in a task of its own, and sent again."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_sender import hint_of
from orchestration.contracts import Moved
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.run import Evaluate, SwarmRun, started
from orchestration.core.swarm.state import Floats
from orchestration.engine.swarm_desk import SwarmDesk
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_scattering import SwarmScatterer
from orchestration.engine.swarm_states import SwarmStates
from orchestration.engine.swarm_sweeping import SwarmSweeper
from tests.unit.test_swarm_islands import Hot, Message, Ring
from tests.unit.test_swarm_running import ID, a_run, bowl, finished

SLICES = 4


class Slices(Ring):
    """What ``Ring`` is, with a broker for the tasks of slices."""

    def value(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        del run
        self.queue.append(Message("value", hint_of(view, kept_ms), moved, nth))


class Process:
    """A worker's process; counts the slices that it has valued."""

    def __init__(self, ring: Slices) -> None:
        self.valued = 0
        hot: Any = Hot(ring)
        self.states = SwarmStates(cast(Any, ring), hot)
        self.runner = SwarmRunner(
            log=cast(Any, ring),
            hot=hot,
            states=self.states,
            sender=cast(Any, ring),
            ends=ring,
            clock=ring,
            metrics=ring,
            fitness_of=lambda _: self.fitness,
            snapshot_s=1e9,
        )

    def fitness(self, positions: Floats) -> Floats:
        self.valued += 1
        return bowl(positions)

    def work(self, message: Message) -> str:
        scatterer, because = SwarmScatterer(self.runner), Because()
        if message.task == "value":
            assert message.moved is not None
            told = (message.hint, message.moved, message.nth)
            return scatterer.value(ID, *told, because)
        if message.moved is None:
            held = self.runner.take(ID, message.hint, because)
            return held if isinstance(held, str) else scatterer.scatter(held, because)
        held = self.runner.take_valued(ID, message.hint, because)
        if isinstance(held, str):
            return held
        return scatterer.join(held, message.moved, because)


def begun(**changes: Any) -> Slices:
    ring = Slices()
    ring.add(started(a_run(evaluate=Evaluate.PARTITIONS, slices=SLICES, **changes)))
    ring.begin_anew()
    return ring


def again(ring: Slices) -> Message:
    """Return the message by which the sweep sends what takes long once more."""
    return Message("iterate", hint_of(ring.view(ID), 0, 0, 1))


def test_slices_that_were_sent_again_meanwhile_are_not_valued_again() -> None:
    ring = begun()
    process, other = Process(ring), Process(ring)
    process.work(ring.queue.pop(0))
    process.work(ring.queue.pop(0))
    other.work(again(ring))
    while ring.queue:
        process.work(ring.queue.pop(0))
    assert ring.view(ID).state == finished().state
    assert other.valued == 0
    # Of iteration 0 and the thirty after it, each slice once.
    assert process.valued == 31 * SLICES


def test_a_join_counts_though_it_was_sent_again_meanwhile() -> None:
    ring = begun()
    process = Process(ring)
    while not any(one.task == "join" and one.hint["iteration"] for one in ring.queue):
        process.work(ring.queue.pop(0))
    [join] = ring.queue
    Process(ring).work(again(ring))
    assert ring.types()[-1] == "SENT_AGAIN"
    assert process.work(join) == f"iteration {join.hint['iteration'] + 1}"


def test_an_iteration_may_take_as_long_as_all_its_tasks_together() -> None:
    ring = begun(task_timeout_ms=60_000)
    process = Process(ring)
    for _ in range(3):
        process.work(again(ring))
    desk = SimpleNamespace(log=ring, clock=ring, ends=ring, send=ring.begin_anew)
    sweeper = SwarmSweeper(cast(SwarmDesk, desk), process.states)
    ring.time += timedelta(seconds=SLICES * 60 - 1)
    sweeper.look(ID, 4, Because())
    assert not ring.view(ID).status.is_over
    ring.time += timedelta(seconds=2)
    sweeper.look(ID, 5, Because())
    assert ring.view(ID).status.is_over
