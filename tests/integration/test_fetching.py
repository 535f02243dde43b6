"""Workers that take messages ahead while their tasks are short, until one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.front import Effects, front_door, linear
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

AGENTS = ("-I", "tests.support.effects_agents", "-c", "2")
SAGAS = 120


def test_a_long_step_among_short_ones_leaves_no_process_idle(
    stack: Stack, tmp_path: Path
) -> None:
    effects, gate = Effects(tmp_path / "effects"), tmp_path / "gate"
    stack.env |= {"EFFECTS_FILE": str(effects.path), "ORCHESTRATION_LEASE_S": "60"}
    first = stack.worker(*AGENTS)  # its agents are known from now on
    first.terminate()
    first.wait()
    with front_door(stack.env) as front:
        long = {"wait_for_file": str(gate)}
        sagas = [
            front.start(linear(1, s1=long if nth == SAGAS // 2 else {}))
            for nth in range(SAGAS)
        ]
        stack.worker(*AGENTS)
        # One is at work, and one may wait behind it; nobody sends anything again.
        wait_until(
            lambda: len(effects.all(*sagas, what="do")) >= SAGAS - 2,
            "the other process does the rest",
        )
        assert len(effects.all(*sagas, what="do")) < SAGAS
        gate.touch()
        for saga_id in sagas:
            front.wait(saga_id)
        assert len(effects.all(*sagas, what="do")) == SAGAS
