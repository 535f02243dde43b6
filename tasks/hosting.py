"""What a worker does at its start and end: check, choose queues, announce."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    celeryd_after_setup,
    worker_ready,
    worker_shutdown,
)
from celery.utils.nodenames import gethostname
from celery.worker import state

from orchestration.adapters.announcements import Announcements, PoolMismatch
from orchestration.adapters.database import DATABASE_ERRORS, Database
from orchestration.adapters.queues import renew_queues
from orchestration.adapters.schema import check_schema
from orchestration.agents import Agent, hosted_agents
from orchestration.contracts import (
    CHORES_QUEUE,
    DEFAULT_QUEUE,
    HEARTBEATS_QUEUE,
    pool_queue,
)
from orchestration.core.saga.model import CELERY_ACTION
from orchestration.core.swarm.providers import Provider, providers
from orchestration.errors import ConfigurationError, OrchestrationError
from orchestration.settings import Settings
from tasks.heartbeats import Hosted

logger = logging.getLogger(__name__)
_OURS = ("agent.", "celery.", "saga.", "provenance.", "registry.", "routing.", "swarm.")
_EX_CONFIG = 78  # sysexits.h: the configuration is wrong
_stop = threading.Event()
_served: list[Agent] = []
_provided: list[Provider] = []
_queues: list[str] = []
_hosted: list[Hosted] = []


@celeryd_after_setup.connect
def _set_up(sender: str, instance: Any, **_: object) -> None:  # noqa: ANN401
    """Refuse a wrong database or pool; consume the pools of what is hosted."""
    try:
        settings = Settings.from_env()
        queues = instance.app.amqp.queues
        # None unless the worker was given -Q: then that is what it consumes.
        if queues._consume_from is None:  # noqa: SLF001
            pools = {agent.pool for agent in hosted_agents()}
            pools |= {provider.pool for provider in providers()}
            queues.select([DEFAULT_QUEUE, *map(pool_queue, sorted(pools))])
        if CHORES_QUEUE in queues.consume_from:
            queues.select_add(queues[HEARTBEATS_QUEUE])
        consumed = set(queues.consume_from)
        _queues[:] = sorted(consumed)
        _served[:] = [a for a in hosted_agents() if pool_queue(a.pool) in consumed]
        _provided[:] = [p for p in providers() if pool_queue(p.pool) in consumed]
        _refuse_mismatch(settings, sender)
        # Before the processes that do the work, for it counts what they do.
        _hosted[:] = [Hosted(_served)]
        renew_queues(instance.app, consumed)
    except Exception as exc:
        # An ordinary exception of a signal's receiver is logged and passed over.
        sys.stderr.write(f"worker {sender} does not start: {exc}\n")
        raise SystemExit(_EX_CONFIG) from exc
    if CHORES_QUEUE in consumed and consumed - {CHORES_QUEUE, HEARTBEATS_QUEUE}:
        logger.warning(
            "this worker serves %r beside other queues: agents' load will delay "
            "recovery; give chores a worker of their own (-Q chores)",
            CHORES_QUEUE,
        )


def _refuse_mismatch(settings: Settings, worker: str) -> None:
    db = Database(settings.database_url, pool_size=0, name="worker start")
    db.patiently(lambda: check_schema(db.engine))
    announcements = Announcements(db, settings.announce_interval_s)
    if found := announcements.mismatches(worker, _served, _provided):
        raise ConfigurationError("; ".join(_sentence(one) for one in found))


def _sentence(mismatch: PoolMismatch) -> str:
    parts = [f"pool {mismatch.pool!r} is served by {mismatch.worker} with other agents"]
    if mismatch.missing_here:
        parts.append(f"missing here: {', '.join(mismatch.missing_here)}")
    if mismatch.missing_there:
        parts.append(f"missing there: {', '.join(mismatch.missing_there)}")
    parts.append("import the same modules, or give these agents a pool of their own")
    return "; ".join(parts)


@worker_ready.connect
def _announce(sender: Any, **_: object) -> None:  # noqa: ANN401
    """Say what is hosted, and go on saying so while the worker lives."""
    _stop.clear()
    also = [("queue", name) for name in _queues]
    if DEFAULT_QUEUE in _queues:
        # As actions of no agent: steps may call any task of the app.
        also += (
            ("action", f"/{CELERY_ACTION}{name}") for name in _own_tasks(sender.app)
        )
    _go_on_saying(sender.hostname, _served, _provided, also)
    try:
        # Again: two workers that start at once do not see each other before.
        _refuse_mismatch(Settings.from_env(), sender.hostname)
    except ConfigurationError as exc:
        sys.stderr.write(f"worker {sender.hostname} stops: {exc}\n")
        state.should_stop = _EX_CONFIG
    except DATABASE_ERRORS:
        logger.warning("not compared with other workers", exc_info=True)
    for hosted in _hosted:
        hosted.start(sender.app, sender.hostname)


def _own_tasks(app: Celery) -> list[str]:
    """Return the names of the tasks that are neither Celery's nor this package's."""
    return [name for name in sorted(app.tasks) if not name.startswith(_OURS)]


@beat_init.connect
def _announce_beat(**_: object) -> None:
    """Say that beat runs here: ``orchestration health beat`` looks for it."""
    _go_on_saying(f"beat@{gethostname()}", (), (), [("beat", "")])


def _go_on_saying(
    who: str,
    agents: Sequence[Agent],
    provided: Sequence[Provider],
    also: Sequence[tuple[str, str]],
) -> None:
    settings = Settings.from_env()
    db = Database(settings.database_url, pool_size=0, name="announcer")
    announcements = Announcements(db, settings.announce_interval_s)

    def say(said: int) -> int:
        """Say it, or what of it is not known any more; return how much was said."""
        try:
            if said and (known := announcements.still_up(who)) == said:
                return said
            if said:
                text = "%d of %d things said of %s were known: is the name unique (-n)?"
                logger.warning(text, known, said, who)
            return announcements.announce(who, agents, provided, also=also)
        except Exception:  # the edge of a thread: it must go on
            logger.warning("announcement of %s not made", who, exc_info=True)
            return said

    def repeat(said: int) -> None:
        while not _stop.wait(settings.announce_interval_s):
            said = say(said)

    # The first time at once: a producer may be waiting for this worker.
    args = (say(0),)
    threading.Thread(target=repeat, args=args, name="announcer", daemon=True).start()


@worker_shutdown.connect
def _say_gone(sender: Any, **_: object) -> None:  # noqa: ANN401
    if _stop.is_set() or not sender:
        return
    _stop.set()
    for hosted in _hosted:
        hosted.stop()
    settings = Settings.from_env()
    db = Database(settings.database_url, pool_size=0, name="worker end")
    try:
        with db.engine.connect():  # no patience: a stack that stops stops its database
            Announcements(db).gone(sender.hostname)
            for hosted in _hosted:
                hosted.deregister(db, settings, sender.hostname)
    except (*DATABASE_ERRORS, OrchestrationError):
        logger.info("the database was gone first", exc_info=True)
