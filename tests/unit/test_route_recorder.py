"""Decisions on their way to the record: in bounds, in batches, and never in the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from eventstore import InvalidAppend, NewEvent
from orchestration.adapters.route_log import RecordedDecision, RouteRecorder
from orchestration.core.routing.model import RouteRule
from orchestration.core.routing.record import DecisionRecord
from orchestration.engine.replaying import replay_recorded
from orchestration.errors import TransportError
from tests.support.waiting import wait_until
from tests.unit.routed import ABC, World


class Log:
    """Keeps what is appended, or raises."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.fails: Exception | None = None

    def append(self, _stream: str, events: list[NewEvent]) -> None:
        if self.fails is not None:
            raise self.fails
        self.events += [one for one in events if one not in self.events]

    def records(self, stream: str = "routing-1") -> Iterator[RecordedDecision]:
        for version, event in enumerate(self.events, 1):
            for one in event.data["decisions"]:
                record = DecisionRecord.from_json(one)
                yield RecordedDecision(stream, version, record)


@pytest.fixture
def world() -> World:
    return World(RouteRule("r", targets=ABC))


@pytest.fixture
def log() -> Log:
    return Log()


def test_many_decisions_are_few_events_and_come_out_the_same(
    world: World, log: Log
) -> None:
    recorder = RouteRecorder(log)  # type: ignore[arg-type]
    for _ in range(1_000):
        recorder.put(world.decide())
    recorder.close()
    assert (recorder.recorded, recorder.dropped) == (1_000, 0)
    assert 5 <= len(log.events) <= 20
    replayed = replay_recorded(log.records())
    assert (replayed.count, replayed.differences) == (1_000, ())


def test_what_is_over_the_bound_is_dropped_and_counted(world: World, log: Log) -> None:
    log.fails = TransportError("the database is away")
    recorder = RouteRecorder(log, max_waiting=10)  # type: ignore[arg-type]
    for _ in range(30):
        recorder.put(world.decide())
    assert recorder.dropped >= 20 - 10  # some may have been taken to be written
    recorder.close()
    assert (recorder.recorded, recorder.dropped) == (0, 30)


def test_what_could_not_be_written_is_written_later(world: World, log: Log) -> None:
    log.fails = TransportError("the database is away")
    recorder = RouteRecorder(log)  # type: ignore[arg-type]
    recorder.put(world.decide())
    with pytest.raises(TransportError):
        recorder.flush()
    log.fails = None
    wait_until(lambda: recorder.recorded == 1, "it is written")
    recorder.close()
    assert len(log.events) == 1


def test_what_the_store_refuses_is_dropped_and_holds_up_nothing(
    world: World, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log.fails = InvalidAppend("no")
    recorder = RouteRecorder(log)  # type: ignore[arg-type]
    with caplog.at_level(logging.CRITICAL):
        recorder.put(world.decide())
        recorder.flush()
        log.fails = None
        recorder.put(world.decide())
        recorder.close()
    assert (recorder.recorded, recorder.dropped) == (1, 1)


def test_nothing_is_taken_after_the_end(world: World, log: Log) -> None:
    recorder = RouteRecorder(log)  # type: ignore[arg-type]
    recorder.close()
    recorder.put(world.decide())
    assert (recorder.recorded, recorder.dropped) == (0, 1)


def test_a_broadcast_to_many_does_not_make_an_event_too_large(log: Log) -> None:
    many = [f"agent-{number}" for number in range(3_000)]
    from tests.unit.routed import Fleet

    world = World(
        RouteRule("all", targets=many, strategy="BROADCAST"), fleet=Fleet(*many)
    )
    recorder = RouteRecorder(log)  # type: ignore[arg-type]
    for _ in range(6):
        recorder.put(world.decide())
    recorder.close()
    assert recorder.recorded == 6
    assert len(log.events) == 3


def test_a_record_that_was_altered_is_told(world: World, log: Log) -> None:
    record = DecisionRecord.of(world.decide())
    (target,) = record.targets
    other = next(one for one in ABC if one != target)
    altered = [
        replace(record, targets=(other,)),
        replace(record, dice=()),
        record,
    ]
    found = replay_recorded(
        RecordedDecision("routing-1", nth, one) for nth, one in enumerate(altered)
    )
    assert found.count == 3
    assert [one.targets for one in found.differences] == [(target,), ()]
    assert "more dice" in found.differences[1].reason
