"""Whole worlds drawn by hypothesis: sagas, troubles, mishaps and what people do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from orchestration.adapters.saga_records import Answer, Because, Record, Start
from orchestration.core.saga.events import SagaEvent
from orchestration.core.saga.fold import apply, fold
from orchestration.core.saga.model import Direction, SagaTransaction
from orchestration.core.saga.view import SagaView
from orchestration.engine.recording import Recorder, Rules
from orchestration.testing import (
    FakeClock,
    MemoryIndex,
    MemoryLog,
    MemoryWatch,
    Mishaps,
)
from orchestration.testing.agency import Agency
from orchestration.testing.machine import Machine
from orchestration.testing.mishaps import Chance, ForgetfulLog
from orchestration.testing.tables import Tables
from tests.unit.ledger import DO, UNDO, Ledger, Trouble, Troubles
from tests.unit.operators import ACTS, Operators
from tests.unit.sagas import DATA, transactions


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a world is made of; the same one runs the same way each time.

    Attributes:
        sagas: Definitions and initial data, begun at once.
        acts: After how many moves which act is done, upon which saga.
    """

    sagas: tuple[tuple[SagaTransaction, Mapping[str, Any]], ...]
    troubles: Troubles = field(default_factory=dict)
    mishaps: Mishaps = field(default_factory=Mishaps)
    seed: int = 0
    acts: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True)
class WitnessedLog(ForgetfulLog):
    """A log that compares what processes believe with what the events tell.

    Attributes:
        folds: Each saga's events, and the view after each of them.
        recorders: Whose memory of sagas is looked at.
    """

    folds: dict[str, list[tuple[SagaEvent, SagaView]]] = field(default_factory=dict)
    recorders: list[Recorder] = field(default_factory=list)

    def record(self, record: Record, because: Because, **options: Any) -> Answer:
        answer = ForgetfulLog.record(self, record, because, **options)
        self.compare(record.saga_id)
        return answer

    def compare(self, saga_id: str) -> None:
        """Replay equals live state: the memories' and the side tables'."""
        folds = self.views(saga_id)
        for recorder in self.recorders:
            live = recorder.views.get(saga_id)
            assert live is None or live == folds[live.version - 1]
        view, tables = folds[-1], self.tables
        if view.state.is_over:
            assert saga_id not in tables.open
            assert tables.ended[saga_id].state == view.state
            return
        row = tables.open[saga_id]
        assert (row.state, row.version) == (view.state, view.version)
        assert row.gives_up == (view.cause is not None)

    def views(self, saga_id: str) -> list[SagaView]:
        """Return a saga's view after each event; those taken back are forgotten."""
        events, known = self.tables.streams[saga_id], self.folds.setdefault(saga_id, [])
        while known and known[-1][0] not in events[len(known) - 1 : len(known)]:
            known.pop()  # its transaction was rolled back
        for event in events[len(known) :]:
            view = apply(known[-1][1], event) if known else fold(saga_id, [event])
            assert view is not None
            known.append((event, view))
        return [view for _, view in known]


class DrawnWorld:
    """A world at work, its ledger, and the people who act upon it.

    Attributes:
        name: What the ids of its sagas begin with.
    """

    name = "saga"

    def __init__(self, drawn: Drawn) -> None:
        chance = Chance(Random(drawn.seed), drawn.mishaps)
        tables = Tables(FakeClock())
        self.log = WitnessedLog(tables, chance)
        self.build(drawn, self.log, MemoryWatch(tables), MemoryIndex(tables), chance)
        self.log.recorders.extend(self.machine.workers.recorders)

    def build(
        self,
        drawn: Drawn,
        log: MemoryLog,
        watch: MemoryWatch,
        index: MemoryIndex,
        chance: Chance,
    ) -> None:
        """Put the world together on its storage."""
        streams = log.tables.streams
        self.drawn = drawn
        self.ledger = Ledger(
            log.tables.clock, lambda one: len(streams[one]), drawn.troubles
        )
        agency = Agency.of([self.ledger, self.ledger.colleague], {})
        self.machine = Machine.of(agency, log, watch, index, chance, rules=Rules())
        random = Random(drawn.seed + 1)
        self.operators = Operators(self.machine.desk, self.ledger, random)
        self.ids = [f"{self.name}-{at}" for at in range(len(drawn.sagas))]

    def start(self) -> None:
        """Begin all sagas."""
        for saga_id, (transaction, data) in zip(
            self.ids, self.drawn.sagas, strict=True
        ):
            definition = transaction.to_json()
            begun = SagaTransaction.from_json(definition, transaction_id=saga_id)
            start = Start(transaction=begun, initial_data=data)
            self.machine.desk.door.begin(start, Because())

    def run(self) -> DrawnWorld:
        """Let all happen, acts among it, until nothing happens by itself any more."""
        self.start()
        for moves, act, which in self.drawn.acts:
            self.move(moves)
            self.act(act, which)
        self.settle()
        return self

    def move(self, moves: int) -> None:
        """Let some things happen, each at its time."""
        for _ in range(moves):
            if not self.machine.move():
                self.machine.advance(timedelta(seconds=7))

    def act(self, act: str, which: int) -> None:
        """Have people do something to one of the sagas, children among them."""
        everyone = sorted(self.machine.log.tables.streams)
        self.operators.act(act, everyone[which % len(everyone)])

    def settle(self) -> None:
        """Let time pass until all have come to a stand, retries of undos included."""
        self.machine.run_until_idle()
        self.machine.advance(timedelta(days=2))

    def sagas(self) -> Iterator[str]:
        """Yield the ids of all sagas, children and forks among them."""
        yield from self.machine.log.tables.streams

    def events(self, saga_id: str) -> tuple[SagaEvent, ...]:
        return self.machine.log.tables.streams[saga_id]

    def view(self, saga_id: str) -> SagaView:
        return self.machine.log.view(saga_id)


MISHAPS = st.builds(
    Mishaps,
    lose=st.sampled_from([0.0, 0.0, 0.3]),
    repeat=st.sampled_from([0.0, 0.0, 0.3]),
    delay=st.sampled_from([0.0, 0.0, 0.3]),
    die=st.sampled_from([0.0, 0.0, 0.1]),
    freeze=st.sampled_from([0.0, 0.0, 0.2]),
    forget=st.sampled_from([0.0, 0.0, 0.2]),
)
SEEDS = st.integers(0, 2**32 - 1)
ALWAYS = 1_000


@st.composite
def troubles(draw: st.DrawFn, transaction: SagaTransaction) -> Troubles:
    """Draw what goes wrong in a saga's steps, and in those of its children.

    Often a step fails for good, and an undo with it.
    """
    names = [*_names(transaction)]
    name, often = st.sampled_from(names), st.sampled_from([1, 2, ALWAYS])
    anything = st.tuples(st.sampled_from(Trouble), often)
    places = st.tuples(name, st.sampled_from(Direction))
    told = draw(st.dictionaries(places, anything, max_size=3))
    if draw(st.booleans()):
        told[draw(st.sampled_from(names[-3:])), DO] = (Trouble.REFUSES, ALWAYS)
    for _ in range(draw(st.integers(0, 2))):
        told[draw(name), UNDO] = draw(anything)
    return told


def _names(transaction: SagaTransaction) -> Iterator[str]:
    for step in transaction.steps:
        if isinstance(step.saga, Mapping):
            child = SagaTransaction.from_json(step.saga, transaction_id="child")
            yield from _names(child)
        elif step.map is not None or step.agents:
            yield f"{step.name}[1]"
        else:
            yield step.name


@st.composite
def drawn_worlds(
    draw: st.DrawFn, *, acts: int = 0, mishaps: st.SearchStrategy[Mishaps] = MISHAPS
) -> Drawn:
    """Draw a world with one saga or two of one definition, and at most so many acts."""
    transaction = draw(transactions(6, plain=False))
    act = st.tuples(st.integers(0, 25), st.sampled_from(ACTS), st.integers(0, 3))
    saga = st.tuples(st.just(transaction), DATA)
    return Drawn(
        sagas=tuple(draw(st.lists(saga, min_size=1, max_size=2))),
        troubles=draw(troubles(transaction)),
        mishaps=draw(mishaps),
        seed=draw(SEEDS),
        acts=tuple(draw(st.lists(act, max_size=acts))),
    )
