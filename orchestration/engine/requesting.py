"""One request on its way: to an agent, to others if it fails, to a second if asked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import count
from typing import Final

from orchestration.core.messaging.model import Message
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.dispatch import DispatchResult, copy_for
from orchestration.engine.attempt import Attempt, Trail
from orchestration.engine.messaging import MessageDesk
from orchestration.engine.routing import RouteDesk
from orchestration.errors import (
    AgentError,
    NoHandler,
    RequestTimedOut,
    RoutingError,
    UnknownRecipient,
)

__all__ = ["Course", "Patience"]

_TIMEOUT: Final = "StepTimedOut"
_ABOUT_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request is worth trying.

    Attributes:
        timeout_ms: In all, from now; None: until its deadline, or 30 seconds.
        attempts: At how many agents, one after the other.
        hedges: Whether a second agent is asked when the first takes unusually long.
    """

    timeout_ms: float | None = None
    attempts: int = 3
    hedges: bool = False


class Course:
    """One request, until the first good answer or its deadline.

    An agent has its share of the time that is left: with three attempts and 9 seconds,
    the second is asked after 3. The first is not given up then; whoever answers first
    has answered.

    Args:
        desk: Decides where else it may go, and learns.
        messages: Where it goes out.
        trail: Takes the answers that nobody waits for any more.
        message: It, with its deadline.
        decision: Where it goes first.
        patience: How long it is worth trying.
    """

    def __init__(
        self,
        desk: RouteDesk,
        messages: MessageDesk,
        trail: Trail,
        message: Message,
        decision: Decision,
        patience: Patience,
    ) -> None:
        self._desk, self._messages, self._trail = desk, messages, trail
        self._message, self._decision, self._patience = message, decision, patience
        self._attempts: list[Attempt] = []
        self._retries = self._hedges = 0
        self._ends_s = time.monotonic() + (messages.left_s(message) or 0.0)
        self._next_s = self._hedge_s = float("inf")
        self._numbers = count()
        self._waits: dict[str, asyncio.Future[Message]] = {}

    async def run(self, began_s: float, mirrored_to: str) -> DispatchResult:
        """Ask until somebody has answered.

        Raises:
            AgentError: All that may be asked answered with errors; this is the last.
            RequestTimedOut: Nobody answered by the deadline.
            MessageError: It cannot be sent.
            TransportError: The broker did not confirm it.
        """
        try:
            await self._ask(self._decision, is_first=True)
            while (winner := self._winner()) is None:
                await self._go_on()
        finally:
            self._let_trail()
        return DispatchResult(
            message_id=self._message.message_id,
            rule=self._decision.rule.name,
            targets=tuple(one.sent.agent_id for one in self._attempts),
            reply=winner.reply,
            answered_by=winner.sent.agent_id,
            replies={winner.sent.agent_id: winner.reply} if winner.reply else {},
            errors={
                one.sent.agent_id: str(one.error)
                for one in self._attempts
                if one.error is not None
            },
            acked=1,
            retries=self._retries,
            hedges=self._hedges,
            mirrored_to=mirrored_to,
            took_ms=1_000 * (time.monotonic() - began_s),
        )

    def _winner(self) -> Attempt | None:
        return next((one for one in self._attempts if one.reply is not None), None)

    async def _go_on(self) -> None:
        """Wait for what comes next, or do it."""
        now = time.monotonic()
        waiting = [one for one in self._attempts if one.is_open]
        if now >= self._ends_s:
            raise self._too_late()
        refusal = next((one for one in self._attempts if one.is_final), None)
        if refusal is not None and refusal.error is not None:
            raise refusal.error
        if not waiting:
            if not await self._retry():
                raise self._last_error()
        elif now >= self._next_s:
            self._next_s = float("inf")
            await self._retry()
        elif now >= self._hedge_s:
            self._hedge_s = float("inf")
            await self._hedge()
        else:
            until_s = min(self._ends_s, self._next_s, self._hedge_s)
            await asyncio.wait(
                [self._waits[one.sent.agent_id] for one in waiting],
                timeout=max(0.0, until_s - now),
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _ask(self, decision: Decision, *, is_first: bool = False) -> None:
        """Send it to one agent; one that there is no way to has failed."""
        (agent_id,) = decision.targets
        left = self._patience.attempts - self._retries
        now = time.monotonic()
        share_s = max(0.0, self._ends_s - now) / max(1, left)
        sent = self._desk.sent(
            agent_id, self._message, decision.rule.name, is_first=is_first
        )
        attempt = Attempt(self._desk, sent, share_s)
        self._attempts.append(attempt)
        copy = copy_for(self._message, agent_id, next(self._numbers))
        try:
            [answer] = await asyncio.to_thread(self._messages.ask, [copy])
        except (UnknownRecipient, NoHandler) as exc:
            attempt.failed(exc)
            return
        attempt.awaits(answer)
        # After the attempt's own callback, so that it knows when this one is done.
        self._waits[agent_id] = asyncio.wrap_future(answer)
        self._next_s = now + share_s if left > 1 else float("inf")
        if is_first and self._patience.hedges:
            delay_s = self._desk.hedge_after_s(self._message)
            if delay_s is not None:
                self._hedge_s = now + delay_s

    async def _retry(self) -> bool:
        """Ask another agent, if there is one and the budget has it."""
        if self._retries + 1 >= self._patience.attempts:
            return False
        # Where the last one was not even sent to, this is no second time.
        if self._attempts[-1].answer is not None and not self._desk.may_retry():
            return False
        decision = self._another("retried")
        if decision is None:
            return False
        for one in self._attempts:
            if one.is_open:
                one.settle(ok=False)  # its share of the time is over
        self._retries += 1
        await self._ask(decision)
        return True

    async def _hedge(self) -> None:
        if self._desk.may_hedge():
            decision = self._another("hedged")
            if decision is not None:
                self._hedges += 1
                until_s = self._next_s
                await self._ask(decision)
                self._next_s = until_s

    def _another(self, status: str) -> Decision | None:
        """Decide anew, without those that have been asked."""
        begin = time.perf_counter()
        tried = frozenset(one.sent.agent_id for one in self._attempts)
        try:
            decision = self._desk.decide(self._message, tried)
        except RoutingError:
            return None
        took_ms = 1_000 * (time.perf_counter() - begin)
        self._desk.metrics.note(decision.strategy, took_ms, status)
        return decision

    def _last_error(self) -> Exception:
        errors = [one.error for one in self._attempts if one.error is not None]
        if not errors:
            return self._too_late()
        last = errors[-1]
        is_at_end = time.monotonic() >= self._ends_s - _ABOUT_S
        if is_at_end and isinstance(last, AgentError) and last.error_type == _TIMEOUT:
            return self._too_late()  # the agent has noticed it a moment earlier
        return last

    def _too_late(self) -> RequestTimedOut:
        for one in self._attempts:
            if one.is_open:
                one.settle(ok=False)
        told = ", ".join(
            f"{one.sent.agent_id} ({one.error or 'no answer'})"
            for one in self._attempts
        )
        return RequestTimedOut(
            f"request {self._message.message_id} to {self._message.recipient_id!r} was "
            f"not answered by its deadline: {told}; whether those without an answer "
            "did anything is unknown",
            self._message.message_id,
        )

    def _let_trail(self) -> None:
        """Hear of the others' answers until the deadline: something is learned."""
        for one in self._attempts:
            if one.is_open and one.answer is not None:
                self._trail.add(self._ends_s, one.answer, one)
