"""The simulation HETEROGENEOUS: a third of the agents are slow, one gets slow later.

Thirty agents of 50 ms, ten of which take three times as long; after half of the time
one of the fast ones takes ten times as long. Four routers send 70 % of what all agents
together could do at first, and see the queues every ``snapshot_s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from statistics import fmean

from orchestration.core.messaging.model import Message, MessageType
from orchestration.core.routing.predict import Predictor, PredictorSettings, kind_of
from tests.support.fleet import Agent, Answer, Fleet, Router, percentile, steady

__all__ = ["Outcome", "PredictiveRouter", "heterogeneous"]

SERVICE_S = 0.05
ROUTERS = 4
WORK = Message(
    sender_id="agent-a", recipient_id="work", message_type=MessageType.REQUEST
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent with so many calls in line."""

    agent_id: str
    score: float
    step: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What calls took, seconds."""

    mean_s: float
    p99_s: float


class PredictiveRouter(Router):
    """A router that learns from answers."""

    def __init__(
        self,
        names: list[str],
        *,
        routers: int,
        rng: Random,
        settings: PredictorSettings | None = None,
    ) -> None:
        super().__init__(names, routers=routers, rng=rng)
        self.predictor = Predictor(settings)

    def pick(self, now_s: float) -> str:
        sample = [self.names[int(self.rng.random() * len(self.names))] for _ in "1234"]
        return min(
            (Seen(name, self.load(name)) for name in sample),
            key=lambda seen: self.predictor.cost(seen, WORK, now_s),
        ).agent_id

    def heard(self, answer: Answer, now_s: float) -> None:
        self.predictor.learned(
            answer.target,
            kind_of(WORK),
            latency_s=answer.latency_s,
            load=answer.load,
            now_s=now_s,
        )


def heterogeneous(
    *,
    predictive: bool,
    seed: int,
    seconds: float = 60.0,
    snapshot_s: float = 1.0,
    settings: PredictorSettings | None = None,
) -> Outcome:
    """Run it once; the first tenth, in which all is new, does not count."""

    def degrading(now_s: float) -> float:
        return SERVICE_S * (10 if now_s > seconds / 2 else 1)

    means = [steady(SERVICE_S * (3 if n % 3 == 0 else 1)) for n in range(30)]
    means[1] = degrading
    agents = [Agent(f"agent-{n}", mean_s) for n, mean_s in enumerate(means)]
    names = [agent.name for agent in agents]
    rng = Random(seed)
    routers = [
        PredictiveRouter(names, routers=ROUTERS, rng=rng, settings=settings)
        if predictive
        else Router(names, routers=ROUTERS, rng=rng)
        for _ in range(ROUTERS)
    ]
    calls_per_s = 0.7 * sum(1 / mean_s(0.0) for mean_s in means)
    fleet = Fleet(agents, calls_per_s, snapshot_s, rng)
    answers = fleet.run(routers, seconds)
    counted = [one.latency_s for one in answers if one.sent_s > seconds / 10]
    return Outcome(fmean(counted), percentile(counted, 0.99))
