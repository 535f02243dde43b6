"""What single behaviours do in the small."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestration.core.swarm.behaviors import motion_for
from orchestration.core.swarm.clustering import (
    Clustering,
    ClusteringSettings,
    explained,
)
from orchestration.core.swarm.coverage import coverage, second_moment
from orchestration.core.swarm.dispersing import Dispersing, DispersingSettings
from orchestration.core.swarm.evolution import mutated
from orchestration.core.swarm.flocking import Flocking, FlockingSettings
from orchestration.core.swarm.foraging import Foraging, ForagingSettings
from orchestration.core.swarm.migrating import Migrating, MigratingSettings
from orchestration.core.swarm.motion import Motion, advance, begin, link
from orchestration.core.swarm.motions import behavior_settings, motion_of
from orchestration.core.swarm.pheromone import (
    Deposit,
    PheromoneSettings,
    Trail,
    bounded,
    caught_up,
    cells_of,
    deposited,
)
from orchestration.core.swarm.roles import RoleShares
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.steering import strewn, swayed, turned, unit


def gone(motion: Motion, iterations: int, seed: int = 1) -> SwarmState:
    state = begin(motion, seed)
    return advance(
        motion, state, seed=seed, iterations=iterations, previous=state.digest()
    ).state


def test_going_to_the_centre_of_what_is_nearest_evens_out_too() -> None:
    motion = Dispersing(DispersingSettings(agents=100, dims=2, rule="LLOYD"))
    assert motion.convergence(begin(motion, 1)) < 0.2
    assert motion.convergence(gone(motion, 30)) > 0.75


def test_a_lattice_covers_as_well_as_theory_says() -> None:
    at = np.arange(8) / 8
    cubic = np.stack(np.meshgrid(at, at, at), axis=-1).reshape(-1, 3)
    body_centred = np.concatenate((cubic, cubic + 1 / 16))
    assert second_moment(cubic, 1.0) == pytest.approx(1 / 12, rel=0.02)
    assert second_moment(body_centred, 1.0) == pytest.approx(0.07854, rel=0.02)
    assert coverage(body_centred, 1.0) > 0.95


def test_agents_at_one_place_do_not_come_apart_by_themselves() -> None:
    motion = Dispersing(DispersingSettings(agents=3, dims=2))
    state = begin(motion, 1)
    state.record["position"] = 0.5
    advance(motion, state, seed=1, iterations=2, previous="00" * 32)
    assert (state.record["position"] == 0.5).all()


def test_a_flock_in_space_goes_one_way_at_its_speed() -> None:
    motion = Flocking(
        FlockingSettings(agents=200, side=4, rule="VICSEK", noise=0.1, speed=0.05)
    )
    state = gone(motion, 150)
    assert motion.convergence(state) > 0.99
    speed = np.sqrt(np.square(state.record["velocity"]).sum(axis=1))
    np.testing.assert_allclose(speed, 0.05)
    assert state.record["value"].max() < 0.1
    assert state.record["position"].min() >= 0.0
    assert state.record["position"].max() < 4.0


def test_separation_keeps_a_flock_from_falling_together() -> None:
    apart, together = (
        gone(
            Flocking(FlockingSettings(agents=60, side=3, separation=weight, noise=0.0)),
            300,
        ).record["position"]
        for weight in (1.5, 0.0)
    )

    def least(position: np.ndarray) -> float:
        way = position[:, np.newaxis] - position[np.newaxis]
        way -= 3.0 * np.rint(way / 3.0)
        distance = np.sqrt(np.square(way).sum(axis=2)) + np.eye(60) * 9
        return float(np.median(distance.min(axis=1)))

    assert least(apart) > 1.5 * least(together)


def test_a_group_with_another_goal_goes_there() -> None:
    motion = Migrating(
        MigratingSettings(
            agents=30, dims=2, goal=[0.0, -5.0], roles=RoleShares(scout=0.2)
        )
    )
    state = gone(motion, 800)
    assert motion.convergence(state) > 0.9
    assert state.record["position"][:, 1].mean() < -50


def test_a_group_that_is_in_two_parts_counts_as_the_larger() -> None:
    motion = Migrating(MigratingSettings(agents=10, dims=2))
    state = begin(motion, 1)
    state.record["velocity"] = [0.2, 0.0]
    state.record["position"][7:] += 100.0
    assert motion.together(state).tolist() == list(range(7))
    assert motion.convergence(state) == pytest.approx(0.7)


def test_agents_that_stand_for_points_cluster_them() -> None:
    points = [[0, 0], [0.1, 0], [9, 9], [9, 9.1], [9, 9]]
    motion = Clustering(
        ClusteringSettings(agents=5, dims=2, points=points, bandwidth=1.0)
    )
    state = gone(motion, 10)
    assert motion.clusters(state).tolist() == [0, 0, 2, 2, 2]
    assert motion.at_rest(state)
    assert motion.convergence(state) > 0.99
    assert explained(np.zeros((3, 2)), np.array([0, 0, 1])) == 1.0


def test_the_queen_stays_and_others_bring_in_what_they_found() -> None:
    motion = Foraging(ForagingSettings(agents=20, sources=[[0.0, 0.0, 0.3]]))
    state = begin(motion, 1)
    assert motion.convergence(state) == 1.0  # there is one way only
    before = float(state.record["pheromone"][0])
    far = []
    for _ in range(6):
        advance(motion, state, seed=1, iterations=1, previous="00" * 32)
        far.append(round(float(state.record["position"][1, 2]), 9))
    assert far == [0.1, 0.2, 0.3, 0.2, 0.1, 0.0]
    assert state.record["position"][0].tolist() == [0.0, 0.0, 0.0]
    assert float(state.record["pheromone"][0]) > before


def test_what_is_laid_is_in_the_chain_of_a_large_swarm_too() -> None:
    state = begin(Foraging(ForagingSettings(agents=1_000)), 1)
    before = link("00" * 32, state)
    state.record["pheromone"][1] += 1e-9
    assert link("00" * 32, state) != before


def test_swarming_is_a_motion_too_with_the_settings_of_a_search() -> None:
    box = {"lower": [-5.0, -5.0], "upper": [5.0, 5.0], "agents": 12}
    motion = motion_for("SWARMING", box)
    assert (motion.size, motion.searches) == (12, True)
    told = behavior_settings("swarming", box)
    assert told["kind"] == "search"
    same = begin(motion, 3, bowl).digest()
    assert begin(motion_of(told), 3, bowl).digest() == same
    assert begin(motion_for("SWARMING", Search(**box)), 3, bowl).digest() == same
    with pytest.raises(ValueError, match="lower is missing"):
        motion_for("SWARMING", {})
    with pytest.raises(ValueError, match="give it Search"):
        motion_for("SWARMING", FlockingSettings())


def bowl(positions: Floats) -> Floats:
    return np.einsum("ij,ij->i", positions, positions)


# --- pheromone


def test_pheromone_stays_within_its_bounds() -> None:
    settings = PheromoneSettings(floor=0.5, ceiling=2.0)
    field = bounded(np.array([0.0, 0.1, 1.0, 9.0]), settings)
    assert field.tolist() == [0.0, 0.5, 1.0, 2.0]


def test_what_many_lay_on_one_cell_adds_up() -> None:
    at = np.array([[0.1, 0.9], [0.1, 0.9], [5.0, -1.0]])
    cells = cells_of(at, 1.0, (4, 4))
    field = deposited(np.zeros((4, 4)), cells, np.array([1.0, 2.0, 4.0]))
    assert (field[0, 3], field[3, 0], field.sum()) == (3.0, 4.0, 7.0)


@pytest.mark.parametrize("ticks", [(0,), (6,), (4, 3)])
def test_deposits_that_do_not_belong_there_are_refused(ticks: tuple[int, ...]) -> None:
    deposits = [Deposit(tick, np.array([0]), np.array([1.0])) for tick in ticks]
    with pytest.raises(ValueError, match="sort them by their ticks"):
        caught_up(np.ones(3), PheromoneSettings(), since=0, until=5, deposits=deposits)


def test_a_deposit_that_comes_late_counts_as_if_it_had_come_in_time() -> None:
    settings = PheromoneSettings(evaporation=0.1, ceiling=100.0)
    start = Trail(1.0, 0)
    in_time = start.laid(2.0, 3, settings).laid(5.0, 9, settings)
    late = start.laid(5.0, 9, settings).laid(2.0, 3, settings)
    assert late.tick == in_time.tick == 9
    assert late.level == pytest.approx(in_time.level, rel=1e-12)
    assert Trail(0.0, 0).at(50, PheromoneSettings(floor=1.0)) == 0.0


# --- directions


@pytest.mark.parametrize("dims", [2, 3])
def test_nobody_turns_further_than_he_can(dims: int) -> None:
    draw = np.random.default_rng(1)
    heading, wanted = strewn(200, dims, draw), strewn(200, dims, draw)
    new = turned(heading, wanted, 0.4)
    angle = np.arccos(np.clip((heading * new).sum(axis=1), -1, 1))
    asked = np.arccos(np.clip((heading * wanted).sum(axis=1), -1, 1))
    np.testing.assert_allclose(angle, np.minimum(asked, 0.4), atol=1e-7)
    np.testing.assert_allclose((new * new).sum(axis=1), 1.0)
    nowhere = turned(heading, np.zeros_like(heading), 0.4)
    np.testing.assert_allclose(nowhere, heading, rtol=1e-14)


@pytest.mark.parametrize("dims", [2, 3])
def test_noise_is_off_by_its_angle(dims: int) -> None:
    draw = np.random.default_rng(1)
    heading = strewn(100, dims, draw)
    angle = draw.uniform(-math.pi, math.pi, 100)
    new = swayed(heading, angle, draw)
    cosine = (heading * new).sum(axis=1)
    np.testing.assert_allclose(cosine, np.cos(angle), atol=1e-12)
    assert unit(np.zeros((1, dims))).tolist() == [[0.0] * dims]


def test_mutation_is_as_wide_as_told() -> None:
    draw = np.random.default_rng(1)
    off = mutated(np.zeros((5_000, 2)), 0.3, draw)
    assert off.std() == pytest.approx(0.3, rel=0.03)
