"""Decisions into the log, and word of them to those who wait."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from eventstore import canonical_bytes
from orchestration.adapters.database import DATABASE_ERRORS
from orchestration.adapters.saga_records import (
    Answer,
    Because,
    Lease,
    LeaseChange,
    Record,
)
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.events import EventType, NewFact, SagaEvent
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import SagaState
from orchestration.core.saga.undoing import failed_undos, newly_failed_undos
from orchestration.core.saga.view import SagaView
from orchestration.engine.ports import Clock, Ends, Log, Metrics, Sender
from orchestration.errors import SagaNotFound, TransportError
from orchestration.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Recorder", "Rules", "folded", "is_on_record"]

logger = logging.getLogger(__name__)

_KNOWN_SAGAS = 1_000
_NEEDS_SOMEBODY: Final = (
    SagaState.FAILED,
    SagaState.PAUSED,
    SagaState.COMPENSATION_FAILED,
)
_SETTLES_LETTERS: Final = (
    EventType.COMPENSATION_COMPLETED,
    EventType.COMPENSATION_FAILED,
    EventType.COMPENSATION_RETRIED,
    EventType.COMPENSATION_REPLAYED,
    EventType.COMPENSATION_SKIPPED,
    EventType.COMPENSATION_RESOLVED,
    EventType.SAGA_RETRIED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decisions are recorded by.

    Attributes:
        lease_s: How long a claim outlives its worker, seconds.
        letter_retry_s: After which wait a failed undo is tried again; doubled.
        letter_max_tries: How often, before it is left to a person.
        notifies: Whether somebody wants to hear of sagas that need a person.
    """

    lease_s: float = 15.0
    letter_retry_s: float = 300.0
    letter_max_tries: int = 5
    notifies: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Return what a process' settings say."""
        return cls(
            lease_s=settings.lease_s,
            letter_retry_s=settings.letter_retry_s,
            letter_max_tries=settings.letter_max_tries,
            notifies=bool(settings.failure_task or settings.failure_webhook),
        )


class _Views:
    """Sagas as last seen by this process; what is old is made up for by the log."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, SagaView] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, saga_id: str) -> SagaView | None:
        with self._lock:
            return self._views.get(saga_id)

    def put(self, view: SagaView) -> None:
        with self._lock:
            self._views.pop(view.saga_id, None)
            if view.state.is_final:
                return
            self._views[view.saga_id] = view
            if len(self._views) > _KNOWN_SAGAS:
                self._views.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Records decisions and sends what follows from them."""

    log: Log
    sender: Sender
    clock: Clock
    ends: Ends
    metrics: Metrics
    rules: Rules = field(default_factory=Rules)
    views: _Views = field(default_factory=_Views)

    def now(self) -> datetime:
        """Return the database's time."""
        return self.clock.now()

    def record(
        self,
        before: SagaView,
        decision: Decision,
        because: Because,
        *,
        lease: Lease | None = None,
        change: LeaseChange | None = None,
        connection: Connection | None = None,
    ) -> tuple[Answer, Decision]:
        """Record a decision taken at ``before``; count it, and tell of a saga's end.

        With a ``connection`` nobody is told: ``announce`` it once that has committed.

        Returns:
            The log's answer, and the decision with the saga as it was recorded.
        """
        answer = self.log.record(
            Record.of(
                before,
                decision.view,
                decision.facts,
                check_at=decision.check_at,
                lease=lease,
                change=change,
                beside=self._beside(before, decision),
            ),
            because,
            connection=connection,
        )
        if not answer.is_recorded:
            return answer, decision
        at = answer.recorded_at or answer.now
        decision = evolve(decision, view=_recorded(before, decision.facts, at))
        if connection is None:
            self.announce(decision)
        return answer, decision

    def announce(self, decision: Decision) -> None:
        """Count what was recorded, and tell waiting callers if it was the end."""
        self.views.put(decision.view)
        self.metrics.observe(decision.facts, decision.view)
        self.tell_end(decision.view)
        if decision.view.state.is_over and decision.view.transaction.locks:
            self._hand_over_locks(decision.view)

    def _hand_over_locks(self, view: SagaView) -> None:
        """Have who comes next take a saga's locks now; else the sweep sees to it."""
        try:
            following = self.log.next_in_line(view.lock_names)
            if following:
                self.sender.attend(following)
        except DATABASE_ERRORS:  # of which that of the broker is one
            logger.warning("locks of saga %s not handed over yet", view.saga_id)

    def tell_end(self, view: SagaView) -> None:
        """Tell waiting callers if a saga has come to a stand."""
        if view.state.is_final:
            self.ends.tell(view.saga_id)

    def send(self, decision: Decision) -> None:
        """Send what follows; what the broker does not take, the sweep sends again."""
        if not decision.sends:
            return
        try:
            self.sender.send(decision)
        except TransportError:
            saga_id = decision.view.saga_id
            logger.warning("next steps of saga %s not sent yet", saga_id)

    def _beside(self, before: SagaView, decision: Decision) -> Mapping[str, Any]:
        """Return what else the side tables are to hold; see ``orch.saga_beside``."""
        after = decision.view
        types = {fact.type for fact in decision.facts}
        beside: dict[str, Any] = {}
        if not types.isdisjoint(_SETTLES_LETTERS):
            retried = [
                step
                for fact in decision.facts
                if fact.type is EventType.COMPENSATION_RETRIED
                for step in fact.data["steps"]
            ]
            beside |= {"kept": [*failed_undos(after), *retried], "retried": retried}
        has_failed = after.state is SagaState.COMPENSATION_FAILED
        if has_failed and before.state is not after.state:
            beside |= {
                "letters": [
                    {"step": name, "error": after.undo_of(name).error or {}}
                    for name in newly_failed_undos(after)
                ],
                "try_again_s": self.rules.letter_retry_s,
                "max_tries": self.rules.letter_max_tries,
            }
        is_news = before.state is not after.state and not after.is_on_hold
        if self.rules.notifies and is_news and after.state in _NEEDS_SOMEBODY:
            error = (after.cause or {}).get("error")
            beside["notice"] = {"error": dict(error) if error else None}
        return beside


def _recorded(before: SagaView, facts: Iterable[NewFact], at: datetime) -> SagaView:
    """Return the saga with facts recorded then: the decision's own time was a guess."""
    view = before
    for fact in facts:
        view = apply(view, SagaEvent(view.version + 1, fact.type, fact.data, at))
    return view


def folded(saga_id: str, events: Iterable[SagaEvent]) -> SagaView:
    """Return the saga that events tell of.

    Raises:
        SagaNotFound: There are none.
    """
    view = fold(saga_id, events)
    if view is None:
        raise SagaNotFound(f"there is no saga {saga_id}", saga_id)
    return view


def is_on_record(
    before: SagaView, facts: Sequence[NewFact], events: Sequence[SagaEvent]
) -> bool:
    """Whether a decision that the log refused is in it, and only the answer was lost.

    The database was then asked again. Facts of the same words at the same place have
    the same ids: whoever else recorded them has asked for the same.
    """
    found = events[before.version :][: len(facts)]
    return [(fact.type, canonical_bytes(fact.data)) for fact in facts] == [
        (event.type, canonical_bytes(event.data)) for event in found
    ]
