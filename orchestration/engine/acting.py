"""What operators, signals and other programs ask of sagas, carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from eventstore import NotCanonical
from orchestration.adapters.saga_records import Because, Start, Status
from orchestration.core.saga import acts
from orchestration.core.saga.acts import Who
from orchestration.core.saga.children import failed_child
from orchestration.core.saga.decide import Decision
from orchestration.core.saga.events import EventType
from orchestration.core.saga.evolve import evolve
from orchestration.core.saga.undoing import failed_undos
from orchestration.core.saga.view import SagaView
from orchestration.engine.payload import checked_payload
from orchestration.engine.recording import Recorder, folded, is_on_record
from orchestration.engine.starting import SagaDoor
from orchestration.errors import SagaActRefused

__all__ = ["SagaDesk"]

_Act = Callable[[SagaView, datetime], Decision]


@dataclass(frozen=True, slots=True)
class SagaDesk:
    """Where sagas are acted upon; each act is an event that says who and why.

    Every method raises SagaNotFound if there is no such saga, and SagaActRefused,
    with the way out, if the act does not fit the saga's state; what is handed to a
    saga raises PayloadTooLarge if it is over the limit.
    """

    recorder: Recorder
    door: SagaDoor

    def act(self, saga_id: str, act: _Act, because: Because) -> SagaView:
        """Decide anew until the log takes it; send what follows; return the saga."""
        recorder = self.recorder
        events = recorder.log.read(saga_id).events
        while True:
            view = folded(saga_id, events)
            decision = act(view, recorder.now())
            if not decision.facts:
                return view
            answer, decision = recorder.record(view, decision, because)
            events = answer.events
            if not answer.is_recorded and is_on_record(view, decision.facts, events):
                decision = evolve(decision, view=folded(saga_id, events))
                recorder.tell_end(decision.view)
            elif not answer.is_recorded:
                if answer.status is Status.CLOSED and not view.state.is_over:
                    recorder.log.heal(saga_id)
                continue
            recorder.send(decision)
            _raise_refusal(decision)
            return decision.view

    def pause(self, saga_id: str, who: Who) -> SagaView:
        """Let what runs end, and begin nothing; timers stand still."""
        return self._act(saga_id, who, acts.pause)

    def resume(self, saga_id: str, who: Who) -> SagaView:
        """Go on after a pause."""
        return self._act(saga_id, who, acts.resume)

    def cancel(self, saga_id: str, who: Who) -> SagaView:
        """Give up and undo."""
        return self._act(saga_id, who, acts.cancel)

    def retry(
        self, saga_id: str, who: Who, *, from_step: str | None = None
    ) -> SagaView:
        """Try again what failed, or begin anew with a step."""
        return self._act(saga_id, who, acts.retry, from_step=from_step)

    def retry_due(
        self, saga_id: str, who: Who, *, due: Mapping[str, datetime]
    ) -> SagaView:
        """Try undos that failed again by themselves, since their time has come."""
        return self._act(saga_id, who, acts.retry_due, due=due)

    def skip(self, saga_id: str, who: Who, *, step: str) -> SagaView:
        """Leave the effect of a step whose undoing failed; of its saga's too."""
        act = partial(acts.skip, who=who, step=step)
        self._leave_child(saga_id, who, act, step=step, by_hand=False)
        return self.act(saga_id, act, Because.here(who.by))

    def resolve(
        self,
        saga_id: str,
        who: Who,
        *,
        step: str,
        happened: bool | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> SagaView:
        """Say what a person has found out about a step."""
        output = self._checked(saga_id, f"output of step {step!r}", output)
        act = partial(
            acts.resolve, who=who, step=step, happened=happened, output=output
        )
        self._leave_child(saga_id, who, act, step=step, by_hand=True)
        return self.act(saga_id, act, Because.here(who.by))

    def replay(
        self, saga_id: str, who: Who, *, from_step: str | None = None
    ) -> SagaView:
        """Undo once more what was undone."""
        return self._act(saga_id, who, acts.replay, from_step=from_step)

    def undo(self, saga_id: str, who: Who, *, again: str = "") -> SagaView:
        """Undo a completed saga."""
        return self._act(saga_id, who, acts.undo, again=again)

    def signal(
        self,
        saga_id: str,
        who: Who,
        *,
        name: str,
        data: object = None,
        signal_id: str | None = None,
    ) -> SagaView:
        """Hand a signal to the step that waits for it, or will."""
        data = self._checked(saga_id, f"data of signal {name!r}", data)
        told = signal_id or str(uuid4())
        return self._act(
            saga_id, who, acts.signal, name=name, data=data, signal_id=told
        )

    def fork(
        self,
        saga_id: str,
        who: Who,
        *,
        initial_data: Mapping[str, Any] | None = None,
        new_id: str | None = None,
    ) -> str:
        """Begin a saga anew under a new id; return that.

        Args:
            saga_id: The saga to repeat.
            who: Who asks, and why.
            initial_data: In place of the old saga's.
            new_id: The new saga's id; None: one is made.
        """
        view = folded(saga_id, self.recorder.log.read(saga_id).events)
        new_id = new_id or str(uuid4())
        start = Start(
            transaction=replace(view.transaction, transaction_id=new_id),
            initial_data=view.initial_data if initial_data is None else initial_data,
            forked_from=saga_id,
            told=who.told,
        )
        self.door.begin(start, Because.here(who.by))
        return new_id

    def _leave_child(
        self, saga_id: str, who: Who, act: _Act, *, step: str, by_hand: bool
    ) -> None:
        """Let a word about a step's undoing count for the saga that it runs.

        What is left of that is not undone later, by beat or by its own operator, as
        if nothing had been said. It goes first, the deepest before all: if this ends
        halfway, the same word may be said once more.
        """
        log = self.recorder.log
        view = log.view(saga_id)
        act(view, self.recorder.now())  # or it is refused
        child_id = failed_child(view, step)
        if child_id is None or not log.read(child_id).events:
            return
        told = Who(who.by, f"step {step} of saga {saga_id}: {who.why}".rstrip(": "))
        self._leave(child_id, told, by_hand=by_hand)

    def _leave(self, saga_id: str, who: Who, *, by_hand: bool) -> None:
        view = self.recorder.log.view(saga_id)
        for step in failed_undos(view):
            if child_id := failed_child(view, step):
                self._leave(child_id, who, by_hand=by_hand)
        self._act(saga_id, who, acts.leave, by_hand=by_hand)

    def _checked(self, saga_id: str, what: str, value: object) -> Any:  # noqa: ANN401  JSON
        try:
            return checked_payload(what, value, self.door.max_payload_bytes)
        except NotCanonical as exc:
            raise SagaActRefused(f"{what} is no JSON ({exc})", saga_id) from exc

    def _act(
        self,
        saga_id: str,
        who: Who,
        act: Callable[..., Decision],
        **options: Any,  # noqa: ANN401  each act has its own
    ) -> SagaView:
        return self.act(
            saga_id,
            lambda view, now: act(view, now, who, **options),
            Because.here(who.by),
        )


def _raise_refusal(decision: Decision) -> None:
    """Tell of a refusal that is on record: a cancel that came too late."""
    for fact in decision.facts:
        if fact.type is EventType.SAGA_CANCEL_REFUSED and "by" in fact.data:
            saga_id = decision.view.saga_id
            raise SagaActRefused(
                f"saga {saga_id} cannot be cancelled: {fact.data['reason']}", saga_id
            )
