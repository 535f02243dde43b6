"""What a worker does with messages: each outcome, with everything around it faked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestration import agents
from orchestration.adapters.saga_records import Because
from orchestration.agents import Agent, MessageContext
from orchestration.core.messaging.delivery import Reason
from orchestration.core.messaging.listening import current_message
from orchestration.core.messaging.model import Message
from orchestration.engine.handling import Hosted, Mailbox, Taken
from orchestration.errors import ConfigurationError, NonRetryable, RetryLater

NOW_MS = 1_000_000
BECAUSE = Because(task_id="task")


@dataclass
class World:
    """Notes what a mailbox does."""

    buried: list[tuple[Any, Reason, int]] = field(default_factory=list)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    again: list[tuple[list[Any], int]] = field(default_factory=list)
    deliveries: int = 0

    def bury(
        self, item: Any, reason: Reason, _error: Any, _why: Any, *, attempts: int
    ) -> bool:
        self.buried.append((item, reason, attempts))
        return True

    def send(self, reply_to: str, reply: Message) -> bool:
        self.sent.append((reply_to, reply))
        return True

    def send_again(self, items: list[Any], wait_ms: int, _reply_to: Any) -> None:
        self.again.append((items, wait_ms))

    def keep_time(self) -> None:
        pass

    def count(self, _task_id: str) -> int:
        return self.deliveries

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW_MS / 1_000, UTC)


@pytest.fixture
def agent() -> Iterator[Agent]:
    made = Agent("agent-unit")
    yield made
    del agents._HOSTED["agent-unit"]


@pytest.fixture
def world() -> World:
    return World()


def take(world: World, *items: Any, reply_to: str | None = None, **how: Any) -> Taken:
    mailbox = Mailbox(
        hosted=Hosted(
            agents.find_agent,
            lambda agent_id, name: agents._HOSTED[agent_id].find(name),
        ),
        letters=world,  # type: ignore[arg-type]
        answers=world,  # type: ignore[arg-type]
        sender=world,  # type: ignore[arg-type]
        deliveries=world,  # type: ignore[arg-type]
        clock=world,
        max_payload_bytes=1_000,
    )
    return mailbox.take([*items], reply_to, BECAUSE, **how)


def item(kind: str = "COMMAND", /, **fields: Any) -> dict[str, Any]:
    own = {key: fields.pop(key) for key in ("attempt", "pattern") if key in fields}
    message = Message(
        sender_id="a", recipient_id="agent-unit", message_type=kind, **fields
    )
    return {"agent_id": "agent-unit", "message": message.to_json(), **own}


def test_a_request_is_answered_once(agent: Agent, world: World) -> None:
    @agent.on_message
    def hear(message: Message, context: MessageContext) -> Any:
        assert current_message() == message
        assert context.is_awaited
        assert context.reply({"first": True})
        return {"second": True}

    taken = take(world, item("REQUEST"), reply_to="here")
    assert (taken.handled, str(taken)) == (1, "1 handled")
    [(reply_to, reply)] = world.sent
    assert (reply_to, reply.payload) == ("here", {"first": True})


@pytest.mark.parametrize("value", [{"x": float("nan")}, "x" * 2_000])
def test_an_answer_that_cannot_be_sent_is_an_error(
    agent: Agent, world: World, value: Any
) -> None:
    agent.on_message(lambda _: value)
    taken = take(world, item("REQUEST"), reply_to="here")
    assert (taken.handled, taken.failed) == (0, 1)
    [(_, reply)] = world.sent
    assert (reply.message_type, reply.payload["type"]) == ("ERROR", "ValueError")
    assert world.buried == []


def test_a_failed_request_is_told_and_nothing_else(agent: Agent, world: World) -> None:
    @agent.on_message
    def fail(_: Message) -> None:
        raise RuntimeError("no")

    take(world, item("REQUEST"), reply_to="here")
    assert world.sent[0][1].payload == {"type": "RuntimeError", "message": "no"}
    assert (world.again, world.buried) == ([], [])


@pytest.mark.parametrize(
    ("error", "attempt", "again", "dead"),
    [
        (ValueError("no"), 1, 500, None),
        (ValueError("no"), 2, 2_000, None),
        (ValueError("no"), 3, None, Reason.FAILED),
        (RetryLater("later", 70), 1, 70, None),
        (NonRetryable("no"), 1, None, Reason.FAILED),
    ],
)
def test_a_failed_command_is_tried_again_or_put_aside(
    agent: Agent,
    world: World,
    error: Exception,
    attempt: int,
    again: int | None,
    dead: Reason | None,
) -> None:
    @agent.on_message
    def fail(_: Message) -> None:
        raise error

    given = item(attempt=attempt)
    taken = take(world, given)
    assert taken.raised is error
    if again is not None:
        assert world.again == [([{**given, "attempt": attempt + 1}], again)]
    else:
        assert world.buried == [(given, dead, attempt)]


def test_of_many_only_what_failed_comes_again(agent: Agent, world: World) -> None:
    heard = []

    @agent.on_message
    async def hear(message: Message) -> None:
        if message.payload["n"] % 2:
            raise ValueError("odd")
        assert current_message() is not None
        heard.append(message.payload["n"])

    items = [item(payload={"n": n}) for n in range(6)]
    taken = take(world, *items)
    assert heard == [0, 2, 4]
    assert str(taken) == "3 handled, 3 again"
    [(again, _)] = world.again
    assert [one["message"]["payload"]["n"] for one in again] == [1, 3, 5]


def test_what_comes_too_late_never_begins(agent: Agent, world: World) -> None:
    agent.on_message(lambda _: pytest.fail("it began"))
    late = item("REQUEST", deadline_ms=NOW_MS)
    take(world, late, reply_to="here")
    assert world.buried == [(late, Reason.EXPIRED, 1)]
    assert world.sent == []  # whoever waited has gone


def test_what_nobody_takes_is_offered_elsewhere_for_a_while(
    agent: Agent, world: World
) -> None:
    del agent
    given: dict[str, Any] = item("REQUEST", headers={"action": "sing"})
    waits = []
    while not world.buried:
        take(world, given, reply_to="here")
        if world.again:
            [([given], wait_ms)] = world.again
            waits.append(wait_ms)
            world.again.clear()
    assert waits == [1_000, 2_000, 5_000, 10_000, 20_000]
    assert world.buried[0][1] is Reason.NO_HANDLER
    assert world.sent[0][1].payload["type"] == "NoHandler"


def test_what_kills_its_worker_is_put_aside(agent: Agent, world: World) -> None:
    agent.on_message(lambda _: None)
    one, other = item(), item()
    # Many that come again are taken apart first.
    take(world, one, other, is_redelivered=True)
    assert world.again == [([one], 0), ([other], 0)]
    # One that comes again is handled, up to the fifth time.
    world.deliveries = 4
    assert take(world, one, is_redelivered=True).handled == 1
    world.deliveries = 5
    take(world, one, is_redelivered=True)
    assert world.buried == [(one, Reason.KILLED, 1)]


ODD = [
    "text",
    None,
    {},
    {"agent_id": "agent-unit"},
    {"agent_id": "agent-unit", "message": {"x": 1}},
    {**item(), "agent_id": 7},
    {**item(), "attempt": "1"},
    {**item(), "message": {**item()["message"], "payload": [1]}},
    {**item(), "message": {**item()["message"], "message_type": "SHOUT"}},
    {**item(), "message": {**item()["message"], "deadline_ms": "soon"}},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_what_is_no_message_is_put_aside_and_the_others_handled(
    agent: Agent, world: World, odd: Any
) -> None:
    agent.on_message(lambda _: None)
    taken = take(world, odd, item())
    assert (taken.handled, taken.dead) == (1, 1)
    assert world.buried == [(odd, Reason.MALFORMED, 0)]


def test_an_agent_has_one_handler_and_many_subscriptions(agent: Agent) -> None:
    agent.on_message(lambda _: None)
    agent.on_event("a.*")(lambda _: None)
    agent.on_event("a.#", max_attempts=1)(lambda *_: None)
    assert agent.listeners == ("@event:a.#", "@event:a.*", "@message")
    assert [agent.listener(n).takes_context for n in agent.listeners] == [  # type: ignore[union-attr]
        True,
        False,
        False,
    ]
    with pytest.raises(ConfigurationError, match="two functions"):
        agent.on_message(lambda _: None)
    for wrong in ({"timeout_ms": 240_001}, {"timeout_ms": 0}, {"max_attempts": 0}):
        with pytest.raises(ConfigurationError, match="use 1 to"):
            agent.on_event("b", **wrong)(lambda _: None)
