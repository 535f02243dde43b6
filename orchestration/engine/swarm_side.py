"""All that one process keeps open for swarms, made at once; workers and front doors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from celery import Celery

from orchestration.adapters.announcements import Announcements
from orchestration.adapters.database import Database
from orchestration.adapters.push import Ends, EndWaiter
from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_hot import SwarmHot
from orchestration.adapters.swarm_log import SwarmLog
from orchestration.adapters.swarm_sender import SwarmSender
from orchestration.contracts import DEFAULT_QUEUE, Moved, SwarmHint, pool_queue
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.providers import Provided, announced_name, find_fitness
from orchestration.core.swarm.run import Evaluate
from orchestration.engine.swarm_desk import SwarmDesk
from orchestration.engine.swarm_islands import SwarmFederator
from orchestration.engine.swarm_running import SwarmRunner
from orchestration.engine.swarm_scattering import SwarmScatterer
from orchestration.engine.swarm_states import SwarmStates
from orchestration.engine.swarm_sweeping import SwarmSweeper
from orchestration.settings import Settings
from orchestration.swarm_metrics import swarm_metrics

__all__ = ["SwarmSide", "fitness_of"]


def fitness_of(name: str) -> Fitness | None:
    """Return the fitness of a name; None: this process has none."""
    standard = STANDARD.get(name)
    return find_fitness(name) if standard is None else standard.values


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSide:
    """One process's part in swarms.

    Attributes:
        waiter: Who tells when a swarm is over.
    """

    log: SwarmLog
    hot: SwarmHot
    sender: SwarmSender
    ends: Ends
    waiter: EndWaiter
    states: SwarmStates
    desk: SwarmDesk
    runner: SwarmRunner
    announcements: Announcements

    @classmethod
    def open(
        cls, app: Celery, db: Database, announcements: Announcements, settings: Settings
    ) -> Self:
        """Return it; connections are opened when they are needed.

        Args:
            app: By which it sends.
            db: Where swarms are recorded.
            announcements: What workers host.
            settings: Of this process.
        """
        log = SwarmLog(db, settings.swarm_still_s)
        hot = SwarmHot(settings.redis_url, settings.key_prefix)
        ends = Ends(settings.redis_url, settings.key_prefix, "swarm")
        sender = SwarmSender(app, settings.broker_url)
        states = SwarmStates(log, hot)
        desk = SwarmDesk(
            log=log,
            sender=sender,
            ends=ends,
            clock=db.clock,
            queue_of=lambda name: queue_of(name, announcements),
            most_agents=settings.max_swarm_agents,
        )
        runner = SwarmRunner(
            log=log,
            hot=hot,
            states=states,
            sender=sender,
            ends=ends,
            clock=db.clock,
            metrics=swarm_metrics(),
            fitness_of=fitness_of,
            snapshot_s=settings.swarm_snapshot_s,
        )
        return cls(
            log=log,
            hot=hot,
            sender=sender,
            ends=ends,
            waiter=EndWaiter(log, ends),
            states=states,
            desk=desk,
            runner=runner,
            announcements=announcements,
        )

    def iterate(
        self,
        swarm_id: str,
        hint: SwarmHint | None,
        because: Because,
        *,
        is_redelivered: bool = False,
    ) -> str:
        """Do a swarm's next iterations, or have them done in several tasks."""
        held = self.runner.take(swarm_id, hint, because, is_redelivered=is_redelivered)
        if isinstance(held, str):
            return held
        match held.run.evaluate:
            case Evaluate.TASK:
                return self.runner.iterate(held, because)
            case Evaluate.PARTITIONS:
                return self.scatterer.scatter(held, because)
            case Evaluate.ISLANDS:
                return self.federator.scatter(held, because)

    def join(self, swarm_id: str, hint: SwarmHint, at: Moved, because: Because) -> str:
        """Put together what the tasks of all slices or islands have come to."""
        held = self.runner.take_valued(swarm_id, hint, because)
        if isinstance(held, str):
            return held
        if held.run.evaluate is Evaluate.ISLANDS:
            return self.federator.join(held, at, because)
        return self.scatterer.join(held, at, because)

    @property
    def scatterer(self) -> SwarmScatterer:
        """Who has positions valued in many tasks."""
        return SwarmScatterer(self.runner)

    @property
    def federator(self) -> SwarmFederator:
        """Who has islands move in tasks of their own."""
        return SwarmFederator(self.runner)

    @property
    def sweeper(self) -> SwarmSweeper:
        """Who moves on swarms that stand still."""
        return SwarmSweeper(self.desk, self.states)

    def close(self) -> None:
        """Let go of everything but the database, which is the caller's."""
        self.waiter.close()
        self.ends.close()
        self.sender.close()
        self.hot.close()


def queue_of(name: str, announcements: Announcements) -> str | None:
    """Return the queue where a fitness is served; None: nobody ever announced it."""
    if name in STANDARD:
        return DEFAULT_QUEUE
    announced = announced_name(Provided.FITNESS, name)
    if not announcements.knows(announced):
        return None
    return pool_queue(announcements.pool_of(announced))
