"""Messages in memory: sent as ``StepSender`` sends them, and as unreliable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestration.adapters.celery_bus import hint_for
from orchestration.contracts import Hint, StepMessage
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.model import Direction
from orchestration.core.saga.view import SagaView
from orchestration.testing.clock import FakeClock
from orchestration.testing.mishaps import Chance

__all__ = ["MemoryQueue", "Message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A task on its way, with the rest of its chain.

    Attributes:
        direction: What a step's task is for; None: the saga is to be looked after.
        step: The step's task, if it is one.
        attempt: The attempt it was sent for.
        not_before: When it may be delivered.
    """

    saga_id: str
    direction: Direction | None = None
    step: StepMessage | None = None
    attempt: int = 0
    hint: Hint | None = None
    tail: tuple[Message, ...] = ()
    not_before: datetime

    @property
    def label(self) -> tuple[str, str, str, int]:
        """What tells it from others: saga, step, direction, attempt."""
        name = self.step["step"] if self.step else ""
        return self.saga_id, name, str(self.direction or "attend"), self.attempt


class MemoryQueue:
    """Carries messages to workers; it may lose, double and delay them.

    Attributes:
        messages: Those on their way.
        sent: All that were ever sent, the lost ones among them.
    """

    def __init__(self, clock: FakeClock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance
        self.messages: list[Message] = []
        self.sent: list[Message] = []

    def send(self, decision: Decision) -> None:
        """Send what a decision names."""
        view = decision.view
        for line in decision.lines:
            self.put(self._line(view, line, decision.direction))
        for name in decision.probes:
            self.put(self._line(view, (name,), Direction.PROBE))
        if decision.attends:
            if not view.state.is_over:
                self.attend([view.saga_id])
            if view.parent is not None and view.state.is_final:
                self.attend([view.parent.saga_id])

    def attend(self, saga_ids: Iterable[str]) -> None:
        """Have sagas looked after that wait for locks, or for other sagas."""
        for saga_id in saga_ids:
            self.put(Message(saga_id=saga_id, not_before=self._clock.now()))

    def put(self, message: Message) -> None:
        """Send one message."""
        self.sent.append(message)
        chance, mishaps = self._chance, self._chance.mishaps
        if chance.happens(mishaps.repeat):
            late = replace(message, not_before=self._clock.now() + chance.wait())
            self.messages.append(late)
        if chance.happens(mishaps.lose):
            return
        if chance.happens(mishaps.delay):
            message = replace(message, not_before=self._clock.now() + chance.wait())
        self.messages.append(message)

    def has_ripe(self) -> bool:
        """Whether there is a message whose time has come."""
        now = self._clock.now()
        return any(message.not_before <= now for message in self.messages)

    def take(self) -> Message:
        """Return a message whose time has come; there must be one."""
        now = self._clock.now()
        ripe = [at for at, m in enumerate(self.messages) if m.not_before <= now]
        return self.messages.pop(ripe[self._chance.pick(len(ripe))])

    def _line(
        self, view: SagaView, names: Sequence[str], direction: Direction
    ) -> Message:
        first, *rest = (self._step(view, name, direction) for name in names)
        hint = hint_for(view, names[0], direction, self._clock.now())
        return replace(first, hint=hint, tail=tuple(rest))

    def _step(self, view: SagaView, name: str, direction: Direction) -> Message:
        definition, agent_id = view.plan.by_name[name], view.agent_of(name)
        return Message(
            saga_id=view.saga_id,
            direction=direction,
            step=StepMessage(
                saga_id=view.saga_id,
                step=name,
                agent_id=agent_id,
                action=definition.target(direction) or "",
                timeout_ms=view.plan.limit_ms(name),
            ),
            attempt=view.phase(name, direction).attempt + 1,
            not_before=self._clock.now(),
        )
