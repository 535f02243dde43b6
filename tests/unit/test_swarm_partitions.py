"""How partitions are shared out: who takes what, for how much, and what came of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.model import AgentRole, SwarmBehavior
from orchestration.core.swarm.partitions.control import (
    idle_to_wake,
    lost_turns,
    may_pull,
    ticked,
)
from orchestration.core.swarm.partitions.trails import Trails
from tests.unit.colonies import Story


def test_every_partition_is_done_failed_or_pending() -> None:
    story = Story(5, max_attempts=2)
    story.commit(0)
    story.fail(1)
    story.fail(1, agent=6, attempt=2)
    story.fail(2)
    found = story.outcome()
    assert found["partitions"] == {"done": 1, "failed": 1, "pending": 3}
    assert found["failed_partitions"] == [1]
    assert found["attempts"] == 4


def test_convergence_and_fitness_go_by_weight() -> None:
    story = Story(3, weights=[1, 2, 5], convergence_threshold=0.7)
    story.commit(2, quality=0.5)
    story.commit(0, quality=1.0)
    found = story.outcome()
    assert found["convergence"] == pytest.approx(6 / 8)
    assert found["fitness"] == pytest.approx((5 * 0.5 + 1 * 1.0) / 6)
    assert found["converged"] is True


def test_without_anything_done_the_figures_are_zero() -> None:
    found = Story(3).outcome(at_ms=1_000)
    figures = ("convergence", "fitness", "efficiency", "efficiency_bound", "throughput")
    assert [found[name] for name in figures] == [0.0] * 5


def test_efficiency_is_the_share_of_the_slots_time_that_was_worked() -> None:
    story = Story(3)
    story.commit(0, busy_ms=100, at_ms=100)
    story.commit(1, busy_ms=80, at_ms=100)
    story.commit(2, busy_ms=60, at_ms=170)
    found = story.outcome(at_ms=200)
    assert found["slots"] == 2
    assert found["efficiency"] == pytest.approx(240 / (2 * 200))
    assert found["efficiency_bound"] == pytest.approx(1.0)  # 240 / (2 * 120)


def test_one_long_partition_bounds_the_efficiency() -> None:
    story = Story(2)
    story.commit(0, busy_ms=100, at_ms=100)
    story.commit(1, busy_ms=20, at_ms=50)
    found = story.outcome(at_ms=100)
    assert found["efficiency_bound"] == pytest.approx(120 / (2 * 100))


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 40)), max_size=12))
def test_efficiency_is_never_above_its_bound(slots: list[tuple[int, int]]) -> None:
    story = Story(40)
    ends = [0.0, 0.0, 0.0]
    begun = []
    for partition, (busy, gap) in enumerate(slots):
        slot = partition % 3
        ends[slot] += gap + busy
        begun.append((ends[slot], partition, busy))
    for end, partition, busy in sorted(begun):
        story.commit(partition, busy_ms=busy, at_ms=end)
    found = story.outcome(at_ms=max(ends) + 5)
    assert found["efficiency"] <= found["efficiency_bound"] + 1e-9
    assert found["efficiency_bound"] <= 1 + 1e-9


def test_partitions_of_agents_add_up() -> None:
    story = Story(6)
    for partition in range(5):
        story.commit(partition, agent=4 + partition % 3)
    found = story.outcome()
    assert sum(found["agent_partitions"].values()) == found["partitions"]["done"]
    assert 0 < found["load_balance"] <= 1
    assert 0 < found["jain_index"] <= 1


def test_the_hash_is_of_results_in_the_order_of_partitions() -> None:
    one, other = Story(3), Story(3)
    for partition in (0, 1, 2):
        one.commit(partition, value=partition, agent=4, busy_ms=3)
    for partition in (2, 0, 1):
        other.commit(partition, value=partition, agent=7, busy_ms=9, attempt=2)
    assert one.outcome()["state_hash"] == other.outcome()["state_hash"]
    other.colony.done.clear()
    other.commit(0, value=1)
    assert one.outcome()["state_hash"] != other.outcome()["state_hash"]


def test_a_late_commit_counts_even_if_the_partition_was_given_up() -> None:
    story = Story(2, max_attempts=1)
    story.fail(0)
    assert story.colony.pending == 1
    story.commit(0)
    assert story.outcome()["partitions"] == {"done": 1, "failed": 0, "pending": 1}


def test_waits_double_and_end() -> None:
    plan = Story(max_attempts=4, backoff_ms=100).colony.plan
    assert [plan.retry_in_ms(n) for n in (1, 2, 3, 4)] == [100, 200, 400, None]


def test_energy_is_exact_and_charged_by_what_has_ended() -> None:
    story = Story(10, weights=[2] * 10)
    story.commit(0, agent=5, quality=0.5)
    story.fail(1, agent=6)
    story.tick()
    ledger = story.colony.agents.ledger
    # 10 by weight; 50 for the failure; 1 from each of the eight who did nothing.
    assert ledger.cost == 20 + (20 + 50) + 8
    assert ledger.income == 50
    assert story.colony.agents.energy == ledger.balance == 10_000 + 50 - 98


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["commit", "fail", "tick", "repeat"]),
            st.integers(0, 19),
            st.integers(0, 12),
            st.floats(0, 1),
        ),
        max_size=60,
    )
)
def test_whoever_folds_the_events_gets_the_same(
    moves: list[tuple[str, int, int, float]],
) -> None:
    story = Story(20, weights=[40] * 20, seed=3)
    for move, partition, agent, quality in moves:
        if move == "tick":
            story.tick()
        elif move == "repeat":
            story.repeat(partition, agent)
        elif partition in story.colony.done:
            continue
        elif move == "commit":
            story.commit(partition, agent, quality=quality)
        else:
            attempt = story.colony.attempts.get(partition, 0) + 1
            story.fail(partition, agent, attempt=attempt)
    other = story.told_again()
    agents = story.colony.agents
    assert agents.energy == agents.ledger.balance
    assert other.agents.digest() == agents.digest()
    assert other.ticks == story.colony.ticks
    assert np.array_equal(other.trails.pheromone, story.colony.trails.pheromone)
    done = story.outcome()["partitions"]
    assert sum(done.values()) == 20


def test_a_tick_looks_no_further_than_it_says() -> None:
    story = Story()
    story.commit(0, agent=5)
    fact = ticked(story.colony)
    story.commit(1, agent=5)  # while the tick is being recorded
    story.tell(fact)
    assert story.colony.agents.ledger.income == 100
    assert story.colony.has_news
    assert story.told_again().agents.digest() == fact.data["state"]
    story.tick()
    assert story.colony.agents.ledger.income == 200


def test_the_exhausted_die_and_are_replaced_within_two_ticks() -> None:
    story = Story(1_000, agents=100, weights=[100] * 1_000)
    colony = story.colony
    victims = colony.agents.ids[-30:]
    for partition, agent in enumerate(victims):
        story.fail(partition, agent)  # costs 1,000 by weight, and 50
    told = story.tick()
    assert told["deaths"] == victims
    if colony.agents.state.size < 100:
        story.commit(999)
        story.tick()
    assert colony.agents.state.size == 100
    assert colony.agents.replaced == 30
    assert colony.agents.energy == colony.agents.ledger.balance
    assert colony.agents.counts[AgentRole.QUEEN] == 1
    assert not set(victims) & set(colony.agents.ids)


def test_a_swarm_all_of_whose_agents_die_begins_anew() -> None:
    story = Story(20, weights=[1_000] * 20)
    for partition, agent in enumerate(range(10)):
        story.fail(partition, agent)
    story.tick()
    assert story.colony.agents.ids == list(range(10, 20))
    assert story.colony.agents.energy == story.colony.agents.ledger.balance


def test_the_rich_have_children_where_there_is_room() -> None:
    story = Story(100, weights=[0.01] * 99 + [1_000], seed=1)
    for partition in range(12):
        story.commit(partition, agent=5)
    story.fail(99, agent=6)
    told = story.tick()
    agents = story.colony.agents
    assert told["deaths"] == [6]
    assert len(told["births"]) == 1
    assert told["replaced"] == []
    assert agents.ledger.evolution_overflow == 0
    assert agents.energy == agents.ledger.balance


def test_work_is_longest_first_by_what_is_known() -> None:
    groups = np.array([0, 0, 1, 1, 2])
    weights = np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    trails = Trails.new(groups)
    trails.pace_ms[:] = [10.0, 30.0, np.nan]
    work = trails.orders(groups, weights, SwarmBehavior.FLOCKING).work
    # Of group 2 nobody knows: its partitions are taken to be as long as the longest.
    assert work.tolist() == [10, 20, 30, 30, 30]


def test_pheromone_tends_to_the_quality_found_and_evaporates_elsewhere() -> None:
    story = Story(40, groups=[0, 1] * 20)
    for n in range(18):
        story.commit(2 * n, quality=0.5)
        story.tick()
    found, unseen = story.colony.trails.pheromone
    assert found == pytest.approx(0.5 + 0.5 * 0.9**18, abs=1e-12)
    assert unseen == pytest.approx(0.9**18, abs=1e-12)


def share_of(order: np.ndarray, groups: np.ndarray, group: int, first: int) -> float:
    best = np.argsort(-order, kind="stable")[:first]
    return float((groups[best] == group).mean())


def test_foragers_exploit_the_better_of_two_groups() -> None:
    groups = np.array([0, 1] * 50)
    story = Story(100, groups=groups.tolist())
    for n in range(10):
        story.commit(2 * n, quality=0.3)
        story.commit(2 * n + 1, quality=0.9)
        story.tick()
    left = np.array(story.colony.untried)
    order = story.colony.orders.forage[left]
    assert share_of(order, groups[left], 1, 40) > 0.8


def test_a_hidden_group_is_found_by_scouts_and_not_by_foragers() -> None:
    groups = np.array([0] * 50 + [1] * 50)
    story = Story(100, groups=groups.tolist())
    for n in range(10):
        story.commit(n, quality=0.4)
    story.tick()
    left = np.array(story.colony.untried)
    assert share_of(story.colony.orders.forage[left], groups[left], 1, 40) == 0.0
    assert share_of(story.colony.orders.scout[left], groups[left], 1, 50) == 1.0
    story.commit(50, quality=1.0)  # a scout was there
    story.tick()
    left = np.array(story.colony.untried)
    assert share_of(story.colony.orders.forage[left], groups[left], 1, 40) > 0.8


def test_queen_and_nurses_take_no_partitions() -> None:
    assert {role for role in AgentRole if not may_pull(role)} == {
        AgentRole.QUEEN,
        AgentRole.NURSE,
    }


def test_who_is_woken() -> None:
    roles = {1: AgentRole.WORKER, 2: AgentRole.SOLDIER, 3: AgentRole.WORKER}
    assert idle_to_wake([1, 2, 3, 9], roles, ready=5, due=0) == (1, 2, 3)
    assert idle_to_wake([1, 2, 3], roles, ready=0, due=1) == (2, 1)
    assert idle_to_wake([1, 2, 3], roles, ready=0, due=0) == ()


def test_no_more_are_woken_than_there_is_to_do() -> None:
    roles = {n: AgentRole.SCOUT if n < 100 else AgentRole.WORKER for n in range(1_000)}
    woken = idle_to_wake(range(1_000), roles, ready=50, due=0)
    assert len(set(woken)) == 50
    assert sum(roles[one] is AgentRole.SCOUT for one in woken) == 5
    assert len(idle_to_wake(range(1_000), roles, ready=50, due=3, asking=20)) == 33
    assert idle_to_wake(range(1_000), roles, ready=50, due=0, asking=60) == ()


def test_a_turn_much_older_than_others_is_lost() -> None:
    waiting = {1: 1_000, 2: 1_100, 3: 20_000}
    assert lost_turns(waiting, still_ms=10, lease_ms=2_000) == (3,)
    assert lost_turns({1: 9_000, 2: 9_100}, still_ms=10, lease_ms=2_000) == ()
    assert lost_turns({1: 9_000, 2: 9_100}, still_ms=9_000, lease_ms=2_000) == (1, 2)
    assert lost_turns({}, still_ms=0, lease_ms=1) == ()


def test_ticks_chain_their_numbers() -> None:
    story = Story()
    ticks = []
    for partition in range(5):
        story.commit(partition)
        ticks.append(story.tick())
    assert [one["tick"] for one in ticks] == [1, 2, 3, 4, 5]
    assert all(a["upto"] < b["upto"] for a, b in pairwise(ticks))
