"""Swarms: agents that search for the best, move together, or share out work.

    swarm = SwarmOrchestrator(message_bus)
    await swarm.initialize()
    report = await swarm.optimize("rastrigin", [(-5.12, 5.12)] * 10)
    print(report.best, report.best_position)

A swarm runs on Celery workers and outlives its caller; what happened is read from its
events, and every state can be computed again from its seed. docs/swarm-search.md tells
the whole story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from orchestration.adapters.saga_records import Because
from orchestration.adapters.swarm_log import SwarmSummary
from orchestration.core.swarm.events import SwarmEvent
from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.model import AgentRole, SwarmBehavior
from orchestration.core.swarm.partitions.facts import KIND
from orchestration.core.swarm.partitions.outcome import PartitionRecord
from orchestration.core.swarm.report import (
    SwarmIsland,
    SwarmReport,
    report_of,
    report_or_raise,
    still_running,
)
from orchestration.core.swarm.run import SwarmRun
from orchestration.core.swarm.task import SwarmTask
from orchestration.engine.asking import who
from orchestration.engine.standing_fields import FieldSummary
from orchestration.engine.swarm_asking import RunOptions, motion_run, search_run
from orchestration.engine.swarm_replaying import SwarmReplay
from orchestration.engine.swarm_tuning import TuneOptions, tuning_run
from orchestration.engine.swarm_watching import SwarmFrame
from orchestration.swarm_reading import SwarmReading

__all__ = [
    "AgentRole",
    "FieldSummary",
    "PartitionRecord",
    "RunOptions",
    "SwarmBehavior",
    "SwarmEvent",
    "SwarmFrame",
    "SwarmIsland",
    "SwarmOrchestrator",
    "SwarmReplay",
    "SwarmReport",
    "SwarmStatus",
    "SwarmSummary",
    "SwarmTask",
    "TuneOptions",
]

Fitness = str | Callable[..., Any]
"""A fitness: its name, or the function that ``@fitness`` has named."""


class SwarmOrchestrator(SwarmReading):
    """Starts swarms, waits for them, tells how they stand, and acts upon them.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    # --- begin and wait

    async def start(
        self,
        fitness: Fitness,
        bounds: Sequence[Sequence[float]],
        **options: Unpack[RunOptions],
    ) -> str:
        """Start a search and return its id without waiting for it.

        Starting one with the same ``swarm_id``, seed and all else again starts nothing.

        Args:
            fitness: What is to be least: the name of a function that workers host by
                ``@fitness``, or that function itself, or the name of a standard one
                (``sphere``, ``rastrigin``, …).
            bounds: The least and the most of each dimension: ``[(-5, 5), (0, 1)]``.
            **options: See ``RunOptions``.

        Raises:
            InvalidSwarm: Something is wrong with it; all is named, nothing started.
            UnknownFitness: No worker ever announced the fitness.
            SwarmConflict: The id is taken by another swarm.
            TransportError: The database does not answer.
        """
        return await self._begin(*search_run(fitness, bounds, options))

    async def move(
        self,
        behavior: SwarmBehavior | str,
        settings: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> str:
        """Start a swarm that moves without searching; return its id.

        Args:
            behavior: How: FORAGING, FLOCKING, DISPERSING, CLUSTERING or MIGRATING;
                SWARMING is refused, for it searches: see ``start``.
            settings: The behaviour's; what is left out is as by default.
            **options: Those of ``RunOptions`` that are not about a search.

        Raises:
            InvalidSwarm: Something is wrong with it; all is named, nothing started.
            SwarmConflict: The id is taken by another swarm.
        """
        return await self._begin(*motion_run(behavior, settings or {}, options))

    async def _begin(self, swarm_id: str, run: SwarmRun) -> str:
        because = Because.here("producer")
        await asyncio.to_thread(self._swarms.desk.begin, swarm_id, run, because)
        return swarm_id

    async def optimize(
        self,
        fitness: Fitness,
        bounds: Sequence[Sequence[float]],
        **options: Unpack[RunOptions],
    ) -> SwarmReport:
        """Search for the least value of a fitness and return what was found.

        The swarm outlives this call: cancelling the wait does not stop it.

        Args:
            fitness: As for ``start``.
            bounds: As for ``start``.
            **options: As for ``start``.

        Returns:
            What came of it. One that was stopped, or whose ``timeout_ms`` were over,
            tells what it had found by then: look at ``status``.

        Raises:
            SwarmFailed: It could not go on; the text says why.
            SwarmNonDeterministic: A state came out otherwise than it is on record.
            InvalidSwarm: As for ``start``, like all its errors.
        """
        return await self.wait(await self.start(fitness, bounds, **options))

    async def start_tuning(
        self,
        fitness: Fitness,
        bounds: Sequence[Sequence[float]],
        **options: Unpack[TuneOptions],
    ) -> str:
        """Start a tuning and return its swarm's id without waiting for it.

        ``wait``, ``status``, ``pause``, ``replay`` and all else take the id as that of
        any other swarm; an iteration is a generation.

        Args:
            fitness: As for ``start``.
            bounds: As for ``start``.
            **options: See ``TuneOptions``.

        Raises:
            InvalidSwarm: As for ``start``, like all its errors.
        """
        return await self._begin(*tuning_run(fitness, bounds, options))

    async def tune(
        self,
        fitness: Fitness,
        bounds: Sequence[Sequence[float]],
        **options: Unpack[TuneOptions],
    ) -> SwarmReport:
        """Find settings with which searches find more, by evolution.

            report = await swarm.tune("rastrigin", bounds, evaluations=20_000)
            await swarm.optimize("rastrigin", bounds, **report.settings)

        Each of a generation's settings is tried by a task of its own. It outlives this
        call, and who is killed in the middle changes nothing of what is found.

        Args:
            fitness: As for ``start``.
            bounds: As for ``start``.
            **options: See ``TuneOptions``.

        Returns:
            What came of it: ``settings``, with which searches found ``best``, the
            mean of the middle half of them.

        Raises:
            InvalidSwarm: As for ``optimize``, like all its errors.
        """
        return await self.wait(await self.start_tuning(fitness, bounds, **options))

    async def wait(
        self, swarm_id: str, *, timeout_ms: int | None = None
    ) -> SwarmReport:
        """Wait until a swarm is over; one that is paused is waited for.

        Args:
            swarm_id: Of a swarm that has been started.
            timeout_ms: How long to wait, milliseconds; None: as long as it takes.

        Raises:
            SwarmFailed: It could not go on.
            SwarmStillRunning: The time is over; the swarm goes on.
            SwarmNotFound: There is no such swarm.
        """
        swarms = self._swarms
        # Asked for before each look, so that an end in between is not missed.
        end = swarms.waiter.wait_for(swarm_id)
        try:
            view = await asyncio.to_thread(swarms.log.view, swarm_id)
            async with asyncio.timeout(
                None if timeout_ms is None else timeout_ms / 1_000
            ):
                while not view.status.is_over:
                    await asyncio.wrap_future(end)
                    # The word may have been of another system's swarm of that id.
                    end = swarms.waiter.wait_for(swarm_id)
                    view = await asyncio.to_thread(swarms.log.view, swarm_id)
        except TimeoutError as exc:
            raise still_running(swarm_id, timeout_ms) from exc
        finally:
            end.cancel()
        return report_or_raise(view)

    async def deploy(self, task: SwarmTask) -> dict[str, Any]:
        """Share out partitions of data among a swarm's agents, and wait for the end.

        The swarm outlives this call: cancelling the wait does not stop it. Calling
        again with the same task waits for the first run and starts nothing.

        Args:
            task: What is to be done, and how.

        Returns:
            What came of it; docs/swarms.md says what each key means. ``status`` is
            ``COMPLETED``, ``TIMEOUT`` or ``STOPPED``, and with the latter two the
            figures are of what was done by then.

        Raises:
            InvalidSwarm: The task has faults; all are named, nothing has started.
            SwarmHandlerNotFound: No worker ever announced its handler.
            SwarmSourceNotFound: No worker ever announced its data source.
            SwarmConflict: The id is taken by another swarm.
            PayloadTooLarge: The task is over the limit of what an event holds.
            TransportError: The database does not answer.
        """
        because, side = Because.here("producer"), self._bus.partitions
        await asyncio.to_thread(side.desk.begin, task, because)
        report = await self.wait(task.swarm_id)
        # Of the event that holds the result, hence not in it.
        head = await asyncio.to_thread(side.log.head, task.swarm_id)
        return {"swarm_id": task.swarm_id, **report.result, "chain_head": head}

    # --- act

    async def stop(self, swarm_id: str, *, by: str = "", why: str = "") -> SwarmReport:
        """End a swarm as it stands, once the iterations that run are done."""
        return await self._act(self._swarms.desk.stop, swarm_id, by, why)

    async def pause(self, swarm_id: str, *, by: str = "", why: str = "") -> SwarmReport:
        """Let what runs end, and begin nothing; its time stands still."""
        return await self._act(self._swarms.desk.pause, swarm_id, by, why)

    async def resume(
        self, swarm_id: str, *, by: str = "", why: str = ""
    ) -> SwarmReport:
        """Go on after a pause."""
        return await self._act(self._swarms.desk.resume, swarm_id, by, why)

    async def _act(
        self, act: Callable[..., Any], swarm_id: str, by: str, why: str
    ) -> SwarmReport:
        because = Because.here("operator")
        view = await asyncio.to_thread(act, swarm_id, who(by, why), because)
        if view.kind == KIND:
            await asyncio.to_thread(self._bus.partitions.desk.nudge, view)
        return report_of(view)
