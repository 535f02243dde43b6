"""What Celery's own events say: every step and every undo is a task of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery

from orchestration.saga import SagaTransaction
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

AGENTS = ("-I", "tests.support.effects_agents", "--without-mingle")


class Watched:
    """The tasks that Celery's events told of, in the order of their arrival.

    Attributes:
        hears: Whether any event has come: those before it may have been missed.
    """

    def __init__(self) -> None:
        self.hears = False
        self.received: list[dict[str, Any]] = []
        self.ended: dict[str, str] = {}

    def on_event(self, event: dict[str, Any]) -> None:
        self.hears = True
        if event["type"] == "task-received":
            self.received.append(event)
        elif event["type"] in ("task-succeeded", "task-failed", "task-retried"):
            self.ended[event["uuid"]] = event["type"]

    def of(self, saga_id: str) -> list[dict[str, Any]]:
        return [event for event in self.received if saga_id in event["args"]]

    def all_ended(self, saga_id: str, count: int) -> bool:
        ids = {event["uuid"] for event in self.of(saga_id)}
        return len(ids) == count and ids <= set(self.ended)


@contextmanager
def watching(broker_url: str) -> Iterator[Watched]:
    watched = Watched()
    app = Celery(broker=broker_url, set_as_current=False)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": watched.on_event})
        thread = threading.Thread(
            target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False)
        )
        thread.start()
        try:
            yield watched
        finally:
            receiver.should_stop = True
            thread.join()
    app.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def seen(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: Any
) -> Iterator[tuple[Front, Watched]]:
    """A producer, and what Celery's events tell, on either broker."""
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    effects = Effects(tmp_path_factory.mktemp("shape") / "effects")
    stack.env["EFFECTS_FILE"] = str(effects.path)
    with watching(stack.env["CELERY_BROKER_URL"]) as watched:
        stack.worker(*AGENTS, "-c", "2", "-E")
        wait_until(lambda: watched.hears, "the worker's heartbeat is heard")
        with front_door(stack.env) as front:
            yield front, watched


def test_each_step_and_each_undo_is_one_task_with_its_parent_and_root(
    seen: tuple[Front, Watched],
) -> None:
    front, watched = seen

    # Five steps: one chain of five tasks.
    saga_id = front.run(linear(5)).saga_id
    wait_until(lambda: watched.all_ended(saga_id, 5), "five tasks have ended")
    steps = watched.of(saga_id)
    assert [event["name"] for event in steps] == ["saga.step"] * 5
    assert len({event["uuid"] for event in steps}) == 5
    assert {event["root_id"] for event in steps} == {steps[0]["uuid"]}
    assert [event["parent_id"] for event in steps[1:]] == [
        event["uuid"] for event in steps[:-1]
    ]
    assert [event["args"].split(" · ")[1] for event in steps] == [
        "s1",
        "s2",
        "s3",
        "s4",
        "s5",
    ]
    assert all("· do · attempt 1" in event["args"] for event in steps)

    # The third fails for good: it and two undos, a chain below the failed step.
    saga_id = front.run(linear(5, s3={"fail": "for good"})).saga_id
    wait_until(lambda: watched.all_ended(saga_id, 5), "three steps, two undos")
    *done, failed, undo2, undo1 = watched.of(saga_id)
    assert [event["name"] for event in (undo2, undo1)] == ["saga.compensate"] * 2
    assert watched.ended[failed["uuid"]] == "task-failed"
    assert undo2["parent_id"] == failed["uuid"]
    assert undo1["parent_id"] == undo2["uuid"]
    assert "· s2 · undo ·" in undo2["args"]
    assert {e["root_id"] for e in (failed, undo2, undo1)} == {done[0]["uuid"]}

    # A fan-out is a group: siblings of one parent; the join follows one of them.
    fan = SagaTransaction(
        "fan",
        [
            step("first"),
            *(step(name, "first") for name in ("a", "b", "c")),
            step("join", "a", "b", "c"),
        ],
        compensation_strategy="PARALLEL",
    )
    saga_id = front.run(fan).saga_id
    wait_until(lambda: watched.all_ended(saga_id, 5), "five tasks have ended")
    first, *siblings, join = watched.of(saga_id)
    assert {event["parent_id"] for event in siblings} == {first["uuid"]}
    assert join["parent_id"] in {event["uuid"] for event in siblings}
    assert len({event["uuid"] for event in siblings}) == 3

    # Undone in parallel, the undos are a group below the step that failed.
    failing = linear(4, s4={"fail": "for good"}, compensation_strategy="PARALLEL")
    saga_id = front.run(failing).saga_id
    wait_until(lambda: watched.all_ended(saga_id, 7), "four steps, three undos")
    *_, failed, one, two, three = watched.of(saga_id)
    undos = {one["uuid"], two["uuid"], three["uuid"]}
    assert len(undos) == 3
    assert {e["parent_id"] for e in (one, two, three)} == {failed["uuid"]}
