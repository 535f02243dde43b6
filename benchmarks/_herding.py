"""Routers that go by old loads, simulated: how long messages wait by which policy.

Eight routers send to the same agents. Messages arrive as a Poisson process at 70 % of
what the agents can do; each agent does one after the other, in exponential time. All
routers see the same snapshot of the agents' queues, taken once a second. With a service
time of 50 ms it is up to 20 service times old, with one of 1 s it is fresh. Agents that
send heartbeats instead report one after the other, each once in 30 seconds.

Times are told in service times. The product's own ``Router`` decides; the peers are
round robin of each router, and the least loaded by the snapshot, as it is widely done.
"""

from __future__ import annotations

import heapq
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestration.core.messaging.model import Message
from orchestration.core.registry.model import AgentStatus
from orchestration.core.routing.loads import LoadPolicy, Loads, Report
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.ports import AgentView
from orchestration.core.routing.router import Router
from orchestration.core.routing.table import RouteTable

__all__ = ["Fleet", "Outcome", "Scene", "mean_outcome", "simulate"]

MESSAGE = Message(sender_id="a", recipient_id="b", message_type="REQUEST")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is simulated.

    Attributes:
        service_s: The mean service time, seconds.
        agents: How many there are.
        routers: How many send to them.
        utilisation: Of the agents, 0.0 to 1.0.
        refresh_s: How often each agent reports, seconds.
        groups: How many groups of agents report one after the other within that; 1:
            all at once, a snapshot.
        length: How long, service times; the first tenth does not count.
        seed: Of all dice.
    """

    service_s: float
    agents: int = 100
    routers: int = 8
    utilisation: float = 0.7
    refresh_s: float = 1.0
    groups: int = 1
    length: float = 600.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the messages.

    Attributes:
        p99: Time that 99 % of the messages took at most, service times.
        mean: Time that they took in the mean, service times.
        peak: The longest queue of an agent.
        shares: How much of all messages each agent got.
    """

    p99: float
    mean: float
    peak: float
    shares: tuple[float, ...] = ()


class Fleet:
    """Agents that all are well; a view for routers."""

    membership: int = 1

    def __init__(self, agent_ids: tuple[str, ...]) -> None:
        self._agents = {name: AgentView(name) for name in agent_ids}

    def agent(self, agent_id: str) -> AgentView | None:
        """Return one of them."""
        return self._agents.get(agent_id)

    def capable(self, capability: str) -> tuple[str, ...]:
        """Return all: each can do everything."""
        del capability
        return tuple(self._agents)

    def known(self) -> tuple[str, ...]:
        """Return all: each is well."""
        return tuple(self._agents)

    def live(self) -> tuple[str, ...]:
        """Return all: each is well."""
        return tuple(self._agents)

    def status(self, agent_id: str) -> AgentStatus:
        """Return how one of them stands."""
        return self._agents[agent_id].status


class Chooser(ABC):
    """One router of the simulation."""

    @abstractmethod
    def choose(self, now: float) -> int:
        """Return which agent gets the next message."""

    def refresh(  # noqa: B027  who goes by no reports has nothing to do
        self, queues: list[int], agents: range, now: float
    ) -> None:
        """Take over the reports of some agents."""


class ByRouter(Chooser):
    """The product."""

    def __init__(self, scene: Scene, strategy: RoutingStrategy, seed: int) -> None:
        names = tuple(f"agent-{i}" for i in range(scene.agents))
        self._names = names
        self._at = {name: at for at, name in enumerate(names)}
        rule = RouteRule("all", targets=names, strategy=strategy)
        self._table = RouteTable().with_rule(rule)
        self._router = Router(Loads(LoadPolicy(), routers=scene.routers))
        self._view = Fleet(names)
        self._rng = random.Random(seed)

    def choose(self, now: float) -> int:
        """Ask the router."""
        decision = self._router.decide(MESSAGE, self._table, self._view, self._rng, now)
        return self._at[decision.targets[0]]

    def refresh(self, queues: list[int], agents: range, now: float) -> None:
        """Report their queues."""
        for at in agents:
            report = Report(queues[at])
            self._router.loads.tell(self._names[at], report, at=now, capacity=1)


class LeastOfSnapshot(Chooser):
    """Pure least loaded: the shortest queue of the snapshot, ties by dice."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._least = list(range(scene.agents))
        self._known = [0] * scene.agents
        self._rng = random.Random(seed)

    def choose(self, now: float) -> int:
        """Return one of the least loaded."""
        del now
        return self._rng.choice(self._least)

    def refresh(self, queues: list[int], agents: range, now: float) -> None:
        """Find the least loaded."""
        del now
        for at in agents:
            self._known[at] = queues[at]
        least = min(self._known)
        self._least = [at for at, queue in enumerate(self._known) if queue == least]


Policy = Callable[[Scene, int], Chooser]

POLICIES: dict[str, Policy] = {
    "least loaded": lambda scene, seed: ByRouter(
        scene, RoutingStrategy.LEAST_LOADED, seed
    ),
    "round robin": lambda scene, seed: ByRouter(
        scene, RoutingStrategy.ROUND_ROBIN, seed
    ),
    "weighted random": lambda scene, seed: ByRouter(
        scene, RoutingStrategy.WEIGHTED_RANDOM, seed
    ),
    "pure least loaded": LeastOfSnapshot,
}


def simulate(scene: Scene, policy: str) -> Outcome:
    """Run one scene with one policy; the same arguments give the same outcome."""
    rng = random.Random(scene.seed)
    choosers = [
        POLICIES[policy](scene, scene.seed * 1_000 + at) for at in range(scene.routers)
    ]
    queues = [0] * scene.agents
    free_at = [0.0] * scene.agents
    counts = [0] * scene.agents
    ends: list[tuple[float, int]] = []
    times: list[float] = []
    peak, now, refresh_at, group = 0, 0.0, 0.0, 0
    end = scene.length * scene.service_s
    rate = scene.utilisation * scene.agents / scene.service_s
    while now < end:
        now += rng.expovariate(rate)
        while refresh_at <= now:
            _finish(ends, queues, refresh_at)
            for chooser in choosers:
                agents = range(group, scene.agents, scene.groups)
                chooser.refresh(queues, agents, refresh_at)
            refresh_at += scene.refresh_s / scene.groups
            group = (group + 1) % scene.groups
        _finish(ends, queues, now)
        agent = choosers[rng.randrange(scene.routers)].choose(now)
        done = max(now, free_at[agent]) + rng.expovariate(1.0 / scene.service_s)
        free_at[agent] = done
        heapq.heappush(ends, (done, agent))
        queues[agent] += 1
        counts[agent] += 1
        if now > end / 10:
            times.append((done - now) / scene.service_s)
            peak = max(peak, queues[agent])
    times.sort()
    return Outcome(
        times[int(0.99 * len(times))],
        sum(times) / len(times),
        peak,
        tuple(count / sum(counts) for count in counts),
    )


def mean_outcome(scene: Scene, policy: str, seeds: int) -> Outcome:
    """Return the mean of some runs that differ in their dice."""
    runs = [
        simulate(replace(scene, seed=scene.seed + more), policy)
        for more in range(seeds)
    ]
    return Outcome(
        sum(run.p99 for run in runs) / seeds,
        sum(run.mean for run in runs) / seeds,
        sum(run.peak for run in runs) / seeds,
    )


def _finish(ends: list[tuple[float, int]], queues: list[int], now: float) -> None:
    while ends and ends[0][0] <= now:
        queues[heapq.heappop(ends)[1]] -= 1
