"""Swarms on real workers: same bits, faults of a fitness, acts, watching."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.adapters.celery_bus import make_producer
from orchestration.contracts import SWARM_ITERATE
from orchestration.core.swarm.events import EventType
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.motion import advance, begin
from orchestration.core.swarm.tuning import Tuning, TuningSettings, settings_of
from orchestration.errors import (
    InvalidSwarm,
    SwarmActRefused,
    SwarmConflict,
    SwarmFailed,
    SwarmNonDeterministic,
    SwarmNotFound,
    SwarmStillRunning,
    UnknownFitness,
)
from orchestration.swarm import SwarmFrame, SwarmReport, SwarmStatus
from tests.conftest import migrate
from tests.support import swarm_fitnesses
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack
from tests.support.swarming import AGENTS, CUBE, Swarming, swarming, told
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("switches")


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], folder: Path
) -> Iterator[Stack]:
    """Two prefork children, a chores worker and beat."""
    with fresh_database(postgres_server) as database_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": redis_databases[1],
            "ORCHESTRATION_KEY_PREFIX": "swarm_runs_",
            "ORCHESTRATION_SWARM_STILL_S": "1",
            "ORCHESTRATION_SWARM_SNAPSHOT_S": "0.05",
            "SWITCHES": str(folder),
        }
        stack = Stack(environment, prepare=migrate)
        try:
            parts = [
                stack.worker("-I", AGENTS, "-c", "2", "-E", wait=False),
                stack.chores(wait=False),
                stack.beat(wait=False),
            ]
            for part in parts:
                part.wait_ready()
            yield stack
        finally:
            stack.close()
            for url in redis_databases:
                wipe(url)


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Swarming]:
    with swarming(running.env) as front:
        yield front


@pytest.fixture(autouse=True)
def no_switches(folder: Path) -> Iterator[None]:
    yield
    for file in folder.iterdir():
        file.unlink()


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
    try:
        reports = [front.optimize() for _ in range(3)]
    finally:
        other.terminate()
    assert {report.state_hash for report in reports} == {one_by_one}
    assert "Task swarm.iterate[" in other.log


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
        report = front.optimize(iterations=25)
        wait_until(
            lambda: received(report.swarm_id) >= 25, "workers have told of their tasks"
        )
    assert received(report.swarm_id) == 25
    assert front.iterations(report.swarm_id) == list(range(1, 26))


@contextlib.contextmanager
def listening(front: Swarming) -> Iterator[Callable[[str], int]]:
    """Count the tasks of swarms that workers tell of in Celery's own events."""
    seen: list[str] = []
    app = make_producer(front.bus.settings)
    with app.connection_for_read() as connection:
        ready = threading.Event()
        handlers = {
            "task-received": lambda event: seen.append(event["args"]),
            # Nothing is heard before the first of these, whatever Celery says of it.
            "worker-heartbeat": lambda _: ready.set(),
        }
        receiver = app.events.Receiver(connection, handlers=handlers)
        thread = threading.Thread(
            target=receiver.capture, kwargs={"timeout": 60, "wakeup": False}
        )
        thread.start()
        try:
            assert ready.wait(10)
            yield lambda swarm_id: sum(swarm_id in args for args in seen)
        finally:
            receiver.should_stop = True
            thread.join()


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

RING: dict[str, object] = {
    "islands": [{}, {"algorithm": "SPSO_2011"}, {"topology": "RING"}],
    "migrate_every": 6,
}


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


def test_a_wiped_redis_costs_a_federation_no_bit(
    front: Swarming, together: SwarmReport
) -> None:
    swarm_id = front.start("rastrigin", **RING, evaluate="islands")
    front.await_iteration(swarm_id, 6)
    wipe(front.bus.settings.redis_url)
    wipe(front.bus.settings.broker_url)
    assert front.wait(swarm_id).state_hash == together.state_hash


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


# --- refused before anything starts


def test_all_that_is_wrong_is_told_at_once(front: Swarming) -> None:
    with pytest.raises(InvalidSwarm) as refused:
        asyncio.run(
            front.swarm.start("sphere", [(1, 0)], agents=5, iterations=0, inertia=4.0)
        )
    faults = "; ".join(refused.value.faults)
    for what in ("dimension 0", "unstable", "iterations is 0"):
        assert what in faults


@pytest.mark.parametrize("agents", [9, 1_001])
def test_a_swarm_of_an_impossible_size_is_refused(front: Swarming, agents: int) -> None:
    with pytest.raises(InvalidSwarm, match=f"it has {agents} agents: use 10 to 1000"):
        front.start(agents=agents)


def test_a_fitness_that_nobody_hosts_is_refused(front: Swarming) -> None:
    with pytest.raises(UnknownFitness, match="'nobody_has_it' is hosted by no worker"):
        front.start("nobody_has_it")


def test_a_search_is_no_move(front: Swarming) -> None:
    with pytest.raises(InvalidSwarm, match=r"give one to start\(\) or optimize\(\)"):
        asyncio.run(front.swarm.move("SWARMING", {"agents": 20}))


def test_the_same_start_starts_nothing_and_another_is_refused(front: Swarming) -> None:
    first = front.optimize(swarm_id="once")
    assert front.optimize(swarm_id="once") == first
    with pytest.raises(SwarmConflict):
        front.start(swarm_id="once", seed=12)


def test_an_id_that_is_none_is_refused(front: Swarming) -> None:
    for act in ("status", "stop", "events"):
        with pytest.raises(SwarmNotFound):
            asyncio.run(getattr(front.swarm, act)("nobody"))


# --- faults in mid-run


@pytest.mark.parametrize(
    ("fitness", "why"),
    [
        ("returns_nan", "returned NaN for 1 of 20 positions"),
        ("returns_too_few", r"returned shape \(19,\) for 20 agents"),
        ("changes_positions", "read-only"),
    ],
)
def test_a_fitness_that_fails_for_good_ends_the_swarm_by_name(
    front: Swarming, fitness: str, why: str
) -> None:
    with pytest.raises(SwarmFailed, match=why) as failed:
        front.optimize(fitness, retry_ms=1)
    events = front.events(failed.value.swarm_id)
    attempts = [e for e in events if e.type is EventType.SWARM_ATTEMPT_FAILED]
    assert [e.data["attempt"] for e in attempts] == [1, 2, 3]


def test_a_slice_that_fails_ends_the_swarm_too(front: Swarming) -> None:
    with pytest.raises(SwarmFailed, match="NaN"):
        front.optimize("returns_nan", retry_ms=1, evaluate="partitions", max_attempts=1)


def test_a_fitness_that_recovers_costs_nothing(
    front: Swarming, folder: Path, one_by_one: str
) -> None:
    del one_by_one
    (folder / "fail").touch()
    swarm_id = front.start("fails_while_told_to", max_attempts=100, retry_ms=1)
    wait_until(lambda: front.status(swarm_id).attempts, "an attempt has failed")
    (folder / "fail").unlink()
    report = front.wait(swarm_id)
    assert report.state_hash == front.optimize("bowl").state_hash


def test_a_task_that_kills_its_process_is_not_begun_for_ever(front: Swarming) -> None:
    with pytest.raises(SwarmFailed, match="never came back"):
        front.optimize("kills_its_process", task_timeout_ms=100)


def test_a_state_that_comes_out_otherwise_stops_the_swarm(front: Swarming) -> None:
    swarm_id = front.start("never_the_same", iterations=1_000_000)
    front.await_iteration(swarm_id, 20)

    def has_ended_without_its_states() -> bool:
        """Take away all that is kept: then it has to be computed anew."""
        try:
            front.do("pause", swarm_id)
            front.bus.swarms.hot.drop(swarm_id)
            front.bus.swarms.log.db.rows("DELETE FROM orch.swarm_snapshot")
            front.do("resume", swarm_id)
        except SwarmActRefused:
            return True
        return False  # a task that was not over yet may have kept its state after that

    wait_until(has_ended_without_its_states, "the swarm has ended")
    with pytest.raises(SwarmNonDeterministic, match="is on record with hash"):
        front.wait(swarm_id)


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


def test_a_paused_swarm_goes_on_to_the_same_state(
    front: Swarming, one_by_one: str
) -> None:
    swarm_id = front.start()
    front.do("pause", swarm_id)
    paused = front.status(swarm_id)
    with pytest.raises(SwarmStillRunning):
        front.wait(swarm_id, timeout_s=0.2)
    assert front.status(swarm_id).iterations == paused.iterations
    front.do("resume", swarm_id)
    assert front.wait(swarm_id).state_hash == one_by_one


def test_time_that_is_over_ends_a_swarm_as_it_stands(front: Swarming) -> None:
    report = front.optimize(iterations=1_000_000, timeout_ms=300)
    assert report.status is SwarmStatus.TIMED_OUT
    assert report.best is not None


def test_a_swarm_whose_worker_is_busy_times_out_all_the_same(
    front: Swarming, folder: Path
) -> None:
    swarm_id = front.start("waits", timeout_ms=100)
    report = front.wait(swarm_id)
    assert report.status is SwarmStatus.TIMED_OUT
    (folder / "go").touch()


def test_what_is_over_cannot_be_acted_upon(front: Swarming) -> None:
    report = front.optimize(iterations=1)
    for act in ("stop", "pause", "resume"):
        with pytest.raises(SwarmActRefused, match="is COMPLETED"):
            front.do(act, report.swarm_id)


# --- what is lost


def test_a_wiped_redis_costs_no_bit(front: Swarming, one_by_one: str) -> None:
    swarm_id = front.start("rastrigin")
    front.await_iteration(swarm_id, 10)
    wipe(front.bus.settings.redis_url)
    wipe(front.bus.settings.broker_url)
    assert front.wait(swarm_id).state_hash == one_by_one


def test_a_message_that_comes_twice_changes_nothing(
    front: Swarming, one_by_one: str
) -> None:
    swarm_id = front.start()
    app = make_producer(front.bus.settings)
    for _ in range(20):
        app.send_task(SWARM_ITERATE, kwargs={"swarm_id": swarm_id})
    assert front.wait(swarm_id).state_hash == one_by_one
    assert front.iterations(swarm_id) == list(range(1, 41))


def test_what_is_known_of_a_swarm_that_has_ended_since_does_not_bring_it_back(
    front: Swarming,
) -> None:
    log, swarm_id = front.bus.swarms.log, front.start()
    before = log.view(swarm_id)
    front.wait(swarm_id)
    log.heal(before)
    listed = [one.state for one in log.listed() if one.swarm_id == swarm_id]
    assert listed == ["COMPLETED"]


def test_all_kinds_of_events_are_landmarks_or_told_of_many_times(
    front: Swarming,
) -> None:
    rows = front.bus.swarms.log.db.rows(
        "SELECT pg_get_indexdef('es.swarm_landmark'::regclass)"
    )
    many = {"SWARM_ITERATED", "SWARM_TICKED"}
    many |= {f"PARTITION_{what}" for what in ("COMMITTED", "FAILED", "REPEATED")}
    assert {one for one in EventType if f"'{one}'" not in rows[0][0]} == many
