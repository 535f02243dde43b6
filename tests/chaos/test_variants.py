"""Chaos where sagas do more than run steps: locks, children, forks, probes, people."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestration.saga import SagaState, SagaStep, SagaTransaction
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.judging import judge
from tests.support.stack import Stack
from tests.support.storm import Storm
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SLOW = {"sleep_s": 0.1, "rest_s": 0.1, "undo_sleep_s": 0.05, "undo_rest_s": 0.05}
FAILS = SLOW | {"fail": "for good"}


def slow_linear(count: int, *, fails: bool, **options: object) -> SagaTransaction:
    """Return a linear saga whose last step fails, or does not."""
    last = f"s{count}"
    steps = {f"s{n}": SLOW for n in range(1, count)}
    return linear(count, **steps, **{last: FAILS if fails else SLOW}, **options)


def found_true(storm: Storm, front: Front, sagas: Mapping[str, bool]) -> World:
    """Judge sagas that are over; return what was done."""
    storm.settle(front)
    world = storm.world
    verdict = judge(front, world, sagas, storm.in_flight)
    print(f"{dict(verdict.states)}; in flight {len(storm.in_flight)}", end="; ")
    print(f"doubled {verdict.doubles}")
    assert not verdict.faults
    assert verdict.doubles <= len(storm.in_flight)
    return world


def test_a_lock_has_one_holder_whoever_dies_holding_it(
    storm: Storm, front: Front
) -> None:
    sagas: dict[str, bool] = {}
    firms: dict[str, str] = {}
    for number in range(12):
        firm, fails = f"f{number % 3}", number % 4 == 0
        transaction = slow_linear(3, fails=fails, locks=["firm-{firm}"])
        saga_id = front.start(transaction, firm=firm)
        sagas[saga_id], firms[saga_id] = fails, firm
    storm.strike("kill_child", "kill_worker", "freeze_worker", "kill_chores")
    storm.strike("flush", "kill_child")
    world = found_true(storm, front, sagas)
    late = {one for hit in storm.hits for one in hit.attempts if not hit.lost}
    for firm in set(firms.values()):
        # Whoever was frozen writes with an old fence, by which it can be refused.
        lines = [
            effect
            for effect in world.effects
            if firms[effect.saga_id] == firm and effect.of_attempt not in late
        ]
        turns = [saga_id for saga_id, _ in itertools.groupby(e.saga_id for e in lines)]
        assert len(turns) == len(set(turns)), "two were at it together"
        fences = [effect.fence for effect in lines]
        assert fences == sorted(fences)
        assert min(fences) > 0


def children_of(front: Front, parent: str) -> set[str]:
    """Return the sagas that a saga has waited for."""
    waits = (e.data["for"] for e in front.history(parent) if e.type == "STEP_WAITING")
    return {wait["saga"] for wait in waits}


def test_child_sagas_end_as_their_parents_do(storm: Storm, front: Front) -> None:
    def parent(*, fails: bool) -> SagaTransaction:
        child = SagaStep("child", saga=slow_linear(3, fails=False), depends_on=["a"])
        last = step("z", "child", **(FAILS if fails else SLOW))
        return SagaTransaction("parent", [step("a", **SLOW), child, last])

    sagas = {front.start(parent(fails=n % 2 == 0)): n % 2 == 0 for n in range(10)}
    storm.strike("kill_chores", "kill_worker", "flush", "kill_child")
    storm.strike("restart_postgres", "freeze_worker", "kill_chores", "kill_child")
    storm.settle(front)
    family = dict(sagas)
    for saga_id, fails in sagas.items():
        children = children_of(front, saga_id)
        assert len(children) == 1
        family |= dict.fromkeys(children, fails)
    found_true(storm, front, family)
    streams = "SELECT count(*) FROM es.streams WHERE name LIKE %s"
    assert front.bus.sagas.db.rows(streams, ("saga-%",))[0][0] == len(family)


def test_a_fork_begins_once_whoever_dies(storm: Storm, front: Front) -> None:
    sagas = {front.start(slow_linear(3, fails=True)): True for _ in range(8)}
    storm.strike("kill_worker", "kill_child")
    storm.settle(front)
    forks = {saga_id: f"{saga_id}-again" for saga_id in sagas}
    for _ in range(2):  # the second time as if the first answer had been lost
        for saga_id, fork in forks.items():
            healed = {"initial_data": {"healed": True}, "transaction_id": fork}
            asyncio.run(front.saga.fork(saga_id, **healed))
        storm.strike("kill_worker", "flush", "kill_child")
    world = found_true(storm, front, sagas | dict.fromkeys(forks.values(), False))
    for saga_id, fork in forks.items():
        assert front.status(saga_id).state is SagaState.COMPENSATED
        assert front.status(fork).state is SagaState.COMPLETED
        assert set(world.done(fork)) == {"s1", "s2", "s3"}


def test_timers_are_kept_while_everything_falls(storm: Storm, front: Front) -> None:
    wait_s = 8
    policy = {"max_attempts": 2, "backoff_ms": wait_s * 1_000, "jitter": 0.0}
    retried = {"fail": "once", "retry_policy": policy}
    gate = SagaStep("gate", wait_for="go", depends_on=["a"], timeout_ms=wait_s * 1_000)
    sagas: dict[str, bool] = {}
    for _ in range(4):
        sagas[front.start(linear(3, s2=retried))] = False
        steps = [step("a"), gate, step("z", "gate")]
        sagas[front.start(SagaTransaction("in vain", steps))] = True
    begins = {False: "STEP_FAILED", True: "STEP_WAITING"}
    wait_until(
        lambda: all(begins[fails] in front.types(one) for one, fails in sagas.items()),
        "all of them wait",
    )
    for fault in ("flush", "kill_beat", "kill_chores", "restart_postgres", "flush"):
        getattr(storm, fault)()
    found_true(storm, front, sagas)
    ends = {False: "STEP_STARTED", True: "STEP_FAILED"}
    for saga_id, fails in sagas.items():
        events = front.history(saga_id)
        [since] = [e.recorded_at for e in events if e.type == begins[fails]]
        ended = [e.recorded_at for e in events if e.type == ends[fails]]
        later = [at for at in ended if at > since]
        waited_s = (later[0] - since).total_seconds()
        assert waited_s >= wait_s - 0.001  # due times are whole milliseconds
        types = [event.type for event in events]
        assert types.count("STEP_STARTED") == (1 if fails else 4)


# --- a step killed in mid-run, and what its saga does about that


@pytest.fixture
def running(stack: Stack, effects: Effects) -> Iterator[Front]:
    """A producer beside one worker of two children, chores and beat."""
    stack.env |= {"EFFECTS_FILE": str(effects.path), "ORCHESTRATION_LEASE_S": "8"}
    agents = ("-I", "tests.support.effects_agents", "-c", "2")
    parts = [
        stack.worker(*agents, wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as front:
        yield front


def kill_in(effects: Effects, saga_id: str, name: str, what: str) -> None:
    """Kill -9 the child that is in a step, once it has got so far."""
    wait_until(lambda: name in effects.lines(saga_id, what), f"{name}: {what}")
    os.kill(effects.pids(saga_id, what, name)[-1], signal.SIGKILL)


def doubtful(gate: Path, *, landed: bool, **options: object) -> dict[str, object]:
    """Return a step to be killed before its effect, or after it."""
    return {"rest_at_file" if landed else "wait_for_file": str(gate), **options}


@pytest.mark.parametrize("landed", [True, False])
def test_a_probe_finds_out_whether_the_dead_had_done_it(
    running: Front, effects: Effects, tmp_path: Path, *, landed: bool
) -> None:
    gate, look = tmp_path / "gate", tmp_path / "look"
    asks = {"probe": "look", "probe_waits_for": str(look)}
    saga_id = running.start(linear(3, s2=doubtful(gate, landed=landed, **asks)))
    kill_in(effects, saga_id, "s2", "do" if landed else "begin")
    gate.touch()
    kill_in(effects, saga_id, "s2", "probe")  # who asks may die as well
    look.touch()
    assert running.wait(saga_id).state is SagaState.COMPLETED
    assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
    [probed] = [e for e in running.history(saga_id) if e.type == "STEP_PROBED"]
    assert probed.data["verdict"] == ("done" if landed else "not_done")


@pytest.mark.parametrize("landed", [True, False])
def test_a_step_that_escalates_is_left_to_a_person(
    running: Front, effects: Effects, tmp_path: Path, *, landed: bool
) -> None:
    gate = tmp_path / "gate"
    asks = {"on_unknown": "ESCALATE"}
    saga_id = running.start(linear(3, s2=doubtful(gate, landed=landed, **asks)))
    kill_in(effects, saga_id, "s2", "do" if landed else "begin")
    gate.touch()
    status = running.wait(saga_id)
    assert status.state is SagaState.PAUSED
    assert status.unresolved_steps == ("s2",)
    assert effects.lines(saga_id, "undo") == []
    asyncio.run(running.saga.resolve(saga_id, "s2", happened=landed))
    ended = running.wait(saga_id)
    if landed:
        assert ended.state is SagaState.COMPLETED
        assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
    else:
        assert ended.state is SagaState.COMPENSATED
        assert effects.lines(saga_id, "do") == ["s1"]
        assert effects.left(saga_id) == set()


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("probed", [True, False])
def test_a_pivot_killed_in_mid_run_is_never_undone_by_itself(
    running: Front, effects: Effects, tmp_path: Path, *, landed: bool, probed: bool
) -> None:
    gate = tmp_path / "gate"
    pivot = doubtful(gate, landed=landed, is_pivot=True, compensation=None)
    pivot |= {"probe": "look"} if probed else {}
    saga_id = running.start(linear(3, s2=pivot, s3={"compensation": None}))
    kill_in(effects, saga_id, "s2", "do" if landed else "begin")
    gate.touch()
    if not probed:
        assert running.wait(saga_id).state is SagaState.PAUSED
        assert effects.lines(saga_id, "undo") == []
        asyncio.run(running.saga.resolve(saga_id, "s2", happened=landed))
    ended = running.wait(saga_id)
    if landed or probed:  # the probe sees that it is not there, and it is done again
        assert ended.state is SagaState.COMPLETED
        assert effects.lines(saga_id, "do") == ["s1", "s2", "s3"]
        assert effects.lines(saga_id, "undo") == []
    else:
        assert ended.state is SagaState.COMPENSATED
        assert effects.left(saga_id) == set()


def test_in_a_storm_nothing_is_undone_behind_a_pivot(
    storm: Storm, front: Front
) -> None:
    def transaction(*, fails: bool) -> SagaTransaction:
        forward = SLOW | {"compensation": None}
        pivot = forward | {"is_pivot": True, "probe": "look"}
        before = FAILS if fails else SLOW
        return linear(5, s1=SLOW, s2=before, s3=pivot, s4=forward, s5=forward)

    sagas = {front.start(transaction(fails=n % 3 == 0)): n % 3 == 0 for n in range(15)}
    storm.strike("kill_worker", "kill_child", "kill_child", "freeze_worker")
    storm.strike("kill_chores", "kill_child", "flush")
    world = found_true(storm, front, sagas)
    frozen = {one for hit in storm.hits for one in hit.attempts if not hit.lost}
    for saga_id, fails in sagas.items():
        times = world.done(saga_id).count("s3")
        # A probe asks before it is done again; only who is frozen can do it unseen.
        late = sum(one[:2] == (saga_id, "s3") for one in frozen)
        assert times <= 1 + late
        assert (times > 0) is not fails
