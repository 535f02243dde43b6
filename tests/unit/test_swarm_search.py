"""What a search is told: its faults, its JSON, and which coefficients settle."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.neighbourhood import Topology
from orchestration.core.swarm.particles import Coefficients
from orchestration.core.swarm.search import Algorithm, Search, motion_of, unstable
from orchestration.core.swarm.space import Boundary
from tests.unit.profiles import examples
from tests.unit.searches import drawn_searches

WITHIN: dict[str, Any] = {"lower": [-1.0, -1.0], "upper": [1.0, 1.0]}


def test_coefficients_of_the_literature_settle_and_bad_defaults_do_not() -> None:
    clerc_kennedy = Coefficients(0.72984, 1.49618, 1.49618)
    spso = Coefficients(1 / (2 * math.log(2)), 0.5 + math.log(2), 0.5 + math.log(2))
    assert unstable(clerc_kennedy) is None
    assert unstable(spso) is None
    fault = unstable(Coefficients(0.4, 2.05, 2.05))
    assert fault is not None
    assert "cognitive + social is 4.1" in fault
    assert "4.032" in fault


@pytest.mark.parametrize("inertia", [-1.0, 1.0, 1.5])
def test_inertia_of_one_never_settles(inertia: float) -> None:
    assert "inertia must be between" in (
        unstable(Coefficients(inertia, 0.1, 0.1)) or ""
    )


@given(st.floats(-0.9, 0.9), st.floats(0.2, 0.95))
@examples(25)
def test_what_is_said_to_settle_does(inertia: float, of_most: float) -> None:
    """A particle between two fixed bests keeps a bounded spread, and only then.

    The second moments follow a linear recurrence (Poli 2009): its spectral radius is
    computed here, not the inequality.
    """
    most = 24.0 * (1.0 - inertia**2) / (7.0 - 5.0 * inertia)
    for part, settles in ((of_most, True), (1.05, False)):
        pull = part * most / 2.0
        assert (unstable(Coefficients(inertia, pull, pull)) is None) is settles
        assert (_second_moment_radius(inertia, pull) < 1.0) is settles


def _second_moment_radius(inertia: float, pull: float) -> float:
    """Return by what E[x(t)²], E[x(t) x(t-1)], E[x(t-1)²] grow, with bests at 0.0.

    x(t+1) = (1 + w - a) x(t) - w x(t-1), where a is the sum of two uniform numbers.
    """
    mean, variance = pull, pull**2 / 6.0
    factor = 1.0 + inertia - mean
    step = np.array(
        [
            [factor**2 + variance, -2.0 * inertia * factor, inertia**2],
            [factor, -inertia, 0.0],
            [1.0, 0.0, 0.0],
        ]
    )
    return float(np.abs(np.linalg.eigvals(step)).max())


def test_mealpys_default_is_refused() -> None:
    search = Search(**WITHIN, inertia=0.4, cognitive=2.05, social=2.05)
    with pytest.raises(ValueError, match="unstable"):
        motion_of(search)


@given(drawn_searches())
@examples(50)
def test_a_search_comes_back_from_json(search: Search) -> None:
    assert search.faults() == ()
    told = search.to_json()
    again = Search.from_json(json.loads(json.dumps(told)))
    assert again.to_json() == told
    assert again == Search.from_json(again.to_json())
    assert again.coefficients == search.coefficients


def test_json_holds_what_the_defaults_were() -> None:
    told = Search(**WITHIN, algorithm=Algorithm.SPSO_2011).to_json()
    assert told["topology"] == "RANDOM"
    assert told["boundary"] == "CLIPPING"
    assert told["inertia"] == pytest.approx(0.7213, abs=1e-4)
    assert told["cognitive"] == told["social"] == pytest.approx(1.1931, abs=1e-4)


def test_plain_names_and_arrays_are_taken() -> None:
    search = Search(
        lower=np.zeros(2), upper=np.ones(2), topology="ring", boundary="CLIPPING"
    )
    assert search.faults() == ()
    assert search.topology is Topology.RING
    assert search.boundary is Boundary.CLIPPING
    assert search.lower == (0.0, 0.0)


def test_all_faults_are_told_at_once() -> None:
    search = Search(
        lower=[0.0, "a"],
        upper=[1.0, 2.0],
        agents=1,
        algorithm="ANTS",
        topology="STAR",
        boundary=3,
        inertia=float("nan"),
        informed=0,
        rebound=2.0,
        scouts=-1,
        limit=0,
        patience=1.5,
    )
    names = "lower[1] agents algorithm topology boundary inertia informed rebound"
    for name in [*names.split(), "scouts", "limit", "patience"]:
        assert any(fault.startswith(name) for fault in search.faults()), name


@pytest.mark.parametrize("scouts", [40, 41])
def test_not_all_agents_can_be_scouts(scouts: int) -> None:
    assert Search(**WITHIN, agents=40, scouts=39).faults() == ()
    assert len(Search(**WITHIN, agents=40, scouts=scouts).faults()) == 1


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"upper": [1.0]}, "lower is missing"),
        (WITHIN | {"agent": 3}, "there is no 'agent'"),
        (WITHIN | {3: 4}, "there is no 3"),
    ],
)
def test_what_is_no_search_cannot_be_read(given: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Search.from_json(given)
