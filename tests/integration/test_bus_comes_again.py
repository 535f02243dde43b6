"""A task of messages that can be neither handled nor put aside is not lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject, Retry

from orchestration.errors import TransportError
from tasks import messaging
from tests.support.worker_side import WorkerSide

pytestmark = pytest.mark.integration


@pytest.fixture
def retried(side: WorkerSide, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How Celery was asked to send the task again; the third time it does not."""
    del side  # the app is configured by it
    asked: list[dict[str, Any]] = []

    def retry(**options: Any) -> Retry:
        asked.append(options)
        if len(asked) == 3:
            raise Reject("the broker is away", requeue=False)
        return Retry()

    monkeypatch.setattr(messaging.message, "retry", retry)
    return asked


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def take(*_: Any, **__: Any) -> None:
        raise error

    runtime = SimpleNamespace(mailbox=SimpleNamespace(take=take))
    monkeypatch.setattr(messaging, "runtime", lambda _: runtime)


def test_it_comes_again_while_postgres_is_away(
    monkeypatch: pytest.MonkeyPatch, retried: list[dict[str, Any]]
) -> None:
    away = TransportError("Postgres has not answered")
    fail_with(monkeypatch, away)
    for _ in range(2):
        with pytest.raises(Retry):
            messaging.message.run([])
    assert [one["exc"] for one in retried] == [away, away]
    # If the broker is away as well, it keeps what it has given out.
    with pytest.raises(Reject) as kept:
        messaging.message.run([])
    assert kept.value.requeue


def test_a_fault_of_ours_comes_again_a_few_times(
    monkeypatch: pytest.MonkeyPatch, retried: list[dict[str, Any]]
) -> None:
    fail_with(monkeypatch, ZeroDivisionError())
    with pytest.raises(Retry):
        messaging.message.run([])
    messaging.message.push_request(retries=10)
    try:
        with pytest.raises(ZeroDivisionError):
            messaging.message.run([])
    finally:
        messaging.message.pop_request()
    assert len(retried) == 1
