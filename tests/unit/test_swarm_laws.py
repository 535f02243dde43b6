"""What holds for any cloud, any field, any books, and any way to cut up a run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestration.core.swarm.behaviors import motion_for, settings_for
from orchestration.core.swarm.coverage import nearest
from orchestration.core.swarm.energy import (
    EnergySettings,
    Ledger,
    charged,
    earned,
    endowed,
    fertile,
)
from orchestration.core.swarm.evolution import EvolutionSettings, reproduced
from orchestration.core.swarm.model import AgentRole, SwarmBehavior
from orchestration.core.swarm.motion import advance, begin
from orchestration.core.swarm.neighbours import (
    Pairs,
    brute_pairs,
    cell_pairs,
    near_probes,
)
from orchestration.core.swarm.pheromone import diffused
from orchestration.core.swarm.population import buried, killed, replenished
from orchestration.core.swarm.roles import CODES, RoleShares, assigned
from orchestration.core.swarm.state import Floats, SwarmState
from tests.unit.profiles import examples

BEHAVIORS = ("FORAGING", "FLOCKING", "DISPERSING", "CLUSTERING", "MIGRATING")


@st.composite
def clouds(draw: st.DrawFn) -> tuple[Floats, float, float]:
    """Draw positions, a radius, and the side of a cube: even, clumped or on a lattice.

    Some are outside of the cube, some on its faces, some on each other.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, dims = draw(st.integers(1, 80)), draw(st.integers(1, 3))
    side = draw(st.sampled_from([1.0, 3.7, 1000.0]))
    position = side * rng.random((count, dims))
    match draw(st.sampled_from(["even", "lattice", "clumped", "scattered"])):
        case "lattice":
            position = side * np.round(8 * position / side) / 8
        case "clumped":
            position = side * (0.5 + 0.05 * rng.standard_normal((count, dims)))
        case "scattered":
            position *= 10.0 ** rng.integers(0, 12, (count, 1))
    part = draw(st.sampled_from([0.01, 0.09, 0.125, 0.25, 0.4]))
    return position, part * side, side


def found(pairs: Pairs) -> set[tuple[int, int, float]]:
    rows = zip(
        np.minimum(pairs.first, pairs.second).tolist(),
        np.maximum(pairs.first, pairs.second).tolist(),
        pairs.squared.tolist(),
        strict=True,
    )
    listed = list(rows)
    assert len(set(listed)) == len(listed)  # each pair once
    return set(listed)


@given(clouds())
def test_cells_find_the_pairs_that_comparing_all_finds(
    cloud: tuple[Floats, float, float],
) -> None:
    position, radius, side = cloud
    assert found(cell_pairs(position, radius)) == found(brute_pairs(position, radius))
    if np.abs(position).max() < 10 * side:
        repeated = found(cell_pairs(position, radius, side))
        assert repeated == found(brute_pairs(position, radius, side))


@given(clouds())
def test_the_way_to_a_neighbour_is_the_shortest_there_is(
    cloud: tuple[Floats, float, float],
) -> None:
    position, radius, side = cloud
    position = position % side
    near = cell_pairs(position, radius, side)
    way = position[near.second] - position[near.first] - near.offset.T
    images = np.round(way / side)
    np.testing.assert_allclose(way, images * side, atol=1e-9 * side)
    assert (np.square(near.offset).sum(axis=0) <= radius**2 * (1 + 1e-12)).all()


@given(st.integers(0, 2**32), st.integers(2, 3), st.integers(1, 400))
@example(0, 3, 1)
@examples(40)
def test_the_nearest_agent_is_the_nearest(seed: int, dims: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    position, probes = rng.random((count, dims)), rng.random((50, dims))
    which, squared = nearest(probes, position, 1.0)
    way = position[np.newaxis] - probes[:, np.newaxis]
    all_squared = np.square(way - np.round(way)).sum(axis=2)
    np.testing.assert_array_equal(which, all_squared.argmin(axis=1))
    np.testing.assert_allclose(squared, all_squared.min(axis=1), rtol=1e-12)
    if (inside := near_probes(probes, position, 0.2, 1.0)) is not None:
        assert len(inside[0]) == (all_squared <= 0.2**2).sum()


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.floats(0.0, 1 / 6),
)
def test_diffusion_keeps_the_sum_and_evens_out(
    seed: int, shape: list[int], diffusion: float
) -> None:
    field = np.random.default_rng(seed).random(shape) ** 8
    spread = diffused(field, diffusion)
    assert spread.sum() == pytest.approx(field.sum(), rel=1e-12)
    assert spread.min() >= field.min() - 1e-15
    assert spread.max() <= field.max() + 1e-15


# --- the books

Deed = tuple[str, int]
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["work", "earn", "bury", "kill", "nurse", "breed"]),
        st.integers(0, 2**32),
    ),
    max_size=30,
)


def done(
    state: SwarmState, ledger: Ledger, deed: str, rng: np.random.Generator
) -> tuple[SwarmState, Ledger]:
    """Do one of the things that change who has how much."""
    settings, shares = EnergySettings(), RoleShares()
    match deed:
        case "work":
            cost = rng.integers(0, 900, state.size)
            return state, charged(state, ledger, cost)
        case "earn":
            income = rng.integers(0, 1_200, state.size)
            return state, earned(state, ledger, income)
        case "bury":
            return buried(state, ledger)[:2]
        case "kill":
            rows = rng.integers(state.size, size=state.size // 4)
            return killed(state, ledger, rows)
        case "nurse":
            return replenished(
                state, ledger, settings, agents=30, shares=shares, each=3
            )
        case _:
            return reproduced(
                state, ledger, settings, EvolutionSettings(max_agents=40), rng
            )


@given(DEEDS)
def test_the_books_agree_whatever_happens(deeds: list[Deed]) -> None:
    state = SwarmState.blank(30, 3)
    state.record["role"] = assigned(30, RoleShares())
    ledger = endowed(state, EnergySettings())
    for deed, seed in deeds:
        state, ledger = done(state, ledger, deed, np.random.default_rng(seed))
        assert ledger.agrees(state)
        energy, role = state.record["energy"], state.record["role"]
        assert (energy >= 0).all()
        ids = state.record["agent"]
        assert len(np.unique(ids)) == state.size <= 40
        if not state.size:
            break
        assert (role == CODES[AgentRole.QUEEN]).sum() == 1
        assert ids.max() < state.record["next_id"]


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_who_is_not_born_is_counted(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    state = SwarmState.blank(30, 2)
    ledger = endowed(state, EnergySettings())
    ledger = earned(state, ledger, rng.integers(0, 2_000, 30))
    fit = len(fertile(state, EnergySettings()))
    new, ledger = reproduced(
        state, ledger, EnergySettings(), EvolutionSettings(max_agents=most), rng
    )
    assert new.size <= max(most, 30)
    assert ledger.births + ledger.evolution_overflow == fit
    assert new.size == 30 + ledger.births


# --- the same bits however a run is cut up, and wherever the state has been


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_a_run_has_the_same_bits_for_any_number_of_iterations_in_one_go(
    behavior: str,
) -> None:
    ends = set()
    for at_once in (1, 10, 50):
        motion = motion_for(behavior, {"agents": 60})
        state = begin(motion, 11)
        link = state.digest()
        for _ in range(50 // at_once):
            state = SwarmState.from_bytes(state.to_bytes())
            gone = advance(motion, state, seed=11, iterations=at_once, previous=link)
            state, link = gone.state, gone.hashes[-1]
        ends.add((state.digest(), link))
    assert len(ends) == 1


@pytest.mark.parametrize("behavior", BEHAVIORS)
@given(seed=st.integers(0, 2**64 - 1), agents=st.integers(1, 300))
@example(seed=0, agents=1)
@examples(6)
def test_convergence_is_a_part_of_one_and_nothing_gets_lost(
    behavior: str, seed: int, agents: int
) -> None:
    motion = motion_for(behavior, {"agents": agents, "dims": 2 + seed % 2})
    state = begin(motion, seed)
    assert 0.0 <= motion.convergence(state) <= 1.0
    gone = advance(motion, state, seed=seed, iterations=5, previous=state.digest())
    assert 0.0 <= gone.convergence <= 1.0
    for name in ("position", "velocity", "value"):
        assert np.isfinite(gone.state.record[name]).all()
    assert gone.state.size == agents


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_settings_come_back_from_json(behavior: str) -> None:
    settings = settings_for(behavior, {"agents": 12, "roles": {"scout": 0.25}})
    assert settings.faults() == ()
    told = json.loads(json.dumps(settings.to_json()))
    assert settings_for(behavior, told) == settings
    assert SwarmBehavior(behavior)
