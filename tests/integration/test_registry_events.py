"""What Celery's events tell of the registry: heartbeats and sweeps, and no secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from orchestration.contracts import (
    REGISTRY_DEREGISTER,
    REGISTRY_HEARTBEAT,
    REGISTRY_REGISTER,
    REGISTRY_SWEEP,
)
from orchestration.core.registry.token import Grant, sign_token
from tests.support.front import front_door
from tests.support.many_agents import enroll, fresh_agents
from tests.support.registry import SECRET
from tests.support.stack import Stack
from tests.support.sweeping import Kept
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
SEEN = ("task-received", "task-succeeded")


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    return stack


@pytest.fixture
def events(broker: Stack) -> Iterator[list[dict[str, Any]]]:
    """What Celery tells of tasks from now on, as Flower hears it."""
    heard: list[dict[str, Any]] = []
    app = Celery(broker=broker.env["CELERY_BROKER_URL"], set_as_current=False)
    connection = app.connection()
    receiver = app.events.Receiver(connection, handlers={"*": heard.append})

    def listen() -> None:
        # By one connection: what is told while another is made would be heard by none.
        for _ in receiver.consume(limit=None, timeout=None, wakeup=False):
            pass

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield heard
    receiver.should_stop = True
    thread.join(60)
    connection.close()
    app.close()


def start_and_hear(broker: Stack, events: list[dict[str, Any]]) -> None:
    """Start the worker of chores; return once it is heard of, and misses nothing."""
    broker.chores("-E")
    wait_until(lambda: events, "the worker tells that it is there")


def test_heartbeats_and_sweeps_are_tasks_in_celerys_events(
    broker: Stack, events: list[dict[str, Any]]
) -> None:
    start_and_hear(broker, events)
    broker.beat()
    with front_door(broker.env) as front:
        kept = Kept(front)
        enroll(kept.log.db, fresh_agents(3))
        kept.beat(one.agent_id for one in fresh_agents(3))

        def told(name: str) -> set[str]:
            received = {e["uuid"] for e in events if e.get("name") == name}
            return {e["type"] for e in events if e.get("uuid") in received} & set(SEEN)

        for name in (REGISTRY_HEARTBEAT, REGISTRY_SWEEP):
            wait_until(lambda n=name: told(n) == set(SEEN), f"events of {name}")
    [beats, *_] = [e for e in events if e.get("name") == REGISTRY_HEARTBEAT]
    # What they hold is not shown, only how many there are.
    assert "heartbeats" in beats["args"]
    assert beats["kwargs"] == "{}"


def _token(pattern: str) -> str:
    grant = Grant(pattern=pattern, owner="team-a", expires_at_ms=4_000_000_000_000)
    return sign_token(SECRET.encode(), grant)


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_registration_token_is_in_no_event_and_no_log(
    broker: Stack, events: list[dict[str, Any]]
) -> None:
    broker.env["ORCHESTRATION_REGISTRY_SECRETS"] = SECRET
    start_and_hear(broker, events)
    ours, theirs = _token("agent-mine-*"), _token("agent-theirs-*")
    client = Celery(broker=broker.env["CELERY_BROKER_URL"], set_as_current=False)
    client.conf.task_send_sent_event = True

    def send(task: str, header: str | None, **kwargs: Any) -> str:
        headers = None if header is None else {"registry_token": header}
        sent = client.send_task(task, kwargs=kwargs, headers=headers, queue="chores")
        return str(sent.id)

    def ends(task_id: str) -> set[str]:
        told = {event["type"] for event in events if event.get("uuid") == task_id}
        return told & {"task-succeeded", "task-failed"}

    one = {"agent_id": "agent-mine-1", "agent_type": "T", "version": "1.0.0"}
    two = {**one, "agent_id": "agent-mine-2"}
    with client:
        wanted = {
            send(REGISTRY_REGISTER, ours, descriptor=one): "task-succeeded",
            send(REGISTRY_REGISTER, theirs, descriptor=two): "task-failed",
            send(REGISTRY_REGISTER, None, descriptor=two): "task-failed",
            send(REGISTRY_DEREGISTER, ours, agent_id="agent-mine-1"): "task-succeeded",
        }
        client.conf.task_send_sent_event = False  # or the client itself would tell
        task_id = send(REGISTRY_REGISTER, None, descriptor=two, token=ours)
        wanted[task_id] = "task-succeeded"
        wait_until(lambda: all(map(ends, wanted)), "all of them are over")
    assert [ends(task_id) for task_id in wanted] == [{end} for end in wanted.values()]
    assert {event["type"] for event in events} > {"task-sent", "task-received"}
    written = f"{events} {[process.log for process in broker.started]}"
    for token in (ours, theirs):
        for part in token.split(".")[1:]:  # the claims, and the signature
            assert part not in written
