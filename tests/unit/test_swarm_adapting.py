"""A swarm whose size follows how its search goes: limits, books, the same bits."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.adapting import Adapting, Sizing
from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.motion import Fitness, advance, begin
from orchestration.core.swarm.roles import CODES
from orchestration.core.swarm.search import Algorithm, Search, motion_of
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.stopping import Stopped, Stopping, values_asked
from tests.unit.profiles import examples
from tests.unit.searches import drawn_searches, moved_optimum, run, search_of

RASTRIGIN = STANDARD["rastrigin"].values
SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def adaptive_searches(draw: st.DrawFn) -> Search:
    scouts = draw(st.integers(0, 3))
    agents = draw(st.integers(scouts + 2, 14))
    return draw(
        drawn_searches(
            agents=agents,
            informed=1,
            scouts=scouts,
            patience=draw(st.integers(1, 6)),
            sizing=Sizing.ADAPTIVE,
            min_agents=draw(st.integers(scouts + 2, agents)),
            max_agents=draw(st.integers(agents, 60)),
            evaluations=draw(st.none() | st.integers(2_000, 4_000)),
        )
    )


def counted(fitness: Fitness) -> tuple[Fitness, list[int]]:
    asked: list[int] = []

    def value(position: Floats) -> Floats:
        asked.append(len(position))
        return fitness(position)

    return value, asked


@given(adaptive_searches(), SEEDS)
@examples(40)
def test_the_size_stays_within_its_limits_and_the_budget(
    search: Search, seed: int
) -> None:
    assert search.faults() == ()
    until = Stopping(iterations=400, evaluations=search.evaluations)
    fitness, asked = counted(RASTRIGIN)
    _, goes = run(search, fitness, seed=seed, iterations=400, at_once=50, until=until)
    limits = search.limits
    assert limits.min_agents <= min(asked)
    assert max(asked) <= limits.max_agents
    assert asked[1:] == [count for gone in goes for count in gone.agents]
    assert values_asked(goes[-1].state) == sum(asked)
    if search.evaluations is not None:
        assert sum(asked) <= search.evaluations


@given(adaptive_searches(), SEEDS)
@examples(30)
def test_the_best_never_worsens_whoever_leaves(search: Search, seed: int) -> None:
    seen: list[float] = []

    def fitness(position: Floats) -> Floats:
        values = RASTRIGIN(position)
        seen.append(min([values.min(), *seen[-1:]]))
        return values

    state, goes = run(search, fitness, seed=seed, iterations=120, at_once=120)
    assert list(goes[0].best) == seen[1:]
    assert RASTRIGIN(state.record["best_position"][np.newaxis])[0] == seen[-1]


@given(adaptive_searches(), SEEDS)
@examples(20)
def test_there_is_one_queen_scouts_stay_and_no_two_have_one_name(
    search: Search, seed: int
) -> None:
    motion = motion_of(search)
    state = begin(motion, seed, RASTRIGIN)
    queen = int(state.record["agent"][0])
    for _ in range(60):
        before = state
        state = advance(
            motion, state, seed=seed, iterations=1, previous=None, fitness=RASTRIGIN
        ).state
        role, ids = state.record["role"], state.record["agent"]
        assert len(set(ids.tolist())) == state.size
        assert ids.max() < state.record["next_id"]
        assert (role == CODES[AgentRole.QUEEN]).nonzero()[0].tolist() == [0]
        assert int(ids[0]) == queen
        first_scout = state.size - search.scouts
        assert (role[first_scout:] == CODES[AgentRole.SCOUT]).all()
        assert (role[:first_scout] != CODES[AgentRole.SCOUT]).all()
        assert before.record["best"] >= state.record["best"]


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("seed", range(3))
def test_the_bits_do_not_depend_on_how_many_iterations_are_done_in_one_go(
    algorithm: Algorithm, seed: int
) -> None:
    search = search_of(
        "rastrigin",
        4,
        algorithm=algorithm,
        agents=30,
        sizing="ADAPTIVE",
        min_agents=10,
        max_agents=90,
        patience=8,
        evaluations=4_000,
    )
    until = Stopping(iterations=400, evaluations=4_000)
    ends = set()
    for at_once in (1, 10, 50):
        _, goes = run(
            search, RASTRIGIN, seed=seed, iterations=400, at_once=at_once, until=until
        )
        sizes = tuple(count for gone in goes for count in gone.agents)
        assert len(set(sizes)) > 2
        assert goes[-1].stopped is Stopped.EVALUATIONS
        ends.add((goes[-1].state.digest(), goes[-1].hashes[-1], sizes))
    assert len(ends) == 1


def stuck(search: Search, lives: int) -> tuple[Adapting, SwarmState]:
    motion = motion_of(search)
    assert isinstance(motion, Adapting)
    state = begin(motion, 1, RASTRIGIN)
    state.record["iteration"] = state.record["lead_at"] + search.patience
    state.record["lives"] = lives
    return motion, state


@pytest.mark.parametrize(("lives", "agents"), [(0, 80), (1, 160), (2, 300), (999, 300)])
def test_each_time_all_begin_anew_there_are_twice_as_many(
    lives: int, agents: int
) -> None:
    search = search_of(
        "rastrigin", 2, agents=40, sizing="ADAPTIVE", max_agents=300, scouts=2
    )
    motion, state = stuck(search, lives)
    assert motion.wanted(state) == agents
    state = motion.move(state, np.random.default_rng(1))
    assert state.size == agents
    assert np.isinf(state.record["own_best_value"]).all()


def test_while_the_leader_gets_better_the_worst_leaves_now_and_then() -> None:
    motion = motion_of(search_of("sphere", 3, agents=40, sizing="ADAPTIVE"))
    assert isinstance(motion, Adapting)
    state = begin(motion, 1, RASTRIGIN)
    record = state.record
    worst = 1 + int(record["own_best_value"][1:].argmax())
    gone, kept = int(record["agent"][worst]), state.size - 1
    state = motion.move(state, np.random.default_rng(1))
    assert state.size == kept
    assert gone not in state.record["agent"]
    state.record["iteration"] = 1  # the leader is of iteration 0
    assert motion.wanted(state) == kept
    state.record["lead_at"] = 1  # it got better, but one leaves in every eighth only
    assert motion.wanted(state) == kept


def test_as_the_budget_runs_out_the_worst_leave_down_to_the_least() -> None:
    search = search_of("sphere", 3, sizing="ADAPTIVE", evaluations=9_000)
    motion = motion_of(search)
    assert isinstance(motion, Adapting)
    state = begin(motion, 1, RASTRIGIN)
    for asked, agents in ((100, 59), (3_000, 40), (8_900, 20)):
        state.record["energy"] = 0
        state.record["energy"][0] = asked
        assert motion.wanted(state) == agents


def test_a_search_with_an_adaptive_size_comes_back_from_json() -> None:
    search = search_of("sphere", 2, agents=15, sizing="ADAPTIVE", evaluations=700)
    told = json.loads(json.dumps(search.to_json()))
    assert (told["sizing"], told["min_agents"], told["max_agents"]) == (
        "ADAPTIVE",
        15,
        1_000,
    )
    assert Search.from_json(told).to_json() == told
    assert Search.from_json(told).limits == search.limits


def test_of_a_fixed_size_nothing_new_is_told() -> None:
    told = search_of("sphere", 2, evaluations=700).to_json()
    assert not {"sizing", "min_agents", "max_agents", "evaluations"} & set(told)
    assert "evaluations" not in Stopping().to_json()


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"sizing": "GROWING"}, ["sizing is 'GROWING': use FIXED, ADAPTIVE"]),
        ({"sizing": None}, ["sizing is None"]),
        (
            {"sizing": "ADAPTIVE", "patience": 0, "evaluations": 0, "min_agents": 500},
            ["evaluations is 0", "min_agents is 500", "patience is 0"],
        ),
        (
            {"sizing": "ADAPTIVE", "scouts": 30, "min_agents": 31, "max_agents": 99},
            ["min_agents is 31: give it a whole number, 32 to 100", "max_agents is 99"],
        ),
        ({"sizing": "ADAPTIVE", "max_agents": "all"}, ["max_agents is 'all'"]),
    ],
)
def test_what_is_wrong_with_a_size_is_told_all_at_once(
    settings: dict[str, Any], faults: list[str]
) -> None:
    told = search_of("sphere", 2, **settings).faults()
    assert len(told) == len(faults)
    for fault in faults:
        assert any(one.startswith(fault) for one in told), fault


@pytest.mark.parametrize("evaluations", [100, 101, 1_999, 2_000])
def test_a_fixed_swarm_asks_for_no_more_values_than_it_may(evaluations: int) -> None:
    fitness, asked = counted(RASTRIGIN)
    until = Stopping(iterations=10_000, evaluations=evaluations)
    search = search_of("rastrigin", 2)
    run(search, fitness, iterations=10_000, at_once=7, until=until)
    # An iteration is done in any case: a swarm that does none is none.
    assert sum(asked) == max(200, evaluations // 100 * 100)


def test_an_adaptive_swarm_finds_more_than_a_fixed_one() -> None:
    """Three of the seeds of ``benchmarks/swarm_beyond.py``, with fewer evaluations."""
    found: dict[str, list[float]] = {"FIXED": [], "ADAPTIVE": []}
    until = Stopping(iterations=10_000, evaluations=50_000)
    for sizing, seed in ((sizing, seed) for sizing in found for seed in range(3)):
        search = search_of("rosenbrock", 10, sizing=sizing, evaluations=50_000)
        fitness = moved_optimum("rosenbrock", 10, seed)
        _, goes = run(
            search, fitness, seed=seed, iterations=10_000, at_once=10_000, until=until
        )
        found[sizing].append(goes[0].best[-1])
    assert median(found["ADAPTIVE"]) < 0.5 * median(found["FIXED"])
