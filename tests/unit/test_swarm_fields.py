"""What runs leave behind for later ones: how it is laid, and how it evaporates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.facts import started
from orchestration.core.swarm.partitions.learning import at_begin, learned
from orchestration.core.swarm.partitions.standing import (
    FieldKey,
    FieldTime,
    StandingField,
)
from orchestration.core.swarm.pheromone import evaporated
from orchestration.core.swarm.task import SwarmTask
from tests.unit.colonies import Story

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LAID = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(0, 3), st.floats(1, 1e4), st.floats(0, 1)
    ),
    min_size=1,
    max_size=12,
)


def laid(tick: int, groups: dict[int, tuple[float, float]]) -> dict[str, Any]:
    return {"tick": tick, "groups": {str(g): [*told] for g, told in groups.items()}}


def field(*events: dict[str, Any]) -> StandingField:
    return StandingField.fold(events)


@given(LAID, st.integers(0, 400))
def test_evaporation_when_asked_is_evaporation_tick_by_tick(
    events: list[tuple[int, int, float, float]], later: int
) -> None:
    known = field(*(laid(t, {g: (work, q)}) for t, g, work, q in sorted(events)))
    last = max(tick for tick, *_ in events)
    for group in known.left(last):
        begin = known.left(last)[group]
        level = np.array([begin.evidence, begin.pheromone])
        for _ in range(later):  # as somebody does who is there at every tick
            level = evaporated(level, 0.01)
        now = known.left(last + later).get(group)
        if now is None:
            assert level[0] < 0.01 + 1e-12
        else:
            assert [now.evidence, now.pheromone] == pytest.approx(level, abs=1e-12)
            assert now.work_ms == begin.work_ms


@given(
    st.floats(0.01, 1e5),
    st.lists(st.floats(0, 1e6), max_size=20),
)
def test_missed_ticks_are_caught_up_exactly(tick_s: float, passed: list[float]) -> None:
    """Whoever comes once has what they have who come again and again, to the bit."""
    often = FieldTime(0, BEGAN)
    now = BEGAN
    for seconds in passed:
        now += timedelta(seconds=seconds)
        often = often.later(now, tick_s)
    once = FieldTime(0, BEGAN).later(now, tick_s)
    assert once == often
    assert once.at <= now < once.at + timedelta(seconds=tick_s)
    known = field(laid(0, {0: (5.0, 0.5)}))
    assert known.left(once.tick) == known.left(often.tick)


def test_a_clock_that_is_set_back_undoes_no_tick() -> None:
    time = FieldTime(7, BEGAN)
    assert time.later(BEGAN - timedelta(days=1), 60.0) == time
    assert FieldTime.of(json.loads(json.dumps(time.told))) == time


@given(LAID)
def test_a_field_is_what_its_events_make_of_it(
    events: list[tuple[int, int, float, float]],
) -> None:
    told = [laid(t, {g: (work, q)}) for t, g, work, q in events]
    known = field(*told)
    assert known.version == len(told)
    assert StandingField.of(json.loads(json.dumps(known.told))) == known
    assert field(*told[:-1]).laid(told[-1]) == known


def test_the_first_run_is_believed_and_the_newest_counts_most() -> None:
    one = field(laid(3, {0: (100.0, 0.8)}))
    assert one.left(3)[0].work_ms == pytest.approx(100.0)
    assert one.left(3)[0].pheromone == pytest.approx(0.8)
    two = one.laid(laid(3, {0: (200.0, 0.8)}))
    assert two.left(3)[0].work_ms == pytest.approx((0.21 * 100 + 0.3 * 200) / 0.51)
    # What is old has evaporated, and the newest run is believed almost alone.
    late = one.laid(laid(400, {0: (200.0, 0.8)}))
    assert 195 < late.left(400)[0].work_ms < 200


def test_what_has_faded_is_forgotten_at_the_tick_that_is_told() -> None:
    known = field(laid(0, {0: (5.0, 1.0)}), laid(9, {1: (5.0, 1.0)}))
    assert set(known.left(known.fades_at - 1)) == {1}
    assert known.left(known.fades_at) == {}
    assert field().fades_at == 0


def test_a_run_lays_what_its_groups_took_by_their_weight() -> None:
    story = Story(4, groups=[0, 0, 1, 2], weights=[1, 3, 2, 1])
    story.commit(0, busy_ms=10, quality=1.0)
    story.commit(1, busy_ms=50, quality=0.5)
    story.commit(2, busy_ms=90)
    story.fail(3)
    assert learned(story.colony) == {"0": [15.0, 0.75], "1": [45.0, 1.0]}


def test_how_many_partitions_there_are_makes_no_other_work() -> None:
    """Half as long, twice as many: the same data."""
    fine, coarse = Story(80), Story(40)
    for partition in range(80):
        fine.commit(partition, busy_ms=10 + 5 * (partition >= 60))
    for partition in range(40):
        coarse.commit(partition, busy_ms=20 + 10 * (partition >= 30))
    assert FieldKey.of(fine.colony.plan.task) == FieldKey.of(coarse.colony.plan.task)
    assert learned(fine.colony) == learned(coarse.colony)


def task(**told: Any) -> SwarmTask:
    return SwarmTask("test", 40, handler="h", swarm_id="t", **told)


def test_work_of_another_handler_source_or_layout_is_another_field() -> None:
    keys = {
        FieldKey.of(one).uuid
        for one in (
            task(),
            task(metadata={"data_source": "d"}),
            task(groups=[0, 1] * 20),
            SwarmTask("test", 40, handler="other"),
            SwarmTask("test", 10, handler="h"),
        )
    }
    assert len(keys) == 5
    assert FieldKey.of(task(groups=[0] * 40)) == FieldKey.of(task(groups=[0, 1] * 20))


def later_run(**told: Any) -> Colony:
    """A run that begins after one in which group 1 took long and was good."""
    wanted = task(groups=[0, 1, 2, 3] * 10, **told)
    known = field(laid(0, {0: (40.0, 0.4), 1: (400.0, 0.9), 2: (80.0, 0.1)}))
    story = Story(4)
    begin = started(wanted, at_begin(wanted, 0, known.left(0)))
    event = type(story.events[0])(1, begin.type, begin.data, BEGAN)
    return Colony.of("t", event)


def best(worth: np.ndarray) -> list[int]:
    """The groups in the order of what they are worth, of which each has ten."""
    return [int(one) % 4 for one in np.argsort(-worth, kind="stable")[::10]]


def test_a_later_run_takes_the_longest_first_from_its_first_claim_on() -> None:
    colony = later_run()
    assert colony.known == 3
    assert colony.trails.pace_ms.tolist()[:3] == [1.0, 10.0, 2.0]
    orders = colony.orders
    # Nobody knows of group 3: it is taken to be as long as the longest.
    assert {int(p) % 4 for p in np.argsort(-orders.work, kind="stable")[:20]} == {1, 3}
    assert best(orders.work)[2:] == [2, 0]


def test_a_later_run_forages_and_scouts_by_what_is_known() -> None:
    orders = later_run(behavior="FORAGING").orders
    assert best(orders.forage)[0] == 1
    assert best(orders.forage)[-1] == 3  # somebody has to have been there
    assert best(orders.scout)[0] == 3


def test_what_is_known_at_the_begin_is_on_record() -> None:
    story = Story(4)
    assert story.colony.known == 0
    assert "standing" not in started(task()).data
    assert at_begin(task(), 0, {}) == {}
    # Of groups that a run does not have nothing is told.
    known = field(laid(0, {5: (1.0, 1.0)}))
    assert at_begin(task(groups=[0, 1] * 20), 0, known.left(0)) == {}
    assert story.outcome()["groups"] == {"all": 4, "known": 0}
