"""What sweeps leave each other of agents' promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.sla import SlaState, limits_of
from orchestration.core.registry.sla_book import SlaBook
from tests.unit.profiles import examples

NOW_MS = 1_767_000_000_000
PROMISE = {"max_latency_ms": 500.0}


def counted(streaks: Sequence[int]) -> SlaState:
    """Return the state of agents that missed their latency so often in a row."""
    state = SlaState.restored([{}] * len(streaks), NOW_MS)
    state.streak[:, 0] = streaks
    return state


def book(slas: Mapping[str, Mapping[str, float]], state: SlaState) -> SlaBook:
    joined = np.arange(len(slas), dtype=np.int64)
    return SlaBook.of(list(slas), joined, limits_of(list(slas.values())), state)


def streaks_of(
    kept: SlaBook, agents: Mapping[str, int], **violations: Mapping[str, int]
) -> list[int]:
    broken = [violations.get(agent, {}) for agent in agents]
    joined = np.array(list(agents.values()), np.int64)
    state = kept.state_of(list(agents), joined, broken, NOW_MS)
    return state.streak[:, 0].tolist()


@examples(30)
@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.integers(0, 9), st.floats(0, 1e12)),
        unique_by=lambda one: one[0],
    )
)
def test_a_book_is_read_as_it_was_written(told: list[tuple[str, int, float]]) -> None:
    state = counted([streak for _, streak, _ in told])
    state.up_ms[:] = [up_ms for _, _, up_ms in told]
    kept = book({agent: PROMISE for agent, _, _ in told}, state)
    read = SlaBook.from_bytes(kept.to_bytes())
    assert list(read.agent_ids) == list(kept.agent_ids)
    assert read.registered_ms.tolist() == kept.registered_ms.tolist()
    for name in SlaState.__dataclass_fields__:
        assert getattr(read.state, name).tolist() == getattr(state, name).tolist()


@pytest.mark.parametrize(
    "written", [b"", b"2\n[]\n", b"1\n[", b'1\n["agent-a"]\nshort']
)
def test_what_cannot_be_read_is_counted_anew(written: bytes) -> None:
    assert streaks_of(SlaBook.from_bytes(written), {"a": 0}) == [0]


def test_only_who_promises_or_breaks_something_is_in_it() -> None:
    state = SlaState.restored([{}, {}, {"availability": 7}], NOW_MS)
    kept = book({"a": {}, "b": PROMISE, "c": {}}, state)
    assert kept.agent_ids == ["b", "c"]


def test_agents_are_found_wherever_they_stand_now() -> None:
    kept = book({"a": PROMISE, "b": PROMISE}, counted([1, 2]))
    assert streaks_of(kept, {"new": 9, "b": 1, "a": 0}) == [0, 2, 1]


def test_who_joined_again_is_watched_anew() -> None:
    kept = book({"a": PROMISE, "b": PROMISE}, counted([1, 2]))
    assert streaks_of(kept, {"a": 0, "b": 77}) == [1, 0]


def test_the_record_decides_what_is_broken() -> None:
    kept = book({"a": PROMISE, "b": PROMISE}, counted([2, 2]))
    broken = {"max_latency_ms": 5}
    assert streaks_of(kept, {"a": 0, "b": 1}, b=broken) == [2, 0]
    state = kept.state_of(["b"], np.array([1]), [broken], NOW_MS)
    assert state.broken(0) == broken


def test_what_could_not_be_recorded_is_taken_back() -> None:
    before, after = counted([2, 2]), counted([0, 0])
    kept = after.taken_back([1], before)
    assert kept.streak[:, 0].tolist() == [0, 2]
    assert after.streak[:, 0].tolist() == [0, 0]
