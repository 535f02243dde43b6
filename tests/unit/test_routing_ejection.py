"""Failing targets are left out, longer each time, and never too many of them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.routing.ejection import (
    EjectionChange,
    EjectionSettings,
    OutlierEjection,
)
from orchestration.errors import ConfigurationError
from tests.unit.profiles import examples

TEN = tuple(f"agent-{n}" for n in range(10))


def fail(ejection: OutlierEjection, target: str, times: int, now_s: float) -> None:
    for _ in range(times):
        ejection.note(target, ok=False, sent_s=now_s, now_s=now_s)


def test_failures_in_a_row_eject_and_one_success_between_them_does_not() -> None:
    ejection = OutlierEjection()
    fail(ejection, "agent-1", 4, now_s=1.0)
    ejection.note("agent-1", ok=True, sent_s=1.0, now_s=1.0)
    fail(ejection, "agent-1", 4, now_s=1.0)
    assert "agent-1" in ejection.admit(TEN, now_s=1.0).targets
    fail(ejection, "agent-1", 1, now_s=1.0)
    admission = ejection.admit(TEN, now_s=1.0)
    assert admission.ejected == ("agent-1",)
    assert not admission.panic
    assert admission.valid_until_s == 11.0


def test_ejections_last_longer_each_time_up_to_their_bound() -> None:
    ejection = OutlierEjection()
    now_s, terms_s = 0.0, []
    fail(ejection, "agent-1", 5, now_s)
    for _ in range(7):
        back_s = ejection.admit(TEN, now_s=now_s).valid_until_s
        terms_s.append(back_s - now_s)
        now_s = back_s
        ejection.began("agent-1", now_s=now_s)
        ejection.note("agent-1", ok=False, sent_s=now_s, now_s=now_s)
    assert terms_s == [10, 20, 40, 80, 160, 300, 300]


def test_one_call_at_a_time_tries_an_ejected_target() -> None:
    ejection = OutlierEjection()
    fail(ejection, "agent-1", 5, now_s=0.0)
    assert "agent-1" in ejection.admit(TEN, now_s=10.0).targets
    ejection.began("agent-1", now_s=10.0)
    assert "agent-1" in ejection.admit(TEN, now_s=10.1).ejected
    change = ejection.note("agent-1", ok=True, sent_s=10.0, now_s=10.2)
    assert change is EjectionChange.RESTORED
    assert ejection.admit(TEN, now_s=10.2).targets == TEN


def test_a_trial_that_never_ends_lets_another_one_try() -> None:
    ejection = OutlierEjection()
    fail(ejection, "agent-1", 5, now_s=0.0)
    ejection.began("agent-1", now_s=10.0)
    assert "agent-1" in ejection.admit(TEN, now_s=39.9).ejected
    assert "agent-1" in ejection.admit(TEN, now_s=40.0).targets


def test_what_was_sent_before_the_ejection_changes_nothing_after_it() -> None:
    ejection = OutlierEjection()
    fail(ejection, "agent-1", 5, now_s=5.0)
    assert ejection.note("agent-1", ok=True, sent_s=4.0, now_s=6.0) is None
    assert "agent-1" in ejection.admit(TEN, now_s=6.0).ejected
    ejection.began("agent-1", now_s=15.0)
    ejection.note("agent-1", ok=True, sent_s=15.0, now_s=15.1)
    for _ in range(9):
        ejection.note("agent-1", ok=False, sent_s=4.0, now_s=16.0)
    assert "agent-1" in ejection.admit(TEN, now_s=16.0).targets


def test_time_in_service_makes_earlier_ejections_forgotten() -> None:
    ejection = OutlierEjection()
    now_s = 0.0
    for served_s, term_s in ((0.0, 10.0), (1.0, 20.0), (61.0, 20.0), (900.0, 10.0)):
        now_s += served_s
        fail(ejection, "agent-1", 5, now_s)
        back_s = ejection.admit(TEN, now_s=now_s).valid_until_s
        assert back_s - now_s == term_s
        now_s = back_s
        ejection.began("agent-1", now_s=now_s)
        ejection.note("agent-1", ok=True, sent_s=now_s, now_s=now_s)


def test_a_low_success_rate_ejects_without_failures_in_a_row() -> None:
    ejection = OutlierEjection()
    for turn in range(30):
        for target in ejection.admit(TEN, now_s=turn / 10).targets:
            ok = target != "agent-3" or turn % 2 == 0
            ejection.note(target, ok=ok, sent_s=turn / 10, now_s=turn / 10)
    assert ejection.admit(TEN, now_s=3.0).ejected == ("agent-3",)


def test_rates_compare_within_a_group_only() -> None:
    ejection = OutlierEjection()
    for turn in range(100):
        at_s = turn / 10
        for target in TEN:
            group = "hard work" if target < "agent-3" else "easy work"
            ok = group == "easy work" or turn % 2 == 0
            ejection.note(target, ok=ok, sent_s=at_s, now_s=at_s, group=group)
        assert ejection.admit(TEN, now_s=at_s).targets == TEN


@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_makes_nobody_an_outlier(seed: int) -> None:
    settings = EjectionSettings(consecutive_failures=99)
    ejection, rng = OutlierEjection(settings), Random(seed)
    for turn in range(300):
        for target in TEN:  # each works half of the time: 30 calls say little of it
            ok = rng.random() < 0.5
            ejection.note(target, ok=ok, sent_s=turn, now_s=turn)
        assert ejection.admit(TEN, now_s=turn).targets == TEN


def test_what_is_ejected_already_does_not_lower_what_is_typical() -> None:
    ejection = OutlierEjection(EjectionSettings(min_calls=5))
    for target in TEN[3:]:
        fail(ejection, target, 5, now_s=0.0)
    for turn in range(20):
        for target in TEN[:3]:
            ok = target != "agent-1" or turn % 2 == 1
            if "agent-1" in ejection.admit(TEN[:3], now_s=turn).ejected:
                return
            ejection.note(target, ok=ok, sent_s=turn, now_s=turn)
    pytest.fail("an agent that fails half of its calls was not ejected")


def test_failures_that_all_share_make_nobody_an_outlier() -> None:
    ejection, rng = OutlierEjection(), Random(7)
    for turn in range(2_000):
        for target in TEN:
            at_s = turn / 10
            ejection.note(target, ok=rng.random() > 0.2, sent_s=at_s, now_s=at_s)
    # Runs of five failures at 20 % happen by chance, outliers do not.
    assert len(ejection.admit(TEN, now_s=200.0).ejected) <= 2
    assert not ejection.admit(TEN, now_s=200.0).panic


@pytest.mark.parametrize(
    ("candidates", "remaining"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 5)]
)
def test_small_sets_keep_their_floor_when_all_fail(
    candidates: int, remaining: int
) -> None:
    ejection, targets = OutlierEjection(), TEN[:candidates]
    for target in targets:
        fail(ejection, target, 5, now_s=0.0)
    admission = ejection.admit(targets, now_s=1.0)
    assert len(admission.targets) == remaining
    assert admission.panic


def test_below_the_floor_those_that_come_back_first_get_calls_until_they_fail() -> None:
    ejection, targets = OutlierEjection(), TEN[:4]
    for n in (3, 1, 0, 2):
        fail(ejection, targets[n], 5, now_s=4.0 - n)
    # Ejected in the order 3, 2, 1, 0 by their clocks: so they come back.
    assert ejection.admit(targets, now_s=5.0).readmitted == ("agent-2", "agent-3")
    fail(ejection, "agent-3", 1, now_s=6.0)
    assert ejection.admit(targets, now_s=6.0).readmitted == ("agent-1", "agent-2")
    fail(ejection, "agent-2", 1, now_s=6.5)
    assert ejection.admit(targets, now_s=7.0).readmitted == ("agent-0", "agent-1")


@pytest.mark.parametrize(
    ("candidates", "share", "floor"), [(100, 0.29, 71), (10, 0.7, 3), (3, 0.67, 1)]
)
def test_a_floor_is_what_its_share_leaves(
    candidates: int, share: float, floor: int
) -> None:
    assert EjectionSettings(max_ejected_share=share).floor(candidates) == floor


def test_a_dead_agent_costs_ten_failed_calls_until_the_registry_drops_it() -> None:
    ejection, rng, failed = OutlierEjection(), Random(1), 0
    for call in range(30_000):  # 100 calls/s until its registration runs out
        now_s = call / 100
        targets = ejection.admit(TEN, now_s=now_s).targets
        target = targets[int(rng.random() * len(targets))]
        ejection.began(target, now_s=now_s)
        ok = target != "agent-4"
        failed += not ok
        ejection.note(target, ok=ok, sent_s=now_s, now_s=now_s)
    assert failed <= 10  # without it there would be 3,000


def test_after_an_outage_of_all_every_target_is_back_within_two_terms() -> None:
    ejection, rng = OutlierEjection(), Random(2)
    for call in range(12_000):
        now_s = call / 100
        targets = ejection.admit(TEN, now_s=now_s).targets
        target = targets[int(rng.random() * len(targets))]
        ejection.began(target, now_s=now_s)
        ejection.note(target, ok=now_s > 60, sent_s=now_s, now_s=now_s)
        if now_s < 60:
            assert len(targets) >= 5
        if now_s == 60.0:
            assert ejection.admit(TEN, now_s=now_s).panic
    assert ejection.admit(TEN, now_s=120.0).targets == TEN


def test_a_target_that_is_gone_is_forgotten() -> None:
    ejection = OutlierEjection()
    fail(ejection, "agent-1", 5, now_s=0.0)
    before = ejection.version
    ejection.forget("agent-1")
    assert ejection.version > before
    assert ejection.admit(TEN, now_s=0.0).targets == TEN


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "fail", "ok", "began", "forget"]),
        st.integers(0, 5),
        st.floats(0, 40),
        st.floats(0, 5),
    ),
    max_size=120,
)


@given(
    STEPS,
    st.floats(0, 1),
    st.integers(1, 4),
    st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
)
@examples(200)
def test_the_floor_is_never_broken_and_only_it_brings_ejected_ones_back(
    steps: list[tuple[str, int, float, float]],
    share: float,
    least: int,
    asked: list[int],
) -> None:
    settings = EjectionSettings(
        consecutive_failures=2, max_ejected_share=share, min_remaining=least
    )
    ejection, now_s = OutlierEjection(settings), 0.0
    candidates = tuple(TEN[n] for n in asked)
    for act, n, passed_s, took_s in steps:
        now_s += passed_s
        match act:
            case "began":
                ejection.began(TEN[n], now_s=now_s)
            case "forget":
                ejection.forget(TEN[n])
            case _:
                sent_s = now_s - took_s
                ejection.note(TEN[n], ok=act == "ok", sent_s=sent_s, now_s=now_s)
        admission = ejection.admit(candidates, now_s=now_s)
        size = len(candidates)
        assert len(admission.targets) >= min(size, least)
        assert len(admission.ejected) <= size * share + 1e-9
        assert sorted(admission.targets + admission.ejected) == sorted(candidates)
        assert set(admission.readmitted) <= set(admission.targets)
        if admission.panic:
            assert len(admission.targets) == settings.floor(size)
        if admission.ejected:
            assert now_s < admission.valid_until_s <= now_s + 300


@given(STEPS)
@examples(100)
def test_an_answer_holds_until_its_time_while_the_version_stays(
    steps: list[tuple[str, int, float, float]],
) -> None:
    ejection, now_s = OutlierEjection(EjectionSettings(consecutive_failures=2)), 0.0
    kept, version = ejection.admit(TEN, now_s=now_s), ejection.version
    for act, n, passed_s, _ in steps:
        now_s += passed_s
        if act == "began":
            ejection.began(TEN[n], now_s=now_s)
        else:
            ejection.note(TEN[n], ok=act == "ok", sent_s=now_s, now_s=now_s)
        fresh = ejection.admit(TEN, now_s=now_s)
        if version == ejection.version and now_s < kept.valid_until_s:
            assert fresh == kept
        kept, version = fresh, ejection.version


def test_of_a_group_nothing_is_known_when_its_last_target_is_gone() -> None:
    ejection = OutlierEjection(EjectionSettings(min_calls=1, consecutive_failures=99))
    for target, group in (("a", "r"), ("b", "r"), ("c", "other")):
        ejection.note(target, ok=False, sent_s=1.0, now_s=1.0, group=group)
    assert ejection.groups == 2
    ejection.forget("a")
    assert ejection.groups == 2
    ejection.forget("b")
    ejection.forget("nobody")
    assert ejection.groups == 1


def test_settings_tell_all_their_faults() -> None:
    with pytest.raises(ConfigurationError) as told:
        EjectionSettings(min_remaining=0, max_ejected_share=1.5, max_ejection_s=1.0)
    for name in ("min_remaining is 0", "max_ejected_share is 1.5", "max_ejection_s"):
        assert name in str(told.value)
