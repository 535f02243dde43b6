"""Where agents are after a bound, and what is wrong with bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.randomness import draws
from orchestration.core.swarm.space import Boundary, Space, bound_faults

AT = st.floats(-1e9, 1e9)


def crossed(boundary: Boundary, at: float, lives: int = 0) -> tuple[float, float]:
    """Return where an agent of velocity 1.0 is in a space from 0.0 to 10.0."""
    position, velocity = np.array([[at]]), np.array([[1.0]])
    Space([0.0], [10.0], boundary=boundary).keep_in(position, velocity, lives)
    return float(position[0, 0]), float(velocity[0, 0])


@pytest.mark.parametrize(
    ("boundary", "at", "there"),
    [
        (Boundary.PERIODIC, 12.0, (2.0, 1.0)),
        (Boundary.PERIODIC, -3.0, (7.0, 1.0)),
        (Boundary.PERIODIC, 45.0, (5.0, 1.0)),
        (Boundary.REFLECTING, 12.0, (8.0, -0.5)),
        (Boundary.REFLECTING, -3.0, (3.0, -0.5)),
        (Boundary.REFLECTING, 45.0, (5.0, -0.5)),
        (Boundary.CLIPPING, 12.0, (10.0, -0.5)),
        (Boundary.CLIPPING, -3.0, (0.0, -0.5)),
    ],
)
def test_where_an_agent_is_that_crosses_a_bound(
    boundary: Boundary, at: float, there: tuple[float, float]
) -> None:
    assert crossed(boundary, at) == there


@pytest.mark.parametrize("boundary", Boundary)
@pytest.mark.parametrize("at", [0.0, 5.0, 10.0])
def test_who_is_inside_or_on_a_bound_goes_on(boundary: Boundary, at: float) -> None:
    assert crossed(boundary, at) == (at, 1.0)


def test_bounds_alternate_from_life_to_life() -> None:
    there = [crossed(Boundary.ALTERNATING, 12.0, lives)[0] for lives in range(6)]
    assert there == [10.0, 2.0, 2.0, 2.0, 10.0, 2.0]


@given(
    st.sampled_from(Boundary),
    st.lists(st.tuples(AT, st.floats(1e-9, 1e9)), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from([1e-3, 1.0, 1e3, 1e12]),
)
def test_everybody_is_inside_afterwards(
    boundary: Boundary, sides: list[tuple[float, float]], seed: int, far: float
) -> None:
    lower = np.array([least for least, _ in sides])
    upper = np.array([np.nextafter(least + width, np.inf) for least, width in sides])
    space = Space(lower.tolist(), upper.tolist(), boundary=boundary)
    position = lower + far * draws(seed, 0).normal(size=(8, len(sides))) * space.width
    space.keep_in(position, np.ones_like(position))
    assert (position >= lower).all()
    assert (position <= upper).all()
    sample = space.sample(8, draws(seed, 1))
    assert (sample >= lower).all()
    assert (sample <= upper).all()


def test_only_who_crossed_a_bound_is_touched() -> None:
    position = np.array([[1.0, 25.0], [2.0, 3.0]])
    velocity = np.ones((2, 2))
    space = Space([0.0, 20.0], [10.0, 24.0], boundary=Boundary.CLIPPING)
    space.keep_in(position, velocity)
    assert position.tolist() == [[1.0, 24.0], [2.0, 20.0]]
    assert velocity.tolist() == [[1.0, -0.5], [1.0, -0.5]]


@pytest.mark.parametrize(
    ("lower", "upper", "faults"),
    [
        ((0.0,), (1.0,), 0),
        ((0.0, 2.0, 3.0), (1.0, 2.0, 1.0), 2),
        ((float("nan"), "x", True), (float("inf"), 1e101, 1), 5),
        ((), (), 1),
        ((0.0,), (1.0, 2.0), 1),
        (None, 3, 2),
    ],
)
def test_all_that_is_wrong_with_bounds_is_told(
    lower: object, upper: object, faults: int
) -> None:
    assert len(bound_faults(lower, upper)) == faults
