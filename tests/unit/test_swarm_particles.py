"""Particle swarms: what holds in every iteration, whatever the settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.motion import advance, begin, judged, moved
from orchestration.core.swarm.neighbourhood import Topology, leaders
from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.search import Algorithm, Search, motion_of
from orchestration.core.swarm.space import Boundary
from orchestration.core.swarm.state import Floats, SwarmState
from tests.unit.profiles import examples
from tests.unit.searches import drawn_searches, run, search_of

RASTRIGIN = STANDARD["rastrigin"].values
SPHERE = STANDARD["sphere"].values
SEEDS = st.integers(0, 2**64 - 1)


@given(drawn_searches(), SEEDS)
@examples(20)
def test_the_bits_are_the_same_however_many_iterations_are_done_at_once(
    search: Search, seed: int
) -> None:
    ends = {}
    for at_once in (1, 10, 50):
        state, goes = run(search, RASTRIGIN, seed=seed, iterations=50, at_once=at_once)
        hashes = tuple(link for gone in goes for link in gone.hashes)
        best = tuple(value for gone in goes for value in gone.best)
        ends[at_once] = state.to_bytes(), hashes, best, goes[-1].convergence
    assert ends[1] == ends[10] == ends[50]


@given(drawn_searches(), SEEDS)
@examples(40)
def test_positions_stay_within_the_bounds(search: Search, seed: int) -> None:
    motion = motion_of(search)
    state = begin(motion, seed, RASTRIGIN)
    for _ in range(20):
        state.record["velocity"] *= 3.0  # harder than they ever are by themselves
        state = moved(motion, state, seed)
        judged(motion, state, RASTRIGIN(state.record["position"]))
        position = state.record["position"]
        assert (position >= search.lower).all()
        assert (position <= search.upper).all()


@given(drawn_searches(patience=0, scouts=0), SEEDS)
@examples(40)
def test_nobody_forgets_its_own_best(search: Search, seed: int) -> None:
    motion = motion_of(search)
    state = begin(motion, seed, RASTRIGIN)
    for _ in range(20):
        before = state.record["own_best_value"].copy()
        state = advance(
            motion,
            state,
            seed=seed,
            iterations=1,
            previous=None,
            fitness=RASTRIGIN,
        ).state
        record = state.record
        assert (record["own_best_value"] <= before).all()
        assert (record["own_best_value"] == RASTRIGIN(record["own_best"])).all()
        assert record["best"] == record["own_best_value"].min()


@given(drawn_searches(), SEEDS)
@examples(40)
def test_the_best_never_worsens_and_is_where_it_was_found(
    search: Search, seed: int
) -> None:
    state, goes = run(search, RASTRIGIN, seed=seed, iterations=30, at_once=30)
    best = goes[0].best
    assert list(best) == sorted(best, reverse=True)
    assert RASTRIGIN(state.record["best_position"][np.newaxis])[0] == best[-1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_is_no_finite_number_is_nobodys_best(
    algorithm: Algorithm, wrong: float
) -> None:
    def half_wrong(positions: Floats) -> Floats:
        return np.where(positions[:, 0] > 0.0, wrong, SPHERE(positions))

    search = search_of("sphere", 3, algorithm=algorithm, agents=20)
    state, _ = run(search, half_wrong)
    record = state.record
    assert np.isfinite(record["best"])
    assert record["best_position"][0] <= 0.0
    found = np.isfinite(record["own_best_value"])
    assert (record["own_best"][found, 0] <= 0.0).all()
    assert np.isfinite(record["position"]).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_swarm_that_sees_nothing_but_faults_goes_on(wrong: float) -> None:
    search = search_of("sphere", 3, topology=Topology.RANDOM)
    state, goes = run(search, lambda x: np.full(len(x), wrong))
    assert state.iteration == 60
    assert goes[-1].best[-1] == np.inf


@given(drawn_searches(), SEEDS)
@examples(25)
def test_bytes_hold_all_there_is(search: Search, seed: int) -> None:
    state, _ = run(search, RASTRIGIN, seed=seed, iterations=5, at_once=5)
    again = SwarmState.from_bytes(state.to_bytes())
    assert again.digest() == state.digest()
    assert again.record.dtype == state.record.dtype
    assert again.record.tobytes() == state.record.tobytes()


def test_a_state_has_at_most_128_bytes_an_agent_in_three_dimensions() -> None:
    assert len(SwarmState.blank(100, 3).to_bytes()) <= 100 * 128


def test_roles_are_one_queen_the_scouts_and_workers() -> None:
    state, _ = run(search_of("sphere", 2, agents=10, scouts=3), SPHERE, iterations=1)
    roles = [ROLES[code] for code in state.record["role"]]
    assert roles == [AgentRole.QUEEN] + 6 * [AgentRole.WORKER] + 3 * [AgentRole.SCOUT]


def test_only_scouts_leave_where_they_find_nothing_better() -> None:
    """Nothing is better anywhere, so that all have equal reason to leave."""
    search = search_of("sphere", 2, agents=10, scouts=4, limit=5, patience=0)
    motion = motion_of(search)
    state = begin(motion, 1, lambda x: np.ones(len(x)))
    own = state.record["own_best"].copy()
    for _ in range(6):
        state = moved(motion, state, 1)
        judged(motion, state, np.ones(10))
    moved_on = (state.record["own_best"] != own).any(axis=1)
    assert moved_on.tolist() == 6 * [False] + 4 * [True]


def test_all_begin_anew_where_the_swarm_stands_still_and_the_best_is_kept() -> None:
    search = search_of("sphere", 2, agents=10, patience=5)
    motion = motion_of(search)
    state = begin(motion, 1, SPHERE)
    best = float(state.record["best"])
    for _ in range(5):
        state = moved(motion, state, 1)
        judged(motion, state, np.full(10, 1e9))
    assert state.record["lives"] == 0
    state = moved(motion, state, 1)
    assert state.record["lives"] == 1
    judged(motion, state, np.full(10, 1e8))
    assert state.record["best"] == best
    assert state.record["lead"] == 1e8
    assert motion.convergence(state) < 0.5


def test_a_swarm_that_came_together_has_converged() -> None:
    search = search_of("sphere", 3, patience=0)
    motion = motion_of(search)
    state = begin(motion, 1, SPHERE)
    assert motion.convergence(state) == 0.0
    state, goes = run(search, SPHERE, iterations=300, at_once=300)
    assert 0.999 < goes[-1].convergence <= 1.0


def test_a_ring_asks_its_neighbours_only() -> None:
    state = SwarmState.blank(5, 1)
    state.record["own_best"] = np.arange(5.0)[:, np.newaxis]
    state.record["own_best_value"] = [0.0, 3.0, 2.0, 4.0, 1.0]
    led = leaders(Topology.RING, state, draws(1, 1), informed=1)
    assert led[:, 0].tolist() == [0.0, 0.0, 2.0, 4.0, 0.0]


def test_a_random_neighbourhood_lasts_as_long_as_the_best_improves() -> None:
    state = SwarmState.blank(30, 1)
    state.record["own_best"] = np.arange(30.0)[:, np.newaxis]
    state.record["own_best_value"] = np.arange(30.0)
    drawn = []
    for iteration, improved in ((0, True), (1, True), (2, False)):
        state.record["iteration"] = iteration
        state.record["lead_at"] = iteration if improved else iteration - 1
        led = leaders(Topology.RANDOM, state, draws(1, iteration), informed=3)
        assert (led[:, 0] <= np.arange(30.0)).all()  # who informs itself
        drawn.append(led[:, 0].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("topology", Topology)
@pytest.mark.parametrize("boundary", Boundary)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_combination_searches(
    algorithm: Algorithm, boundary: Boundary, topology: Topology
) -> None:
    search = search_of(
        "sphere", 3, algorithm=algorithm, topology=topology, boundary=boundary
    )
    _, goes = run(search, SPHERE, iterations=150, at_once=150)
    assert goes[0].best[-1] < 1e-2
