"""Hypothesis strategies: transactions that the checks accept."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from orchestration.core.saga.model import (
    CompensationStrategy,
    Direction,
    OnCompensationFailure,
    SagaStep,
    SagaTransaction,
)
from orchestration.core.saga.outcomes import Failed, Lost, Outcome, Succeeded
from orchestration.core.saga.plan import Plan
from tests.unit.simulator import ERROR

OUTCOMES: list[Outcome] = [
    Succeeded({}),
    Failed(ERROR),
    Failed(ERROR, retryable=False),
    Lost(ERROR),
    Lost(ERROR, timed_out=True),
]


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 8) -> list[SagaStep]:
    """Draw steps s0, s1, … that depend on earlier ones, or on none at all."""
    count = draw(st.integers(1, max_steps))
    linear = draw(st.booleans()) and draw(st.booleans())
    steps = []
    for at in range(count):
        earlier = [f"s{n}" for n in range(at)]
        after = draw(st.sets(st.sampled_from(earlier), max_size=3)) if at else set()
        chosen = () if linear else sorted(after)
        steps.append(SagaStep(f"s{at}", "agent", depends_on=chosen))
    return draw(st.permutations(steps)) if not linear else steps


@st.composite
def transactions(draw: st.DrawFn, max_steps: int = 7) -> SagaTransaction:
    """Draw a definition without faults."""
    bare = draw(graphs(max_steps))
    plan = Plan(tuple(bare))
    pivot = draw(st.none() | st.sampled_from([s.name for s in bare]))
    before = plan.ancestors[pivot] if pivot else frozenset(plan.by_name)
    return SagaTransaction(
        "drawn",
        [_step(draw, s, pivot, can_undo=s.name in before) for s in bare],
        compensation_strategy=draw(st.sampled_from(CompensationStrategy)),
        on_compensation_failure=draw(st.sampled_from(OnCompensationFailure)),
        timeout_ms=draw(st.sampled_from([3_000, 30_000, 3_600_000])),
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
    return SagaStep(
        bare.name,
        bare.agent_id,
        depends_on=bare.depends_on,
        compensation="undo" if undoable else None,
        read_only=not undoable and draw(st.booleans()),
        is_pivot=is_pivot,
        retry_policy=policy,
        compensation_retry_policy=policy,
        on_unknown=None
        if is_pivot
        else draw(st.sampled_from(["RETRY", "RETRY", "COMPENSATE", "ESCALATE"])),
        max_recoveries=draw(st.integers(0, 2)),
        timeout_ms=draw(st.sampled_from([1_000, 60_000])),
        metadata={"compensate": draw(st.booleans())},
    )


@st.composite
def behaviours(draw: st.DrawFn, steps: int = 7) -> Any:
    """Draw what each attempt does; whatever is not drawn succeeds."""
    troubled = st.dictionaries(
        st.tuples(
            st.sampled_from([f"s{n}" for n in range(steps)]),
            st.sampled_from(Direction),
        ),
        st.lists(st.sampled_from(OUTCOMES), max_size=5),
        max_size=4,
    )
    table = draw(troubled)

    def behave(step: str, direction: Direction, attempt: int) -> Outcome:
        told = table.get((step, direction), [])
        return told[attempt - 1] if attempt <= len(told) else Succeeded({})

    return behave
