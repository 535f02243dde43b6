"""How loaded agents are: what they last reported, and what was sent to them since.

A report is old as soon as it is read: others route by the same one, and who all send
to the agent that looks idle make it the busiest. So each message that this router sends
counts as many times as there are routers, until the agent's next report.

The load of an agent is weighted of its queue by its capacity, its response time and its
error rate: 0.0 is idle. A report counts for ``stale_after_s`` and no longer, whatever
others have reported since: between an old one and a new one the agent that reported
last would look idle, and everybody would send to it. Sends to an agent that reports
nothing fade by half each ``half_life_s``, so that one that is new here is not flooded
to catch up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["AgentLoad", "LoadPolicy", "Loads", "Report"]

_TICK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy:
    """How loads are reckoned.

    Attributes:
        queue_weight: Of queue by capacity.
        response_weight: Of response time by ``response_scale_ms``.
        error_weight: Of the error rate.
        response_scale_ms: The response time that counts as 1.0, milliseconds.
        default_capacity: Of an agent that did not say how much it takes at once.
        half_life_s: In which time sends to an agent without reports count half.
        stale_after_s: After how long without a report an agent's load is not gone by;
            that is looked at once a second.
    """

    queue_weight: float = 0.6
    response_weight: float = 0.2
    error_weight: float = 0.2
    response_scale_ms: float = 2_000.0
    default_capacity: int = 10
    half_life_s: float = 10.0
    stale_after_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent says of its load.

    Attributes:
        queue_size: Messages that it has and has not finished.
        response_time_ms: Of late, milliseconds.
        error_rate: Of late, from 0.0 to 1.0.
    """

    queue_size: float = 0.0
    response_time_ms: float = 0.0
    error_rate: float = 0.0


class AgentLoad:
    """One agent's load; strategies read ``score``, which each send raises.

    Attributes:
        agent_id: Whose it is.
        base: The load it reported.
        step: What one more message adds to the load.
        sent: Messages that this router has sent since the report.
        score: ``base`` and ``sent`` as far as they are known to count, in one number.
        told_at: When it reported, seconds; None: never.
        is_fresh: Whether that is gone by; ``tick`` sees to it.
    """

    __slots__ = (
        "agent_id",
        "base",
        "is_fresh",
        "raise_by",
        "score",
        "sent",
        "step",
        "told_at",
    )

    def __init__(self, agent_id: str, step: float, raise_by: float) -> None:
        self.agent_id = agent_id
        self.base = 0.0
        self.step = step
        self.raise_by = raise_by  # step times the number of routers
        self.sent = 0.0
        self.score = 0.0
        self.told_at: float | None = None
        self.is_fresh = False


class Loads:
    """The loads that one router knows of.

    Args:
        policy: How they are reckoned.
        routers: How many routers send to the same agents, this one included.

    Attributes:
        policy: How they are reckoned.
        fresh_until: From then on no agent's report is gone by, seconds.
        old: How many agents have no report that is gone by: while it is none, nobody
            has to look at each of them.
        next_tick: When ``tick`` is due, seconds.
    """

    def __init__(self, policy: LoadPolicy | None = None, *, routers: int = 1) -> None:
        self.policy = policy or LoadPolicy()
        self.fresh_until = float("-inf")
        self.next_tick = float("-inf")
        self.old = 0
        self._routers = max(1, routers)
        self._agents: dict[str, AgentLoad] = {}
        self._ticked_at: float | None = None

    @property
    def routers(self) -> int:
        """How many routers send to the same agents; counts from the next send on."""
        return self._routers

    @routers.setter
    def routers(self, count: int) -> None:
        self._routers = max(1, count)
        for load in self._agents.values():
            load.raise_by = load.step * self._routers

    def __iter__(self) -> Iterator[AgentLoad]:
        return iter(tuple(self._agents.values()))

    def of(self, agent_id: str) -> AgentLoad:
        """Return an agent's load; it stays the same object until it is forgotten."""
        load = self._agents.get(agent_id)
        if load is None:
            step = self._step(None)
            load = AgentLoad(agent_id, step, step * self._routers)
            self._agents[agent_id] = load
            self.old += 1
        return load

    def tell(
        self,
        agent_id: str,
        report: Report,
        *,
        at: float,
        capacity: int | None = None,
    ) -> None:
        """Take over what an agent has reported; what was sent before is in it."""
        load, policy = self.of(agent_id), self.policy
        load.step = self._step(capacity)
        load.raise_by = load.step * self._routers
        load.base = load.score = (
            load.step * report.queue_size
            + policy.response_weight
            * (report.response_time_ms / policy.response_scale_ms)
            + policy.error_weight * report.error_rate
        )
        load.sent = 0.0
        load.told_at = at
        until = at + policy.stale_after_s
        self._judge(load, is_fresh=self._ticked_at is None or self._ticked_at <= until)
        self.fresh_until = max(self.fresh_until, until)

    def answered(self, agent_id: str) -> None:
        """Note that an agent is done with a message that it got from here.

        That counts as long as it reports nothing itself: in a report it is already.
        """
        load = self._agents.get(agent_id)
        if load is not None and load.told_at is None and load.sent:
            left = max(load.sent - 1.0, 0.0)
            load.score = load.base + (load.score - load.base) * left / load.sent
            load.sent = left

    def forget(self, agent_id: str) -> None:
        """Let go of an agent that is there no more."""
        load = self._agents.pop(agent_id, None)
        if load is not None and not load.is_fresh:
            self.old -= 1

    def tick(self, now: float) -> None:
        """Let old reports go, and sends fade to agents silent for a half-life.

        The router calls it at ``next_tick``, about once a second.
        """
        before, self._ticked_at = self._ticked_at, now
        self.next_tick = now + _TICK_S
        fresh_since = now - self.policy.stale_after_s
        for load in tuple(self._agents.values()):
            is_fresh = load.told_at is not None and load.told_at >= fresh_since
            self._judge(load, is_fresh=is_fresh)
        half_life = self.policy.half_life_s
        if before is None or now <= before:
            return
        left = 0.5 ** ((now - before) / half_life)
        silent_since = now - half_life
        for load in tuple(self._agents.values()):
            if load.sent and (load.told_at is None or load.told_at < silent_since):
                load.sent *= left
                load.score = load.base + (load.score - load.base) * left

    def _judge(self, load: AgentLoad, *, is_fresh: bool) -> None:
        self.old += load.is_fresh - is_fresh
        load.is_fresh = is_fresh

    def _step(self, capacity: int | None) -> float:
        if capacity is None or capacity < 1:
            capacity = self.policy.default_capacity
        return self.policy.queue_weight / capacity
