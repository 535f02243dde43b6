"""What the doctor says of agents whom nobody judges."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestration.cli.checkup import Finding, Verdict
from orchestration.cli.registry_checkup import registered
from orchestration.cli.session import session
from tests.support.registry import RegistrySide, registry_side

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    with registry_side(database_url, redis_url, protect_hold_s=60.0) as side:
        yield side


def finding(side: RegistrySide, *, late_s: float = 40.0) -> Finding:
    with session(side.settings) as opened:
        [found] = registered(opened, late_s=late_s)
    return found


def make_old(side: RegistrySide) -> None:
    """Have all agents be registered for a minute."""
    with side.sql() as other:
        other.exec_driver_sql(
            "UPDATE orch.agent SET registered_at = registered_at - '1 min'::interval"
        )


def test_where_nobody_is_registered_nothing_is_late(side: RegistrySide) -> None:
    assert finding(side).says == "no agent is registered"
    assert finding(side).verdict is Verdict.FINE


def test_agents_whom_a_sweep_judged_are_well(side: RegistrySide) -> None:
    side.register()
    make_old(side)
    side.sweep()
    assert finding(side).verdict is Verdict.FINE
    assert re.match(r"1 agents, judged \d+ s ago", finding(side).says)


def test_the_first_agent_has_time_to_be_judged(side: RegistrySide) -> None:
    side.register()
    assert finding(side).verdict is Verdict.FINE
    make_old(side)
    assert finding(side).verdict is Verdict.WRONG
    assert "none was judged yet" in finding(side).says


def test_sweeps_that_stopped_are_wrong(side: RegistrySide) -> None:
    side.register()
    side.sweep()
    make_old(side)
    assert finding(side).verdict is Verdict.FINE
    found = finding(side, late_s=0.0)
    assert found.verdict is Verdict.WRONG
    assert re.search(r"none was judged for \d+ s", found.says)
    assert "chores worker" in found.way_out


def test_silence_that_is_not_believed_is_told(side: RegistrySide) -> None:
    for n in range(12):
        side.register(f"agent-{n}")
    side.age(125)  # all at once, and not those that joined first
    side.sweep()
    assert finding(side).verdict is Verdict.DOUBTFUL
    assert "so many are silent at once" in finding(side).says
