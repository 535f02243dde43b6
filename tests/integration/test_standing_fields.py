"""Standing fields on record: laid once, evaporated once, and rebuilt from events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest

from orchestration.adapters.database import Database
from orchestration.adapters.field_log import FieldLog
from orchestration.adapters.partition_log import PartitionLog
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.adapters.swarm_log import SwarmLog, Written
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.facts import committed, started
from orchestration.core.swarm.partitions.standing import FieldTime
from orchestration.core.swarm.providers import PartitionResult
from orchestration.core.swarm.task import SwarmTask
from orchestration.engine.standing_fields import FieldSummary, StandingFields

pytestmark = pytest.mark.integration

BECAUSE = Because(actor="test")
DONE = NewFact(EventType.SWARM_COMPLETED, {"reason": "done", "result": {}})
HOUR = 3_600.0


@dataclass
class Fields:
    """The standing fields of a database, and swarms that lay on them."""

    db: Database
    fields: StandingFields

    @property
    def log(self) -> FieldLog:
        return self.fields.log

    def begin(self, swarm_id: str, **told: int) -> Colony:
        """Begin a swarm that has done its two groups' partitions."""
        task = self.task(swarm_id)
        swarms = self.fields.swarms
        fact = started(task, self.fields.at_begin(task))
        swarms.begin(swarm_id, fact, BECAUSE)
        facts = [
            committed(
                p,
                1,
                1,
                PartitionResult(1, 1.0, p),
                {"busy_ms": told.get(f"group{p}", 10), "worker": "w"},
            )
            for p in range(2)
        ]
        PartitionLog(self.db).record(swarm_id, facts, BECAUSE)
        first, *rest = swarms.read(swarm_id, whole=True)
        colony = Colony.of(swarm_id, first)
        colony.fold(rest)
        return colony

    def end(self, colony: Colony) -> Written:
        view = self.fields.swarms.view(colony.plan.swarm_id)
        return self.fields.record_end(colony, view, DONE, BECAUSE)

    def task(self, swarm_id: str) -> SwarmTask:
        return SwarmTask("t", 2, handler="h", groups=[0, 1], swarm_id=swarm_id)

    def pass_ticks(self, count: int) -> None:
        """Let so much time pass since the last tick on record."""
        passed = timedelta(seconds=count * HOUR)
        self.db.rows("UPDATE orch.field_clock SET at = at - %s RETURNING 1", (passed,))

    def one(self) -> FieldSummary:
        [found] = self.fields.listed(10)
        return found

    def forget(self, table: str) -> None:
        self.db.rows(f"DELETE FROM orch.{table} RETURNING 1")


@pytest.fixture
def made(database_url: str) -> Iterator[Fields]:
    migrate_all(database_url)
    db = Database(database_url)
    log = FieldLog(db)
    yield Fields(db, StandingFields(db=db, swarms=SwarmLog(db), log=log, tick_s=HOUR))
    db.close()


def test_what_a_run_has_learned_is_there_for_the_next(made: Fields) -> None:
    assert made.fields.at_begin(made.task("a")) == {}
    assert made.end(made.begin("a", group0=10, group1=70)).is_new
    known = made.fields.at_begin(made.task("b"))
    assert (known["pace_ms"], known["tick"]) == ({"0": 10.0, "1": 70.0}, 0)
    assert made.begin("b").known == 2


def test_a_run_that_is_over_twice_lays_once(made: Fields) -> None:
    colony = made.begin("a")
    assert made.end(colony).is_new
    assert not made.end(colony).is_new
    key = made.fields.log.listed(1)[0].key
    assert made.log.read(key).version == 1


def test_an_end_that_is_not_on_record_lays_nothing(made: Fields) -> None:
    """Somebody has recorded something of the swarm meanwhile."""
    colony = made.begin("a")
    asked = NewFact(EventType.SWARM_STOP_REQUESTED, {"by": "", "why": ""})
    view = made.fields.swarms.view("a")
    assert made.fields.swarms.record(view, [asked], BECAUSE).is_new
    assert made.end(colony).view is None
    assert made.fields.listed(10) == []


def test_runs_that_end_at_once_all_lay(made: Fields) -> None:
    colonies = [made.begin(f"s{n}") for n in range(4)]
    start = Barrier(4)

    def end(colony: Colony) -> None:
        start.wait()
        while not made.end(colony).is_new:
            pass  # as the next tick does

    threads = [Thread(target=end, args=(one,)) for one in colonies]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert made.log.read(made.log.listed(1)[0].key).version == 4


def test_missed_ticks_are_caught_up_at_once_and_counted_once(made: Fields) -> None:
    made.end(made.begin("a", group1=70))
    assert made.fields.evaporate(BECAUSE) == {}  # no tick is over yet
    made.pass_ticks(5)
    lazily = made.one()
    assert (lazily.tick, lazily.now) == (0, 5)
    done = made.fields.evaporate(BECAUSE)
    assert done == {"ticks": 5, "evaporated": 1, "forgotten": 0}
    assert made.fields.evaporate(BECAUSE) == {}
    eagerly = made.one()
    assert (eagerly.tick, eagerly.now) == (5, 5)
    assert eagerly.groups == lazily.groups  # to the bit
    assert eagerly.groups[0].pheromone == pytest.approx(0.99**5, abs=1e-12)


def test_of_two_that_evaporate_at_once_one_does(made: Fields) -> None:
    made.end(made.begin("a"))
    made.pass_ticks(3)
    time, version, now = made.log.clock()
    assert time is not None
    later = time.later(now, HOUR)
    assert made.log.evaporate(later, version, BECAUSE) == (1, 0)
    assert made.log.evaporate(later, version, BECAUSE) is None
    assert made.one().tick == 3


def test_what_has_faded_leaves_the_lists_and_comes_back_when_it_is_laid_on(
    made: Fields,
) -> None:
    made.end(made.begin("a", group1=1_000))
    made.pass_ticks(1_000)
    done = made.fields.evaporate(BECAUSE)
    assert done == {"ticks": 1_000, "evaporated": 1, "forgotten": 1}
    assert made.fields.at_begin(made.task("b")) == {}
    made.pass_ticks(1)
    assert made.fields.evaporate(BECAUSE) == {}  # there is nothing that could
    made.end(made.begin("b", group1=20))
    assert made.one().now == 1_001
    assert made.one().groups[1].work_ms == pytest.approx(40, abs=0.2)


def test_rows_that_are_lost_are_as_the_events_say(made: Fields) -> None:
    for name, busy in (("a", 10), ("b", 30)):
        made.end(made.begin(name, group1=busy))
        made.pass_ticks(7)
        made.fields.evaporate(BECAUSE)
    [row] = made.log.listed(1)
    clock = made.log.clock()[:2]
    made.forget("field_clock")
    made.forget("standing_field")
    assert made.log.clock()[:2] == clock
    assert made.log.read(row.key) == row.field
    made.end(made.begin("c"))
    assert made.log.listed(1)[0].field.version == 3


def test_ticks_of_another_length_go_on_from_where_they_were(made: Fields) -> None:
    made.end(made.begin("a"))
    made.pass_ticks(10)
    made.fields.evaporate(BECAUSE)
    finer = replace(made.fields, tick_s=60.0)
    assert finer.listed(1)[0].now == 10
    time, _, now = made.log.clock()
    assert time == FieldTime(10, time.at if time else now)
