"""Swarms on real workers: same bits however work is cut; what is found; acts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.contracts import pool_queue
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.motion import advance, begin
from orchestration.core.swarm.tuning import Tuning, TuningSettings, settings_of
from orchestration.errors import SwarmActRefused, SwarmStillRunning
from orchestration.swarm import SwarmFrame, SwarmReport, SwarmStatus
from tests.support import swarm_fitnesses
from tests.support.stack import Stack
from tests.support.swarming import (
    AGENTS,
    CUBE,
    RING,
    Swarming,
    await_hosted,
    listening,
    swarm_stack,
    swarming,
    told,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

# One process, whose next task is never begun before the last is recorded.
ALONE = ("-I", "tests.support.lone_fitness", "-Q", pool_queue("lone"), "-c", "1", "-E")


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], tmp_path_factory: Any
) -> Iterator[Stack]:
    """Nothing is lost here, and a host that stands still is no reason to send again."""
    settings = {
        "ORCHESTRATION_KEY_PREFIX": "swarm_runs_",
        "ORCHESTRATION_SWARM_STILL_S": "20",
        "SWITCHES": str(tmp_path_factory.mktemp("switches")),
    }
    with swarm_stack(postgres_server, redis_databases, ALONE, **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Swarming]:
    with swarming(running.env) as front:
        await_hosted(front, "bowl", "lone")
        yield front


# --- same bits


@pytest.fixture(scope="module")
def one_by_one(front: Swarming) -> str:
    """The state that forty iterations in forty tasks come to."""
    return front.optimize().state_hash


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"iterations_per_task": 10}, id="ten-a-task"),
        pytest.param({"iterations_per_task": 50}, id="more-than-there-are"),
        pytest.param({"iterations_per_task": 7}, id="seven-a-task"),
        pytest.param({"evaluate": "partitions", "slices": 3}, id="in-slices"),
    ],
)
def test_the_state_is_the_same_however_the_work_is_cut(
    front: Swarming, one_by_one: str, options: dict[str, object]
) -> None:
    report = front.optimize(**options)
    assert report.state_hash == one_by_one
    assert front.iterations(report.swarm_id) == list(range(1, 41))


def test_a_solo_worker_and_a_second_one_come_to_the_same(
    front: Swarming, running: Stack, one_by_one: str
) -> None:
    other = running.worker("-I", AGENTS, pool="solo")
    states: list[str] = []

    def has_had_a_share() -> bool:
        states.append(front.optimize().state_hash)
        return "Task swarm.iterate[" in other.log

    try:
        wait_until(has_had_a_share, "the second worker has done some of it")
    finally:
        other.terminate()
        other.wait()
    assert set(states) == {one_by_one}


def test_a_swarm_stops_at_the_same_iteration_however_many_a_task_does(
    front: Swarming,
) -> None:
    ends = {
        (report.iterations, report.state_hash, report.reason)
        for per_task in (1, 16)
        if (
            report := front.optimize(
                "bowl", target=0.5, iterations=500, iterations_per_task=per_task
            )
        )
    }
    ((iterations, _, reason),) = ends
    assert reason == "TARGET"
    assert iterations % 16


def test_each_iteration_is_one_task_and_one_event(front: Swarming) -> None:
    with listening(front) as received:
        report = front.optimize("lone", iterations=25)
        wait_until(
            lambda: received(report.swarm_id) >= 25, "workers have told of their tasks"
        )
    assert received(report.swarm_id) == 25
    assert front.iterations(report.swarm_id) == list(range(1, 26))


@pytest.mark.parametrize(
    "behavior", ["FORAGING", "FLOCKING", "DISPERSING", "CLUSTERING", "MIGRATING"]
)
def test_a_swarm_moves_to_the_same_state_however_many_iterations_a_task_does(
    front: Swarming, behavior: str
) -> None:
    states = {
        front.wait(
            asyncio.run(
                front.swarm.move(
                    behavior,
                    {"agents": 20},
                    iterations=12,
                    seed=2,
                    iterations_per_task=per_task,
                )
            )
        ).state_hash
        for per_task in (1, 5)
    }
    assert len(states) == 1


# --- federations


@pytest.fixture(scope="module")
def together(front: Swarming) -> SwarmReport:
    """What a federation comes to whose islands move in one task."""
    return front.optimize(**RING, iterations_per_task=10)


def test_islands_come_to_the_same_in_one_task_and_in_one_for_each(
    front: Swarming, together: SwarmReport
) -> None:
    with listening(front) as received:
        report = front.optimize(**RING, evaluate="islands")
        # Seven stretches, each sent, done on three islands, and joined.
        wait_until(
            lambda: received(report.swarm_id) >= 7 * 5, "workers have told of all"
        )
    assert (report.state_hash, report.chain_head) == (
        together.state_hash,
        together.chain_head,
    )
    assert report.islands == together.islands
    assert [one.agents for one in report.islands] == [7, 7, 6]
    assert front.iterations(report.swarm_id) == list(range(1, 41))
    replay = asyncio.run(front.swarm.replay(report.swarm_id))
    assert replay.is_equal


# --- sizes that change, settings that evolve


@pytest.fixture(scope="module")
def changing() -> dict[str, Any]:
    """A search whose size goes down, up, and down again within a few iterations."""
    sizes = {"sizing": "ADAPTIVE", "agents": 20, "min_agents": 10, "max_agents": 90}
    return {**sizes, "patience": 3, "evaluations": 4_500, "iterations": 90}


def test_a_size_changes_in_the_same_iterations_however_the_work_is_cut(
    front: Swarming, changing: dict[str, Any]
) -> None:
    ways = ({"iterations_per_task": 10}, {"iterations_per_task": 50}, {})
    reports = [front.optimize(**changing, **way) for way in ways]
    assert len({report.state_hash for report in reports}) == 1
    courses = [sizes_of(front, report) for report in reports]
    assert courses[0] == courses[1] == courses[2]
    assert min(courses[0]) < 20 < max(courses[0])
    assert {report.agents for report in reports} == {courses[0][-1]}
    assert asyncio.run(front.swarm.replay(reports[0].swarm_id)).is_equal


def test_slices_are_of_as_many_agents_as_there_are(
    front: Swarming, changing: dict[str, Any]
) -> None:
    few = changing | {"iterations": 12}
    whole = front.optimize(**few, iterations_per_task=12)
    sliced = front.optimize(**few, evaluate="partitions", slices=3)
    assert sliced.state_hash == whole.state_hash
    assert len(set(sizes_of(front, sliced))) > 1


def sizes_of(front: Swarming, report: SwarmReport) -> tuple[int, ...]:
    return asyncio.run(front.swarm.sizes(report.swarm_id))


def test_tuned_settings_are_those_that_their_seed_leads_to(front: Swarming) -> None:
    told = {"candidates": 10, "searches": 2, "evaluations": 400}
    report = asyncio.run(
        front.swarm.tune("rastrigin", CUBE, generations=2, seed=4, **told)
    )
    lower, upper = zip(*CUBE, strict=True)
    motion = Tuning(TuningSettings(lower=lower, upper=upper, **told))
    values = motion.values_of(STANDARD["rastrigin"].values, 4)
    state = begin(motion, 4, values)
    gone = advance(motion, state, seed=4, iterations=2, previous=None, fitness=values)
    assert report.state_hash == gone.state.digest()
    assert report.settings == settings_of(state.record["best_position"])
    assert (report.iterations, report.best) == (2, gone.best[-1])
    assert front.optimize(**report.settings).status is SwarmStatus.COMPLETED
    assert asyncio.run(front.swarm.replay(report.swarm_id)).is_equal


# --- what was found


def test_the_best_is_found_and_told(front: Swarming) -> None:
    report = front.optimize(
        "bowl", iterations=300, iterations_per_task=50, name="egg box"
    )
    assert report.status is SwarmStatus.COMPLETED
    assert report.best == pytest.approx(0.0, abs=1e-3)
    assert report.best_position == pytest.approx((0.0, 0.0, 0.0), abs=1e-2)
    assert (report.name, report.seed, report.agents) == ("egg box", 11, 20)


def test_a_function_is_found_by_the_name_it_was_given(front: Swarming) -> None:
    report = front.optimize(swarm_fitnesses.bowl, iterations_per_task=40)
    assert report.name == "bowl"


def test_replay_comes_to_every_hash_on_record(front: Swarming) -> None:
    report = front.optimize("bowl", iterations_per_task=9)
    replay = asyncio.run(front.swarm.replay(report.swarm_id))
    assert replay.is_equal
    assert (replay.iterations, replay.state_hash) == (40, report.state_hash)


def test_replay_says_where_a_fitness_has_changed(
    front: Swarming, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = front.optimize("bowl", iterations_per_task=9)
    monkeypatch.setattr(
        "orchestration.swarm_reading.fitness_of",
        lambda _: lambda x: swarm_fitnesses.bowl(x) + 1,
    )
    replay = asyncio.run(front.swarm.replay(report.swarm_id))
    assert not replay.is_equal
    assert replay.differs_at == 1
    assert replay.recorded != replay.found


def test_watching_shows_positions_until_the_end(front: Swarming) -> None:
    async def watch() -> list[SwarmFrame]:
        swarm_id = await front.swarm.start("rastrigin", CUBE, **told({}))
        return [one async for one in front.swarm.watch(swarm_id, every_ms=1)]

    seen = asyncio.run(watch())
    assert [one.iteration for one in seen] == sorted(one.iteration for one in seen)
    assert (seen[-1].iteration, seen[-1].status) == (40, SwarmStatus.COMPLETED)
    assert seen[-1].positions.shape == (20, 3)


def test_a_list_shows_swarms_newest_first(front: Swarming) -> None:
    ids = [front.optimize(iterations=1).swarm_id for _ in range(2)]
    listed = asyncio.run(front.swarm.list(state="COMPLETED", limit=2))
    assert [one.swarm_id for one in listed] == ids[::-1]
    assert listed[0].iteration == 1


# --- acts


def test_a_stopped_swarm_tells_what_it_had_found(front: Swarming) -> None:
    swarm_id = front.start(iterations=1_000_000)
    front.await_iteration(swarm_id, 5)
    front.do("stop", swarm_id)
    report = front.wait(swarm_id)
    assert report.status is SwarmStatus.STOPPED
    assert report.iterations >= 5
    assert report.best is not None
    assert report.best_position is not None


def test_a_paused_swarm_goes_on_to_the_same_state(front: Swarming) -> None:
    swarm_id = front.start(iterations=1_000_000)
    front.await_iteration(swarm_id, 5)
    front.do("pause", swarm_id)
    paused = front.status(swarm_id)
    with pytest.raises(SwarmStillRunning):
        front.wait(swarm_id, timeout_s=0.2)
    assert front.status(swarm_id).iterations == paused.iterations
    front.do("resume", swarm_id)
    front.await_iteration(swarm_id, paused.iterations + 5)
    front.do("stop", swarm_id)
    gone = front.wait(swarm_id)
    straight = front.optimize(iterations=gone.iterations, iterations_per_task=50)
    assert gone.state_hash == straight.state_hash


def test_time_that_is_over_ends_a_swarm_as_it_stands(front: Swarming) -> None:
    report = front.optimize(iterations=1_000_000, timeout_ms=300)
    assert report.status is SwarmStatus.TIMED_OUT
    # Its time runs from its start, and on a busy host may be over before it moves.
    assert (report.best is None) == (report.iterations == 0)
    assert len(front.iterations(report.swarm_id)) == report.iterations


def test_what_is_over_cannot_be_acted_upon(front: Swarming) -> None:
    report = front.optimize(iterations=1)
    for act in ("stop", "pause", "resume"):
        with pytest.raises(SwarmActRefused, match="is COMPLETED"):
            front.do(act, report.swarm_id)
