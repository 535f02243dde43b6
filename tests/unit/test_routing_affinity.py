"""A session stays with its target while both are there."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.affinity import Affinity, AffinitySettings
from orchestration.core.routing.stable import rendezvous
from orchestration.errors import ConfigurationError

TEN = tuple(f"agent-{n}" for n in range(10))


def test_a_session_stays_when_others_join() -> None:
    affinity = Affinity()
    first = affinity.target("s", TEN, now=0.0)
    more = (*TEN, *(f"agent-{n}" for n in range(10, 200)))
    assert affinity.target("s", more, now=1.0) == first


def test_a_session_whose_target_is_gone_gets_another_and_stays_there() -> None:
    affinity = Affinity()
    first = affinity.target("s", TEN, now=0.0)
    left = tuple(name for name in TEN if name != first)
    second = affinity.target("s", left, now=1.0)
    assert second != first
    assert affinity.target("s", TEN, now=2.0) == second


def picks(name: str) -> object:
    return lambda _key, _candidates: name


def test_a_silent_session_is_free_again() -> None:
    affinity = Affinity(AffinitySettings(idle_s=10))
    assert affinity.target("s", TEN, now=0.0, pick=picks("agent-1")) == "agent-1"
    assert affinity.target("s", TEN, now=9.0, pick=picks("agent-2")) == "agent-1"
    assert affinity.target("s", TEN, now=18.0, pick=picks("agent-2")) == "agent-1"
    assert affinity.target("s", TEN, now=28.0, pick=picks("agent-2")) == "agent-2"


def test_a_busy_session_is_free_again_at_its_greatest_age() -> None:
    affinity = Affinity(AffinitySettings(idle_s=10, max_age_s=25))
    affinity.hold("s", "agent-0", 0.0)
    for now in (8.0, 16.0, 24.0):
        assert affinity.target("s", TEN, now=now, pick=picks("agent-2")) == "agent-0"
    assert affinity.target("s", TEN, now=25.0, pick=picks("agent-2")) == "agent-2"


def test_the_longest_silent_session_makes_room() -> None:
    affinity = Affinity(AffinitySettings(max_sessions=2))
    affinity.target("old", TEN, now=0.0, pick=picks("agent-1"))
    affinity.target("silent", TEN, now=1.0, pick=picks("agent-1"))
    affinity.target("old", TEN, now=2.0, pick=picks("agent-2"))
    affinity.target("new", TEN, now=3.0, pick=picks("agent-1"))
    assert len(affinity) == 2
    assert affinity.target("old", TEN, now=4.0, pick=picks("agent-2")) == "agent-1"
    assert affinity.target("silent", TEN, now=4.0, pick=picks("agent-2")) == "agent-2"


def test_sessions_that_ran_out_leave_memory_as_new_ones_come() -> None:
    affinity = Affinity(AffinitySettings(idle_s=10))
    for n in range(1_000):
        affinity.target(f"old-{n}", TEN, now=0.0)
    for n in range(1_000):
        affinity.target(f"new-{n}", TEN, now=20.0)
    assert len(affinity) == 1_000


def test_sessions_of_a_target_that_is_gone_are_freed() -> None:
    affinity = Affinity()
    affinity.target("s", TEN, now=0.0, pick=picks("agent-1"))
    affinity.target("t", TEN, now=0.0, pick=picks("agent-2"))
    assert affinity.forget({"agent-1"}) == 1
    assert affinity.target("s", TEN, now=0.0, pick=picks("agent-3")) == "agent-3"
    assert affinity.target("t", TEN, now=0.0, pick=picks("agent-3")) == "agent-2"


def test_when_one_of_ten_dies_only_its_sessions_move_and_they_spread() -> None:
    affinity, keys = Affinity(), [f"session-{n}" for n in range(10_000)]
    before = {key: affinity.target(key, TEN, now=0.0) for key in keys}
    left = TEN[1:]
    after = {key: affinity.target(key, left, now=1.0) for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert all(before[key] == TEN[0] for key in moved)
    assert 900 <= len(moved) <= 1_100
    assert max(Counter(after[key] for key in moved).values()) <= 1.4 * len(moved) / 9


NAMES = st.sets(st.sampled_from(TEN), min_size=1)


@given(NAMES, NAMES, st.text(max_size=8))
def test_processes_that_see_the_same_candidates_agree(
    names: set[str], more: set[str], key: str
) -> None:
    here, there = Affinity(), Affinity()
    assert here.target(key, sorted(names), now=0.0) == there.target(key, names, now=5.0)
    # What joins takes a new session itself, or leaves its choice alone.
    assert rendezvous(key, names | more) in more | {rendezvous(key, names)}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), NAMES, st.floats(0, 30)), max_size=60),
    st.integers(1, 3),
)
def test_a_session_moves_only_for_a_reason(
    steps: list[tuple[str, set[str], float]], most: int
) -> None:
    affinity = Affinity(AffinitySettings(idle_s=20, max_age_s=100, max_sessions=most))
    held: dict[str, tuple[str, float, float]] = {}  # by last use
    now_s = 0.0
    for key, names, passed_s in steps:
        now_s += passed_s
        target = affinity.target(key, names, now=now_s)
        assert target in names
        assert len(affinity) <= most
        known = held.pop(key, None)
        kept = (
            known is not None
            and known[0] in names
            and now_s - known[2] < 20
            and now_s - known[1] < 100
            and key in [*held, key][-most:]
        )
        if kept and known is not None and sum(1 for _ in held) < most:
            assert target == known[0]
            held[key] = (target, known[1], now_s)
        else:
            held[key] = (target, now_s, now_s)
        for oldest in list(held)[:-most]:
            del held[oldest]


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError, match=r"idle_s is 0.*max_sessions is 0"):
        AffinitySettings(idle_s=0, max_sessions=0)
