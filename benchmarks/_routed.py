"""A router as a program uses it: many agents, many rules, metrics on."""

from __future__ import annotations

import random
import time

from prometheus_client import CollectorRegistry

from benchmarks._herding import Fleet
from orchestration.core.messaging.model import Message
from orchestration.core.routing.loads import Loads, Report
from orchestration.core.routing.model import RouteRule, RoutingStrategy
from orchestration.core.routing.router import Router
from orchestration.core.routing.table import RouteTable
from orchestration.metrics import RoutingMetrics

__all__ = ["AGENTS", "NOW", "RULES", "Program"]

AGENTS = 10_000
RULES = 50
NOW = 1_000.0


class Program:
    """One process that routes."""

    def __init__(self, strategy: RoutingStrategy, agents: int = AGENTS) -> None:
        names = tuple(f"agent-{at}" for at in range(agents))
        self.view = Fleet(names)
        self.table = RouteTable()
        for at in range(RULES):
            rule = RouteRule(
                f"rule-{at}",
                priority=at,
                condition=f"payload.get('task_type') == 'kind-{at}'",
                capability="all",
                strategy=strategy,
            )
            self.table = self.table.with_rule(rule)
        self.router = Router(Loads(routers=8))
        self.rng = random.Random(1)
        for name in names:
            report = Report(self.rng.randrange(10), 50.0, 0.01)
            self.router.loads.tell(name, report, at=NOW, capacity=20)
        self.metrics = RoutingMetrics(CollectorRegistry())
        self.messages = [
            Message(
                sender_id="pipeline-1",
                recipient_id="calculator",
                message_type="REQUEST",
                payload={"task_type": f"kind-{at % RULES}", "supplier_id": f"S{at}"},
            )
            for at in range(1_000)
        ]

    def decide(self, message: Message) -> float:
        """Decide and note it; return how long it took, seconds."""
        begin = time.perf_counter()
        decision = self.router.decide(message, self.table, self.view, self.rng, NOW)
        took_s = time.perf_counter() - begin
        self.metrics.note(decision.strategy, 1e3 * took_s, cached=decision.cached)
        return took_s

    def rate(self) -> float:
        """Return decisions per second."""
        begin = time.perf_counter()
        for _ in range(50):
            for message in self.messages:
                self.decide(message)
        return 50 * len(self.messages) / (time.perf_counter() - begin)

    def p99_us(self) -> float:
        """Return the time that 99 % of decisions with their note take at most."""
        lengths = []
        for _ in range(50):
            for message in self.messages:
                begin = time.perf_counter()
                self.decide(message)
                lengths.append(time.perf_counter() - begin)
        return 1e6 * sorted(lengths)[int(0.99 * len(lengths))]
