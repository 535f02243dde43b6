"""How well searches find what there is to find, on a few fixed seeds.

Measured over many seeds, and beside a peer, in ``benchmarks/swarm_kernel.py``.
"""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from orchestration.core.swarm.functions import STANDARD, Standard, shifted
from orchestration.core.swarm.search import Algorithm
from orchestration.core.swarm.stopping import Stopped, Stopping
from tests.unit.searches import moved_optimum, run, search_of

# Tracing lines doubles its time; tests of one thing at a time cover them.
pytestmark = pytest.mark.no_cover


@pytest.mark.parametrize("function", STANDARD.values(), ids=STANDARD)
def test_standard_functions_are_least_where_they_are_said_to_be(
    function: Standard,
) -> None:
    optimum = np.full((1, 10), function.optimum)
    assert function.values(optimum)[0] == pytest.approx(0.0, abs=1e-9)
    rng = np.random.default_rng(1)
    anywhere = rng.uniform(-function.bound, function.bound, (1_000, 10))
    near = optimum + rng.normal(0.0, 1e-3, (1_000, 10))
    assert (function.values(anywhere) > 0.0).all()
    assert (function.values(near) > 0.0).all()


def test_a_shift_moves_the_optimum_where_that_is_sound() -> None:
    shift = np.array([1.0, -2.0])
    assert shifted(STANDARD["rosenbrock"], shift)(shift[np.newaxis] + 1.0)[0] == 0.0
    with pytest.raises(ValueError, match="do not shift it"):
        shifted(STANDARD["schwefel"], shift)


@pytest.mark.parametrize("name", STANDARD)
def test_the_default_converges_in_a_thousand_iterations(name: str) -> None:
    until = Stopping(iterations=1_000, convergence=0.95)
    _, goes = run(
        search_of(name, 10),
        STANDARD[name].values,
        iterations=1_000,
        at_once=1_000,
        until=until,
    )
    assert goes[0].stopped is Stopped.CONVERGED


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_optimum_of_a_shifted_sphere_is_found_to_the_last_bits(
    algorithm: Algorithm,
) -> None:
    fitness = moved_optimum("sphere", 30, 1)
    search = search_of("sphere", 30, algorithm=algorithm)
    _, goes = run(search, fitness, iterations=1_000, at_once=1_000)
    assert goes[0].best[-1] <= 1e-20


@pytest.mark.parametrize(("name", "most"), [("griewank", 0.02), ("rastrigin", 45.0)])
def test_the_default_finds_good_places_among_many_optima(
    name: str, most: float
) -> None:
    found = []
    for seed in range(3):
        fitness = moved_optimum(name, 30, seed)
        _, goes = run(
            search_of(name, 30), fitness, seed=seed, iterations=1_000, at_once=1_000
        )
        found.append(goes[0].best[-1])
    assert median(found) <= most
