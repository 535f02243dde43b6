"""Priorities mean the same on both brokers, and the queues of before go over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu.entity import Queue

from orchestration.adapters.backlog import Backlog
from orchestration.adapters.celery_bus import make_producer
from orchestration.adapters.queues import renew_queues
from orchestration.errors import ConfigurationError
from orchestration.message_bus import Priority
from orchestration.saga import SagaOrchestrator, SagaStep, SagaTransaction
from orchestration.settings import Settings
from tests.support.stack import Stack
from tests.support.talking import Talk, talk

pytestmark = pytest.mark.integration
AGENTS = ("-I", "tests.support.talking_agents", "-c", "1")


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Stack:
    if request.param == "rabbitmq":
        stack.env["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    return stack


@pytest.fixture
def talking(broker: Stack) -> Iterator[Talk]:
    # Workers say what they host, and are gone.
    worker = broker.worker(*AGENTS)
    worker.terminate()
    worker.wait()
    with talk(broker.env) as talking:
        yield talking


def test_what_is_more_urgent_is_taken_first(talking: Talk, broker: Stack) -> None:
    order = [Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.HIGH]
    sent = [
        talking.command(n=n, of=priority).evolved(priority=priority)
        for n in range(3)
        for priority in order
    ]
    for message in sent:
        talking.send(message)
    # A saga's step is NORMAL: after what is HIGH, before what is LOW.
    saga = SagaOrchestrator(talking.bus)
    step = SagaStep("note", "agent-talker", read_only=True)
    talking.run(saga.start(SagaTransaction("among", [step]), {"what": "step"}))
    backlog = Backlog(talking.bus.messages.sender._app, talking.bus.announcements)
    assert backlog._ask("agents.default") == len(sent) + 1

    broker.worker(*AGENTS)
    talking.await_lines(sent[-4], "end")  # the last one of LOW
    taken = [line["payload"]["of"] for line in talking.lines(what="end")]
    assert taken == [
        *[Priority.CRITICAL] * 3,
        *[Priority.HIGH] * 3,
        *[Priority.NORMAL] * 3,
        *[Priority.LOW] * 3,
    ]
    of_one = [line["payload"]["n"] for line in talking.lines(what="end")]
    assert of_one == [0, 1, 2] * 4
    steps = [n for n, line in enumerate(talking.lines()) if line["what"] == "step"]
    before = [line["payload"]["of"] for line in talking.lines()[: steps[0]]]
    assert Priority.LOW not in before
    assert before.count(Priority.HIGH) == 6


@pytest.fixture
def app(rabbitmq_url: str) -> Iterator[Celery]:
    nowhere = {"database_url": "postgresql://nowhere/x", "redis_url": "redis://nowhere"}
    app = make_producer(Settings.from_env(**nowhere, broker_url=rabbitmq_url))
    yield app
    app.close()


@pytest.mark.rabbitmq
def test_an_empty_queue_of_the_version_before_is_made_anew(app: Celery) -> None:
    old = Queue("agents.default", routing_key="agents.default")
    with app.connection_for_write() as connection:
        old(connection.channel()).declare()
        producer = connection.Producer()
        renew_queues(app, ["agents.default", "celery"])
        renew_queues(app, ["agents.default"])
        app.amqp.queues["agents.default"](connection.channel()).declare()

        # One that is not empty is left alone, and the way out is told.
        connection.channel().queue_delete("agents.default")
        old(connection.channel()).declare()
        producer.publish({}, routing_key="agents.default", declare=[])
        with pytest.raises(ConfigurationError, match="rabbitmqctl delete_queue"):
            renew_queues(app, ["agents.default"])
        assert old(connection.channel()).get(no_ack=True) is not None
