"""Heartbeats are gathered, and what was sent is known before callers go on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from celery import Celery

from orchestration.adapters import heartbeat_sender
from orchestration.adapters.heartbeat_sender import HeartbeatSender
from orchestration.errors import TransportError

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that is closed has time to send what waits, on any host."""
    monkeypatch.setattr(heartbeat_sender, "_CLOSE_S", WAIT_S)


class Broker:
    """Takes messages in place of a publisher; the first when it is let go on."""

    def __init__(self, *, fails: bool = False) -> None:
        self.messages: list[list[str]] = []
        self.first_is_here = threading.Event()
        self.goes_on = threading.Event()
        self._fails = fails

    def publish(self, link: Mapping[str, Any], *, args: Sequence[Any]) -> None:
        del args
        if self._fails:
            raise TransportError("away")
        heartbeats = link["kwargs"]["heartbeats"]
        self.messages.append([one["agent_id"] for one in heartbeats])
        self.first_is_here.set()
        assert self.goes_on.wait(WAIT_S)

    def close(self) -> None:
        pass


def sender_to(broker: Broker, **options: Any) -> HeartbeatSender:
    sender = HeartbeatSender(Celery(set_as_current=False), **options)
    sender._publisher = broker
    return sender


def test_what_comes_while_a_message_is_sent_is_gathered() -> None:
    broker = Broker()
    sender = sender_to(broker)
    sender.send("agent-a", {}, until_ms=1)
    assert broker.first_is_here.wait(WAIT_S)
    sender.send("agent-b", {}, until_ms=1)
    last = sender.send("agent-c", {}, until_ms=1)
    broker.goes_on.set()
    last.result(WAIT_S)
    sender.close()
    assert broker.messages == [["agent-a"], ["agent-b", "agent-c"]]


def test_what_was_sent_is_known_before_callers_are_told() -> None:
    known: list[tuple[str, Mapping[str, float]]] = []
    broker = Broker()
    sender = sender_to(broker, confirmed=known.extend)
    told = []
    for agent_id in ("agent-a", "agent-b"):
        future = sender.send(agent_id, {"cpu_usage": 0.5}, until_ms=1)
        future.add_done_callback(
            lambda _, one=agent_id: told.append(one in dict(known))
        )
    broker.goes_on.set()
    sender.close()
    assert told == [True, True]
    assert known == [(one, {"cpu_usage": 0.5}) for one in ("agent-a", "agent-b")]


def test_what_was_not_sent_is_not_known() -> None:
    known: list[Any] = []
    sender = sender_to(Broker(fails=True), confirmed=known.extend)
    future = sender.send("agent-a", {}, until_ms=1)
    sender.close()
    with pytest.raises(TransportError, match="away"):
        future.result(0)
    assert known == []


def test_all_that_waits_is_sent_at_the_end() -> None:
    broker = Broker()
    broker.goes_on.set()
    sender = sender_to(broker)
    futures = [sender.send(f"agent-{n}", {}, until_ms=1) for n in range(2_500)]
    sender.close()
    assert all(future.done() for future in futures)
    assert sum(map(len, broker.messages)) == 2_500
