"""People who act upon sagas at any time: sensibly or not, but never lying."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from orchestration.core.saga.acts import Who
from orchestration.core.saga.execution import SagaExecution, execution_of
from orchestration.core.saga.view import SagaView
from orchestration.engine.acting import SagaDesk
from orchestration.errors import SagaActRefused
from tests.unit.ledger import Ledger
from tests.unit.sagas import SIGNALS

ACTS: Final = (
    "pause",
    "resume",
    "cancel",
    "retry",
    "retry_from",
    "replay",
    "signal",
    "settle",
    "skip",
    "fork",
)
ANN: Final = Who("ann", "she can")


@dataclass
class Operators:
    """Act through the desk; what it refuses is left."""

    desk: SagaDesk
    ledger: Ledger
    random: Random
    forks: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def act(self, act: str, saga_id: str) -> None:
        """Do one of ACTS upon a saga, whose state it need not fit."""
        view = self.desk.recorder.log.view(saga_id)
        try:
            self._act(act, view)
        except SagaActRefused as exc:
            self.refused.append(str(exc))

    def _act(self, act: str, view: SagaView) -> None:
        desk, saga_id = self.desk, view.saga_id
        anywhere = self.random.choice([*view.plan.by_name])
        match act:
            case "pause":
                desk.pause(saga_id, ANN)
            case "resume":
                desk.resume(saga_id, ANN)
            case "cancel":
                desk.cancel(saga_id, ANN)
            case "retry":
                desk.retry(saga_id, ANN)
            case "retry_from":
                desk.retry(saga_id, ANN, from_step=anywhere)
            case "replay":
                from_step = self.random.choice([None, anywhere])
                desk.replay(saga_id, ANN, from_step=from_step)
            case "signal":
                name = self.random.choice(SIGNALS)
                word = {"name": name, "data": {name: 1}}
                desk.signal(saga_id, ANN, signal_id=f"{view.version}", **word)
            case "settle":
                self._settle(saga_id, execution_of(view))
            case "skip":
                failed = execution_of(view).failed_compensations
                step = self.random.choice(failed or (anywhere,))
                desk.skip(saga_id, ANN, step=step)
            case "fork":
                self.forks.append(desk.fork(saga_id, ANN, new_id=self._new_id(saga_id)))

    def _new_id(self, saga_id: str) -> str:
        return f"{saga_id}-{len(self.forks)}"

    def _settle(self, saga_id: str, status: SagaExecution) -> None:
        """Tell the truth of what is unknown, or undo by hand what could not be."""
        if status.failed_compensations:
            step = self.random.choice(status.failed_compensations)
            self._undo_by_hand(saga_id, step)
            self.desk.resolve(saga_id, ANN, step=step)
            return
        for step in status.unresolved_steps:
            happened = step in self.ledger.left(saga_id)
            self.desk.resolve(saga_id, ANN, step=step, happened=happened)
            return

    def _undo_by_hand(self, saga_id: str, step: str) -> None:
        """Undo a step's effect; of a saga that a step ran, all that is left of it."""
        self.ledger.undo_by_hand(saga_id, step)
        child = self.desk.recorder.log.view(saga_id).do_of(step).awaits.get("saga")
        if child is not None and self.desk.recorder.log.read(child).events:
            for inner in self.ledger.left(child):
                self.ledger.undo_by_hand(child, inner)
