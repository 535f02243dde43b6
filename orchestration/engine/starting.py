"""How a saga begins: checked, recorded, sent. Front doors and workers share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventstore import NotCanonical
from orchestration.adapters.saga_records import Because, Start
from orchestration.core.saga.checks import definition_faults
from orchestration.core.saga.decide import Decision, advance
from orchestration.core.saga.locks import lock_names
from orchestration.core.saga.model import CELERY_ACTION, SagaStep, SagaTransaction
from orchestration.core.saga.swarm_telling import swarm_of
from orchestration.core.saga.view import SagaView
from orchestration.core.swarm.providers import Provided, announced_name
from orchestration.engine.payload import checked_payload
from orchestration.engine.recording import Recorder, folded
from orchestration.errors import InvalidSaga, TooManySagas, UnknownAgent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

__all__ = ["ANY_AGENT", "Backpressure", "Hosts", "SagaDoor"]

ANY_AGENT: Final = "*"
"""In place of an agent's id: whoever has the action."""

_COUNT_EVERY_S = 1.0


class Hosts(Protocol):
    """Who knows what workers host."""

    def unknown(self, wanted: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return which (agent, action) no worker has ever announced.

        An agent ``*`` stands for any.
        """


@dataclass(slots=True)
class Backpressure:
    """Refuses sagas beyond a limit; counts once a second, so it is not exact.

    Attributes:
        count_open: Returns how many sagas are open, counted no further than asked.
        limit: How many there may be.
    """

    count_open: Callable[[int], int]
    limit: int
    _is_full: bool = field(default=False, init=False)
    _counted_at: float = field(default=float("-inf"), init=False)

    def check(self) -> None:
        """Return if there is room.

        Raises:
            TooManySagas: There is none.
        """
        if time.monotonic() > self._counted_at + _COUNT_EVERY_S:
            self._is_full = self.count_open(self.limit) >= self.limit
            self._counted_at = time.monotonic()
        if self._is_full:
            raise TooManySagas(
                f"{self.limit} sagas are open, which is the limit "
                "(ORCHESTRATION_MAX_OPEN_SAGAS): try later, or add workers"
            )


@dataclass(frozen=True, slots=True)
class SagaDoor:
    """Where sagas come in.

    Attributes:
        max_payload_bytes: Limit of a saga's definition with its initial data.
        backpressure: Whether there is room for another; None: there always is.
    """

    recorder: Recorder
    hosts: Hosts
    max_payload_bytes: int
    backpressure: Backpressure | None = None

    def begin(
        self, start: Start, because: Because, *, connection: Connection | None = None
    ) -> bool:
        """Record a saga's start and send its first steps; False if it has begun.

        With a caller's ``connection`` nothing is sent: the start becomes true when
        the caller commits, and the sweep sends the first steps.

        Raises:
            InvalidSaga: The definition has faults; all are named.
            UnknownAgent: No worker ever announced an agent or action of it.
            PayloadTooLarge: Definition and data are over the limit.
            TooManySagas: As many sagas are open as may be.
            SagaConflict: The id is taken by another saga.
        """
        start = replace(start, initial_data=dict(start.initial_data))
        self._check(start)
        view = self.recorder.log.begin(start, because, connection=connection)
        if view is not None and connection is None:
            self._set_going(view, because)
        return view is not None

    def faults(self, start: Start) -> tuple[str, ...]:
        """Return everything that is wrong with a saga, whoever hosts its agents."""
        faults = [*definition_faults(start.transaction)]
        try:
            lock_names(start.transaction.locks, start.initial_data)
        except ValueError as exc:
            faults.append(str(exc))
        return tuple(faults)

    def check_size(self, start: Start) -> None:
        """Return if definition and data are within the limit.

        Raises:
            InvalidSaga: The data are no JSON.
            PayloadTooLarge: They are over it.
        """
        name = start.transaction.name
        what = f"definition and initial data of saga {name!r}"
        data = {"d": start.definition, "i": start.initial_data}
        try:
            checked_payload(what, data, self.max_payload_bytes)
        except NotCanonical as exc:
            raise InvalidSaga(name, [f"initial data: {exc}"]) from exc

    def _check(self, start: Start) -> None:
        transaction = start.transaction
        if faults := self.faults(start):
            raise InvalidSaga(transaction.name, faults)
        if unknown := self.hosts.unknown(_wanted(transaction)):
            raise UnknownAgent(transaction.name, [_sentence(*pair) for pair in unknown])
        self.check_size(start)
        # A parent's step is part of a saga that has been let in already.
        if self.backpressure is not None and start.parent is None:
            self._check_room(self.backpressure, transaction.transaction_id)

    def _check_room(self, backpressure: Backpressure, saga_id: str) -> None:
        try:
            backpressure.check()
        except TooManySagas:
            # Whoever starts again what has begun asks for no further saga.
            if not self.recorder.log.read(saga_id).events:
                raise

    def _set_going(self, view: SagaView, because: Because) -> None:
        recorder = self.recorder
        decision = advance(view, recorder.now())
        if not decision.facts:
            recorder.announce(Decision(view=view))
        while decision.facts:  # of steps that need no agent
            answer, decision = recorder.record(view, decision, because)
            if answer.is_recorded:
                break
            # Somebody has acted upon it, and sent what followed from that alone.
            view = folded(view.saga_id, answer.events)
            decision = advance(view, recorder.now())
        recorder.send(decision)


def _wanted(transaction: SagaTransaction) -> Iterator[tuple[str, str]]:
    """Yield agent and action of every call, those of sagas within included."""
    for step in transaction.steps:
        if step.swarm is not None:
            yield from _wanted_by_swarm(step)
        for target in step.targets:
            is_task = target.startswith(CELERY_ACTION)
            yield from ((agent, target) for agent in (("",) if is_task else _who(step)))
        if isinstance(step.saga, Mapping):
            saga: Mapping[str, Any] = step.saga
            yield from _wanted(SagaTransaction.from_json(saga, transaction_id=""))


def _wanted_by_swarm(step: SagaStep) -> Iterator[tuple[str, str]]:
    """Yield what the swarm of a step cannot do without, as it is announced."""
    task = swarm_of(step)
    needed = [(Provided.HANDLER, task.handler_name)]
    if task.needs_source:
        needed.append((Provided.SOURCE, task.source_name))
    for kind, name in needed:
        owner, _, what = announced_name(kind, name or "").partition("/")
        yield owner, what


def _who(step: SagaStep) -> tuple[str, ...]:
    """Return everybody who may come to do a step."""
    if step.capability is not None:
        return (ANY_AGENT,)
    return tuple(step.agents) or tuple(a for a, _ in step.choose) or (step.agent_id,)


def _sentence(agent: str, action: str) -> str:
    if not agent:
        return (
            f"no worker has the task {action.removeprefix(CELERY_ACTION)!r}: start "
            "`celery -A tasks worker -I` with the module that defines it"
        )
    if agent.startswith("@"):
        return (
            f"no worker hosts {agent[1:]} {action!r}: start "
            "`celery -A tasks worker -I` with the module that defines it"
        )
    whose = "any agent" if agent == ANY_AGENT else f"agent {agent!r}"
    return (
        f"no worker hosts action {action!r} of {whose}: start "
        "`celery -A tasks worker -I` with the module that defines it"
    )
