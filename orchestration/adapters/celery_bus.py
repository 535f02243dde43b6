"""Messages by Celery: how both sides are configured, and how steps are sent.

A linear stretch of steps goes out as a ``chain``, several as a ``group`` of chains.
Nothing is a chord and nothing needs a result backend: a message is a hint, and what
is lost the sweep sends again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from celery import Celery, Task, chain, group
from celery.canvas import Signature
from kombu.exceptions import OperationalError

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.database import DatabaseClock
from orchestration.adapters.publishing import Publisher, not_taken
from orchestration.adapters.queues import AMQP_CLASS
from orchestration.contracts import (
    CHORES,
    CHORES_QUEUE,
    DEFAULT_QUEUE,
    HEARTBEATS_QUEUE,
    REGISTRY_HEARTBEAT,
    SAGA_ATTEND,
    STEP_TASKS,
    Hint,
    StepMessage,
    pool_queue,
    step_label,
)
from orchestration.core.messaging.model import Priority
from orchestration.core.messaging.priority import STEPS, is_redis, priority_number
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.model import Direction
from orchestration.core.saga.timing import check_after_claim, whole_ms
from orchestration.core.saga.view import SagaView
from orchestration.settings import Settings

__all__ = ["StepSender", "celery_config", "hint_for", "make_producer", "queue_of"]

# Beyond a step's own timeout the pool kills the child: only code that cannot be
# interrupted gets there. Longer than a child waits for a database that went away
# (30 s), so that none is killed while it records what it has done.
_KILL_AFTER_S = 40


def celery_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery configuration that producers and workers share."""
    transport: dict[str, Any] = {}
    if is_redis(settings.broker_url):
        transport = {
            # Looked through every 10 s rather than every 100: see docs/operations.md.
            "visibility_timeout": 300,
            "unacked_restore_throttle": 1,
            "priority_steps": STEPS,
        }
        if settings.key_prefix:
            transport["global_keyprefix"] = settings.key_prefix
    return {
        "broker_url": settings.broker_url,
        "broker_transport_options": transport,
        "broker_connection_retry_on_startup": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_default_queue": DEFAULT_QUEUE,
        "task_routes": {
            **{name: {"queue": CHORES_QUEUE} for name in CHORES},
            REGISTRY_HEARTBEAT: {"queue": HEARTBEATS_QUEUE},
        },
        "task_publish_retry_policy": {
            "max_retries": 5,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1.0,
        },
        "enable_utc": True,
        "timezone": "UTC",
    }


def make_producer(settings: Settings, *, confirms: bool = False) -> Celery:
    """Return a Celery app that only sends; it hosts no tasks.

    Args:
        settings: Where to.
        confirms: Whether RabbitMQ is to confirm each message, as Redis always does. A
            saga's steps go without: what is lost of them is sent again.
    """
    app = Celery("orchestration", set_as_current=False, amqp=AMQP_CLASS)
    config = celery_config(settings)
    if confirms and not is_redis(settings.broker_url):
        transport = {**config["broker_transport_options"], "confirm_publish": True}
        config["broker_transport_options"] = transport
    app.conf.update(config)
    return app


def hint_for(
    view: SagaView, step: str, direction: Direction, now: datetime
) -> Hint | None:
    """Return what a message about ``step`` tells of the saga as it stands.

    A hint leads to a first attempt only: for another it would be in vain, hence None.
    """
    if view.phase(step, direction).attempt:
        return None
    check_at = check_after_claim(view, step, direction, now)
    return Hint(
        version=view.version,
        check_at_ms=whole_ms(check_at) if check_at else None,
        gives_up=view.cause is not None,
    )


def queue_of(agent_id: str, announcements: Announcements) -> str:
    """Return where an agent is served; a task of no agent, where all tasks are."""
    if not agent_id:
        return DEFAULT_QUEUE
    return pool_queue(announcements.pool_of(agent_id))


class StepSender:
    """Sends the steps that a decision names.

    Args:
        app: By which it sends.
        announcements: Who knows where agents are served.
        clock: The database's time.
        broker_url: Of the app's broker.
    """

    def __init__(
        self,
        app: Celery,
        announcements: Announcements,
        clock: DatabaseClock,
        broker_url: str,
    ) -> None:
        self._app = app
        self._publisher = Publisher(app)
        self._announcements = announcements
        self._clock = clock
        # How urgent steps are, among the messages of their agents.
        self._priority = priority_number(Priority.NORMAL, broker_url)

    def send(self, decision: Decision) -> None:
        """Send what a decision names.

        Raises:
            TransportError: The broker did not take it; the sweep sends it again.
        """
        view = decision.view
        lines = [self._line(view, line, decision.direction) for line in decision.lines]
        lines += (self._line(view, (n,), Direction.PROBE) for n in decision.probes)
        if decision.attends:
            lines += self._words(view)
        self._give(lines, f"saga {view.saga_id}'s next steps")

    def pass_on(self, task: Task, hint: Hint | None) -> None:
        """Send the next link of a running task's chain, and what follows with it.

        Raises:
            TransportError: The broker did not take it; the sweep sends it again.
        """
        *rest, link = task.request.chain  # Celery keeps it last link first
        task.request.chain = None
        self._publisher.publish(link, args=(hint,), chain=rest)

    def attend(self, saga_ids: Iterable[str]) -> None:
        """Have sagas looked after that wait for locks, or for other sagas.

        Raises:
            TransportError: The broker did not take it; the sweep sends it again.
        """
        wanted = [*saga_ids]
        self._give(self._attending(wanted), f"word for sagas {', '.join(wanted)}")

    def _give(self, lines: Sequence[Sequence[Signature]], what: str) -> None:
        if not lines:
            return
        try:
            if len(lines) == 1:
                first, *rest = lines[0]
                self._publisher.publish(first, args=first.args, chain=rest[::-1])
            else:
                chains = [chain(*line, app=self._app) for line in lines]
                group(chains, app=self._app).apply_async()
        except OperationalError as exc:
            raise not_taken(what, exc) from exc

    def _words(self, view: SagaView) -> list[list[Signature]]:
        """Return the messages that have a saga, and its parent, looked after."""
        wanted = [] if view.state.is_over else [view.saga_id]
        if view.parent is not None and view.state.is_final:
            wanted.append(view.parent.saga_id)
        return self._attending(wanted)

    def _attending(self, saga_ids: Iterable[str]) -> list[list[Signature]]:
        kwargs = [{"saga_id": saga_id} for saga_id in saga_ids]
        options = {"queue": CHORES_QUEUE}
        return [
            [Signature(SAGA_ATTEND, kwargs=one, options=options, app=self._app)]
            for one in kwargs
        ]

    def close(self) -> None:
        """Give the connections to the broker back, and the app up."""
        self.disconnect()
        self._app.close()

    def disconnect(self) -> None:
        """Give the connections to the broker back."""
        self._publisher.close()

    def _line(
        self, view: SagaView, names: Sequence[str], direction: Direction
    ) -> list[Signature]:
        hint = hint_for(view, names[0], direction, self._clock.now())
        first = self._step(view, names[0], direction, args=(hint,))
        # The others get their hints from the step before them.
        return [first, *(self._step(view, name, direction) for name in names[1:])]

    def _step(
        self,
        view: SagaView,
        name: str,
        direction: Direction,
        args: tuple[Hint | None, ...] = (),
    ) -> Signature:
        definition, agent_id = view.plan.by_name[name], view.agent_of(name)
        message = StepMessage(
            saga_id=view.saga_id,
            step=name,
            agent_id=agent_id,
            action=definition.target(direction) or "",
            timeout_ms=view.plan.limit_ms(name),
        )
        attempt = view.phase(name, direction).attempt + 1
        return Signature(
            STEP_TASKS[direction],
            args=args,
            kwargs=message,
            options={
                "queue": queue_of(agent_id, self._announcements),
                "argsrepr": step_label(
                    view.transaction.name, view.saga_id, name, direction, attempt
                ),
                "kwargsrepr": "{}",
                "priority": self._priority,
                "time_limit": message["timeout_ms"] / 1_000 + _KILL_AFTER_S,
            },
            app=self._app,
        )
