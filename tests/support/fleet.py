"""Agents with queues, and routers that see them late: on a clock that only counts.

Each agent serves one call at a time, in order. Routers see queues as a snapshot that is
taken now and then, plus what they sent since, once for each router.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

__all__ = ["Agent", "Answer", "Fleet", "Router", "percentile", "steady"]


def steady(mean_s: float) -> Callable[[float], float]:
    """Return a mean service time that never changes."""
    return lambda _now_s: mean_s


@dataclass(slots=True)
class Agent:
    """One agent: how long it takes on average, and its calls in line."""

    name: str
    mean_s: Callable[[float], float]
    in_line: int = 0
    free_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a router hears of one call."""

    target: str
    sent_s: float
    latency_s: float
    load: float


class Router:
    """Picks a target for each call; this one compares the loads of four."""

    def __init__(self, names: Sequence[str], *, routers: int, rng: Random) -> None:
        self.names = names
        self.routers = routers
        self.rng = rng
        self.seen: dict[str, int] = dict.fromkeys(names, 0)
        self.since: dict[str, int] = dict.fromkeys(names, 0)

    def load(self, name: str) -> float:
        return self.seen[name] + self.routers * self.since[name]

    def pick(self, now_s: float) -> str:  # noqa: ARG002  who learns asks for it
        sample = [self.names[int(self.rng.random() * len(self.names))] for _ in "1234"]
        return min(sample, key=self.load)

    def heard(self, answer: Answer, now_s: float) -> None:
        """Learn from an answer; loads alone need none."""


@dataclass(slots=True)
class Fleet:
    """Agents under calls that come at random, at a mean rate.

    Attributes:
        agents: Who serves.
        calls_per_s: Of all routers together.
        snapshot_s: How often the routers see the queues.
    """

    agents: Sequence[Agent]
    calls_per_s: float
    snapshot_s: float
    rng: Random
    _open: list[tuple[float, int, int, Answer]] = field(default_factory=list)

    def run(self, routers: Sequence[Router], seconds: float) -> list[Answer]:
        """Let calls come for a while; return all answers, in order of their calls."""
        by_name = {agent.name: agent for agent in self.agents}
        answers: list[Answer] = []
        now_s, next_snapshot_s = 0.0, 0.0
        while (now_s := now_s + self.rng.expovariate(self.calls_per_s)) < seconds:
            while next_snapshot_s <= now_s:
                self._finish(routers, by_name, next_snapshot_s)
                for router in routers:
                    router.seen = {each.name: each.in_line for each in self.agents}
                    router.since = dict.fromkeys(router.since, 0)
                next_snapshot_s += self.snapshot_s
            self._finish(routers, by_name, now_s)
            asked = int(self.rng.random() * len(routers))
            router = routers[asked]
            name = router.pick(now_s)
            load = router.load(name)
            router.since[name] += 1
            agent = by_name[name]
            mean_s = agent.mean_s(now_s)
            done_s = max(agent.free_s, now_s) + self.rng.expovariate(1 / mean_s)
            agent.free_s = done_s
            agent.in_line += 1
            answer = Answer(name, now_s, done_s - now_s, load)
            heapq.heappush(self._open, (done_s, len(answers), asked, answer))
            answers.append(answer)
        return answers

    def _finish(
        self, routers: Sequence[Router], by_name: dict[str, Agent], now_s: float
    ) -> None:
        while self._open and self._open[0][0] <= now_s:
            done_s, _, asked, answer = heapq.heappop(self._open)
            by_name[answer.target].in_line -= 1
            routers[asked].heard(answer, done_s)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the others stays below."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
