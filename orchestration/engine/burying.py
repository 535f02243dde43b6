"""What people do with messages that could not be delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestration.adapters.dead_messages import DeadMessage, DeadMessages, Settled
from orchestration.adapters.message_sender import Addressed, MessageSender
from orchestration.contracts import MessageItem
from orchestration.core.messaging.delivery import redriven
from orchestration.core.messaging.model import Message, Priority
from orchestration.core.saga.acts import Who
from orchestration.core.saga.timing import whole_ms
from orchestration.engine.ports import Clock

__all__ = ["LetterDesk"]

_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class LetterDesk:
    """Where dead letters are looked at, sent again and given up."""

    letters: DeadMessages
    sender: MessageSender
    clock: Clock

    def redrive(
        self,
        who: Who,
        ids: Sequence[int] | None,
        *,
        timeout_ms: float | None = None,
        limit: int | None = None,
        **filters: Any,  # noqa: ANN401  as DeadMessages.find has them
    ) -> tuple[int, ...]:
        """Send letters again; return which: not those that others took, or MALFORMED.

        Args:
            who: Who asks.
            ids: Which ones; None: those that the filters find.
            timeout_ms: Their new deadline, from now; None: that which they have, and
                none where it has passed.
            limit: At most so many, the newest.
            filters: As ``DeadMessages.find`` has them.

        Raises:
            TransportError: The broker did not take some: they stay where they are.
            ValueError: Neither ids nor a filter are given.
        """

        def send(settled: Sequence[Settled]) -> None:
            now_ms = whole_ms(self.clock.now())
            self.sender.send_packed(_again(one, now_ms, timeout_ms) for one in settled)

        return self._settle("REDRIVEN", who, self._chosen(ids, limit, filters), send)

    def discard(
        self,
        who: Who,
        ids: Sequence[int] | None,
        *,
        limit: int | None = None,
        **filters: Any,  # noqa: ANN401  as DeadMessages.find has them
    ) -> tuple[int, ...]:
        """Give letters up; return which: not those that others took.

        Args:
            who: Who asks.
            ids: Which ones; None: those that the filters find.
            limit: At most so many, the newest.
            filters: As ``DeadMessages.find`` has them.

        Raises:
            ValueError: Neither ids nor a filter are given.
        """
        chosen = self._chosen(ids, limit, filters)
        return self._settle("DISCARDED", who, chosen, lambda _: None)

    def pages(
        self, limit: int | None, filters: Mapping[str, Any]
    ) -> Iterator[tuple[DeadMessage, ...]]:
        """Yield open letters, newest first, as many at once as a transaction takes."""
        after: DeadMessage | None = None
        left = limit
        while left is None or left > 0:
            size = _AT_ONCE if left is None else min(left, _AT_ONCE)
            page = self.letters.find(**filters, state="OPEN", after=after, limit=size)
            if page:
                yield page
            if len(page) < size:
                return
            after = page[-1]
            left = None if left is None else left - size

    def _chosen(
        self, ids: Sequence[int] | None, limit: int | None, filters: Mapping[str, Any]
    ) -> Iterator[list[int]]:
        wanted = {name: value for name, value in filters.items() if value is not None}
        if ids is None and not wanted:
            raise ValueError(
                "say which letters: by ids, or by a filter as agent_id or reason"
            )
        if ids is not None:
            wanted["ids"] = [*ids]
        for page in self.pages(limit, wanted):
            yield [one.letter_id for one in page]

    def _settle(
        self,
        state: str,
        who: Who,
        chosen: Iterator[list[int]],
        act: Callable[[Sequence[Settled]], None],
    ) -> tuple[int, ...]:
        done: list[int] = []
        for ids in chosen:
            with self.letters.taking_out(ids, state, who.told) as settled:
                act(settled)
            done.extend(one.letter_id for one in settled)
        return tuple(done)


def _again(one: Settled, now_ms: int, timeout_ms: float | None) -> Addressed:
    """Return a letter as it is sent again."""
    message = redriven(Message.from_json(one.item["message"]), now_ms, timeout_ms)
    item = MessageItem(agent_id=one.item["agent_id"], message=message.to_json())
    if pattern := one.item.get("pattern"):
        item["pattern"] = pattern
    return Addressed(item, Priority(message.priority), one.size)
