"""A whole world has the same history in memory and in Postgres.

The engine runs once, on both logs at a time, which must agree at every question
(``tests/support/twin_log.py``).
"""

from __future__ import annotations

from random import Random
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from orchestration.testing.mishaps import Chance
from tests.support.twin_log import Postgres, Twins
from tests.unit.drawn_world import Drawn, DrawnWorld, drawn_worlds

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


class TwinWorld(DrawnWorld):
    """A drawn world whose every word is kept in both places."""

    def __init__(self, drawn: Drawn, postgres: Postgres) -> None:
        self.name = f"saga-{uuid4().hex}"  # events of other worlds stay
        chance = Chance(Random(drawn.seed), drawn.mishaps)
        twins = Twins.on(postgres, chance)
        self.build(drawn, twins.log, twins.watch, twins.index, chance)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)
@given(drawn=drawn_worlds(acts=5))
def test_a_world_has_the_same_history_in_both_logs(
    postgres: Postgres, drawn: Drawn
) -> None:
    world = TwinWorld(drawn, postgres).run()
    for saga_id in world.sagas():
        told = world.machine.log.read(saga_id).events  # asked of both
        assert told == world.events(saga_id)
    assert len(world.machine.index.find(limit=100)) == len([*world.sagas()])
    world.machine.index.letters()
