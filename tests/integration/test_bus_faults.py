"""Messages when workers die, deliveries double, and connections break."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from orchestration.adapters.embedded import EmbeddedServers
from orchestration.contracts import MessageItem
from orchestration.errors import RequestTimedOut, TransportError
from orchestration.message_bus import Message
from tests.conftest import migrate
from tests.integration.conftest import TALKERS
from tests.support.stack import Stack
from tests.support.talking import Talk, talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def test_a_process_that_dies_over_a_message(talking: Talk, tmp_path: Path) -> None:
    # In mid-request: it is handled again, and the caller has one answer.
    gate = tmp_path / "gate"
    asked = talking.message(gate=str(gate))

    def kill_and_open() -> None:
        [first] = talking.await_lines(asked, "begin")
        psutil.Process(first["pid"]).send_signal(signal.SIGKILL)
        talking.await_lines(asked, "begin", 2)
        gate.touch()

    killer = threading.Thread(target=kill_and_open)
    killer.start()
    assert talking.request(asked).payload["by"] == "agent-talker"
    killer.join()

    # One that kills whoever handles it is put aside in the end, and no other with it.
    deadly = talking.command(die_unless=str(tmp_path / "never"))
    others = [talking.command(n=n) for n in range(5)]
    talking.send(*others[:2], deadly, *others[2:])
    [letter] = talking.await_letters(1)
    assert (letter.message_id, letter.reason) == (deadly.message_id, "KILLED")
    for other in others:
        talking.await_lines(other, "end")
    # It was given out no more than five times again, and once in its batch.
    assert 5 <= len(talking.lines(deadly, "begin")) <= 7


def test_a_request_that_is_delivered_twice_has_one_answer(talking: Talk) -> None:
    desk = talking.bus.messages

    async def ask_twice() -> Message:
        asked = desk.timed(talking.message(n=1), 60_000)
        [pending] = desk.ask([asked])
        item = MessageItem(agent_id="agent-talker", message=asked.to_json())
        desk.sender.send_again([item], 0, desk.inbox.address)
        return await asyncio.wrap_future(pending)

    answer = talking.run(ask_twice())
    assert answer.payload["heard"] == {"n": 1}
    wait_until(lambda: desk.inbox.doubled == 1, "the second answer is counted")
    assert desk.inbox.late == 0


def test_an_agent_that_is_offline_is_waited_for(talkers: Stack) -> None:
    worker = talkers.started[-1]
    worker.terminate()
    worker.wait()
    with talk(talkers.env) as talking:
        with pytest.raises(RequestTimedOut, match="offline"):
            talking.request(talking.message(), timeout_ms=500)
        waits = talking.command()
        talking.send(waits)
        talkers.worker(*TALKERS)
        talking.await_lines(waits, "end")
        # The request's time was over: nobody handles it any more.
        [letter] = talking.await_letters(1)
        assert (letter.reason, letter.message_type) == ("EXPIRED", "REQUEST")
        talking.discard_all()


def test_broken_connections_are_made_anew(talking: Talk) -> None:
    assert talking.request(talking.message()).payload
    inbox, sender = talking.bus.messages.inbox, talking.bus.messages.sender
    for producer in sender._publisher._idle:
        connection = producer.connection
        if connection.transport.driver_type == "redis":
            for one in connection.default_channel.pool._available_connections:
                one._sock.close()
        else:
            connection.connection.transport.sock.close()
    for one in [*inbox._redis.connection_pool._in_use_connections]:
        one._sock.shutdown(2)
    for _ in range(3):
        assert talking.request(talking.message()).payload


@pytest.fixture
def alone(
    private_servers: EmbeddedServers,
    make_stack: Callable[..., Stack],
    tmp_path: Path,
) -> Iterator[Talk]:
    """A producer and a worker on servers of their own, broker included."""
    environment = private_servers.environment
    environment["EFFECTS_FILE"] = str(tmp_path / "effects")
    migrate(environment)
    make_stack(environment).worker(*TALKERS)
    with talk(environment) as talking:
        yield talking


@pytest.mark.chaos
def test_redis_wiped_and_restarted(
    alone: Talk, private_servers: EmbeddedServers, tmp_path: Path
) -> None:
    client = redis.Redis.from_url(private_servers.redis_url)
    assert alone.request(alone.message()).payload
    heard: list[Any] = []

    async def listen() -> None:
        async with alone.bus.subscribe("orders.#") as events:
            heard.append((await anext(events)).payload)

    listening = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    listening.start()

    # What was under way when it is wiped is answered, since its handler goes on.
    gate = tmp_path / "gate"
    asked = alone.message(gate=str(gate))

    def wipe() -> None:
        alone.await_lines(asked, "begin")
        client.flushall()
        gate.touch()

    wiper = threading.Thread(target=wipe)
    wiper.start()
    assert alone.request(asked).payload
    wiper.join()
    assert alone.request(alone.message()).payload

    # After a restart all goes on by itself.
    private_servers.restart_valkey("kill")

    def answers() -> bool:
        try:
            return bool(alone.request(alone.message(), timeout_ms=3_000).payload)
        except (RequestTimedOut, TransportError):
            return False

    wait_until(answers, "requests are answered again")

    def is_heard() -> bool:
        alone.run(alone.bus.publish("orders.new", {"n": 1}))
        time.sleep(0.1)
        return bool(heard)

    wait_until(is_heard, "events are heard again")
