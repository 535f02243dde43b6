"""One copy of a request at one agent, until its end is known."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from orchestration.core.messaging.model import Message
from orchestration.engine.messaging import answered
from orchestration.engine.routing import RouteDesk, Sent
from orchestration.errors import AgentError, TransportError

__all__ = ["Attempt", "Trail"]

# What an agent refuses for good it would refuse again, and so would others: it works.
_REFUSAL = "NonRetryable"


class Attempt:
    """Learns from the answer once, from whichever thread brings it.

    Args:
        desk: Learns.
        sent: What was sent.
        timeout_s: How long it may take.

    Attributes:
        sent: What was sent.
        reply: The answer, once it has come and is none of an error.
        error: What went wrong.
        answer: Comes with the answer; None: it could not be sent.
    """

    def __init__(self, desk: RouteDesk, sent: Sent, timeout_s: float) -> None:
        self.sent = sent
        self.timeout_s = timeout_s
        self.reply: Message | None = None
        self.error: Exception | None = None
        self.answer: Future[Message] | None = None
        self._desk = desk
        self._is_settled = False
        self._lock = threading.Lock()

    def awaits(self, answer: Future[Message]) -> None:
        """Go on when the answer comes."""
        self.answer = answer
        answer.add_done_callback(self._heard)

    def failed(self, error: Exception) -> None:
        """Note that it went wrong."""
        self.error = error
        self.settle(ok=False)

    def settle(self, *, ok: bool) -> None:
        """Have it learned how it ended; the first time counts."""
        with self._lock:
            is_late, self._is_settled = self._is_settled, True
        if not is_late:
            self._desk.ended(self.sent, ok=ok, timeout_s=self.timeout_s)
        elif ok:
            self._desk.answered_late(self.sent)

    @property
    def is_final(self) -> bool:
        """Whether the agent said that asking again is useless."""
        error = self.error
        return isinstance(error, AgentError) and error.error_type == _REFUSAL

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        # Not by the future, which is done a moment before this object knows of it.
        return self.answer is not None and self.reply is None and self.error is None

    def _heard(self, answer: Future[Message]) -> None:
        if answer.cancelled():
            return
        try:
            self.reply = answered(answer.result())
        except AgentError as exc:
            self.error = exc
            self.settle(ok=exc.error_type == _REFUSAL)
        except TransportError as exc:  # the bus was closed: no fault of the agent
            self.error = exc
        else:
            self.settle(ok=True)


class Trail:
    """Answers that nobody waits for any more, and that something is learned from."""

    def __init__(self) -> None:
        self._left: list[tuple[float, Attempt | None, Future[Message]]] = []
        self._lock = threading.Lock()

    def add(
        self, until_s: float, answer: Future[Message], attempt: Attempt | None = None
    ) -> None:
        """Keep an answer open until a time; then its attempt has failed."""
        with self._lock:
            self._left.append((until_s, attempt, answer))

    def sweep(self, now_s: float) -> None:
        """Let go of those whose time is over."""
        with self._lock:
            over = [one for one in self._left if one[0] <= now_s or one[2].done()]
            self._left = [
                one for one in self._left if one[0] > now_s and not one[2].done()
            ]
        for _, attempt, answer in over:
            if not answer.done():
                answer.cancel()
                if attempt is not None:
                    attempt.settle(ok=False)
