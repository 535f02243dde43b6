"""The checkpoint moves with the handler's work, or not at all."""

import threading

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from eventstore import EventStore, NewEvent, RecordedEvent, SubscriptionBusy
from eventstore.subscription import Subscription

pytestmark = pytest.mark.integration


@pytest.fixture
def seen(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE seen (seq bigint)")


def note(connection: Connection, event: RecordedEvent) -> None:
    connection.exec_driver_sql("INSERT INTO seen VALUES (%s)", (event.seq,))


def noted(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT seq FROM seen").scalars())


@pytest.mark.usefixtures("seen")
def test_events_are_handled_in_order_and_once(
    filled: EventStore, engine: Engine
) -> None:
    subscription = Subscription(filled, "projection", batch_size=5)
    assert subscription.position() == -1
    assert subscription.run_once(note) == 5
    assert subscription.position() == 4
    assert subscription.run_all(note) == 7
    assert subscription.run_once(note) == 0
    filled.append("late", [NewEvent("T", {})])
    assert subscription.run_once(note) == 0
    filled.sequence()
    assert subscription.run_once(note) == 1
    assert noted(engine) == list(range(13))


@pytest.mark.usefixtures("seen")
def test_a_handler_that_raises_loses_its_work_and_keeps_its_place(
    filled: EventStore, engine: Engine
) -> None:
    subscription = Subscription(filled, "projection")

    def fail_on_third(connection: Connection, event: RecordedEvent) -> None:
        note(connection, event)
        if event.seq == 2:
            raise RuntimeError("third")

    with pytest.raises(RuntimeError, match="third"):
        subscription.run_once(fail_on_third)
    assert noted(engine) == []
    assert subscription.position() == -1
    assert subscription.run_once(note) == 12


@pytest.mark.usefixtures("seen")
def test_a_consumer_killed_in_its_work_leaves_neither_work_nor_place(
    filled: EventStore, engine: Engine
) -> None:
    def die(connection: Connection, event: RecordedEvent) -> None:
        note(connection, event)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(OperationalError):
        Subscription(filled, "projection").run_once(die)
    assert noted(engine) == []
    assert Subscription(filled, "projection").run_all(note) == 12
    assert noted(engine) == list(range(12))


def test_one_category_only(filled: EventStore) -> None:
    filled.append("bill-1", [NewEvent("T", {})])
    filled.sequence()
    streams = []
    subscription = Subscription(filled, "bills", category="bill")
    assert subscription.run_once(lambda _, event: streams.append(event.stream)) == 1
    assert streams == ["bill-1"]
    assert subscription.position() == 12


@pytest.mark.usefixtures("seen")
def test_two_consumers_of_one_name_do_not_work_at_once(
    filled: EventStore, engine: Engine
) -> None:
    working, done = threading.Event(), threading.Event()

    def slow(connection: Connection, event: RecordedEvent) -> None:
        note(connection, event)
        working.set()
        assert done.wait(120)

    first = Subscription(filled, "projection")
    thread = threading.Thread(target=first.run_once, args=(slow,))
    thread.start()
    assert working.wait(120)
    second = Subscription(filled, "projection")
    with pytest.raises(SubscriptionBusy, match="projection") as caught:
        second.run_once(note)
    assert caught.value.name == "projection"
    assert Subscription(filled, "another").run_once(lambda _, __: None) == 12
    done.set()
    thread.join()
    assert second.run_once(note) == 0
    assert noted(engine) == list(range(12))
