"""How a saga begins: checked, recorded, sent. Front doors and workers share it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from eventstore import canonical_bytes
from orchestration.adapters.announcements import Announcements
from orchestration.adapters.celery_bus import StepSender
from orchestration.adapters.saga_log import SagaLog
from orchestration.adapters.saga_records import Because
from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.decide import advance
from orchestration.core.saga.model import Direction, SagaTransaction
from orchestration.errors import (
    InvalidSaga,
    PayloadTooLarge,
    TransportError,
    UnknownAgent,
)

__all__ = ["SagaDoor"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SagaDoor:
    """Where sagas come in.

    Attributes:
        max_payload_bytes: Limit of a saga's definition with its initial data.
    """

    log: SagaLog
    announcements: Announcements
    sender: StepSender
    max_payload_bytes: int

    def begin(
        self,
        transaction: SagaTransaction,
        initial_data: Mapping[str, Any],
        because: Because,
        *,
        connection: Connection | None = None,
    ) -> bool:
        """Record a saga's start and send its first steps; False if it has begun.

        With a caller's ``connection`` nothing is sent: the start becomes true when
        the caller commits, and the sweep sends the first steps.

        Raises:
            InvalidSaga: The definition has faults; all are named.
            UnknownAgent: No worker ever announced an agent or action of it.
            PayloadTooLarge: Definition and data are over the limit.
            SagaConflict: The id is taken by another saga.
        """
        definition = self._checked(transaction, initial_data)
        saga_id = transaction.transaction_id
        is_new = self.log.start(
            saga_id, definition, initial_data, because, connection=connection
        )
        if is_new and connection is None:
            self._send_first(saga_id)
        return is_new

    def _checked(
        self, transaction: SagaTransaction, initial_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        if faults := definition_faults(transaction):
            raise InvalidSaga(transaction.name, faults)
        wanted = [
            (step.agent_id, target)
            for step in transaction.steps
            for direction in Direction
            if (target := step.target(direction))
        ]
        if unknown := self.announcements.unknown(wanted):
            raise UnknownAgent(
                transaction.name,
                [
                    f"no worker hosts action {action!r} of agent {agent!r}: start "
                    "`celery -A tasks worker -I` with the module that defines it"
                    for agent, action in unknown
                ],
            )
        definition = transaction.to_json()
        size = len(canonical_bytes({"d": definition, "i": dict(initial_data)}))
        if size > self.max_payload_bytes:
            raise PayloadTooLarge(
                f"saga {transaction.name!r}: definition and initial data take {size} "
                f"bytes, the limit is {self.max_payload_bytes} "
                "(ORCHESTRATION_MAX_PAYLOAD_BYTES): pass a reference to the data"
            )
        return definition

    def _send_first(self, saga_id: str) -> None:
        view = self.log.view(saga_id)
        try:
            self.sender.send(advance(view, self.log.db.clock.now()))
        except TransportError:
            # On record: the sweep sends it as soon as the broker takes messages.
            logger.warning("first steps of saga %s not sent yet", saga_id)
