"""Words about sagas that need a person, from the event to somebody outside."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.adapters.receivers import WebReceiver
from orchestration.adapters.saga_records import Because
from orchestration.core.saga.acts import Who
from orchestration.core.saga.model import Direction
from orchestration.core.saga.outcomes import Failed, Succeeded
from orchestration.saga import SagaTransaction
from tasks.chores import notify
from tests.support.front import front_door, linear, step
from tests.support.servers import free_port
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.webhook import Webhook, listening
from tests.support.worker_side import WorkerSide, worker_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FOR_GOOD = Failed({"type": "NoTruck", "message": "no truck"}, retryable=False)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as webhook:
        yield webhook


@pytest.fixture
def side(
    database_url: str,
    redis_url: str,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[WorkerSide]:
    monkeypatch.setenv("ORCHESTRATION_FAILURE_WEBHOOK", webhook.url)
    with worker_side(database_url, redis_url, monkeypatch) as side:
        monkeypatch.setattr("tasks.chores.runtime", lambda _: side.rt)
        yield side


def halted(side: WorkerSide) -> str:
    """Return a saga that halted for an operator."""
    saga_id = side.begin(SagaTransaction("ship", [step("s1")], on_failure="HALT"))
    side.close(side.open(saga_id, "s1"), FOR_GOOD)
    return saga_id


def tick(side: WorkerSide, *, at_once: bool = False) -> int:
    """Let beat tick; at once: as if every wait were over."""
    if at_once:
        side.run("UPDATE orch.notice SET due_at = now()")
    side.run("DELETE FROM orch.tick")
    return int(notify.run())


def test_a_saga_that_halts_is_told_of_once_though_the_receiver_fails_twice(
    side: WorkerSide, webhook: Webhook
) -> None:
    saga_id = halted(side)
    webhook.answers = [503, 500]
    assert tick(side) == 0
    assert tick(side) == 0  # it waits
    assert len(webhook.posted) == 1
    assert tick(side, at_once=True) == 0
    assert tick(side, at_once=True) == 1
    assert tick(side, at_once=True) == 0
    first, second, third = webhook.bodies
    assert first == second == third
    assert first == {
        "saga_id": saga_id,
        "name": "ship",
        "state": "FAILED",
        "version": 4,
        "recorded_at": first["recorded_at"],
        "error": {"type": "NoTruck", "message": "no truck"},
    }
    [halt] = [e for e in side.rt.log.read(saga_id).events if e.version == 4]
    assert (halt.type, halt.recorded_at.isoformat()) == (
        "SAGA_HALTED",
        first["recorded_at"],
    )


def test_waits_grow_while_the_receiver_fails(
    side: WorkerSide, webhook: Webhook
) -> None:
    halted(side)
    webhook.answers = [500, 500]
    waits = []
    for _ in range(2):
        tick(side, at_once=True)
        row = side.row(
            "SELECT round(extract(epoch FROM due_at - now()) / 10) FROM orch.notice"
        )
        waits.append(row)
    assert waits == [(1,), (2,)]


def test_words_of_one_saga_keep_their_order_and_others_go_before(
    side: WorkerSide, webhook: Webhook
) -> None:
    first = halted(side)
    webhook.answers = [500]
    tick(side)
    side.rt.desk.retry(first, Who("operator"))
    side.close(side.open(first, "s1"), FOR_GOOD)
    second = halted(side)
    assert tick(side) == 1  # the second saga's; the first's are in line
    assert [body["saga_id"] for body in webhook.bodies] == [first, second]
    assert tick(side, at_once=True) == 2
    versions = [b["version"] for b in webhook.bodies if b["saga_id"] == first]
    assert versions == [4, 4, 8]


def test_each_kind_of_stand_that_needs_a_person_is_told_of(
    side: WorkerSide, webhook: Webhook
) -> None:
    paused = side.begin(linear(1, s1={"on_unknown": "ESCALATE"}))
    side.open(paused, "s1")
    side.run("UPDATE orch.lease SET until = now() - interval '1 s'")
    [lease] = side.rt.watch.expired(1, 0.0)
    side.rt.sweeper.expire(lease, Because())
    stuck = side.begin(SagaTransaction("stuck", [step("a"), step("b")]))
    done = side.open(stuck, "a")
    side.close(done, Succeeded({}))
    side.close(side.open(stuck, "b"), FOR_GOOD)
    side.close(side.open(stuck, "a", Direction.UNDO), FOR_GOOD)
    assert tick(side) == 2
    assert {body["saga_id"]: body["state"] for body in webhook.bodies} == {
        paused: "PAUSED",
        stuck: "COMPENSATION_FAILED",
    }


def test_an_operators_pause_is_no_news(side: WorkerSide, webhook: Webhook) -> None:
    side.rt.desk.pause(side.begin(), Who("operator"))
    assert tick(side) == 0
    assert webhook.posted == []


def test_redirects_are_not_followed(side: WorkerSide, webhook: Webhook) -> None:
    halted(side)
    webhook.answers = [302]
    assert tick(side) == 0
    assert len(webhook.posted) == 1


def test_user_and_password_of_the_address_are_sent_and_never_logged(
    side: WorkerSide, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    halted(side)
    [notice] = side.rt.index.due_notices(1)
    secret = webhook.url.replace("http://", "http://me:pass%20word@")
    webhook.answers = [401]
    problem = WebReceiver(secret).tell(notice)
    assert problem is not None
    assert problem.says == f"{webhook.url.removesuffix('/hook')} answered 401"
    [(headers, _)] = webhook.posted
    assert headers["Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert "pass" not in caplog.text


def test_an_address_where_nobody_listens_puts_all_words_off(
    side: WorkerSide, webhook: Webhook
) -> None:
    halted(side)
    halted(side)
    [notice] = side.rt.index.due_notices(1)
    nobody = WebReceiver(f"http://127.0.0.1:{free_port()}/secret")
    problem = nobody.tell(notice)
    assert problem is not None
    assert problem.is_away
    assert problem.says == f"{nobody.shown} does not answer (ConnectionRefusedError)"
    side.rt.index.put_off_notices(notice)
    assert tick(side) == 0
    assert webhook.posted == []


def test_without_a_receiver_nothing_is_kept(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_side(database_url, redis_url, monkeypatch) as side:
        halted(side)
        assert side.row("SELECT 1 FROM orch.notice") is None


@pytest.mark.slow
def test_on_workers_a_task_and_a_web_address_hear_of_a_failure(
    stack: Stack, tmp_path: Path, webhook: Webhook
) -> None:
    told = tmp_path / "told"
    stack.env |= {
        "EFFECTS_FILE": str(tmp_path / "effects"),
        "TOLD_FILE": str(told),
        "ORCHESTRATION_FAILURE_WEBHOOK": webhook.url,
        "ORCHESTRATION_FAILURE_TASK": "tests.told",
    }
    hosted = ("-I", "tests.support.effects_agents,tests.support.told", "-c", "1")
    parts = [
        stack.worker(*hosted, wait=False),
        stack.chores(wait=False),
        stack.beat(wait=False),
    ]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as front:
        status = front.run(linear(1, s1={"fail": "for good"}, on_failure="HALT"))
    wait_until(told.exists, "the task has run")
    wait_until(lambda: webhook.bodies, "the web address has heard")
    by_task = json.loads(told.read_text())
    assert (by_task["saga_id"], by_task["state"]) == (status.saga_id, "FAILED")
    assert webhook.bodies[-1] == by_task
