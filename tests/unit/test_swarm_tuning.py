"""Settings evolve: they settle, nothing best is lost, the same bits however cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.motion import Fitness, advance, begin
from orchestration.core.swarm.motions import motion_faults, motion_of, tuning_settings
from orchestration.core.swarm.search import Search
from orchestration.core.swarm.search import motion_of as search_motion
from orchestration.core.swarm.state import Floats, SwarmState
from orchestration.core.swarm.tuning import (
    GENES,
    Tuning,
    TuningSettings,
    genes_of,
    settings_of,
)
from orchestration.engine.swarm_tuning import tuning_run
from orchestration.errors import InvalidSwarm
from tests.unit.profiles import examples

SPHERE = STANDARD["sphere"].values
SEEDS = st.integers(0, 2**53 - 1)
BOX: dict[str, Any] = {"lower": [-5.0, -5.0], "upper": [5.0, 5.0]}


def a_tuning(**changes: Any) -> Tuning:
    told = {"evaluations": 400, "searches": 2, **changes}
    return Tuning(TuningSettings(**BOX, **told))


def by_distance(wanted: Floats) -> Fitness:
    """Return a value of settings that is quickly had: how far they are from some."""
    width = np.array([gene.most - gene.least for gene in GENES])
    return lambda position: (((position - wanted) / width) ** 2).sum(axis=1)


@given(SEEDS, st.floats(0.01, 1.0), st.integers(20, 200))
@examples(25)
def test_all_that_is_tried_is_a_search_without_faults(
    seed: int, mutation: float, most: int
) -> None:
    motion = a_tuning(mutation=mutation, max_agents=most)
    state = begin(motion, seed, by_distance(np.zeros(len(GENES))))
    for _ in range(3):
        for genes in state.record["position"]:
            search = Search(**BOX, **settings_of(genes))
            assert search.faults() == ()
            assert search.agents <= most
        state = advance(
            motion,
            state,
            seed=seed,
            iterations=1,
            previous=None,
            fitness=by_distance(np.zeros(len(GENES))),
        ).state


@given(SEEDS)
@examples(15)
def test_the_best_of_all_that_were_tried_are_the_parents(seed: int) -> None:
    fitness = by_distance(np.array([0.7, 1.0, 1.0, 1.0, 3.0, 40.0, 100.0]))
    motion = a_tuning()
    state = begin(motion, seed, fitness)
    tried = sorted(fitness(state.record["position"]))
    for _ in range(6):
        state = advance(
            motion, state, seed=seed, iterations=1, previous=None, fitness=fitness
        ).state
        record = state.record
        tried = sorted([*tried, *fitness(record["position"])])
        assert record["own_best_value"].tolist() == tried[: state.size]
        assert (fitness(record["own_best"]) == record["own_best_value"]).all()
        assert record["best"] == tried[0]
        assert fitness(record["best_position"][np.newaxis])[0] == tried[0]


def test_settings_evolve_towards_what_is_best() -> None:
    wanted = np.array([0.6, 1.5, 1.2, 1.0, 3.0, 60.0, 200.0])
    motion = a_tuning(candidates=20)
    state = begin(motion, 1, by_distance(wanted))
    at_first = float(state.record["own_best_value"].mean())
    gone = advance(
        motion,
        state,
        seed=1,
        iterations=30,
        previous=None,
        fitness=by_distance(wanted),
    )
    assert gone.state.record["own_best_value"].mean() < 0.1 * at_first
    assert gone.convergence > 0.5


def test_the_default_is_tried_first_and_means_itself() -> None:
    usual = Search(**BOX)
    state = begin(a_tuning(), 1, by_distance(np.zeros(len(GENES))))
    told = settings_of(a_tuning().begin(np.random.default_rng(1)).record["position"][0])
    again = Search(**BOX, **told).to_json()
    assert again == usual.to_json()
    assert (genes_of(usual) >= [gene.least for gene in GENES]).all()
    assert state.size == 12


def test_settings_are_worth_the_mean_of_the_middle_half_of_what_they_find() -> None:
    motion = a_tuning(searches=9)
    genes = genes_of(Search(**BOX, agents=20))
    found: list[float] = []

    def watched(position: Floats) -> Floats:
        values = SPHERE(position)
        found.append(float(values.min()))
        return values

    value = motion.values_of(watched, 7)(genes[np.newaxis])[0]
    each = np.array(found).reshape(9, -1)
    assert each.shape[1] == 20  # 400 values, 20 at a time
    best = sorted(each.min(axis=1))
    assert value == pytest.approx(np.mean(best[2:7]))
    assert motion.values_of(SPHERE, 7)(genes[np.newaxis])[0] == value
    assert motion.values_of(SPHERE, 8)(genes[np.newaxis])[0] != value


def test_the_bits_do_not_depend_on_how_many_generations_are_done_in_one_go() -> None:
    ends = set()
    for at_once in (1, 3, 6):
        motion = a_tuning(candidates=10, searches=1)
        values = motion.values_of(SPHERE, 3)
        state = begin(motion, 3, values)
        link = state.digest()
        for _ in range(6 // at_once):
            state = SwarmState.from_bytes(state.to_bytes())
            gone = advance(
                motion,
                state,
                seed=3,
                iterations=at_once,
                previous=link,
                fitness=values,
            )
            state, link = gone.state, gone.hashes[-1]
            assert all(a >= b for a, b in pairwise(gone.best))
        ends.add((state.digest(), link))
    assert len(ends) == 1


def test_what_is_found_is_no_worse_than_the_default_where_it_was_tried() -> None:
    motion = a_tuning(candidates=10, searches=3)
    values = motion.values_of(STANDARD["rosenbrock"].values, 5)
    state = begin(motion, 5, values)
    of_default = values(genes_of(Search(**BOX))[np.newaxis])[0]
    gone = advance(motion, state, seed=5, iterations=3, previous=None, fitness=values)
    assert gone.best[-1] < of_default
    search_motion(Search(**BOX, **settings_of(state.record["best_position"])))


def test_the_spec_of_a_tuning_reads_back_as_it_was() -> None:
    settings = TuningSettings(**BOX, searches=3)
    told = json.loads(json.dumps(tuning_settings(settings)))
    motion = motion_of(told)
    assert isinstance(motion, Tuning)
    assert motion.settings == settings
    assert any("lower" in fault for fault in motion_faults({"kind": "tuning"}))


def test_all_that_is_wrong_with_a_tuning_is_told_at_once() -> None:
    with pytest.raises(InvalidSwarm) as refused:
        tuning_run(
            "sphere",
            [(1, 0)],
            {
                "candidates": 9,
                "searches": 0,
                "evaluations": 3,
                "max_agents": 201,
                "tournament": 0,
                "mutation": 0,
                "generations": 0,
                "seed": -1,
                "agents": 30,
                "slices": 0,
            },
        )
    told = "; ".join(refused.value.faults)
    names = "candidates searches evaluations max_agents tournament mutation"
    for name in [*names.split(), "generations", "seed", "slices"]:
        assert f"{name} is " in told, name
    assert "there is no option 'agents'" in told
    assert "dimension 0" in told
