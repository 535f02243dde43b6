"""A sliding count holds what happened lately, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.window import SlidingCount


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5)), max_size=60))
def test_it_counts_the_last_ten_steps_as_a_list_of_all_would(
    events: list[tuple[float, int]],
) -> None:
    count, now_s, seen = SlidingCount(10.0), 0.0, []
    for passed_s, times in events:
        now_s += passed_s
        count.add(now_s, times)
        seen.append((now_s // 1.0, times))
        lately = [n for step, n in seen if step > now_s // 1.0 - 10]
        assert count.total(now_s) == sum(lately)


def test_an_earlier_time_counts_as_the_latest() -> None:
    count = SlidingCount(10.0)
    count.add(100.0)
    count.add(93.0)
    assert count.total(100.0) == 2
    assert count.total(109.9) == 2
    assert count.total(110.0) == 0


def test_after_a_long_pause_nothing_is_left() -> None:
    count = SlidingCount(10.0)
    count.add(0.0, 7)
    assert count.total(1e9) == 0
