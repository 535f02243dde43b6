"""Swarms on real workers: what is refused, what fails, and what is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.adapters.celery_bus import make_producer
from orchestration.contracts import SWARM_ITERATE
from orchestration.core.swarm.events import EventType
from orchestration.errors import (
    InvalidSwarm,
    SwarmActRefused,
    SwarmConflict,
    SwarmFailed,
    SwarmNonDeterministic,
    SwarmNotFound,
    UnknownFitness,
)
from orchestration.swarm import SwarmReport, SwarmStatus
from tests.support.servers import wipe
from tests.support.stack import Stack
from tests.support.swarming import RING, Swarming, await_hosted, swarm_stack, swarming
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("switches")


@pytest.fixture(scope="module")
def running(
    postgres_server: str, redis_databases: tuple[str, str], folder: Path
) -> Iterator[Stack]:
    """What was lost is soon sent again; so is what is only late, and costs nothing."""
    settings = {
        "ORCHESTRATION_KEY_PREFIX": "swarm_mishaps_",
        "ORCHESTRATION_SWARM_STILL_S": "1",
        "ORCHESTRATION_SWARM_SNAPSHOT_S": "0.05",
        "SWITCHES": str(folder),
    }
    with swarm_stack(postgres_server, redis_databases, **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def front(running: Stack) -> Iterator[Swarming]:
    with swarming(running.env) as front:
        await_hosted(front, "bowl")
        yield front


@pytest.fixture(autouse=True)
def no_switches(folder: Path) -> Iterator[None]:
    yield
    for file in folder.iterdir():
        file.unlink()


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


@pytest.fixture(scope="module")
def one_by_one(front: Swarming) -> str:
    """The state that forty iterations in forty tasks come to."""
    return front.optimize().state_hash


@pytest.fixture(scope="module")
def together(front: Swarming) -> SwarmReport:
    """What a federation comes to whose islands move in one task."""
    return front.optimize(**RING, iterations_per_task=10)


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
    # Unless two tasks have come to different states before: one that was late.
    front.await_iteration(swarm_id, 20)

    def has_ended_without_its_states() -> bool:
        """Take away all that is kept: then it has to be computed anew."""
        try:
            at = front.do("pause", swarm_id).iterations
            front.bus.swarms.hot.drop(swarm_id)
            front.bus.swarms.log.db.rows("DELETE FROM orch.swarm_snapshot")
            front.do("resume", swarm_id)
        except SwarmActRefused:
            return True
        # A task that was not over yet may have kept its state after that. Whether it
        # goes on is waited for: each act makes stale what was sent before.
        front.await_iteration(swarm_id, at + 1)
        return False

    wait_until(has_ended_without_its_states, "the swarm has ended")
    with pytest.raises(SwarmNonDeterministic, match="is on record with hash"):
        front.wait(swarm_id)


def test_a_swarm_whose_worker_is_busy_times_out_all_the_same(
    front: Swarming, folder: Path
) -> None:
    begun, ended = folder / "begun", folder / "ended"
    started: list[str] = []

    def is_at_work() -> bool:
        """Start another if the time of the last was over before it was begun."""
        if begun.exists():
            return True
        if not started or front.status(started[-1]).status.is_over:
            started.append(front.start("waits", timeout_ms=900))
        return False

    wait_until(is_at_work, "a worker is at it")
    report = front.wait(started[-1])
    assert report.status is SwarmStatus.TIMED_OUT
    assert not ended.exists()
    (folder / "go").touch()
    wait_until(ended.exists, "the worker is free again")


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


def test_a_wiped_redis_costs_a_federation_no_bit(
    front: Swarming, together: SwarmReport
) -> None:
    swarm_id = front.start("rastrigin", **RING, evaluate="islands")
    front.await_iteration(swarm_id, 6)
    wipe(front.bus.settings.redis_url)
    wipe(front.bus.settings.broker_url)
    assert front.wait(swarm_id).state_hash == together.state_hash
