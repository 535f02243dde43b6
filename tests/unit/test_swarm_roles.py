"""What each role is good for, as one can see it; and agents as others see them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.agent import SwarmAgent, agents_of
from orchestration.core.swarm.allocation import (
    ResponseSettings,
    response,
    thresholds,
)
from orchestration.core.swarm.choosing import chosen, odds
from orchestration.core.swarm.energy import EnergySettings, charged, endowed
from orchestration.core.swarm.foraging import Foraging, ForagingSettings
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.motion import advance, begin
from orchestration.core.swarm.population import buried, killed, replenished, with_rows
from orchestration.core.swarm.roles import (
    CODES,
    RoleShares,
    assigned,
    crowned,
    having,
    nursing,
)
from orchestration.core.swarm.state import SwarmState


def swarm(agents: int, shares: RoleShares | None = None) -> SwarmState:
    state = SwarmState.blank(agents, 3)
    state.record["role"] = assigned(agents, shares or RoleShares())
    return state


def counts(state: SwarmState) -> dict[AgentRole, int]:
    return {role: len(having(state, role)) for role in ROLES}


def test_roles_are_shared_out_as_told() -> None:
    assert counts(swarm(100)) == {
        AgentRole.QUEEN: 1,
        AgentRole.WORKER: 49,
        AgentRole.SCOUT: 5,
        AgentRole.SOLDIER: 10,
        AgentRole.NURSE: 5,
        AgentRole.FORAGER: 30,
    }


@given(st.integers(1, 300), st.lists(st.floats(0, 0.25), min_size=4, max_size=4))
def test_there_is_one_queen_and_the_rest_adds_up(
    agents: int, parts: list[float]
) -> None:
    names = ("scout", "soldier", "nurse", "forager")
    shares = RoleShares(**dict(zip(names, parts, strict=True)))
    had = counts(swarm(agents, shares))
    assert had[AgentRole.QUEEN] == 1
    assert sum(had.values()) == agents
    for name, part in zip(names, parts, strict=True):
        assert abs(had[AgentRole[name.upper()]] - part * agents) < 2


# --- queen


def test_when_the_queen_dies_the_eldest_is_the_queen() -> None:
    state = swarm(20)
    ledger = endowed(state, EnergySettings())
    state, ledger = killed(state, ledger, having(state, AgentRole.QUEEN))
    queens = having(state, AgentRole.QUEEN)
    assert state.record["agent"][queens].tolist() == [1]
    assert crowned(state) is False


def test_of_two_queens_the_elder_stays() -> None:
    state = swarm(10)
    state.record["role"][7] = CODES[AgentRole.QUEEN]
    assert crowned(state) is True
    assert having(state, AgentRole.QUEEN).tolist() == [0]


# --- scouts and foragers


def foraged(scout: float) -> Foraging:
    return Foraging(
        ForagingSettings(
            hidden=(1,), richness=(1.0, 8.0), roles=RoleShares(scout=scout)
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_richer_source_that_is_hidden_is_found_by_scouts_only(seed: int) -> None:
    levels = {}
    for scout in (0.0, 0.05):
        motion = foraged(scout)
        state = begin(motion, seed)
        gone = advance(motion, state, seed=seed, iterations=600, previous="00" * 32)
        levels[scout] = gone.state.record["pheromone"]
    assert levels[0.0][1] == 0.0
    assert odds(levels[0.05])[1] > 0.9


def test_foragers_come_to_share_in_the_better_of_two_groups() -> None:
    draw = np.random.default_rng(5)
    roles = np.full(100, CODES[AgentRole.FORAGER])
    level, quality = np.ones(2), np.array([0.5, 1.0])
    for _ in range(300):
        choice = chosen(level, roles, draw)
        level = 0.99 * level + np.bincount(choice, quality[choice], 2) / 100
    assert (choice == 1).mean() > 0.8


def test_scouts_go_where_there_is_nothing_as_long_as_there_is_such_a_place() -> None:
    draw, roles = np.random.default_rng(1), assigned(100, RoleShares(scout=0.2))
    scouts = roles == CODES[AgentRole.SCOUT]
    choice = chosen(np.array([5.0, 0.0, 1.0, 0.0]), roles, draw)
    assert set(choice[scouts]) == {1, 3}
    assert set(choice[~scouts]) == {0, 2}
    everywhere = chosen(np.array([1e6, 1.0]), roles, draw)
    assert set(everywhere) == {0}


def test_without_any_pheromone_all_options_are_as_likely() -> None:
    assert odds(np.zeros(4)).tolist() == [0.25] * 4


# --- soldiers


def test_soldiers_act_on_strong_stimuli_only() -> None:
    threshold = thresholds(assigned(100, RoleShares()), ResponseSettings())
    weak = response(np.array(1.0), threshold)
    strong = response(np.array(100.0), threshold)
    soldiers = threshold == 8.0
    assert soldiers.sum() == 10
    assert weak[soldiers].max() < 0.02
    assert weak[~soldiers].min() >= 0.5
    assert strong.min() > 0.99


# --- nurses, energy


def test_nurses_restore_the_pool_in_two_ticks_after_a_third_died() -> None:
    state, settings, shares = swarm(100), EnergySettings(), RoleShares()
    ledger = endowed(state, settings)
    rows = np.random.default_rng(1).permutation(100)[:30]
    state, ledger = killed(state, ledger, rows)
    for _ in range(2):
        state, ledger = replenished(state, ledger, settings, agents=100, shares=shares)
    assert state.size == 100
    assert ledger.deaths == 30
    assert ledger.injected == 30 * settings.initial
    assert ledger.agrees(state)
    assert all(
        abs(now - 100 * share) <= 4
        for now, share in zip(
            [counts(state)[role] for role in (AgentRole.SCOUT, AgentRole.SOLDIER)],
            [shares.scout, shares.soldier],
            strict=True,
        )
    )


def test_a_few_nurses_cannot_restore_many_at_once() -> None:
    state = swarm(10)
    ledger = endowed(state, EnergySettings())
    state, _ = replenished(
        state, ledger, EnergySettings(), agents=100, shares=RoleShares(), each=7
    )
    assert state.size == 17


def test_the_youngest_nurse_and_grow_up_to_forage() -> None:
    state = swarm(20)
    before = having(state, AgentRole.NURSE)
    nurses = nursing(state, 0.1)
    assert state.record["agent"][nurses].tolist() == [19, 18]
    assert set(before) <= set(having(state, AgentRole.FORAGER))


def test_who_cannot_pay_dies_and_what_is_missing_is_written_down() -> None:
    state = swarm(3)
    ledger = endowed(state, EnergySettings())
    ledger = charged(state, ledger, np.array([0, 1_200, 400]))
    state, ledger, dead = buried(state, ledger)
    assert dead.tolist() == [1]
    assert (ledger.cost, ledger.unpaid, ledger.deaths) == (1_400, 200, 1)
    assert state.record["energy"].tolist() == [1_000, 600]
    assert ledger.balance == 1_600


def test_work_has_its_price_and_brings_in_what_it_is_worth() -> None:
    settings = EnergySettings()
    assert [settings.price(w) for w in (1, 2.5, 0.01)] == [10, 25, 0]
    assert [settings.income(q) for q in (1.0, 0.876, 0.0)] == [100, 88, 0]


def test_a_swarm_that_all_died_of_is_empty_and_no_error() -> None:
    state = swarm(4)
    ledger = endowed(state, EnergySettings())
    state, ledger = killed(state, ledger, np.arange(4))
    assert (state.size, ledger.balance) == (0, 0)
    assert SwarmState.from_bytes(state.to_bytes()).size == 0


def test_what_is_no_agents_stays_when_agents_change() -> None:
    state = SwarmState.blank(3, 2, trails=2)
    state.record["pheromone"] = [1.0, 2.0]
    state.record["iteration"] = 7
    state.record["best"] = 0.5
    new = with_rows(state, np.array([2, 2, 0, 1]))
    assert new.record["agent"].tolist() == [2, 2, 0, 1]
    assert new.record["pheromone"].tolist() == [1.0, 2.0]
    assert (new.iteration, float(new.record["best"])) == (7, 0.5)
    back = SwarmState.from_bytes(new.to_bytes())
    assert back.to_bytes() == new.to_bytes()
    assert back.trails == 2


# --- an agent, seen from outside


def test_an_agent_shows_its_row() -> None:
    state = swarm(3)
    state.record["position"] = [[0, 0, 0], [0.3, 0, 0], [0.9, 0, 0]]
    state.record["velocity"][1] = [1, 2, 3]
    state.record["energy"] = [5, 6, 7]
    state.record["value"] = [0.5, math.inf, 1.0]
    agent = SwarmAgent(state, 1)
    assert agent.position == (0.3, 0.0, 0.0)
    assert agent.velocity == (1.0, 2.0, 3.0)
    assert (agent.agent_id, agent.energy, agent.generation) == (1, 6, 0)
    assert agents_of(state)[0].fitness == 0.5
    assert agents_of(state)[0].role is AgentRole.QUEEN
    state.record["energy"][1] = 0
    assert agent.energy == 0


def test_neighbours_are_the_nearest_first_and_not_oneself() -> None:
    state = swarm(3)
    state.record["position"] = [[0, 0, 0], [0.3, 0, 0], [0.9, 0, 0]]
    first = SwarmAgent(state, 0)
    assert [each.row for each in first.neighbors(1.0)] == [1, 2]
    assert [each.row for each in first.neighbors(0.2)] == []
    around = SwarmAgent(state, 0, side=1.0)
    assert [each.row for each in around.neighbors(0.2)] == [2]
