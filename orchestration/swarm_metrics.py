"""The swarms' four metrics, defined once; names and labels are a contract."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from time import monotonic

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.metrics import DURATION_BUCKETS_MS

__all__ = ["SwarmMetrics", "swarm_metrics"]

_SHOWN_SWARMS = 256
_SILENT_S = 300.0


class SwarmMetrics:
    """The swarms' metrics; series of a swarm that is over are removed.

    Another process may do the last of a swarm that was shown here: so one of which this
    process has not heard for five minutes is shown here no longer, either.
    """

    def __init__(
        self, registry: CollectorRegistry, now_s: Callable[[], float] = monotonic
    ) -> None:
        self.agents = _Fresh(
            "swarm_agents_total",
            "Agents of swarms that are under way, by swarm and role",
            ["swarm_id", "role"],
            registry=registry,
        )
        self.tasks = Counter(
            "swarm_tasks_total",
            "Swarms that ended, by status",
            ["status"],
            registry=registry,
        )
        self.convergence_time_ms = Histogram(
            "swarm_convergence_time_ms",
            "From a swarm's start to its completion, milliseconds",
            buckets=DURATION_BUCKETS_MS,
            registry=registry,
        )
        self.efficiency = _Fresh(
            "swarm_efficiency",
            "Share of time that was spent on work: of all slots, or of the last task",
            ["swarm_id"],
            registry=registry,
        )
        self._now_s = now_s
        self._shown: OrderedDict[str, tuple[float, Mapping[str, int]]] = OrderedDict()
        for gauge in (self.agents, self.efficiency):
            gauge.before = self._forget_silent

    def moved(
        self,
        view: SwarmView,
        roles: Mapping[str, int],
        *,
        efficiency: float | None = None,
    ) -> None:
        """Show a swarm that goes on, and count one that is over.

        Args:
            view: The swarm.
            roles: How many agents have each role; empty: as far as was shown.
            efficiency: Of what it did so far, or last.
        """
        swarm_id = view.swarm_id
        if view.status.is_over:
            self._forget(swarm_id)
            self.tasks.labels(status=view.status.lower()).inc()
            if view.status is SwarmStatus.COMPLETED and view.ended_at is not None:
                took = view.ended_at - view.started_at
                self.convergence_time_ms.observe(took.total_seconds() * 1_000)
            return
        if efficiency is not None:
            self.efficiency.labels(swarm_id=swarm_id).set(efficiency)
        _, shown = self._shown.pop(swarm_id, (0.0, {}))
        if roles and roles != shown:
            for role, count in roles.items():
                self.agents.labels(swarm_id=swarm_id, role=role.lower()).set(count)
        self._shown[swarm_id] = (self._now_s(), roles or shown)
        while len(self._shown) > _SHOWN_SWARMS:
            self._forget(next(iter(self._shown)))

    @property
    def shown(self) -> tuple[str, ...]:
        """The swarms that are shown by this process."""
        return tuple(self._shown)

    def forget(self, swarm_ids: Iterable[str]) -> None:
        """Show swarms no more that others have ended."""
        for swarm_id in swarm_ids:
            self._forget(swarm_id)

    def _forget_silent(self) -> None:
        until_s = self._now_s() - _SILENT_S
        self.forget([one for one, (at, _) in [*self._shown.items()] if at < until_s])

    def _forget(self, swarm_id: str) -> None:
        _, roles = self._shown.pop(swarm_id, (0.0, {}))
        for role in roles:
            with suppress(KeyError):
                self.agents.remove(swarm_id, role.lower())
        with suppress(KeyError):
            self.efficiency.remove(swarm_id)


class _Fresh(Gauge):
    """A gauge of which what is out of date is removed before it is read."""

    before: Callable[[], None] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return its samples."""
        if self.before is not None:
            self.before()
        return super().collect()


@cache
def swarm_metrics() -> SwarmMetrics:
    """Return this process's metrics, in Prometheus' default registry."""
    return SwarmMetrics(DEFAULT_REGISTRY)
