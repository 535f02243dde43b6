"""Messages of swarms that move: one for the next iterations, one for each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery

from orchestration.adapters.publishing import Publisher
from orchestration.contracts import (
    DEFAULT_QUEUE,
    SWARM_ISLAND,
    SWARM_ITERATE,
    SWARM_JOIN,
    SWARM_VALUE,
    Moved,
    SwarmHint,
)
from orchestration.core.messaging.model import Priority
from orchestration.core.messaging.priority import priority_number
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.run import Evaluate, SwarmRun

__all__ = ["SwarmSender", "hint_of"]

# Beyond a task's own time the pool kills the child: only code that cannot be
# interrupted gets there.
_KILL_AFTER_S = 40.0


def hint_of(
    view: SwarmView, kept_ms: int, listed_ms: int = 0, sends: int = 0
) -> SwarmHint:
    """Return what a message tells of a swarm as it stands."""
    deadline = view.deadline
    return SwarmHint(
        version=view.version,
        iteration=view.iteration,
        link=view.link,
        state=view.state,
        best=view.best,
        convergence=view.convergence,
        deadline_ms=None if deadline is None else round(deadline.timestamp() * 1_000),
        kept_ms=kept_ms,
        listed_ms=listed_ms,
        attempts=view.attempts,
        sends=sends,
    )


class SwarmSender:
    """Sends what swarms have to do next.

    Args:
        app: By which it sends.
        broker_url: Of the app's broker.
    """

    def __init__(self, app: Celery, broker_url: str) -> None:
        self._publisher = Publisher(app)
        self._priority = priority_number(Priority.NORMAL, broker_url)

    def iterate(
        self,
        view: SwarmView,
        run: SwarmRun,
        *,
        kept_ms: int,
        listed_ms: int = 0,
        sends: int = 0,
        wait_ms: int = 0,
    ) -> None:
        """Send the next iterations.

        Raises:
            TransportError: The broker did not take it; the sweep sends it again.
        """
        first, count = view.iteration + 1, run.iterations_per_task
        what = f"{first}" if count == 1 else f"{first} to {first + count - 1}"
        hint = hint_of(view, kept_ms, listed_ms, sends)
        self._publish(SWARM_ITERATE, view, run, hint, {}, what, wait_ms)

    def value(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        """Send a slice of positions to be valued.

        Raises:
            TransportError: The broker did not take it; the sweep sends all again.
        """
        more = {"moved": moved, "nth": nth}
        what = f"{moved['iteration']}, slice {nth + 1} of {run.slices}"
        self._publish(SWARM_VALUE, view, run, hint_of(view, kept_ms), more, what)

    def island(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved, nth: int
    ) -> None:
        """Send an island on its way to an iteration.

        Raises:
            TransportError: The broker did not take it; the sweep sends all again.
        """
        more = {"moved": moved, "nth": nth}
        first, last = view.iteration + 1, moved["iteration"]
        what = f"{first} to {last}, island {nth + 1}"
        self._publish(SWARM_ISLAND, view, run, hint_of(view, kept_ms), more, what)

    def join(
        self, view: SwarmView, run: SwarmRun, *, kept_ms: int, moved: Moved
    ) -> None:
        """Send the end of iterations whose slices or islands are all there.

        Raises:
            TransportError: The broker did not take it; the sweep sends all again.
        """
        kind = "islands" if run.evaluate is Evaluate.ISLANDS else "slices"
        what = f"{moved['iteration']}, all {kind}"
        hint = hint_of(view, kept_ms)
        self._publish(SWARM_JOIN, view, run, hint, {"moved": moved}, what)

    def close(self) -> None:
        """Give the connections to the broker back."""
        self._publisher.close()

    def _publish(
        self,
        task: str,
        view: SwarmView,
        run: SwarmRun,
        hint: SwarmHint,
        more: Mapping[str, Any],
        what: str,
        wait_ms: int = 0,
    ) -> None:
        limit_s = run.task_timeout_ms / 1_000
        options: dict[str, Any] = {
            "queue": run.queue or DEFAULT_QUEUE,
            "argsrepr": f"{view.name} {view.swarm_id} · iteration {what}",
            "kwargsrepr": "{}",
            "priority": self._priority,
            "soft_time_limit": limit_s,
            "time_limit": limit_s + _KILL_AFTER_S,
        }
        if wait_ms:
            options["countdown"] = wait_ms / 1_000
        kwargs = {"swarm_id": view.swarm_id, **more}
        link = {"task": task, "kwargs": kwargs, "options": options}
        self._publisher.publish(link, args=(hint,))
