"""Loads: what was reported, and what was sent since."""

from __future__ import annotations

import pytest

from orchestration.core.routing.loads import LoadPolicy, Loads, Report


def send(loads: Loads, agent_id: str, count: int = 1) -> None:
    load = loads.of(agent_id)
    for _ in range(count):
        load.sent += 1
        load.score += load.raise_by


def test_the_load_is_weighted_of_queue_response_and_errors() -> None:
    policy = LoadPolicy(
        queue_weight=0.5,
        response_weight=0.3,
        error_weight=0.2,
        response_scale_ms=1_000,
    )
    loads = Loads(policy)
    loads.tell("agent-a", Report(20, 500, 0.1), at=1.0, capacity=40)
    expected = 0.5 * 20 / 40 + 0.3 * 500 / 1_000 + 0.2 * 0.1
    assert loads.of("agent-a").score == pytest.approx(expected)


@pytest.mark.parametrize("capacity", [None, 0, -3])
def test_an_agent_without_a_capacity_has_the_default(capacity: int | None) -> None:
    loads = Loads(LoadPolicy(queue_weight=1.0, default_capacity=5))
    loads.tell("agent-a", Report(10), at=1.0, capacity=capacity)
    assert loads.of("agent-a").score == 2.0


def test_each_send_counts_for_all_routers() -> None:
    loads = Loads(LoadPolicy(queue_weight=1.0), routers=8)
    loads.tell("agent-a", Report(0), at=1.0, capacity=4)
    send(loads, "agent-a", 3)
    assert loads.of("agent-a").score == 3 * 8 / 4


def test_a_report_takes_the_place_of_what_was_sent_before_it() -> None:
    loads = Loads(LoadPolicy(queue_weight=1.0))
    send(loads, "agent-a", 5)
    loads.tell("agent-a", Report(1), at=2.0, capacity=1)
    load = loads.of("agent-a")
    assert (load.score, load.sent, load.told_at) == (1.0, 0.0, 2.0)


def test_routers_that_come_count_from_the_next_send_on() -> None:
    loads = Loads(LoadPolicy(queue_weight=1.0, default_capacity=1))
    send(loads, "agent-a")
    loads.routers = 3
    send(loads, "agent-a")
    assert loads.of("agent-a").score == 1 + 3
    loads.routers = 0
    assert loads.routers == 1


def test_sends_fade_to_agents_that_report_nothing() -> None:
    loads = Loads(LoadPolicy(queue_weight=1.0, default_capacity=1, half_life_s=10))
    loads.tick(100.0)
    send(loads, "agent-a", 8)
    loads.tick(110.0)
    assert loads.of("agent-a").score == pytest.approx(4.0)
    assert loads.of("agent-a").sent == pytest.approx(4.0)


def test_sends_after_a_report_do_not_fade_before_the_next_is_due() -> None:
    loads = Loads(LoadPolicy(half_life_s=10))
    loads.tell("agent-a", Report(3), at=100.0)
    loads.tick(100.0)
    send(loads, "agent-a", 8)
    loads.tick(105.0)
    assert loads.of("agent-a").sent == 8
    loads.tick(115.0)
    assert loads.of("agent-a").sent == 4
    assert loads.of("agent-a").score > loads.of("agent-a").base


def test_a_clock_that_goes_back_fades_nothing() -> None:
    loads = Loads()
    loads.tick(100.0)
    send(loads, "agent-a", 8)
    loads.tick(50.0)
    assert loads.of("agent-a").sent == 8


def test_each_report_is_fresh_for_itself() -> None:
    loads = Loads(LoadPolicy(stale_after_s=2))
    loads.tell("agent-a", Report(), at=3.0)
    loads.tell("agent-b", Report(), at=2.0)
    loads.tell("agent-c", Report(), at=1.0)
    loads.of("agent-d")
    loads.tick(4.5)
    assert [one.agent_id for one in loads if one.is_fresh] == ["agent-a"]
    assert loads.fresh_until == 5.0
    loads.tell("agent-b", Report(), at=2.4)
    loads.tell("agent-c", Report(), at=2.5)
    fresh = [one.agent_id for one in loads if one.is_fresh]
    assert fresh == ["agent-a", "agent-c"]


def test_a_forgotten_agent_begins_anew() -> None:
    loads = Loads()
    send(loads, "agent-a")
    loads.forget("agent-a")
    loads.forget("agent-b")
    assert [one.agent_id for one in loads] == []
    assert loads.of("agent-a").sent == 0
