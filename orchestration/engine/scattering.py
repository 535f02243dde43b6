"""One scatter on its way: what is sent, what comes back, and when that is enough.

What each event means is decided by ``core.routing.gather``; here they happen, in
whatever thread they do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from uuid import uuid4

from orchestration.core.messaging.delivery import ACTION_HEADER
from orchestration.core.messaging.listening import MESSAGE_LISTENER
from orchestration.core.messaging.model import Message, MessageType
from orchestration.core.routing.gather import Asked, Gather, ScatterResult
from orchestration.core.routing.scatter_plan import ScatterPlan
from orchestration.engine.hedger import Hedger, spare_for
from orchestration.engine.messaging import MessageDesk, answered
from orchestration.errors import (
    AgentError,
    MessageExpired,
    NoHandler,
    TransportError,
    UnknownRecipient,
)

__all__ = ["Scattering"]

Change = Callable[[Gather, float], Gather]


class Scattering:
    """One scatter on its way; every method may be called from any thread.

    Args:
        plan: What to ask of whom.
        request: What is asked; each target gets a copy with an id of its own.
        desk: Where requests go out, and answers come in.
        began_s: When it began, by ``time.monotonic``.
        heard: Told of each reply what it was: ``ok``, ``error``, ``late`` or
            ``duplicate``.
        hedger: Lets slow requests be sent once more; None: none is.
        spares: Who may get those; none: another worker of the target's pool.

    Attributes:
        done: How it went, once it is over. What could not even begin is its error.
    """

    def __init__(
        self,
        plan: ScatterPlan,
        request: Message,
        desk: MessageDesk,
        *,
        began_s: float,
        heard: Callable[[str], None],
        hedger: Hedger | None = None,
        spares: Sequence[str] = (),
    ) -> None:
        self.done: Future[ScatterResult] = Future()
        self._request = request
        self._desk = desk
        self._began_s = began_s
        self._heard = heard
        self._deadline_ms = desk.now_ms() + plan.timeout_ms
        self._group_id = str(uuid4())
        self._gather = Gather(plan=plan)
        self._open: dict[str, Future[Message]] = {}
        self._sending = 1  # calls of ``begin`` and ``hedge`` that are not over
        self._lock = threading.Lock()
        self._hedger = hedger
        self._spares = spares
        delay_s = hedger.delay_s(request.recipient_id) if hedger else None
        self._hedge_at_ms = None if delay_s is None else 1_000 * delay_s

    @property
    def at_ms(self) -> float:
        """How long ago it began, milliseconds."""
        return 1_000 * (time.monotonic() - self._began_s)

    @property
    def wait_s(self) -> float:
        """How long until there may be something to do, seconds."""
        due_ms: float = self._gather.plan.timeout_ms
        if self._hedge_at_ms is not None:
            due_ms = min(due_ms, self._hedge_at_ms)
        return max(0.0, due_ms - self.at_ms) / 1_000

    def takes_hedge(self) -> bool:
        """Tell, once, that it is time for ``hedge``."""
        due_ms = self._hedge_at_ms
        if due_ms is None or self.at_ms < due_ms or self.done.done():
            return False
        self._hedge_at_ms = None
        with self._lock:
            self._sending += 1
        return True

    def begin(self) -> None:
        """Ask every target; what comes back meanwhile counts already."""
        targets = self._gather.plan.targets
        try:
            self._refuse_strangers([*targets, *self._spares])
            self._send([self._copy(place, one) for place, one in enumerate(targets)])
        except Exception as exc:  # noqa: BLE001  handed to who waits in another thread
            with suppress(InvalidStateError):  # it may be over
                self.done.set_exception(exc)
        finally:
            self._has_sent()

    def hedge(self) -> None:
        """Ask once more, in place of each target that has not answered yet."""
        plan, hedger = self._gather.plan, self._hedger
        slow = [
            self._copy(
                place, spare_for(plan.targets[place], nth, self._spares), is_hedge=True
            )
            for nth, place in enumerate(sorted(self._gather.pending))
            if hedger is not None and hedger.take()
        ]
        try:
            self._send(slow)
        finally:
            self._has_sent()

    def look(self) -> None:
        """End it if its time is over."""
        self._become(lambda gather, _: gather)

    def give_up(self) -> None:
        """End it because nobody waits any more; what comes from now on is late."""
        with self._lock:
            self._gather = _after_end(self._gather, self.at_ms)
        self.done.cancel()

    @property
    def is_awaiting(self) -> bool:
        """Whether replies may still come, also to what a slow broker takes later."""
        return bool(self._open) or self._sending > 0

    def let_go(self) -> None:
        """Wait no longer for replies that would be late anyhow."""
        for answer in [*self._open.values()]:
            answer.cancel()

    def _has_sent(self) -> None:
        with self._lock:
            self._sending -= 1

    def _copy(self, place: int, agent_id: str, *, is_hedge: bool = False) -> Asked:
        return Asked(
            request_id=str(uuid4()),
            place=place,
            agent_id=agent_id,
            at_ms=self.at_ms,
            is_hedge=is_hedge,
        )

    def _send(self, copies: Sequence[Asked]) -> None:
        self._become(lambda gather, _: gather.asking(copies))
        for copy in copies:
            if self.done.done():  # the broker was slow, and the end came first
                return
            if self._hedger is not None and not copy.is_hedge:
                self._hedger.sent()
            message = self._request.evolved(
                message_id=copy.request_id,
                recipient_id=copy.agent_id,
                message_type=MessageType.REQUEST,
                causation_id=self._request.message_id,
                deadline_ms=self._deadline_ms,
            )
            try:
                (answer,) = self._desk.ask([message], group_id=self._group_id)
            except (TransportError, MessageExpired) as exc:
                self._fail(copy.request_id, str(exc))
            else:
                self._open[copy.request_id] = answer
                answer.add_done_callback(partial(self._hear, copy))

    def _hear(self, copy: Asked, answer: Future[Message]) -> None:
        request_id = copy.request_id
        self._open.pop(request_id, None)
        if answer.cancelled():
            return
        if self._hedger is not None and not copy.is_hedge:
            kind = self._request.recipient_id
            self._hedger.learned(kind, (self.at_ms - copy.at_ms) / 1_000)
        try:
            value = dict(answered(answer.result()).payload)
        except AgentError as exc:
            self._fail(request_id, f"{exc.error_type}: {exc.error_text}")
        except TransportError as exc:
            self._fail(request_id, str(exc))
        else:
            self._become(lambda now, at_ms: now.answered(request_id, value, at_ms))

    def _fail(self, request_id: str, error: str) -> None:
        self._become(lambda now, at_ms: now.failed(request_id, error, at_ms))

    def _refuse_strangers(self, agent_ids: Sequence[str]) -> None:
        """Refuse all that cannot be asked at once, before any of them is asked."""
        wanted = self._request.headers.get(ACTION_HEADER, MESSAGE_LISTENER)
        known = self._desk.announcements
        lacking = [one for one, _ in known.unknown((one, wanted) for one in agent_ids)]
        if not lacking:
            return
        own_id = self._request.message_id
        if strangers := [one for one in lacking if not known.knows(one)]:
            raise UnknownRecipient(
                f"message {own_id}: no worker has ever announced "
                f"{', '.join(strangers)}: start one that imports their modules, "
                "or correct the names",
                own_id,
            )
        raise NoHandler(
            f"message {own_id}: {', '.join(lacking)} cannot take it ({wanted}): add "
            "@agent.on_message, or name one of their actions in the header 'action'",
            own_id,
        )

    def _become(self, change: Change) -> None:
        """Let something happen, and end it if that was enough."""
        with self._lock:
            before, at_ms = self._gather, self.at_ms
            after = change(before, at_ms)
            end = None if before.ended_at_ms is not None else after.end_at(at_ms)
            self._gather = after if end is None else _after_end(after, at_ms)
        for outcome in _outcomes(before, after):
            self._heard(outcome)
        if end is not None:
            self._finish(ScatterResult.of(after, end, at_ms))

    def _finish(self, result: ScatterResult) -> None:
        with suppress(InvalidStateError):  # who waited has gone
            self.done.set_result(result)


def _after_end(gather: Gather, at_ms: float) -> Gather:
    """Return an ended scatter without what only its result needs: it may be large."""
    return replace(gather.ended(at_ms), answers=(), failures=(), votes={})


def _outcomes(before: Gather, after: Gather) -> list[str]:
    counts = (
        ("ok", len(after.answers) - len(before.answers)),
        ("error", len(after.failures) - len(before.failures)),
        ("late", len(after.late) - len(before.late)),
        ("duplicate", after.duplicates - before.duplicates),
    )
    return [outcome for outcome, more in counts if more]
