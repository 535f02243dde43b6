"""Messages that a worker routes for a bare Celery client, on either broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery

from orchestration.adapters.database import Database
from orchestration.adapters.route_log import RouteLog
from orchestration.core.routing.record import replay
from tests.support.stack import Stack, Started
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

ROUTES = {
    "rules": [
        {
            "name": "steel",
            "condition": "payload.get('kind') == 'steel'",
            "targets": ["agent-b", "agent-c"],
            "strategy": "BROADCAST",
        }
    ],
    "routes": {"calculator": {"targets": ["agent-a"]}},
}


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    routes = tmp_path / "routes.json"
    routes.write_text(json.dumps(ROUTES))
    stack.env["ORCHESTRATION_ROUTES_FILE"] = str(routes)
    stack.env["ORCHESTRATION_ROUTE_RECORD_RATE"] = "1.0"
    return stack


@pytest.fixture
def worker(broker: Stack) -> Started:
    return broker.worker("-I", "tests.support.scatter_agents", "-c", "1")


@pytest.fixture
def client(broker: Stack, worker: Started) -> Iterator[Celery]:
    with Celery(broker=broker.env["CELERY_BROKER_URL"], set_as_current=False) as app:
        yield app


def test_a_bare_celery_client_has_messages_routed(
    broker: Stack, worker: Started, client: Celery, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()

    def dispatch(recipient_id: str, **payload: str) -> str:
        message = {
            "sender_id": "outside",
            "recipient_id": recipient_id,
            "message_type": "COMMAND",
            "payload": {"begun": str(begun), **payload},
        }
        task_id = str(uuid4())
        client.send_task(
            "routing.dispatch",
            kwargs={"message": message, "timeout_ms": 60_000},
            task_id=task_id,
            ignore_result=True,
        )
        return task_id

    dispatch("calculator")
    wait_until((begun / "agent-a").exists, "the static route's agent has it")
    dispatch("whoever", kind="steel")
    wait_until(lambda: len([*begun.iterdir()]) == 3, "the rule's agents have it")
    task_id = dispatch("agent-spare")
    wait_until((begun / "agent-spare").exists, "an agent has it by its name")

    client.send_task("routing.dispatch", kwargs={"message": {"x": 1}})
    wait_until(lambda: "InvalidMessage" in worker.log, "what is no message is refused")
    dispatch("nobody")
    wait_until(lambda: "NoRoute" in worker.log, "and what has no way")

    database = Database(broker.env["DATABASE_URL"], pool_size=1)
    log = RouteLog(database)
    wait_until(lambda: len([*log.read()]) == 3, "all decisions are on record")
    recorded = [one.record for one in log.read()]
    assert [replay(one) for one in recorded] == [one.targets for one in recorded]
    assert recorded[2].message_id == task_id
    database.close()
