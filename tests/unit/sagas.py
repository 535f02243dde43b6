"""Hypothesis strategies: transactions that the checks accept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from orchestration.core.saga.model import (
    CompensationStrategy,
    OnCompensationFailure,
    OnFailure,
    SagaStep,
    SagaTransaction,
    Teamwork,
)
from orchestration.core.saga.plan import Plan

CONDITIONS = ["go", "not go", "s0 == 1", "nobody_knows > 1"]
LISTS = ["items", "items", "go", "nowhere"]
AGENTS = ["agent", "other"]
KINDS = ["when", "map", "signal", "saga", "team", "choose", "skill"]
SIGNALS = ["word", "nod"]
LOCKS = ["door", "safe of {owner}"]
DATA = st.fixed_dictionaries(
    {
        "go": st.booleans(),
        "items": st.lists(st.integers(0, 9), max_size=3),
        "owner": st.just("ann"),
    }
)


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 8, prefix: str = "s") -> list[SagaStep]:
    """Draw steps s0, s1, … that depend on earlier ones, or on none at all."""
    count = draw(st.integers(1, max_steps))
    linear = draw(st.booleans()) and draw(st.booleans())
    steps = []
    for at in range(count):
        earlier = [f"{prefix}{n}" for n in range(at)]
        after = draw(st.sets(st.sampled_from(earlier), max_size=3)) if at else set()
        chosen = () if linear else sorted(after)
        steps.append(SagaStep(f"{prefix}{at}", "agent", depends_on=chosen))
    return draw(st.permutations(steps)) if not linear else steps


@st.composite
def transactions(
    draw: st.DrawFn, max_steps: int = 7, *, plain: bool = True, prefix: str = "s"
) -> SagaTransaction:
    """Draw a definition without faults.

    Args:
        draw: Hypothesis'.
        max_steps: At most so many.
        plain: Only steps that are simply an agent's, and no locks.
        prefix: Of the names of its steps.
    """
    bare = draw(graphs(max_steps, prefix))
    plan = Plan(tuple(bare))
    pivot = draw(st.none() | st.sampled_from([s.name for s in bare]))
    before = plan.ancestors[pivot] if pivot else frozenset(plan.by_name)
    steps = [_step(draw, s, pivot, can_undo=s.name in before) for s in bare]
    if not plain:
        steps = [step if step.is_pivot else _changed(draw, step) for step in steps]
    rare = draw(st.integers(0, 5)) if not plain else 5
    return SagaTransaction(
        "drawn",
        steps,
        compensation_strategy=draw(st.sampled_from(CompensationStrategy)),
        on_failure=OnFailure.HALT if rare == 0 else OnFailure.COMPENSATE,
        on_compensation_failure=draw(st.sampled_from(OnCompensationFailure)),
        timeout_ms=draw(st.sampled_from([3_600_000, 600_000, 30_000, 3_000])),
        locks=draw(st.lists(st.sampled_from(LOCKS), unique=True)) if rare < 2 else (),
        transaction_id="drawn",
    )


def _step(
    draw: st.DrawFn, bare: SagaStep, pivot: str | None, *, can_undo: bool
) -> SagaStep:
    is_pivot = bare.name == pivot
    policy: dict[str, Any] = {
        "backoff_ms": draw(st.sampled_from([0, 100, 20_000])),
        "max_attempts": draw(st.integers(1, 3)),
    }
    undoable = (can_undo or is_pivot) and draw(st.integers(0, 3)) > 0
    policies = ["ESCALATE", "PROBE"] if is_pivot else ["RETRY", "COMPENSATE"]
    unknown = draw(st.sampled_from([None, None, "ESCALATE", "PROBE", *policies]))
    return SagaStep(
        bare.name,
        bare.agent_id,
        depends_on=bare.depends_on,
        compensation="undo" if undoable else None,
        read_only=not undoable and draw(st.booleans()),
        is_pivot=is_pivot,
        retry_policy=policy,
        compensation_retry_policy=policy,
        on_unknown=unknown,
        probe="probe" if unknown == "PROBE" else None,
        max_recoveries=draw(st.integers(0, 2)),
        timeout_ms=draw(st.sampled_from([1_000, 60_000])),
        metadata={"compensate": draw(st.booleans())},
    )


def _changed(draw: st.DrawFn, step: SagaStep) -> SagaStep:
    """Make some steps conditional, done per item, by several agents, or by none."""
    kind = draw(st.sampled_from(["plain"] * 6 + KINDS))
    waits = {"depends_on": step.depends_on, "metadata": step.metadata}
    match kind:
        case "when":
            return replace(step, when=draw(st.sampled_from(CONDITIONS)))
        case "map":
            return replace(step, map=draw(st.sampled_from(LISTS)))
        case "team":
            work = draw(st.none() | st.sampled_from(Teamwork))
            return replace(step, agent_id="", agents=["agent", "other"], teamwork=work)
        case "choose":
            pairs = [(one, draw(st.sampled_from(CONDITIONS))) for one in AGENTS]
            return replace(step, agent_id="", choose=pairs)
        case "skill":
            return replace(step, agent_id="", capability="skill")
        case "signal":
            name, limit = draw(st.sampled_from(SIGNALS)), draw(st.booleans())
            timeout_ms = 20_000 if limit else None
            return SagaStep(step.name, wait_for=name, timeout_ms=timeout_ms, **waits)
        case "saga":
            child = draw(transactions(3, prefix=f"{step.name}_"))
            inner = [replace(one, is_pivot=False) for one in child.steps]
            return SagaStep(step.name, saga=replace(child, steps=inner), **waits)
        case _:
            return step
