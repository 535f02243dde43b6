"""Messages that are routed and sent: to one agent, to others if it fails, or to all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from orchestration.core.messaging.model import Message, MessageType
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.dispatch import DispatchResult, copy_for
from orchestration.core.routing.model import RoutingStrategy
from orchestration.core.routing.split import Mirror
from orchestration.engine.attempt import Attempt, Trail
from orchestration.engine.messaging import MessageDesk
from orchestration.engine.requesting import Course, Patience
from orchestration.engine.routing import RouteDesk
from orchestration.errors import (
    MessageError,
    NoHandler,
    RoutingError,
    TransportError,
    UnknownRecipient,
)

__all__ = ["Dispatcher", "Patience"]

_LOG = logging.getLogger(__name__)
_AT_ONCE = 500  # messages of a broadcast, so that one that fails costs few others
_BROADCAST = RoutingStrategy.BROADCAST


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends what one router has decided.

    Attributes:
        desk: Decides, and learns how it went.
        messages: Where messages go out, and answers come in.
        trail: Answers that nobody waits for any more.
    """

    desk: RouteDesk
    messages: MessageDesk
    trail: Trail = field(default_factory=Trail)

    async def dispatch(
        self, message: Message, decision: Decision, patience: Patience
    ) -> DispatchResult:
        """Send a message where it was decided to go; await the answer to a REQUEST.

        Raises:
            MessageError: It cannot be sent, or was not answered well in time.
            TransportError: The broker did not confirm it.
        """
        began_s = time.monotonic()
        self.trail.sweep(began_s)
        if message.message_type is not MessageType.REQUEST:
            return await asyncio.to_thread(self.send, message, decision)
        timed = self.messages.timed(message, patience.timeout_ms)
        loop = asyncio.get_running_loop()
        copy = self._mirror_copy(timed, decision)
        if copy is not None:
            # Not waited for: it must cost the message nothing.
            loop.run_in_executor(None, self._send_copy, copy)
        mirrored_to = "" if copy is None else copy.recipient_id
        if decision.rule.strategy == _BROADCAST:
            return await self._ask_all(timed, decision, began_s, mirrored_to)
        course = Course(self.desk, self.messages, self.trail, timed, decision, patience)
        return await course.run(began_s, mirrored_to)

    def send(self, message: Message, decision: Decision) -> DispatchResult:
        """Send a message whose answer nobody awaits; return when the broker has it.

        Raises:
            MessageError: It cannot be sent.
            TransportError: The broker did not confirm it.
        """
        began_s = time.monotonic()
        if decision.rule.strategy == _BROADCAST:
            errors = self._send_all(message, decision.targets)
        else:
            decision, errors = self._send_to_one(message, decision)
        copy = self._mirror_copy(message, decision)
        if copy is not None:
            self._send_copy(copy)
        return DispatchResult(
            message_id=message.message_id,
            rule=decision.rule.name,
            targets=tuple(one for one in decision.targets if one not in errors),
            errors=errors,
            acked=len(decision.targets) - len(errors.keys() & {*decision.targets}),
            mirrored_to="" if copy is None else copy.recipient_id,
            took_ms=1_000 * (time.monotonic() - began_s),
        )

    def _send_to_one(
        self, message: Message, decision: Decision
    ) -> tuple[Decision, dict[str, str]]:
        """Send it to the first agent that there is a way to; return which that was."""
        errors: dict[str, str] = {}
        while True:
            (agent_id,) = decision.targets
            sent = self.desk.sent(
                agent_id, message, decision.rule.name, is_awaited=False
            )
            try:
                self.messages.send([copy_for(message, agent_id)], routed=True)
            except (UnknownRecipient, NoHandler) as exc:
                errors[agent_id] = str(exc)
                self.desk.ended(sent, ok=False, timeout_s=0.0)
                try:
                    decision = self.desk.decide(message, frozenset(errors))
                except RoutingError:
                    raise exc from None
            else:
                return decision, errors

    def _send_all(self, message: Message, agent_ids: Sequence[str]) -> dict[str, str]:
        """Send a copy to each; return what went wrong with whom."""
        errors: dict[str, str] = {}
        copies = [copy_for(message, one, nth) for nth, one in enumerate(agent_ids)]
        for at in range(0, len(copies), _AT_ONCE):
            some = copies[at : at + _AT_ONCE]
            try:
                self.messages.send(some, routed=True)
            except (MessageError, TransportError):
                # Who it was is not told. A copy that comes twice has the same id.
                errors |= self._send_each(some)
        return errors

    def _send_each(self, copies: Sequence[Message]) -> dict[str, str]:
        errors = {}
        for copy in copies:
            try:
                self.messages.send([copy], routed=True)
            except (MessageError, TransportError) as exc:
                errors[copy.recipient_id] = str(exc)
        return errors

    async def _ask_all(
        self, message: Message, decision: Decision, began_s: float, mirrored_to: str
    ) -> DispatchResult:
        """Ask each of a broadcast's agents; return who answered until the deadline."""
        left_s = self.messages.left_s(message) or 0.0
        attempts = await asyncio.to_thread(self._asked, message, decision, left_s)
        waiting = [
            asyncio.wrap_future(one.answer)
            for one in attempts
            if one.answer is not None
        ]
        if waiting:
            left_s = self.messages.left_s(message) or 0.0
            _, late = await asyncio.wait(waiting, timeout=left_s)
            for answer in late:
                answer.cancel()
        for one in attempts:
            if one.reply is None and one.error is None:
                one.settle(ok=False)
        named = {one.sent.agent_id: one for one in attempts}
        replies = {name: one.reply for name, one in named.items() if one.reply}
        return DispatchResult(
            message_id=message.message_id,
            rule=decision.rule.name,
            targets=decision.targets,
            replies=replies,
            errors={
                name: "it did not answer in time"
                if one.error is None
                else str(one.error)
                for name, one in named.items()
                if name not in replies
            },
            acked=len(replies),
            mirrored_to=mirrored_to,
            took_ms=1_000 * (time.monotonic() - began_s),
        )

    def _asked(
        self, message: Message, decision: Decision, timeout_s: float
    ) -> list[Attempt]:
        attempts = []
        for nth, agent_id in enumerate(decision.targets):
            sent = self.desk.sent(agent_id, message, decision.rule.name)
            attempt = Attempt(self.desk, sent, timeout_s)
            attempts.append(attempt)
            try:
                copy = copy_for(message, agent_id, nth)
                [answer] = self.messages.ask([copy], group_id=message.message_id)
            except (MessageError, TransportError) as exc:
                attempt.failed(exc)
            else:
                attempt.awaits(answer)
        return attempts

    def _mirror_copy(self, message: Message, decision: Decision) -> Message | None:
        rule = decision.rule
        if rule.mirror is None:
            return None
        mirror = Mirror(name=rule.name, target=rule.mirror, share=rule.mirror_share)
        return mirror.copy_of(message)

    def _send_copy(self, copy: Message) -> None:
        """Send a mirror's copy; that it fails is no concern of the message."""
        try:
            if copy.message_type is MessageType.REQUEST and copy.deadline_ms:
                # Awaited by nobody, but so that an agent which fails at it neither
                # gets it again nor leaves a dead letter.
                [answer] = self.messages.ask([copy])
                self._drop(copy, answer)
            else:
                self.messages.send([copy], routed=True)
        except (MessageError, TransportError) as exc:
            _LOG.warning("a mirror's copy was not sent: %s", exc)

    def _drop(self, copy: Message, answer: Future[Message]) -> None:
        left_s = self.messages.left_s(copy) or 0.0
        self.trail.add(time.monotonic() + left_s, answer)
