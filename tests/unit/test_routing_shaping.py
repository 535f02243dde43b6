"""Ejection, slow start and limits as one stage, which is asked only after changes."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.ejection import EjectionChange
from orchestration.core.routing.rates import Rate, RateLimits
from orchestration.core.routing.shaping import Shaper
from tests.unit.profiles import examples

TEN = tuple(f"agent-{n}" for n in range(10))


class Kept:
    """Asks as the router does: anew only when the version has changed."""

    def __init__(self, shaper: Shaper) -> None:
        self.shaper = shaper
        self.version = -1
        self.asked = 0
        self.admitted: tuple[str, ...] = ()

    def admit(self, now: float) -> tuple[str, ...]:
        self.shaper.weights(now)
        if self.version != self.shaper.version:
            self.version = self.shaper.version
            self.admitted = tuple(self.shaper.admit(TEN, now))
            self.asked += 1
        return self.admitted


def fail(shaper: Shaper, agent_id: str, now: float) -> None:
    for _ in range(5):
        shaper.answered(agent_id, ok=False, sent=now, now=now)


def test_an_ejected_agent_is_tried_once_its_time_is_over_and_then_starts_slowly() -> (
    None
):
    shaper = Shaper()
    kept = Kept(shaper)
    assert kept.admit(0.0) == TEN
    fail(shaper, "agent-1", 0.0)
    assert "agent-1" not in kept.admit(9.9)
    assert "agent-1" in kept.admit(10.0)
    assert shaper.picked("agent-1", 10.0)
    assert "agent-1" not in kept.admit(10.1)
    change = shaper.answered("agent-1", ok=True, sent=10.0, now=10.2)
    assert change is EjectionChange.RESTORED
    assert kept.admit(10.2) == TEN
    assert shaper.weights(10.2) == {"agent-1": 0.1}
    assert 0.4 < shaper.weights(25.2)["agent-1"] <= 0.5
    assert shaper.weights(41.0) == {}


def test_panic_shows_while_a_set_is_at_its_floor() -> None:
    shaper = Shaper()
    kept = Kept(shaper)
    for agent_id in TEN[:5]:
        fail(shaper, agent_id, 0.0)
    assert len(kept.admit(0.0)) == 5
    assert not shaper.panic
    fail(shaper, TEN[5], 1.0)
    assert len(kept.admit(1.0)) == 5
    assert shaper.panic
    shaper.picked(TEN[0], 2.0)
    shaper.answered(TEN[0], ok=True, sent=2.0, now=2.1)
    kept.admit(2.1)
    assert not shaper.panic


def test_agents_at_their_limit_are_left_out_until_they_take_more() -> None:
    shaper = Shaper(rates=RateLimits(Rate(calls_per_s=1, burst=2)))
    kept = Kept(shaper)
    for agent_id in TEN:
        assert shaper.picked(agent_id, 0.0)
        assert shaper.picked(agent_id, 0.0)
        assert not shaper.picked(agent_id, 0.0)
    assert kept.admit(0.5) == ()
    assert kept.admit(1.0) == TEN


def test_over_a_minute_limited_agents_get_what_they_take_and_sets_are_kept() -> None:
    shaper, rng = Shaper(rates=RateLimits(Rate(calls_per_s=20, burst=5))), Random(1)
    kept, sent = Kept(shaper), 0
    for call in range(60_000):  # 1,000 calls/s to agents that take 200
        admitted = kept.admit(call / 1_000)
        if admitted:
            target = admitted[int(rng.random() * len(admitted))]
            sent += shaper.picked(target, call / 1_000)
    assert abs(sent / (60 * 200) - 1) <= 0.02


def test_nothing_is_asked_again_while_nothing_changes() -> None:
    shaper = Shaper()
    kept = Kept(shaper)
    for call in range(1_000):
        now = call / 100
        kept.admit(now)
        shaper.picked("agent-1", now)
        shaper.answered("agent-1", ok=call % 3 > 0, sent=now, now=now)
    assert kept.asked == 1


def test_an_agent_that_is_gone_is_forgotten_by_all() -> None:
    shaper = Shaper(rates=RateLimits(Rate(calls_per_s=1, burst=1)))
    kept = Kept(shaper)
    fail(shaper, "agent-1", 0.0)
    shaper.picked("agent-2", 0.0)
    shaper.joined("agent-2", 0.0)
    assert len(kept.admit(0.0)) == 8
    shaper.forget("agent-1")
    shaper.forget("agent-2")
    assert kept.admit(0.0) == TEN
    assert shaper.weights(5.0) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fail", "fail", "fail", "ok", "pick", "join", "forget"]),
            st.integers(0, 9),
            st.floats(0, 30),
        ),
        max_size=100,
    )
)
@examples(150)
def test_a_kept_answer_is_the_one_that_would_be_given_now(
    steps: list[tuple[str, int, float]],
) -> None:
    shaper = Shaper(rates=RateLimits(Rate(calls_per_s=0.5, burst=2)))
    kept, now = Kept(shaper), 0.0
    for act, n, passed_s in steps:
        now += passed_s
        match act:
            case "fail":
                fail(shaper, TEN[n], now)
            case "ok":
                shaper.answered(TEN[n], ok=True, sent=now, now=now)
            case "pick":
                shaper.picked(TEN[n], now)
            case "join":
                shaper.joined(TEN[n], now)
            case _:
                shaper.forget(TEN[n])
        held = kept.admit(now)
        assert held == tuple(shaper.admit(TEN, now))
        assert all(0 < weight < 1 for weight in shaper.weights(now).values())
