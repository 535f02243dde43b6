"""Parallel branches that fail: no record of a step is lost, and no effect is left.

SELECTIVE is left out: it keeps effects by design, which the laws of sagas hold it to.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.saga import SagaState, SagaTransaction
from tests.support.front import front_door, step
from tests.support.judging import chain_is_sound, judge
from tests.support.stack import Stack
from tests.support.storm import is_quiet
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

SAGAS = int(os.environ.get("BRANCH_SAGAS", "1000"))
AGENTS = ("-I", "tests.support.effects_agents", "-c", "2")
BRANCHES = ("north", "east", "south", "west")


def some_saga(number: int) -> tuple[SagaTransaction, bool]:
    """Return a saga of parallel branches; of a third of them one branch fails."""
    fails = number % 3 == 0
    bad = BRANCHES[number // 3 % len(BRANCHES)] if fails else ""
    how = {"fail": ("for good", "always")[number // 48 % 2]}
    strategy = ("BACKWARD", "PARALLEL", "CASCADE", "FORWARD")[number // 12 % 4]
    steps = [step(name, **(how if name == bad else {})) for name in BRANCHES]
    steps.append(step("join", *BRANCHES))
    return SagaTransaction("branches", steps, compensation_strategy=strategy), fails


def test_of_many_sagas_with_branches_no_record_is_lost_and_no_effect_is_left(
    stack: Stack, tmp_path: Path
) -> None:
    effects = tmp_path / "effects"
    stack.env["EFFECTS_FILE"] = str(effects)
    parts = [stack.worker(*AGENTS, wait=False) for _ in range(2)]
    parts += [stack.chores(wait=False), stack.beat(wait=False)]
    for part in parts:
        part.wait_ready()
    with front_door(stack.env) as front:
        begun: dict[str, bool] = {}
        for number in range(SAGAS):
            transaction, fails = some_saga(number)
            begun[front.start(transaction)] = fails
        engine = front.bus.sagas.db.engine
        wait_until(lambda: is_quiet(engine), "all sagas are over", timeout_s=900)
        verdict = judge(front, World.read(effects), begun)
        print(f"\n{dict(verdict.states)}; doubled {verdict.doubles}")
        assert (verdict.faults, verdict.doubles) == ({}, 0)
        failed = sum(begun.values())
        assert verdict.states == {
            SagaState.COMPENSATED: failed,
            SagaState.COMPLETED: SAGAS - failed,
        }
        assert chain_is_sound(engine)
