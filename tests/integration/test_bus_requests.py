"""Messages to agents and their answers, on either broker, by real workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestration.errors import (
    AgentError,
    InvalidMessage,
    MessageExpired,
    NoHandler,
    PayloadTooLarge,
    RequestTimedOut,
    UnknownRecipient,
)
from orchestration.message_bus import Message, MessageType
from tests.support.talking import Talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def test_requests_and_their_answers(talking: Talk) -> None:
    # The payload comes back; ids tell what belongs to what.
    asked = talking.message(n=1)
    reply = talking.request(asked)
    assert reply.message_type is MessageType.RESPONSE
    assert reply.payload == {"heard": {"n": 1}, "by": "agent-talker"}
    assert (reply.correlation_id, reply.causation_id) == (
        asked.correlation_id,
        asked.message_id,
    )
    assert (reply.sender_id, reply.recipient_id) == ("agent-talker", "tests")

    # A coroutine of another pool, and a value that is no object.
    assert talking.request(talking.message("agent-quiet")).payload == {
        "result": "heard"
    }
    # An action by its name.
    asked = talking.message(n=21, headers={"action": "double"})
    assert talking.request(asked).payload == {"doubled": 42, "key": asked.message_id}
    # An answer before the end.
    assert talking.request(talking.message(early=True)).payload == {"early": True}

    # An error is raised, and not tried again: the caller knows.
    with pytest.raises(AgentError, match="ValueError: attempt 1 fails") as failed:
        talking.request(talking.message(fails=1))
    assert failed.value.error_type == "ValueError"
    with pytest.raises(AgentError, match="no JSON"):
        talking.request(talking.message(returns_nan=True))


def test_what_cannot_be_sent_is_refused_before_anything_is(talking: Talk) -> None:
    refused = [
        (UnknownRecipient, "agent-nobody", {}),
        (NoHandler, "agent-deaf", {}),
        (NoHandler, "agent-talker", {"headers": {"action": "sing"}}),
        (InvalidMessage, "agent-talker", {"message_type": "EVENT"}),
        (InvalidMessage, "agent-talker", {"message_type": "HEARTBEAT"}),
        (MessageExpired, "agent-talker", {"deadline_ms": 1}),
        (InvalidMessage, "agent-talker", {"payload": {"x": float("nan")}}),
        (PayloadTooLarge, "agent-talker", {"payload": {"x": "y" * 300_000}}),
    ]
    fine = talking.message()
    for error, agent, fields in refused:
        message = talking.message(agent).evolved(**fields)
        with pytest.raises(error):
            talking.send(fine, message)
        assert talking.lines(message) == []
    # Whatever is sent after them is handled, and they are not.
    assert talking.request(talking.message()).payload
    assert talking.lines(fine) == []


def test_whoever_gives_up_hears_nothing(talking: Talk, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    asked = talking.message(gate=str(gate))

    async def give_up() -> None:
        asking = asyncio.create_task(talking.bus.request(asked, timeout_ms=60_000))
        await asyncio.to_thread(talking.await_lines, asked, "begin")
        asking.cancel()
        await asyncio.wait([asking])
        gate.touch()

    talking.run(give_up())
    wait_until(
        lambda: talking.bus.messages.inbox.late == 1, "the late answer is counted"
    )


def test_deadlines(talking: Talk, tmp_path: Path) -> None:
    # The caller is told at the deadline; the handler is interrupted at it, and may be
    # heard just in time. (Who is not heard at all: see test_bus_faults.)
    gate = tmp_path / "gate"
    hung = talking.message(gate=str(gate))
    with pytest.raises((RequestTimedOut, AgentError), match=hung.message_id) as told:
        talking.request(hung, timeout_ms=8_000)
    assert getattr(told.value, "error_type", "StepTimedOut") == "StepTimedOut"
    # Otherwise its answer is late: dropped and counted.
    inbox = talking.bus.messages.inbox
    wait_until(
        lambda: inbox.late == 1 or hung.message_id in inbox._answered, "it is answered"
    )
    gate.touch()
    assert talking.lines(hung, "end") == []
    # The worker is free again.
    assert talking.request(talking.message()).payload["by"] == "agent-talker"


def test_many_requests_at_once_share_a_thread(talking: Talk) -> None:
    async def ask() -> list[Message]:
        requests = [talking.message(n=n) for n in range(60)]
        asked = [talking.bus.request(one, timeout_ms=60_000) for one in requests]
        return await asyncio.gather(*asked)

    replies = talking.run(ask())
    assert [reply.payload["heard"]["n"] for reply in replies] == [*range(60)]
