"""Every hash of shared work is computed again, and a changed one is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestration.core.swarm.events import EventType, NewFact, SwarmEvent
from orchestration.core.swarm.partitions.checking import checked_again
from orchestration.core.swarm.partitions.outcome import state_hash
from tests.unit.colonies import Story


@pytest.fixture
def events() -> list[SwarmEvent]:
    """Four partitions in two ticks: versions 2 to 4, 5 to 8, and the end."""
    story = Story(4)
    story.commit(0, value={"t": 1})
    story.fail(1)
    story.tick()
    story.commit(1, attempt=2, value={"t": 2})
    story.commit(2, quality=0.5)
    story.commit(3)
    story.tick()
    result = story.outcome()
    end = {"reason": "there was nothing left to do", "result": result}
    story.tell(NewFact(EventType.SWARM_COMPLETED, end))
    return story.events


def changed(events: list[SwarmEvent], version: int, **data: Any) -> list[SwarmEvent]:
    return [
        replace(one, data={**one.data, **data}) if one.version == version else one
        for one in events
    ]


def test_what_nobody_has_changed_comes_out_as_it_is_on_record(events):
    done = checked_again("s", events)
    assert (done.ticks, done.differs_at) == (2, None)
    assert done.state_hash == events[-1].data["result"]["state_hash"]


def test_a_changed_result_is_found_before_the_tick_that_pays_for_it(events):
    done = checked_again("s", changed(events, 5, value={"t": 9}))
    assert done.differs_at == 2
    assert done.recorded == events[4].data["digest"] != done.found


def test_a_changed_agent_is_found_at_the_tick(events):
    done = checked_again("s", changed(events, 4, state="00" * 32))
    assert (done.differs_at, done.recorded) == (1, "00" * 32)
    paid_twice = changed(events, 2, agent=6)
    assert checked_again("s", paid_twice).differs_at == 1


def test_a_changed_end_is_found(events):
    result = {**events[-1].data["result"], "state_hash": "11" * 32}
    done = checked_again("s", changed(events, 9, result=result))
    assert (done.recorded, done.found) == ("11" * 32, done.state_hash)


def test_a_missing_partition_is_found(events):
    without = [one for one in events if one.version != 6]
    assert checked_again("s", without).differs_at == 2


def test_of_work_that_is_under_way_there_is_what_was_done(events):
    done = checked_again("s", events[:5])
    assert (done.ticks, done.differs_at) == (1, None)
    story = Story(4)
    story.commit(0, value={"t": 1})
    story.commit(1, attempt=2, value={"t": 2})
    assert done.state_hash == state_hash(story.colony)
