"""What sagas ask of the swarms that are steps of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from orchestration.adapters.saga_records import Because
from orchestration.core.saga.acts import Who
from orchestration.core.saga.children import Errand, Order
from orchestration.core.saga.outcomes import Failed, Outcome
from orchestration.core.saga.swarms import nothing_to_do, swarm_answer, swarm_task
from orchestration.core.saga.view import SagaView
from orchestration.core.swarm.fold import SwarmStatus, SwarmView
from orchestration.engine.partition_desk import PartitionDesk
from orchestration.engine.payload import checked_payload
from orchestration.engine.swarm_desk import SwarmDesk
from orchestration.errors import (
    DataConflict,
    InvalidSwarm,
    PayloadTooLarge,
    SwarmActRefused,
    SwarmConflict,
    SwarmNotFound,
)

__all__ = ["SwarmErrands"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SwarmErrands:
    """Begins the swarms of steps, passes on what is asked of them, and reads their end.

    Attributes:
        desk: Where they are paused and stopped.
        partitions: Where they begin, and what came of them is read.
    """

    desk: SwarmDesk
    partitions: PartitionDesk

    def attend(
        self, view: SagaView, errand: Errand, because: Because
    ) -> Outcome | None:
        """Carry out one order; return how the swarm ended, None: it is still at it."""
        swarm_id = errand.child_id
        try:
            swarm = self.desk.log.view(swarm_id)
        except SwarmNotFound:
            # Also of a saga that gave up: begun and stopped, it cannot be begun by
            # somebody who has not heard of that yet.
            if (outcome := self._begin(view, errand, because)) is not None:
                return outcome
            swarm = self.desk.log.view(swarm_id)
        try:
            swarm = self._told(swarm, errand, view, because)
        except SwarmActRefused as exc:
            # It has ended meanwhile: its own status is the answer.
            logger.info("%s", exc)
            swarm = self.desk.log.view(swarm_id)
        if not swarm.status.is_over:
            return None
        return swarm_answer(swarm, errand.step, self._values(swarm))

    def _begin(
        self, view: SagaView, errand: Errand, because: Because
    ) -> Outcome | None:
        """Begin a swarm; return what became of the step, if it cannot be begun."""
        try:
            if (outcome := nothing_to_do(view, errand.step)) is not None:
                return outcome
            task = swarm_task(view, errand.step, errand.child_id)
            self.partitions.begin(task, because)
        except SwarmConflict:
            return None  # begun by another, who saw the data or the clock otherwise
        except (InvalidSwarm, PayloadTooLarge, DataConflict) as exc:
            error = {"type": type(exc).__name__, "message": str(exc)}
            return Failed(error, retryable=False)
        return None

    def _told(
        self, swarm: SwarmView, errand: Errand, view: SagaView, because: Because
    ) -> SwarmView:
        """Pass an order on, unless it is followed already."""
        if swarm.status.is_over:
            return swarm
        who = Who(by=f"saga {view.saga_id}", why=f"step {errand.step}")
        is_paused = swarm.status is SwarmStatus.PAUSED
        match errand.order:
            case Order.START:
                if not is_paused:
                    return swarm
                after = self.desk.resume(swarm.swarm_id, who, because)
            case Order.PAUSE:
                if is_paused or swarm.is_stopping:
                    return swarm
                after = self.desk.pause(swarm.swarm_id, who, because)
            case Order.CANCEL | Order.UNDO:
                if swarm.is_stopping:
                    return swarm
                after = self.desk.stop(swarm.swarm_id, who, because)
        self.partitions.nudge(after)
        return after

    def _values(self, swarm: SwarmView) -> list[Any] | None:
        """Return what came of the partitions, if a step's output can hold it."""
        found = self.partitions.log.results(swarm.swarm_id)
        values = [one["value"] for one in found]
        half = self.partitions.max_payload_bytes // 2  # the rest is the result's
        try:
            checked_payload("the values of a swarm", {"values": values}, half)
        except PayloadTooLarge:
            return None
        return values
