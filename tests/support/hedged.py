"""The simulation ONE SLOW AGENT: calls go in turns to agents, one is ten times slower.

Agents of 20 ms and more, forty unless told otherwise, without queues. A call that is
still open after the learned delay goes to another agent as well, and the first answer
counts.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from random import Random

from orchestration.core.routing.hedging import HedgeSettings, Hedging
from tests.support.fleet import percentile

__all__ = ["HedgeOutcome", "one_slow_agent"]

CALLS_PER_S = 200.0


@dataclass(frozen=True, slots=True)
class HedgeOutcome:
    """What callers waited, and how many calls were sent beyond the first ones."""

    p50_s: float
    p99_s: float
    more_share: float


def one_slow_agent(
    *,
    hedged: bool,
    seed: int,
    agents: int = 40,
    calls: int = 20_000,
    outage: bool = False,
    settings: HedgeSettings | None = None,
) -> HedgeOutcome:
    """Run it once; with ``outage`` every agent gets slow in the second half."""
    rng, hedging = Random(seed), Hedging(settings)
    answers: list[tuple[float, float]] = []
    waits: list[float] = []
    hedges = 0
    for call in range(calls):
        now_s = call / CALLS_PER_S
        all_slow = outage and call > calls / 2
        while answers and answers[0][0] <= now_s:
            hedging.learned("work", heapq.heappop(answers)[1])
        slow = call % agents == 0 or all_slow
        took_s = _service_s(rng, slow=slow)
        hedging.sent(now_s=now_s)
        heapq.heappush(answers, (now_s + took_s, took_s))
        delay_s = hedging.delay_s("work")
        late = hedged and delay_s is not None and took_s > delay_s
        # Asked at the call's time, not after the delay: one clock, in order.
        if late and hedging.take(now_s=now_s):
            hedges += 1
            took_s = min(took_s, (delay_s or 0) + _service_s(rng, slow=all_slow))
        waits.append(took_s)
    return HedgeOutcome(percentile(waits, 0.5), percentile(waits, 0.99), hedges / calls)


def _service_s(rng: Random, *, slow: bool) -> float:
    return (0.02 + rng.expovariate(1 / 0.01)) * (10 if slow else 1)
