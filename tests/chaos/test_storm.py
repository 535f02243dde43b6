"""Many sagas while everything is killed, wiped, restarted and delivered twice.

Every step's effect is a line in a file, and the file is held against the history.
``make test`` runs the short form, ``make chaos`` the long one (STORM_SAGAS, 200).
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime

import pytest

from orchestration.saga import SagaTransaction
from tests.support.front import Front, linear, step
from tests.support.judging import chain_is_sound, judge, noticed_after_s
from tests.support.storm import Storm
from tests.support.world import Attempt

SAGAS = int(os.environ.get("STORM_SAGAS", "200"))
SHORT_SAGAS = 24

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

    def feed() -> None:
        transaction, fails = some_saga(len(begun), 0.15)
        begun[front.start(transaction)] = fails

    storm.feed = feed
    for number, fault in enumerate(in_some_order(storm.dice, faults), 1):
        for transaction, fails in made[len(begun) : sagas * number // len(faults)]:
            begun[front.start(transaction)] = fails
        storm.strike(fault)
    return begun


def in_some_order(dice: random.Random, faults: Sequence[str]) -> list[str]:
    """Shuffle, but freeze early: much is to happen while a worker is frozen."""
    order = list(faults)
    dice.shuffle(order)
    order.remove("freeze_worker")
    order.insert(dice.randrange(len(order) // 3 + 1), "freeze_worker")
    return order


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


def weather(storm: Storm, front: Front, faults: Sequence[str], sagas: int) -> None:
    begun = run(storm, front, faults, sagas)
    storm.settle(front)
    verdict = judge(front, storm.world, begun, storm.in_flight)
    print(f"{dict(verdict.states)}; {report(storm, front, verdict.doubles)}")
    assert not verdict.faults
    assert len(begun) == verdict.states.total() >= sagas
    assert verdict.doubles <= len(storm.in_flight)
    assert chain_is_sound(storm.engine)


@pytest.mark.timeout(900)
def test_a_short_storm_loses_nothing_and_leaves_nothing(
    storm: Storm, front: Front
) -> None:
    weather(storm, front, ONCE, SHORT_SAGAS)


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("storm", ["redis", "rabbitmq"], indirect=True)
def test_no_saga_is_lost_and_no_effect_is_left_in_a_storm(
    storm: Storm, front: Front
) -> None:
    weather(storm, front, OFTEN, SAGAS)
