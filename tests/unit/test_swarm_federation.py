"""A federation: who migrates where, and that its bits depend on nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.federated import Federated, Stretch
from orchestration.core.swarm.federation import Federation, federated, shared_out
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.islands import islands_of, packed, unpack
from orchestration.core.swarm.model import ROLES, AgentRole
from orchestration.core.swarm.motion import Advanced, advance, begin
from orchestration.core.swarm.motions import motion_of, search_settings
from orchestration.core.swarm.randomness import draws, lanes
from orchestration.core.swarm.search import Algorithm
from orchestration.core.swarm.state import SwarmState, island_layout, layout
from orchestration.core.swarm.stopping import Stopped, Stopping
from tests.unit.profiles import examples
from tests.unit.searches import drawn_searches, search_of

RASTRIGIN = STANDARD["rastrigin"].values
INF = float("inf")


def a_federation(*sizes: int, **settings: Any) -> Federation:
    """Return islands of so many agents in three dimensions, of both kinds by turns."""
    kinds = (Algorithm.CONSTRICTED, Algorithm.SPSO_2011)
    islands = [
        search_of("rastrigin", 3, agents=size, algorithm=kinds[nth % 2], patience=6)
        for nth, size in enumerate(sizes)
    ]
    return Federation(islands=islands, **{"migrate_every": 4, **settings})


def run(
    motion: Federated,
    *,
    at_once: int,
    iterations: int = 40,
    until: Stopping | None = None,
    seed: int = 5,
) -> tuple[SwarmState, list[str]]:
    """Run all islands together, so many iterations at once, through bytes."""
    state = begin(motion, seed, RASTRIGIN, until=until)
    hashes = [state.digest()]
    while state.iteration < iterations:
        done = advance(
            motion,
            SwarmState.from_bytes(state.to_bytes()),
            seed=seed,
            iterations=min(at_once, iterations - state.iteration),
            previous=hashes[-1],
            fitness=RASTRIGIN,
            until=until,
        )
        state, hashes = done.state, [*hashes, *done.hashes]
        if done.stopped:
            break
    return state, hashes


def run_apart(
    motion: Federated,
    *,
    iterations: int = 40,
    until: Stopping | None = None,
    seed: int = 5,
) -> tuple[SwarmState, list[str], list[Advanced]]:
    """Run each island by itself from one migration to the next, the last one first."""
    until = until or Stopping(iterations=iterations)
    state = motion.begin(draws(seed, 0))
    hashes, goes = [begin(motion, seed, RASTRIGIN, until=until).digest()], []
    while state.iteration < iterations and not (goes and goes[-1].stopped):
        motion.migrate(state)
        blob = state.to_bytes()
        count = min(motion.until_migration(state.iteration), iterations)
        done: Advanced | int = count - state.iteration
        while isinstance(done, int):
            state = SwarmState.from_bytes(blob)
            stretches = stretches_of(motion, blob, done, seed)
            done = motion.joined(state, stretches, previous=hashes[-1], until=until)
        hashes += done.hashes
        goes.append(done)
    return state, hashes, goes


def stretches_of(
    motion: Federated, blob: bytes, iterations: int, seed: int
) -> list[Stretch]:
    done = {
        nth: motion.stretch(
            SwarmState.from_bytes(blob),
            nth,
            seed=seed,
            iterations=iterations,
            fitness=RASTRIGIN,
        ).to_bytes()
        for nth in reversed(range(len(motion.islands)))
    }
    return [Stretch.from_bytes(done[nth]) for nth in sorted(done)]


# --- who migrates


def placed(values: list[list[float]], *, migrants: int) -> tuple[Federated, SwarmState]:
    """Return a federation at a migration, whose agents' own bests are told.

    Each is at the place ``(island, number, own best)``.
    """
    motion = federated(a_federation(*map(len, values), migrants=migrants))
    state = motion.begin(draws(1, 0))
    state.record["iteration"] = motion.every
    for nth, (island, own) in enumerate(zip(islands_of(state), values, strict=True)):
        record = island.record
        record["own_best_value"] = record["value"] = own
        places = [[nth, agent, value] for agent, value in enumerate(own)]
        record["position"] = record["own_best"] = places
        record["velocity"] = record["position"] * 10
        record["stagnant"] = 7
        first = int(np.argmin(own))
        for kept in ("lead", "best"):
            record[kept] = own[first]
            record[f"{kept}_position"] = places[first]
    motion._tell_best(state)
    return motion, state


def places(state: SwarmState) -> list[list[list[float]]]:
    return [one.record["own_best"].tolist() for one in islands_of(state)]


def test_the_best_of_each_island_replace_the_worst_of_the_next() -> None:
    motion, state = placed(
        [[5, 1, 9, 2], [30, 10, 20, 40], [200, 300, 400, 100]], migrants=2
    )
    motion.migrate(state)
    first, second, third = places(state)
    # 10 and 20 of the second would be no better than anybody here, nor those of the
    # third, which is before the first in the ring.
    assert first == [[0, 0, 5], [0, 1, 1], [0, 2, 9], [0, 3, 2]]
    assert second == [[0, 3, 2], [1, 1, 10], [1, 2, 20], [0, 1, 1]]
    # They set out before anybody arrived: 1 is at home on the first island.
    assert third == [[2, 0, 200], [1, 2, 20], [1, 1, 10], [2, 3, 100]]


def test_the_last_island_is_before_the_first() -> None:
    motion, state = placed([[5, 6, 7, 8], [3, 9, 9, 9], [9, 9, 9, 1]], migrants=1)
    motion.migrate(state)
    assert places(state)[0] == [[0, 0, 5], [0, 1, 6], [0, 2, 7], [2, 3, 1]]


def test_of_equals_the_first_sets_out_and_the_last_gives_way() -> None:
    motion, state = placed([[1, 1, 1, 5], [9, 9, 9, 0.5]], migrants=2)
    motion.migrate(state)
    first, second = places(state)
    assert second == [[1, 0, 9], [0, 1, 1], [0, 0, 1], [1, 3, 0.5]]
    # The better of those that come takes the worst place; the other finds an equal
    # of nobody: 9 is more than 1.
    assert first == [[0, 0, 1], [0, 1, 1], [0, 2, 1], [1, 3, 0.5]]


def test_who_is_no_better_than_the_worst_stays_where_it_is() -> None:
    motion, state = placed([[2, 2, 2, 2], [2, 2, 2, 2]], migrants=3)
    before = state.to_bytes()
    motion.migrate(state)
    assert state.to_bytes() == before


def test_who_has_found_nothing_does_not_migrate() -> None:
    motion, state = placed([[INF, INF, INF, INF], [3, INF, 4, 5]], migrants=2)
    motion.migrate(state)
    first, second = places(state)
    assert [one[2] for one in first] == [INF, INF, 4, 3]
    assert second == [[1, 0, 3], [1, 1, INF], [1, 2, 4], [1, 3, 5]]


def test_who_arrives_goes_on_as_it_was_in_the_place_of_another() -> None:
    motion, state = placed([[5, 1, 9, 2], [30, 10, 20, 40]], migrants=1)
    was = state.record["agent"].tolist(), state.record["role"].tolist()
    motion.migrate(state)
    record = islands_of(state)[1].record
    assert record["position"][3].tolist() == [0, 1, 1]
    assert record["velocity"][3].tolist() == [0, 10, 10]
    assert record["value"][3] == record["own_best_value"][3] == 1
    assert record["stagnant"].tolist() == [7, 7, 7, 0]
    assert (state.record["agent"].tolist(), state.record["role"].tolist()) == was


def test_an_island_hears_at_once_of_what_came_to_it() -> None:
    motion, state = placed([[5, 1, 9, 2], [30, 10, 20, 40]], migrants=1)
    motion.migrate(state)
    record = islands_of(state)[1].record
    for kept in ("lead", "best"):
        assert record[kept] == 1
        assert record[f"{kept}_position"].tolist() == [0, 1, 1]
    assert record["lead_at"] == state.iteration


@pytest.mark.parametrize("iteration", [0, 1, 3, 5, 7])
def test_between_migrations_nobody_leaves(iteration: int) -> None:
    motion, state = placed([[5, 1, 9, 2], [30, 10, 20, 40]], migrants=1)
    state.record["iteration"] = iteration
    before = state.to_bytes()
    motion.migrate(state)
    assert state.to_bytes() == before


# --- the same bits


@pytest.fixture(scope="module")
def motion() -> Federated:
    return federated(a_federation(7, 5, 6))


@pytest.fixture(scope="module")
def one_by_one(motion: Federated) -> tuple[bytes, list[str]]:
    state, hashes = run(motion, at_once=1)
    return state.to_bytes(), hashes


@pytest.mark.parametrize("at_once", [3, 4, 10, 50])
def test_the_bits_do_not_depend_on_how_many_iterations_are_done_at_once(
    motion: Federated, one_by_one: tuple[bytes, list[str]], at_once: int
) -> None:
    state, hashes = run(motion, at_once=at_once)
    assert (state.to_bytes(), hashes) == one_by_one


def test_islands_that_move_apart_come_to_the_same_bits(
    motion: Federated, one_by_one: tuple[bytes, list[str]]
) -> None:
    state, hashes, goes = run_apart(motion)
    assert (state.to_bytes(), hashes) == one_by_one
    assert [len(one.hashes) for one in goes] == [4] * 10


def test_islands_too_large_to_be_hashed_as_a_whole_come_to_the_same_bits() -> None:
    motion = federated(a_federation(320, 5))
    assert motion.begin(draws(1, 0)).record.nbytes > 32_768
    state, hashes = run(motion, at_once=6, iterations=6)
    apart, hashes_apart, _ = run_apart(motion, iterations=6)
    assert (state.to_bytes(), hashes) == (apart.to_bytes(), hashes_apart)


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        pytest.param({"target": 3.0}, Stopped.TARGET, id="target"),
        pytest.param({"convergence": 0.3}, Stopped.CONVERGED, id="convergence"),
        pytest.param({"ftol": 0.1, "window": 5}, Stopped.STALLED, id="ftol"),
        pytest.param({"iterations": 38}, Stopped.ITERATIONS, id="iterations"),
    ],
)
def test_islands_that_move_apart_stop_where_they_do_together(
    motion: Federated, until: dict[str, Any], reason: Stopped
) -> None:
    stopping = Stopping(**{"iterations": 200, **until})
    state, hashes = run(motion, at_once=50, iterations=200, until=stopping)
    apart, hashes_apart, goes = run_apart(
        motion, iterations=stopping.iterations, until=stopping
    )
    assert (apart.to_bytes(), hashes_apart) == (state.to_bytes(), hashes)
    assert goes[-1].stopped is reason
    assert state.iteration % motion.every  # amid a stretch, so that this shows much
    assert goes[-1].convergence == motion.convergence(state)


def test_an_islands_random_numbers_depend_on_no_other_island() -> None:
    alone, followed = (
        [
            own.random(draw)
            for own, draw in zip(lanes(draws(1, 9), 3), counts, strict=True)
        ]
        for counts in ((1, 5, 2), (40, 5, 2))
    )
    assert [one.tolist() for one in alone[1:]] == [one.tolist() for one in followed[1:]]
    assert len({one[0] for one in alone}) == 3


# --- laws


@given(
    st.lists(drawn_searches(agents=st.just(5)), min_size=2, max_size=4),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 99),
)
@examples(40)
def test_no_agent_and_no_best_is_ever_lost(
    searches: list[Any], every: int, migrants: int, seed: int
) -> None:
    bounds = {"lower": searches[0].lower, "upper": searches[0].upper}
    islands = [replace(one, **bounds, agents=5, scouts=1) for one in searches]
    motion = federated(
        Federation(islands=islands, migrate_every=every, migrants=migrants)
    )
    state, previous = begin(motion, seed, RASTRIGIN), None
    best: list[float] = []
    for _ in range(14):
        was = state.record["own_best_value"].min()
        motion.migrate(SwarmState.from_bytes(state.to_bytes()))
        moved = SwarmState.from_bytes(state.to_bytes())
        motion.migrate(moved)
        assert moved.record["own_best_value"].min() == was
        state = advance(
            motion, state, seed=seed, iterations=1, previous=None, fitness=RASTRIGIN
        ).state
        assert state.size == 5 * len(islands)
        assert sorted(state.record["agent"].tolist()) == list(range(state.size))
        seen = [float(one.record["best"]) for one in islands_of(state)]
        assert float(state.record["best"]) == min(seen)
        assert RASTRIGIN(state.record["best_position"][np.newaxis])[0] == min(seen)
        if previous is not None:
            assert all(
                now <= before for now, before in zip(seen, previous, strict=True)
            )
        previous = seen
        best.append(min(seen))
    assert best == sorted(best, reverse=True)


@given(st.lists(st.integers(4, 9), min_size=2, max_size=5), st.integers(1, 12))
@examples(15)
def test_together_or_apart_is_the_same_whatever_the_sizes(
    sizes: list[int], every: int
) -> None:
    motion = federated(a_federation(*sizes, migrate_every=every))
    state, hashes = run(motion, at_once=20, iterations=20)
    apart, hashes_apart, _ = run_apart(motion, iterations=20)
    assert (apart.to_bytes(), hashes_apart) == (state.to_bytes(), hashes)


@given(st.integers(0, 5_000), st.integers(1, 64))
def test_agents_are_shared_out_evenly(agents: int, islands: int) -> None:
    shares = shared_out(agents, islands)
    assert (sum(shares), len(shares)) == (agents, islands)
    assert max(shares) - min(shares) <= 1


# --- the state


def test_each_island_has_a_queen_and_agents_their_own_ids(motion: Federated) -> None:
    state = motion.begin(draws(1, 0))
    queens = state.record["role"] == ROLES.index(AgentRole.QUEEN)
    assert queens.nonzero()[0].tolist() == [0, 7, 12]
    assert state.record["agent"].tolist() == list(range(18))


def test_what_is_written_on_an_island_is_written_in_the_federation() -> None:
    state = SwarmState.blank(7, 2, islands=2)
    state.record["islands"]["agents"] = [4, 3]
    first, second = islands_of(state)
    second.record["position"] = [[1, 2], [3, 4], [5, 6]]
    second.record["lead"] = 9.0
    first.record["stagnant"] = 8
    assert state.record["position"][4:].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert not state.record["position"][:4].any()
    assert state.record["islands"]["lead"].tolist()[1] == 9.0
    assert state.record["stagnant"].tolist() == [8, 8, 8, 8, 0, 0, 0]
    assert (first.size, second.size, second.dims, second.islands) == (4, 3, 2, 0)


def test_an_island_comes_back_from_its_bytes_and_from_no_others() -> None:
    state = federated(a_federation(6, 5)).begin(draws(3, 0))
    first, second = islands_of(state)
    other = SwarmState.from_bytes(state.to_bytes())
    for one in islands_of(other):
        one.record["position"] = one.record["breadth"] = 0.0
    for one, blob in zip(
        islands_of(other), (packed(first), packed(second)), strict=True
    ):
        unpack(one, blob)
    assert other.to_bytes() == state.to_bytes()
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(first, packed(second))


def test_a_swarm_that_is_no_federation_has_the_bytes_that_it_always_had() -> None:
    state = SwarmState.blank(3, 2, trails=5)
    assert state.to_bytes()[:12] == bytes([3, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0])
    assert "islands" not in (layout(3, 2, 5).names or ())
    assert islands_of(state) == ()


def test_all_of_a_federation_is_in_its_bytes() -> None:
    state = federated(a_federation(6, 5)).begin(draws(3, 0))
    assert len(state.to_bytes()) == 12 + layout(11, 3, 0, 2).itemsize
    assert state.record["islands"].nbytes == 2 * island_layout(3).itemsize
    assert SwarmState.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


# --- what it is told


def test_a_federation_comes_back_from_json() -> None:
    told = a_federation(6, 5, migrants=2).to_json()
    again = Federation.from_json(json.loads(json.dumps(told)))
    assert again.to_json() == told
    assert [one.algorithm for one in again.islands] == ["CONSTRICTED", "SPSO_2011"]
    moving = motion_of(search_settings(again))
    assert isinstance(moving, Federated)
    assert (moving.every, moving.migrants, moving.bounds) == (4, 2, ((0, 6), (6, 11)))


def test_all_faults_are_told_at_once_and_common_ones_once() -> None:
    searches = [
        search_of("sphere", 2, agents=20, rebound=7.0),
        search_of("sphere", 2, agents=20, rebound=7.0, inertia=3.0),
    ]
    faults = Federation(islands=searches, migrate_every=0, migrants=20).faults()
    starts = [fault.split(" is ")[0] for fault in faults]
    assert starts[0] == "rebound"
    assert starts[1].startswith("island 2: inertia 3")
    assert starts[2:] == ["migrate_every", "migrants"]
    assert faults[3].endswith("1 to 19")


@pytest.mark.parametrize(
    ("sizes", "fault"),
    [
        ((20,), "there are 1 islands: use 2 to 64"),
        ((4,) * 65, "there are 65 islands: use 2 to 64"),
        ((4, 3), "its 7 agents are too few for 2 islands: use at least 8"),
    ],
)
def test_a_ring_of_too_few_or_too_many_is_refused(
    sizes: tuple[int, ...], fault: str
) -> None:
    assert a_federation(*sizes).faults() == (fault,)
    with pytest.raises(ValueError, match=fault):
        federated(a_federation(*sizes))


@pytest.mark.parametrize("name", ["lower", "upper", "islands"])
def test_what_is_no_federation_cannot_be_read(name: str) -> None:
    told = a_federation(6, 5).to_json()
    del told[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        Federation.from_json(told)
    with pytest.raises(ValueError, match="there is no 'colour'"):
        Federation.from_json({**a_federation(6, 5).to_json(), "colour": 3})
