"""The Prometheus metrics, each defined once; names and labels are a contract."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Histogram

from orchestration.core.saga.events import EventType, NewFact
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.view import SagaView

__all__ = ["SagaMetrics", "saga_metrics"]

# Milliseconds, as the names say: from a saga of no-ops to a day.
_DURATION_BUCKETS_MS = (
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
    300_000, 600_000, 3_600_000, 86_400_000,
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
            buckets=_DURATION_BUCKETS_MS,
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


def _status(view: SagaView) -> str:
    """Return how a saga ended, in lower case; one undone on request was cancelled."""
    if view.is_cancelled and view.state is SagaState.COMPENSATED:
        return "cancelled"
    return view.state.lower()


@cache
def saga_metrics() -> SagaMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return SagaMetrics(DEFAULT_REGISTRY)
