"""How swarms go on: the chain, when they stop, and the dice of an iteration."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.swarm.functions import STANDARD
from orchestration.core.swarm.motion import advance, begin, judged, moved
from orchestration.core.swarm.randomness import Dice, draws
from orchestration.core.swarm.search import motion_of
from orchestration.core.swarm.state import SwarmState
from orchestration.core.swarm.stopping import Stopped, Stopping
from tests.unit.profiles import examples
from tests.unit.searches import run, search_of

SPHERE = STANDARD["sphere"].values
NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_the_dice_of_an_iteration_do_not_know_of_others(
    seed: int, iteration: int, purpose: int
) -> None:
    expected = draws(seed, iteration, purpose).random(5).tolist()
    dice = Dice(seed, purpose)
    dice.at(iteration ^ 1).random(17, dtype=np.float32)
    assert dice.at(iteration).random(5).tolist() == expected
    assert draws(seed ^ 1, iteration, purpose).random(5).tolist() != expected
    assert draws(seed, iteration ^ 1, purpose).random(5).tolist() != expected
    assert draws(seed, iteration, purpose ^ 1).random(5).tolist() != expected


def test_iterations_jump_as_far_as_numpys_own_jumps() -> None:
    words = np.array([7, 0, 0, 0], np.uint32)
    ours = draws(7, 3).random(4)
    numpys = np.random.Generator(np.random.PCG64DXSM(words).jumped(3)).random(4)
    assert ours.tolist() == numpys.tolist()


def test_neighbouring_iterations_are_not_correlated() -> None:
    rows = np.stack([draws(1, nth).random(4_000) for nth in range(30)])
    off = np.corrcoef(rows)[~np.eye(30, dtype=bool)]
    assert np.abs(off).max() < 5.0 / np.sqrt(4_000)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"target": 1.0}, Stopped.TARGET),
        ({"convergence": 0.9}, Stopped.CONVERGED),
        ({"ftol": 1e-3, "window": 10}, Stopped.STALLED),
        ({"iterations": 33}, Stopped.ITERATIONS),
    ],
)
def test_a_swarm_stops_at_the_same_iteration_however_many_are_done_at_once(
    rule: dict[str, Any], reason: Stopped
) -> None:
    until = Stopping(**rule)
    assert until.faults() == ()
    search = search_of("sphere", 3)
    ends = []
    for at_once in (1, 7, 400):
        _, goes = run(search, SPHERE, iterations=400, at_once=at_once, until=until)
        assert goes[-1].stopped is reason
        assert {gone.stopped for gone in goes[:-1]} <= {None}
        ends.append((goes[-1].state.iteration, goes[-1].state.digest()))
    assert ends[0] == ends[1] == ends[2]
    assert 0 < ends[0][0] < 400


def test_small_steps_that_add_up_are_no_standstill() -> None:
    until = Stopping(ftol=0.1, window=5)
    state = SwarmState.blank(2, 1)
    for nth in range(30):
        state.record["iteration"] = nth
        state.record["best"] = 10.0 - 0.3 * nth
        until.note(state)
        assert until.reason(state, lambda _: 0.0) is None


def test_a_rule_comes_back_from_json_and_tells_all_its_faults() -> None:
    rule = Stopping(iterations=10, target=1.0, convergence=0.5, ftol=0.0, window=3)
    assert Stopping.from_json(json.loads(json.dumps(rule.to_json()))) == rule
    wrong = Stopping(
        iterations=0, target=float("nan"), convergence=2.0, ftol=-1.0, window=0
    )
    assert len(wrong.faults()) == 5
    with pytest.raises(ValueError, match="there is no 'until'"):
        Stopping.from_json({"until": 3})


def test_without_a_chain_the_swarm_is_the_same() -> None:
    motion = motion_of(search_of("sphere", 3))
    ends = []
    for previous in (None, 64 * "0"):
        state = begin(motion, 1, SPHERE)
        gone = advance(
            motion, state, seed=1, iterations=9, previous=previous, fitness=SPHERE
        )
        ends.append(gone.state.digest())
        assert len(gone.hashes) == (0 if previous is None else 9)
    assert ends[0] == ends[1]


def test_values_may_be_computed_elsewhere() -> None:
    motion = motion_of(search_of("sphere", 3))
    whole, halves = begin(motion, 1, SPHERE), begin(motion, 1, SPHERE)
    whole = advance(
        motion, whole, seed=1, iterations=5, previous=None, fitness=SPHERE
    ).state
    for _ in range(5):
        halves = moved(motion, halves, 1)
        judged(motion, halves, SPHERE(halves.record["position"]))
    assert halves.digest() == whole.digest()


@pytest.mark.parametrize("agents", [5, 400])
@given(st.data())
@examples(20)
def test_a_link_tells_of_every_value(agents: int, data: st.DataObject) -> None:
    search = search_of("sphere", 30, agents=agents)
    who = data.draw(st.integers(0, agents - 1))
    motion = motion_of(search)
    links = []
    for wrong in (0.0, 1.0):
        state = begin(motion, 1, SPHERE)

        def fitness(x: Any, wrong: float = wrong) -> Any:
            values = SPHERE(x)
            values[who] += wrong
            return values

        gone = advance(
            motion, state, seed=1, iterations=1, previous=64 * "0", fitness=fitness
        )
        links.append(gone.hashes[0])
    assert links[0] != links[1]


def test_a_fitness_of_the_wrong_shape_is_refused_with_both_shapes() -> None:
    motion = motion_of(search_of("sphere", 3))
    with pytest.raises(ValueError, match=r"shape \(3,\) for 100 agents"):
        begin(motion, 1, lambda x: x[0])
    with pytest.raises(ValueError, match="needs a fitness"):
        begin(motion, 1)


@pytest.mark.parametrize("blob", [b"", b"1234567", b"\x01\0\0\0\x01\0\0\0short"])
def test_bytes_that_are_no_state_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        SwarmState.from_bytes(blob)
