"""The Prometheus metrics, each defined once; names and labels are a contract.

Those of swarms are in ``swarm_metrics``.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

from orchestration.core.registry.model import AgentStatus
from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.view import SagaView

__all__ = [
    "DURATION_BUCKETS_MS",
    "RegistryMetrics",
    "RoutingMetrics",
    "SagaMetrics",
    "ScatterMetrics",
    "registry_metrics",
    "routing_metrics",
    "saga_metrics",
    "scatter_metrics",
]

# Milliseconds, as the names say: from a saga of no-ops to a day.
DURATION_BUCKETS_MS = (
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
    300_000, 600_000, 3_600_000, 86_400_000,
)  # fmt: skip

# Milliseconds: discovery stays in the process.
_DISCOVERY_BUCKETS_MS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 50, 250)
# From three answers on one machine to a minute.
_SCATTER_BUCKETS_MS = (
    1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
)  # fmt: skip

_STEP_STATUS = {
    EventType.STEP_COMPLETED: "completed",
    EventType.STEP_FAILED: "failed",
    EventType.STEP_TIMED_OUT: "timed_out",
    EventType.STEP_UNKNOWN: "unknown",
}
_ENDS = {
    EventType.SAGA_COMPLETED,
    EventType.COMPENSATION_COMPLETED,
    EventType.COMPENSATION_FAILED,
    EventType.SAGA_HALTED,
    EventType.SAGA_PAUSED,
}


class ScatterMetrics:
    """How long scatters take, and what becomes of the replies to them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.duration_ms = Histogram(
            "scatter_gather_duration_ms",
            "From a scatter's begin to its end, milliseconds, whatever it came to",
            buckets=_SCATTER_BUCKETS_MS,
            registry=registry,
        )
        self.replies = Counter(
            "scatter_gather_replies_total",
            "Replies to scatters: ok, error, late, or duplicate",
            ["outcome"],
            registry=registry,
        )


@cache
def scatter_metrics() -> ScatterMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return ScatterMetrics(DEFAULT_REGISTRY)


class SagaMetrics:
    """The saga's four metrics, counted where their events are recorded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.executions = Counter(
            "saga_executions_total",
            "Times that sagas ended or paused by themselves, by status",
            ["status"],
            registry=registry,
        )
        self.steps = Counter(
            "saga_steps_total",
            "Attempts at steps that ended, by step and status",
            ["step", "status"],
            registry=registry,
        )
        self.compensations = Counter(
            "saga_compensations_total", "Steps undone", registry=registry
        )
        self.duration_ms = Histogram(
            "saga_duration_ms",
            "From a saga's start to its end, milliseconds",
            buckets=DURATION_BUCKETS_MS,
            registry=registry,
        )

    def observe(self, facts: Iterable[NewFact], view: SagaView) -> None:
        """Count facts that have just been recorded; ``view`` is the saga after them."""
        for fact in facts:
            if status := _STEP_STATUS.get(fact.type):
                self.steps.labels(step=fact.data["step"], status=status).inc()
            elif fact.type is EventType.STEP_COMPENSATED:
                self.compensations.inc()
            elif fact.type in _ENDS and not fact.data.get("on_hold"):
                self.executions.labels(status=_status(view)).inc()
                if view.ended_at is not None:
                    took = view.ended_at - view.started_at
                    self.duration_ms.observe(took.total_seconds() * 1_000)


class RegistryMetrics:
    """The registry's four metrics: the sweep shows agents, callers count queries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.agents = Gauge(
            "registry_agents_total",
            "Agents that are registered, by status",
            ["status"],
            registry=registry,
        )
        self.queries = Counter(
            "registry_queries_total",
            "Questions put to the registry, by type",
            ["type"],
            registry=registry,
        )
        self.discovery_latency_ms = Histogram(
            "registry_discovery_latency_ms",
            "Time that a discovery took, milliseconds",
            buckets=_DISCOVERY_BUCKETS_MS,
            registry=registry,
        )
        self.health = Gauge(
            "registry_agent_health",
            "How well each agent is, 0.0 to 1.0",
            ["agent_id"],
            registry=registry,
        )
        self._shown: set[str] = set()

    def swept(
        self, by_status: Mapping[AgentStatus, int], healths: Mapping[str, float]
    ) -> None:
        """Show what a sweep has found; agents that are gone are shown no longer.

        Args:
            by_status: How many agents stand where.
            healths: How well each registered agent is, by id.
        """
        for status, count in by_status.items():
            self.agents.labels(status=status.lower()).set(count)
        for agent_id in self._shown - healths.keys():
            self.health.remove(agent_id)
        for agent_id, health in healths.items():
            self.health.labels(agent_id=agent_id).set(health)
        self._shown = set(healths)


def _status(view: SagaView) -> str:
    """Return how a saga ended, in lower case; one undone on request was cancelled."""
    if view.is_cancelled and view.state is SagaState.COMPENSATED:
        return "cancelled"
    return view.state.lower()


@cache
def saga_metrics() -> SagaMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return SagaMetrics(DEFAULT_REGISTRY)


@cache
def registry_metrics() -> RegistryMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return RegistryMetrics(DEFAULT_REGISTRY)


# Milliseconds, from a decision on a cached set to one over ten thousand agents.
_DECISION_BUCKETS_MS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 50, 100,
)  # fmt: skip
_BATCH = 1_024


class RoutingMetrics:
    """The router's metrics, counted in batches.

    Counting one by one takes twice as long as the decision that is counted. So a
    decision is only noted, and notes are counted by the thousand, and before each
    scrape of the registry: what is scraped is exact.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # By strategy, status, and whether the set was cached: how long each took.
        self._noted: dict[tuple[str, str, bool], deque[float]] = {}
        self._counting = threading.Lock()
        self.messages = _Batched(
            "routing_messages_total",
            "Messages that a way was looked for, by strategy and status",
            ["strategy", "status"],
            registry=registry,
        )
        self.latency_ms = _BatchedTimes(
            "routing_latency_ms",
            "How long a decision took, milliseconds",
            buckets=_DECISION_BUCKETS_MS,
            registry=registry,
        )
        self.cache_hits = _Batched(
            "routing_cache_hits_total",
            "Decisions whose candidates were in the cache",
            registry=registry,
        )
        for metric in (self.messages, self.latency_ms, self.cache_hits):
            metric.before = self.flush

    def note(
        self,
        strategy: str,
        took_ms: float,
        status: str = "routed",
        *,
        cached: bool = False,
    ) -> None:
        """Note one decision, or with another status an attempt that failed."""
        key = strategy, status, cached
        noted = self._noted.get(key)
        if noted is None:
            noted = self._noted.setdefault(key, deque())
        noted.append(took_ms)
        if len(noted) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Count what has been noted; any thread may, each note is counted once."""
        # A scrape waits for a batch that is being counted, and has all of it.
        with self._counting:
            for (strategy, status, cached), noted in [*self._noted.items()]:
                # Only here, under the lock, are notes taken away.
                taken = [noted.popleft() for _ in range(len(noted))]
                if not taken:
                    continue
                self.messages.labels(strategy, status).inc(len(taken))
                if cached:
                    self.cache_hits.inc(len(taken))
                self.latency_ms.observe_all(taken)


class _Batched(Counter):
    """A counter that first counts what has only been noted when it is read."""

    before: Callable[[], None] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return its samples."""
        if self.before is not None:
            self.before()
        return super().collect()


class _BatchedTimes(Histogram):
    """A histogram that does so too, and takes many observations at once."""

    before: Callable[[], None] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return its samples."""
        if self.before is not None:
            self.before()
        return super().collect()

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of the amounts."""
        ordered, below = sorted(amounts), 0
        for bucket, bound in zip(self._buckets, self._upper_bounds, strict=True):
            up_to = bisect_right(ordered, bound)
            if up_to > below:
                bucket.inc(up_to - below)
                below = up_to
        self._sum.inc(sum(amounts))


@cache
def routing_metrics() -> RoutingMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return RoutingMetrics(DEFAULT_REGISTRY)
