"""Many sagas while everything is killed, wiped, restarted and delivered twice.

Every step's effect is a line in a file, and the file is held against the history.
``make test`` runs the short form, ``make chaos`` the long one (STORM_SAGAS, 200).
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.saga import SagaTransaction
from tests.conftest import migrate
from tests.support.doubled import doubling
from tests.support.front import Front, front_door, linear, step
from tests.support.judging import chain_is_sound, has_told, judge, noticed_after_s
from tests.support.stack import Stack
from tests.support.storm import Storm, is_quiet, raging
from tests.support.waiting import wait_until
from tests.support.world import Attempt

SAGAS = int(os.environ.get("STORM_SAGAS", "200"))
SHORT_SAGAS = 24
LEASE_S = 4
AGENTS = ("-I", "tests.support.effects_agents,tests.support.doubled", "-c", "2")
CHORES = ("-I", "tests.support.doubled")

ONCE = (
    "freeze_worker",
    "kill_worker",
    "kill_child",
    "flush",
    "flush",
    "restart_postgres",
    "kill_beat",
    "kill_chores",
)
OFTEN = (*ONCE, *("kill_child",) * 7, *("kill_worker",) * 5)


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    with EmbeddedServers() as servers:
        yield servers


def diamond(**options: Mapping[str, object]) -> SagaTransaction:
    """Return a saga that fans out and in."""
    names = {"first": (), "left": ("first",), "right": ("first",)}
    names |= {"join": ("left", "right"), "last": ("join",)}
    steps = [step(name, *after, **options[name]) for name, after in names.items()]
    return SagaTransaction("diamond", steps)


def some_saga(number: int, sleep_s: float) -> tuple[SagaTransaction, bool]:
    """Return a linear saga or a diamond, and whether it fails near its end."""
    half = sleep_s / 2
    slow = {"sleep_s": half, "rest_s": half, "undo_sleep_s": half, "undo_rest_s": half}
    fails = number % 3 == 0
    last = slow | {"fail": "for good"} if fails else slow
    if number % 2:
        return linear(5, s1=slow, s2=slow, s3=slow, s4=slow, s5=last), fails
    names = ("first", "left", "right", "last")
    return diamond(**dict.fromkeys(names, slow), join=last), fails


def run(
    storm: Storm, front: Front, faults: Sequence[str], sagas: int
) -> dict[str, bool]:
    """Start sagas, a part of them before each fault; return which of them fail."""
    begun: dict[str, bool] = {}
    made = [some_saga(number, 0.15) for number in range(sagas)]
    for number, fault in enumerate(in_some_order(storm.dice, faults), 1):
        for transaction, fails in made[len(begun) : sagas * number // len(faults)]:
            begun[front.start(transaction)] = fails
        getattr(storm, fault)()
        storm.go_on()
    storm.thaw()
    return begun


def in_some_order(dice: random.Random, faults: Sequence[str]) -> list[str]:
    """Shuffle, but freeze early: much is to happen while a worker is frozen."""
    order = list(faults)
    dice.shuffle(order)
    order.remove("freeze_worker")
    order.insert(dice.randrange(len(order) // 3 + 1), "freeze_worker")
    return order


def settle(storm: Storm, front: Front) -> None:
    """Return once every saga is over and every frozen worker has told its tale."""
    stale = [
        one for hit in storm.hits if hit.what == "worker frozen" for one in hit.attempts
    ]
    wait_until(
        lambda: all(has_told(front, attempt) for attempt in stale),
        "those that were frozen have told how their steps ended",
        timeout_s=120,
    )
    wait_until(lambda: is_quiet(storm.engine), "every saga is over", timeout_s=240)


def report(storm: Storm, front: Front, doubles: int) -> str:
    """Return the figures of a storm, for people."""
    lost: dict[Attempt, datetime] = {}
    for hit in storm.hits:
        if hit.lost:
            lost |= dict.fromkeys(hit.attempts - lost.keys(), hit.at)
    times = [noticed_after_s(front, attempt, at) for attempt, at in lost.items()]
    took = sorted(time for time in times if time is not None)
    kinds = {hit.what for hit in storm.hits}
    struck = {
        kind: sum(hit.what == kind for hit in storm.hits) for kind in sorted(kinds)
    }
    return (
        f"faults {struck}; in flight {len(storm.in_flight)}; effects "
        f"{len(storm.world.effects)}; doubled {doubles}; losses noticed {len(took)}, "
        f"median {statistics.median(took or [0]):.1f} s, "
        f"longest {max(took or [0]):.1f} s"
    )


def weather(
    environment: Mapping[str, str],
    servers: EmbeddedServers,
    make_stack: Callable[..., Stack],
    effects: Path,
    faults: Sequence[str],
    sagas: int,
) -> None:
    environment = {
        **environment,
        "ORCHESTRATION_LEASE_S": str(LEASE_S),
        "EFFECTS_FILE": str(effects),
    }
    seed = int(os.environ.get("STORM_SEED", random.getrandbits(32)))
    dice = random.Random(seed)
    print(f"\nSTORM_SEED={seed}")
    migrate(environment)
    stack = make_stack(environment)
    with front_door(environment) as front, doubling(front.bus.settings):
        # Each use opens a connection of its own: the server is restarted.
        engine = create_engine(environment["DATABASE_URL"], poolclass=NullPool)
        storm = Storm(stack, servers, engine, effects, AGENTS, CHORES, dice)
        with raging(storm):
            begun = run(storm, front, faults, sagas)
            settle(storm, front)
            verdict = judge(front, storm.world, begun, storm.in_flight)
            print(f"\n{dict(verdict.states)}; {report(storm, front, verdict.doubles)}")
            assert not verdict.faults
            assert len(begun) == verdict.states.total() == sagas
            assert verdict.doubles <= len(storm.in_flight)
            assert chain_is_sound(engine)


@pytest.mark.timeout(280)
def test_a_short_storm_loses_nothing_and_leaves_nothing(
    servers: EmbeddedServers, make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    environment = servers.environment
    effects = tmp_path / "effects"
    weather(environment, servers, make_stack, effects, ONCE, SHORT_SAGAS)


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_no_saga_is_lost_and_no_effect_is_left_in_a_storm(
    broker: str,
    servers: EmbeddedServers,
    make_stack: Callable[..., Stack],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    environment = servers.environment
    if broker == "rabbitmq":
        environment["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    weather(environment, servers, make_stack, tmp_path / "effects", OFTEN, SAGAS)
