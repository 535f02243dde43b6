"""People act upon sagas at any moment, among faults: the laws hold nevertheless."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.unit.drawn_world import Drawn, DrawnWorld, drawn_worlds
from tests.unit.laws import check_all
from tests.unit.operators import ACTS
from tests.unit.profiles import examples

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover

WHICH = st.integers(0, 4)


class PeopleAtWork(RuleBasedStateMachine):
    """One world; each rule is something that may come next."""

    world: DrawnWorld | None = None

    @initialize(drawn=drawn_worlds())
    def sagas_begin(self, drawn: Drawn) -> None:
        self.world = DrawnWorld(drawn)
        self.world.start()

    @rule(moves=st.integers(1, 15))
    def things_happen(self, moves: int) -> None:
        self.world.move(moves)

    @rule(seconds=st.sampled_from([1, 20, 400]))
    def time_passes(self, seconds: int) -> None:
        self.world.machine.advance(timedelta(seconds=seconds))

    @rule(act=st.sampled_from(ACTS), which=WHICH)
    def somebody_acts(self, act: str, which: int) -> None:
        self.world.act(act, which)

    @rule(act=st.sampled_from(["retry", "retry_from", "settle", "skip"]))
    def somebody_repairs_all_that_stands_still(self, act: str) -> None:
        for which in range(len([*self.world.sagas()])):
            self.world.act(act, which)

    @precondition(lambda self: self.world is not None)
    @invariant()
    def what_all_believe_is_what_the_events_tell(self) -> None:
        for saga_id in self.world.sagas():
            self.world.log.compare(saga_id)

    def teardown(self) -> None:
        if self.world is not None:
            self.world.settle()
            check_all(self.world)


TestPeopleAtWork = PeopleAtWork.TestCase
TestPeopleAtWork.settings = examples(120, stateful_step_count=20)
