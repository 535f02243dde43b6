"""Does a swarm's iterations again from its seed, and says where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol

from orchestration.adapters.partition_records import Held
from orchestration.core.swarm.events import SwarmEvent
from orchestration.core.swarm.fold import SwarmView
from orchestration.core.swarm.motion import Fitness
from orchestration.core.swarm.outcome import checked
from orchestration.core.swarm.partitions.checking import Work, checked_again
from orchestration.core.swarm.partitions.colony import Plan
from orchestration.core.swarm.providers import PartitionResult
from orchestration.core.swarm.run import RUN
from orchestration.engine.limits import RealTime
from orchestration.engine.partition_handlers import handler_of
from orchestration.engine.partition_rows import checked_result, partition_of
from orchestration.engine.swarm_ports import Log
from orchestration.engine.swarm_states import (
    Differs,
    SwarmStates,
    replayed,
    valued_first,
)
from orchestration.errors import SwarmHandlerNotFound, UnknownFitness

__all__ = ["SwarmReplay", "replay"]


class Records(Log, Protocol):
    """Where swarms are recorded, and read event by event."""

    def read(
        self, swarm_id: str, *, after: int = 0, whole: bool = False
    ) -> tuple[SwarmEvent, ...]:
        """Return a swarm's events after a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmReplay:
    """What came of doing a swarm's iterations again.

    Attributes:
        swarm_id: The swarm.
        iterations: How many are on record.
        is_equal: Whether each came out as it is on record.
        differs_at: The first iteration that did not; 0: how the swarm begins; None:
            there is none.
        recorded: The hash of that one on record, hex.
        found: The hash that it came out with.
        state_hash: SHA-256 of the state after the last iteration, as recorded.
    """

    swarm_id: str
    iterations: int
    is_equal: bool
    differs_at: int | None = None
    recorded: str = ""
    found: str = ""
    state_hash: str


def replay(
    swarm_id: str,
    states: SwarmStates,
    log: Records,
    fitness_of: Callable[[str], Fitness | None],
    *,
    call_handler: bool = False,
    most_bytes: int = 0,
) -> SwarmReplay:
    """Do a swarm's iterations again, from its seed to the last on record.

    Of one that shares out work, the hash of each partition's result, of its agents at
    each tick, and of all results together is computed again from what is on record.

    Args:
        swarm_id: The swarm.
        states: Where states come from.
        log: Where swarms are recorded.
        fitness_of: Returns the fitness of a name; None: this process has none.
        call_handler: Whether partitions that are done are done again, too.
        most_bytes: Limit of one result.

    Raises:
        SwarmNotFound: There is no such swarm.
        UnknownFitness: This process does not have its fitness.
        SwarmHandlerNotFound: It is to call the handler, and does not have it.
    """
    view = log.view(swarm_id)
    if view.kind != RUN:
        work = _worker(view, most_bytes) if call_handler else None
        return _work_again(swarm_id, log, work)
    held = states.read(swarm_id)
    fitness = fitness_of(held.run.fitness) if held.run.fitness else None
    if held.run.fitness and fitness is None:
        fault = f"fitness {held.run.fitness!r} is not defined here: import its module"
        raise UnknownFitness(view.name, [fault])
    if fitness is not None:
        fitness = held.run.valued_by(checked(fitness))
    recorded = tuple(log.iterations(swarm_id))
    at: Differs | None = None
    try:
        state = valued_first(held, fitness)
        replayed(held, state, view.digest, recorded, fitness)
    except Differs as exc:
        at = exc
    return SwarmReplay(
        swarm_id=swarm_id,
        iterations=view.iteration,
        is_equal=at is None,
        differs_at=None if at is None else at.iteration,
        recorded="" if at is None else at.recorded,
        found="" if at is None else at.found,
        state_hash=view.state,
    )


def _worker(view: SwarmView, most_bytes: int) -> Work:
    """Return what does a partition of a swarm again, in this process."""
    plan = Plan.of(view.swarm_id, view.spec)
    name = plan.task.handler_name or ""
    handler = handler_of(name)
    if handler is None:
        fault = f"handler {name!r} is not defined here: import its module"
        raise SwarmHandlerNotFound(view.name, [fault])

    def work(told: Mapping[str, Any]) -> PartitionResult:
        held = Held(told["partition"], told["attempt"], told["agent"])
        partition = partition_of(plan, held)
        what = f"partition {partition.index} of swarm {view.swarm_id}"
        output = handler(partition, dict(plan.task.metadata))
        if isawaitable(output):
            limit_s = plan.task.partition_timeout_ms / 1_000
            output = RealTime().wait(output, what, limit_s)
        return checked_result(output, partition, most_bytes)

    return work


def _work_again(swarm_id: str, log: Records, work: Work | None) -> SwarmReplay:
    done = checked_again(swarm_id, log.read(swarm_id, whole=True), work)
    return SwarmReplay(
        swarm_id=swarm_id,
        iterations=done.ticks,
        is_equal=done.differs_at is None,
        differs_at=done.differs_at,
        recorded=done.recorded,
        found=done.found,
        state_hash=done.state_hash,
    )
