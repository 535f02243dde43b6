"""What swarms are asked: how they stand, what happened, whether it comes out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from orchestration.adapters.swarm_log import SwarmSummary
from orchestration.core.swarm.events import SwarmEvent
from orchestration.core.swarm.fold import SwarmStatus
from orchestration.core.swarm.partitions.outcome import PartitionRecord
from orchestration.core.swarm.report import (
    SwarmReport,
    report_of,
    sizes,
)
from orchestration.engine.standing_fields import FieldSummary
from orchestration.engine.swarm_replaying import SwarmReplay, replay
from orchestration.engine.swarm_side import SwarmSide, fitness_of
from orchestration.engine.swarm_watching import SwarmFrame, frames
from orchestration.message_bus import MessageBus
from orchestration.opening import Opened

__all__ = ["SwarmReading"]


class SwarmReading(Opened):
    """Tells of swarms, running and over; it changes nothing.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
    """

    def __init__(self, message_bus: MessageBus | None = None) -> None:
        self._bus = message_bus or MessageBus()
        self._owns_bus = message_bus is None

    async def initialize(self) -> None:
        """Connect, unless the message bus is connected already."""
        await self._bus.initialize()

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        if self._owns_bus:
            await self._bus.close()

    @property
    def _swarms(self) -> SwarmSide:
        return self._bus.swarms

    async def results(self, swarm_id: str) -> Sequence[PartitionRecord]:
        """Return what is on record of the partitions that are done, in their order.

        Args:
            swarm_id: Of a swarm that shares out partitions; it may be under way.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        await asyncio.to_thread(self._swarms.log.view, swarm_id)
        found = await asyncio.to_thread(self._bus.partitions.log.results, swarm_id)
        return [PartitionRecord.of(one) for one in found]

    async def status(self, swarm_id: str) -> SwarmReport:
        """Return how a swarm stands, from its events."""
        return await asyncio.to_thread(self._status, swarm_id)

    def _status(self, swarm_id: str) -> SwarmReport:
        log = self._swarms.log
        view = log.view(swarm_id)
        if view.status.is_over:
            return report_of(view)
        log.heal(view)
        return report_of(view, log.waiting_for(swarm_id))

    async def events(self, swarm_id: str) -> tuple[SwarmEvent, ...]:
        """Return every fact recorded of a swarm, oldest first."""
        log = self._swarms.log
        await asyncio.to_thread(log.view, swarm_id)
        return await asyncio.to_thread(log.read, swarm_id, whole=True)

    async def sizes(self, swarm_id: str) -> tuple[int, ...]:
        """Return how many agents a swarm had in each of its iterations so far.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        log = self._swarms.log
        view = await asyncio.to_thread(log.view, swarm_id)
        told = await asyncio.to_thread(lambda: [*log.iterations(swarm_id)])
        return sizes(view, told)

    async def list(
        self, *, state: str | None = None, limit: int = 50
    ) -> tuple[SwarmSummary, ...]:
        """Return swarms, newest first.

        Args:
            state: Only those in this status.
            limit: At most so many.
        """
        wanted = None if state is None else SwarmStatus(state)
        return await asyncio.to_thread(
            self._swarms.log.listed, state=wanted, limit=limit
        )

    async def fields(self, *, limit: int = 50) -> Sequence[FieldSummary]:
        """Return what runs have learned of their work, and what is left of it by now.

        Args:
            limit: At most so many; the field laid on last comes first.
        """
        fields = self._bus.partitions.fields
        return await asyncio.to_thread(fields.listed, limit)

    async def replay(self, swarm_id: str, *, call_handler: bool = False) -> SwarmReplay:
        """Do a swarm's iterations again, from its seed, and say where they differ.

        All of it is done in this process, which must have the fitness. Of a swarm that
        shares out work every hash is computed again from what is on record.

        Args:
            swarm_id: The swarm.
            call_handler: Whether what partitions came to is worked out again, too: by
                the handler, from the items that came with the task, or from the data
                source as it is now. This process must have them, and what the handler
                does besides is done once more.

        Raises:
            UnknownFitness: This process does not have it: import its module.
            SwarmHandlerNotFound: Nor the handler.
        """
        swarms, most_bytes = self._swarms, self._bus.settings.max_payload_bytes

        def run() -> SwarmReplay:
            return replay(
                swarm_id,
                swarms.states,
                swarms.log,
                fitness_of,
                call_handler=call_handler,
                most_bytes=most_bytes,
            )

        return await asyncio.to_thread(run)

    def watch(self, swarm_id: str, *, every_ms: int = 100) -> AsyncIterator[SwarmFrame]:
        """Return what a swarm looks like, again and again while it moves.

        It looks at what is there anyway: a swarm is no slower for being watched. The
        last frame is of its end.

        Args:
            swarm_id: The swarm.
            every_ms: At most one frame in this time, milliseconds.

        Raises:
            SwarmNotFound: There is no such swarm.
        """
        return frames(self._swarms, swarm_id, every_ms)
