"""Which target will answer first, by what was learned of each and what it has to do."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from orchestration.core.messaging.model import Message
from orchestration.core.routing.bounds import above, between, refuse

__all__ = ["InLine", "Predictor", "PredictorSettings", "kind_of"]

_UNKNOWN_S: Final = 1e-9


class InLine(Protocol):
    """An agent, and the load on it."""

    @property
    def agent_id(self) -> str:
        """Its id."""

    @property
    def score(self) -> float:
        """Its load, with what was sent to it since it reported."""

    @property
    def step(self) -> float:
        """What one message in line adds to its load; above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorSettings:
    """How latencies are learned.

    Attributes:
        memory_s: A latency learned so long ago weighs 37 % beside a new one.
        forget_s: A target that was not called for so long is 63 % on its way back to
            what is typical of its kind: it gets calls again, and may have recovered.
        max_known: Pairs of target and kind that are learned of; beyond them the one
            that was learned of first is dropped.
    """

    memory_s: float = 5.0
    forget_s: float = 60.0
    max_known: int = 100_000

    def __post_init__(self) -> None:
        refuse(
            self,
            above("memory_s", self.memory_s),
            above("forget_s", self.forget_s),
            between("max_known", self.max_known, 1),
        )


class Predictor:
    """Learns how long each target takes for each kind of message.

    What is learned is the time per call in line: a call that found three before it
    and took four times as long tells the same of its target as one that found none.
    The prediction is that time, once for each call in line and once for the new one.
    Who is not known counts as typical of its kind, and who was left alone for long
    more and more so: that is how slow ones are tried again.

    Not thread-safe: ``learned`` and ``forget`` go under one lock of the caller, the
    rest may run beside them. ``now_s`` is seconds of any one clock that does not go
    back.
    """

    __slots__ = ("_known", "_settings", "_typical")

    def __init__(self, settings: PredictorSettings | None = None) -> None:
        self._settings = settings or PredictorSettings()
        self._known: dict[tuple[str, str], _Learned] = {}
        self._typical: dict[str, _Learned] = {}

    def learned(
        self, target: str, kind: str, *, latency_s: float, load: float, now_s: float
    ) -> None:
        """Learn from one answer.

        Args:
            target: Who answered.
            kind: Of the message, such as its type.
            latency_s: From the send to the answer, seconds; a failed call counts with
                its timeout, or the target that fails fastest looks best.
            load: Calls in line when it was sent: ``score / step``.
            now_s: The time.
        """
        each_s = latency_s / (load + 1)
        key = (target, kind)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._settings.max_known:
                del self._known[next(iter(self._known))]
            known = self._known[key] = _Learned(each_s, now_s)
        typical = self._typical.get(kind)
        if typical is None:
            typical = self._typical[kind] = _Learned(each_s, now_s)
        known.learn(each_s, now_s, self._settings.memory_s)
        typical.learn(each_s, now_s, self._settings.memory_s)

    def forget(self, targets: Collection[str]) -> None:
        """Drop what is known of targets that are gone.

        Of all of them at once, since it looks at every pair. A set is fastest.
        """
        for key in [key for key in self._known if key[0] in targets]:
            del self._known[key]

    def each_s(self, target: str, kind: str, *, now_s: float) -> float:
        """Return the time that the target is thought to take per call, seconds.

        0.0 while nothing is known of the kind.
        """
        typical = self._typical.get(kind)
        if typical is None:
            return 0.0
        known = self._known.get((target, kind))
        if known is None:
            return typical.each_s
        idle_s = max(now_s - known.at_s, 0.0)
        sure = math.exp(-idle_s / self._settings.forget_s)
        return typical.each_s + (known.each_s - typical.each_s) * sure

    def cost(self, agent: InLine, message: Message, now: float) -> float:
        """Return how long an agent is thought to take for a message, seconds.

        The strategy compares this among some candidates, and the least one is picked.
        """
        each_s = self.each_s(agent.agent_id, kind_of(message), now_s=now)
        # The small addend lets loads decide while nothing is learned.
        return (each_s + _UNKNOWN_S) * (agent.score / agent.step + 1)


def kind_of(message: Message) -> str:
    """Return what a message's latency goes by: its type, and the task that it names."""
    task = message.payload.get("task_type")
    if isinstance(task, str):
        return f"{message.message_type}:{task}"
    return str(message.message_type)


class _Learned:
    """A mean in which new samples weigh more the longer the last one is ago."""

    __slots__ = ("at_s", "each_s")

    def __init__(self, each_s: float, at_s: float) -> None:
        self.each_s = each_s
        self.at_s = at_s

    def learn(self, each_s: float, now_s: float, memory_s: float) -> None:
        passed_s = max(now_s - self.at_s, 0.0)
        weight = 1 - math.exp(-passed_s / memory_s)
        self.each_s += (each_s - self.each_s) * weight
        self.at_s = max(self.at_s, now_s)
