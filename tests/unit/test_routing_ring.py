"""The ring: where keys belong, how few of them move, and how even the shares are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.ring import Ring, first_within
from tests.unit.profiles import examples

HUNDRED = [f"agent-{at}" for at in range(100)]
KEYS = [f"key-{at}" for at in range(100_000)]

# What the ring of three has always answered: another answer would move users' keys.
GOLDEN = {
    "customer-1": "agent-calc-002",
    "customer-2": "agent-calc-002",
    "customer-3": "agent-calc-003",
    "customer-4": "agent-calc-002",
    "customer-5": "agent-calc-003",
    "": "agent-calc-001",
    "Ünïcode": "agent-calc-001",
}
THREE = ["agent-calc-001", "agent-calc-002", "agent-calc-003"]

PROGRAM = """
import json, sys
from orchestration.core.routing.ring import Ring
ring = Ring(json.loads(sys.argv[1]))
print(json.dumps({key: ring.member_of(key) for key in json.loads(sys.argv[2])}))
"""


def given_out(ring: Ring, keys: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for key in keys:
        number = ring.within(key)[1][-1]
        ring.given(number)
        counts[ring.members[number]] += 1
    return counts


def test_keys_belong_where_they_always_have() -> None:
    ring = Ring(THREE)
    assert {key: ring.member_of(key) for key in GOLDEN} == GOLDEN


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_every_process_has_the_same_ring(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(THREE), json.dumps(list(GOLDEN))],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.defpath, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == GOLDEN


def test_no_agent_gets_much_more_than_the_mean() -> None:
    counts = given_out(Ring(HUNDRED), KEYS)
    assert max(counts.values()) / (len(KEYS) / 100) <= 1.25


def test_no_agent_gets_much_more_however_few_keys_there_are() -> None:
    ring = Ring(HUNDRED)
    counts = given_out(ring, ["hot"] * 1_000)
    assert max(counts.values()) <= 10 + 10


def test_only_the_keys_of_an_agent_that_leaves_move() -> None:
    ring = Ring(HUNDRED)
    before = {key: ring.member_of(key) for key in KEYS}
    ring.remove("agent-17")
    moved = [key for key in KEYS if ring.member_of(key) != before[key]]
    assert all(before[key] == "agent-17" for key in moved)
    assert len(moved) / len(KEYS) < 0.02


def test_few_keys_move_with_bounded_shares() -> None:
    def placed(members: list[str]) -> dict[str, str]:
        ring, out = Ring(members), {}
        for key in KEYS:
            number = ring.within(key)[1][-1]
            ring.given(number)
            out[key] = ring.members[number]
        return out

    before = placed(HUNDRED)
    after = placed([name for name in HUNDRED if name != "agent-17"])
    moved = sum(before[key] != after[key] for key in KEYS if before[key] != "agent-17")
    assert moved / len(KEYS) <= 0.02


def test_processes_agree_on_a_key_as_long_as_its_agent_is_within_its_share() -> None:
    quiet, busy = Ring(THREE), Ring(THREE)
    (own,) = quiet.within("hot")[1]
    assert busy.within("hot")[1] == (own,)
    for _ in range(40):
        busy.given(own)
    assert quiet.within("hot")[1] == (own,)
    assert busy.within("hot")[1][-1] != own
    assert quiet.member_of("hot") == busy.member_of("hot") == THREE[own]


NAMES = st.lists(st.sampled_from(HUNDRED[:12]), unique=True, min_size=1)


@given(changes=st.lists(NAMES, min_size=1, max_size=5))
@examples(40)
def test_a_ring_that_changed_is_the_ring_made_anew(changes: list[list[str]]) -> None:
    ring = Ring(points=20)
    for members in changes:
        ring.become(members)
    fresh = Ring(changes[-1], points=20)
    for key in KEYS[:50]:
        assert ring.member_of(key) == fresh.member_of(key)


def test_members_come_and_go_one_by_one() -> None:
    ring = Ring(THREE)
    ring.add("agent-calc-004")
    ring.remove("agent-calc-001")
    fresh = Ring(["agent-calc-004", *THREE[1:]])
    assert set(ring.members) == set(fresh.members)
    for key in KEYS[:200]:
        assert ring.member_of(key) == fresh.member_of(key)


def test_who_stays_keeps_its_count() -> None:
    ring = Ring(THREE)
    ring.given(2)
    ring.remove("agent-calc-001")
    assert ring.members == tuple(THREE[1:])
    walked = {}
    for key in KEYS[:50]:
        _, numbers, counts = ring.within(key)
        walked |= dict(zip(numbers, counts, strict=True))
    assert walked == {0: 0.0, 1: 1.0}


def test_old_picks_count_less_and_less() -> None:
    ring = Ring(["agent-a", "agent-b"])
    for _ in range(2_001):
        ring.given(0)
    _, numbers, counts = ring.within("x")
    seen = dict(zip(numbers, counts, strict=True))
    assert seen.get(0, 1_000.5) == 1_000.5


def test_an_empty_ring_says_so() -> None:
    with pytest.raises(LookupError, match="no members"):
        Ring().member_of("x")


def test_the_walk_ends_with_the_first_under_the_limit() -> None:
    assert first_within([1, 1, 3, 2], [0.0, 9.0, 9.0, 3.0], 4.0) == (1, 3)
    assert first_within([3, 1], [0.0, 9.0, 9.0, 3.0], 4.0) == (3,)
