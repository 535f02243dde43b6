"""A producer of messages for tests, called from plain test functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchestration.adapters.dead_messages import DeadMessage
from orchestration.message_bus import Message, MessageBus
from orchestration.settings import Settings
from tests.support.waiting import wait_until

_T = TypeVar("_T")


class Talk:
    """One bus, used by one loop after the other, and what the agents noted."""

    def __init__(self, bus: MessageBus, path: Path) -> None:
        self.bus = bus
        self.path = path

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run(coroutine)

    def message(
        self, agent: str = "agent-talker", kind: str = "REQUEST", /, **payload: Any
    ) -> Message:
        headers = payload.pop("headers", {})
        return Message(
            sender_id="tests",
            recipient_id=agent,
            message_type=kind,
            payload=payload,
            headers=headers,
        )

    def command(self, agent: str = "agent-talker", **payload: Any) -> Message:
        return self.message(agent, "COMMAND", **payload)

    def send(self, *messages: Message) -> None:
        self.run(self.bus.send_many(messages))

    def request(self, message: Message, *, timeout_ms: int = 60_000) -> Message:
        return self.run(self.bus.request(message, timeout_ms=timeout_ms))

    def lines(self, message: Message | None = None, what: str = "") -> list[Any]:
        """Return what handlers noted, of one message or of all, in order."""
        if not self.path.exists():
            return []
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [
            one
            for one in found
            if (message is None or one["id"] == message.message_id)
            and (not what or one["what"] == what)
        ]

    def letters(self, **filters: Any) -> tuple[DeadMessage, ...]:
        return self.run(self.bus.dead_letters(**filters))

    def discard_all(self) -> None:
        """Close all dead letters: the next test on this database sees its own."""
        self.run(self.bus.discard([letter.letter_id for letter in self.letters()]))

    def await_letters(self, count: int) -> tuple[DeadMessage, ...]:
        wait_until(lambda: len(self.letters()) == count, f"{count} dead letters")
        return self.letters()

    def await_lines(self, message: Message, what: str, count: int = 1) -> list[Any]:
        wait_until(
            lambda: len(self.lines(message, what)) >= count,
            f"{count} times {what} of {message.message_id}",
        )
        return self.lines(message, what)


@contextmanager
def talk(environment: Mapping[str, str]) -> Iterator[Talk]:
    """Connect a producer to the servers that ``environment`` names."""
    bus = MessageBus(
        Settings(
            database_url=environment["DATABASE_URL"],
            redis_url=environment["REDIS_URL"],
            broker_url=environment["CELERY_BROKER_URL"],
            key_prefix=environment.get("ORCHESTRATION_KEY_PREFIX", ""),
        )
    )
    asyncio.run(bus.initialize())
    try:
        yield Talk(bus, Path(environment["EFFECTS_FILE"]))
    finally:
        asyncio.run(bus.close())
