"""Where agents stand after a sweep: silence, health, protection, a new epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.events import EventType, NewFact, RegistryEvent
from orchestration.core.registry.health import RULES, HealthRules
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.protection import Protection, fold_protection
from orchestration.core.registry.pulse import Pulse, code_of
from orchestration.core.registry.sweep import SweepResult, sweep
from orchestration.core.registry.swept import swept_facts
from tests.unit.fleets import NOW_MS, fleet, statuses
from tests.unit.profiles import examples

ACTIVE, DEGRADED, INACTIVE, DECOMMISSIONED = AgentStatus
MINUTE_MS = 60_000
HOLD_MS = RULES.protect_hold_ms


@pytest.mark.parametrize(
    ("silence_ms", "status"),
    [
        (0, "ACTIVE"),
        (60_000, "ACTIVE"),
        (60_001, "DEGRADED"),
        (119_999, "DEGRADED"),
        (120_000, "INACTIVE"),
        (299_999, "INACTIVE"),
        (300_000, "DECOMMISSIONED"),
        (10**12, "DECOMMISSIONED"),
    ],
)
def test_silence_moves_an_agent_on(silence_ms: int, status: str) -> None:
    result = sweep(fleet(silence_ms), NOW_MS)
    assert statuses(result.status) == [status]
    # Its health falls with it: replicas are told of both once, at the change.
    assert result.health[0] == (1.0 if status == "ACTIVE" else 0.5)


def test_each_agent_has_its_own_interval() -> None:
    pulse = replace(
        fleet(10_000, 10_000, 10_000), interval_ms=np.array([1_000, 3_000, 30_000])
    )

    found = statuses(sweep(pulse, NOW_MS).status)

    assert found == ["INACTIVE", "DEGRADED", "ACTIVE"]


def test_who_is_seldom_heard_of_has_five_intervals_before_it_is_given_up() -> None:
    silences = (300_000, 4 * 90_000, 5 * 90_000)

    found = statuses(sweep(fleet(*silences, interval_ms=90_000), NOW_MS).status)

    assert found == ["DEGRADED", "INACTIVE", "DECOMMISSIONED"]


def test_health_below_the_line_degrades() -> None:
    pulse = fleet(0, 0, 0, error_rate=[0.0, 0.2, 0.21])

    result = sweep(pulse, NOW_MS)

    assert statuses(result.status) == ["ACTIVE", "ACTIVE", "DEGRADED"]
    assert result.health.tolist() == [1.0, 0.8, 0.79]
    assert result.changed.tolist() == [2]


def test_two_broken_promises_degrade() -> None:
    result = sweep(fleet(0, 0, violations=[1, 2]), NOW_MS)

    assert statuses(result.status) == ["ACTIVE", "DEGRADED"]


def test_who_is_heard_of_again_is_back_at_once() -> None:
    pulse = fleet(0, 0, status=[INACTIVE, DEGRADED], error_rate=[0.5, 0.0])

    assert statuses(sweep(pulse, NOW_MS).status) == ["DEGRADED", "ACTIVE"]


def test_only_a_registration_brings_back_who_was_given_up() -> None:
    pulse = fleet(0, status=DECOMMISSIONED)

    result = sweep(pulse, NOW_MS)

    assert statuses(result.status) == ["DECOMMISSIONED"]
    assert not len(result.changed)


def test_a_sweep_counts_by_status() -> None:
    result = sweep(fleet(0, 0, 70_000, 130_000), NOW_MS)

    assert result.by_status == {
        ACTIVE: 2,
        DEGRADED: 1,
        INACTIVE: 1,
        DECOMMISSIONED: 0,
    }


def test_no_agents_are_no_trouble() -> None:
    assert len(sweep(fleet(), NOW_MS).status) == 0


def test_senders_clocks_are_not_asked() -> None:
    # What a sweep looks at holds no time that a sender wrote.
    times = {name for name in Pulse.__dataclass_fields__ if name.endswith("_ms")}

    assert times == {"last_seen_ms", "interval_ms", "response_time_ms"}


def by_the_contract(silence_ms: int, interval_ms: int, health: float) -> str:
    """Where an agent stands by the words of CONTRACT.md, one at a time."""
    if silence_ms >= max(300_000, 5 * interval_ms):
        return "DECOMMISSIONED"
    if silence_ms >= 4 * interval_ms:
        return "INACTIVE"
    if silence_ms > 2 * interval_ms or health < 0.8:
        return "DEGRADED"
    return "ACTIVE"


@examples(200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 700_000) | st.sampled_from([60_000, 120_000, 300_000]),
            st.integers(1, 200_000) | st.just(30_000),
            st.sampled_from([0.0, 0.1, 0.2, 0.21, 0.9]),
            st.sampled_from(list(AgentStatus)),
        ),
        max_size=9,  # too few to be a mass
    )
)
def test_a_sweep_decides_as_one_would_for_each(
    rows: list[tuple[int, int, float, AgentStatus]],
) -> None:
    pulse = replace(
        fleet(
            *[row[0] for row in rows],
            error_rate=[row[2] for row in rows],
            status=[row[3] for row in rows],
        ),
        interval_ms=np.array([row[1] for row in rows], dtype=np.int64),
    )

    result = sweep(pulse, NOW_MS)

    alone = [
        "DECOMMISSIONED"
        if before is DECOMMISSIONED
        else by_the_contract(silence_ms, interval_ms, health)
        for (silence_ms, interval_ms, _, before), health in zip(
            rows, result.health.tolist(), strict=True
        )
    ]
    assert statuses(result.status) == alone
    changed = [at for at, row in enumerate(rows) if alone[at] != row[3]]
    assert result.changed.tolist() == changed


# A new epoch.


def test_silence_counts_from_the_rebuilding_of_the_hot_state() -> None:
    pulse = fleet(200_000, 200_000)

    for since_ms, status in [(60_000, "ACTIVE"), (60_001, "DEGRADED")]:
        result = sweep(pulse, NOW_MS, epoch_ms=NOW_MS - since_ms)
        assert statuses(result.status) == [status, status]


def test_who_was_not_heard_of_since_then_does_not_recover_by_it() -> None:
    pulse = fleet(200_000, 5_000, status=INACTIVE)

    result = sweep(pulse, NOW_MS, epoch_ms=NOW_MS - 10_000)

    assert statuses(result.status) == ["INACTIVE", "ACTIVE"]


@examples(100)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**7),
            st.integers(1, 600_000),
            st.sampled_from(list(AgentStatus)),
        ),
        min_size=1,
        max_size=30,
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_nobody_expires_for_an_interval_after_a_new_epoch(
    rows: list[tuple[int, int, AgentStatus]], share: float
) -> None:
    silences, intervals, before = zip(*rows, strict=True)
    since_ms = int(share * min(intervals))
    pulse = replace(fleet(*silences, status=before), interval_ms=np.array(intervals))

    result = sweep(pulse, NOW_MS, epoch_ms=NOW_MS - since_ms)

    worsened = result.status > pulse.status
    assert not np.any(worsened & (result.status >= code_of(INACTIVE)))


# Protection.


def mass(silent: int, well: int, silence_ms: int = 120_000) -> Pulse:
    return fleet(*[silence_ms] * silent, *[0] * well)


def aged(pulse: Pulse, result: SweepResult) -> Pulse:
    """Return the agents as the next sweep finds them, nobody heard of meanwhile."""
    return replace(pulse, status=result.status)


def test_the_silence_of_many_is_not_believed_at_first() -> None:
    result = sweep(mass(60, 40), NOW_MS)

    assert result.is_protected
    assert result.protection == Protection(since_ms=NOW_MS, until_ms=NOW_MS + HOLD_MS)
    assert result.by_status[DEGRADED] == 60
    assert result.is_held.sum() == result.silent == 60
    assert result.live == 100


def test_the_silence_of_few_is_believed() -> None:
    assert sweep(mass(30, 70), NOW_MS).by_status[INACTIVE] == 30
    assert sweep(mass(9, 0), NOW_MS).by_status[INACTIVE] == 9


def test_who_is_about_to_expire_counts_before_the_first_one_does() -> None:
    # Heartbeats arrive spread over the interval, so a failure shows slice by slice.
    pulse = fleet(*[120_000] * 5, *[100_000] * 50, *[0] * 45)

    result = sweep(pulse, NOW_MS)

    assert result.is_protected
    assert result.by_status[INACTIVE] == 0


def test_protection_does_not_begin_before_somebody_would_expire() -> None:
    result = sweep(mass(60, 40, silence_ms=119_999), NOW_MS)

    assert result.silent == 60
    assert result.protection is None


def test_nobody_is_given_up_while_protection_lasts() -> None:
    dead = fleet(*[400_000] * 5, *[130_000] * 50, status=[INACTIVE] * 5 + [ACTIVE] * 50)

    result = sweep(dead, NOW_MS)

    assert result.by_status[INACTIVE] == 5
    assert result.by_status[DECOMMISSIONED] == 0


def test_when_its_time_is_over_silence_is_believed() -> None:
    pulse = mass(60, 0)
    first = sweep(pulse, NOW_MS)
    later = NOW_MS + HOLD_MS - 1

    held = sweep(aged(pulse, first), later, protection=first.protection)
    over = sweep(aged(pulse, held), later + 1, protection=held.protection)

    assert held.by_status[DEGRADED] == 60
    assert held.protection == first.protection
    assert over.by_status[DECOMMISSIONED] == 60
    assert not over.is_protected


def test_the_same_failure_is_not_protected_twice() -> None:
    rules = HealthRules(protect_hold_ms=MINUTE_MS)
    pulse = fleet(*[120_000] * 20, *[70_000] * 40)
    first = sweep(pulse, NOW_MS, rules)
    over = sweep(
        aged(pulse, first), NOW_MS + MINUTE_MS, rules, protection=first.protection
    )
    still_many = fleet(
        *[150_000] * 60,
        now_ms=NOW_MS + 80_000,
        status=[INACTIVE] * 20 + [DEGRADED] * 40,
    )

    after = sweep(still_many, NOW_MS + 80_000, rules, protection=over.protection)

    assert over.protection is not None
    assert over.protection.is_spent
    assert after.by_status[INACTIVE] == 60


def test_protection_ends_when_they_are_heard_of() -> None:
    first = sweep(mass(60, 40), NOW_MS)
    back = fleet(*[120_000] * 3, *[0] * 97, status=[DEGRADED] * 60 + [ACTIVE] * 40)

    result = sweep(back, NOW_MS, protection=first.protection)

    assert result.protection is None
    assert (result.by_status[ACTIVE], result.by_status[INACTIVE]) == (97, 3)


@examples(60)
@given(st.data())
def test_nobody_is_held_for_longer_than_protection_lasts(data: st.DataObject) -> None:
    rules = HealthRules(protect_hold_ms=100_000, protect_least=2)
    agents = data.draw(st.integers(2, 12))
    last_seen = np.full(agents, NOW_MS)
    status = np.zeros(agents, dtype=np.int8)
    held_since: dict[int, int] = {}
    protection = None
    now_ms = NOW_MS
    for _ in range(data.draw(st.integers(5, 60))):
        now_ms += data.draw(st.sampled_from([5_000, 10_000, 30_000]))
        heard = data.draw(st.sets(st.integers(0, agents - 1), max_size=3))
        last_seen[list(heard)] = now_ms
        pulse = replace(
            fleet(*[0] * agents), last_seen_ms=last_seen.copy(), status=status
        )
        result = sweep(pulse, now_ms, rules, protection=protection)
        for row in range(agents):
            if result.is_held[row]:
                since_ms = held_since.setdefault(row, now_ms)
                assert now_ms - since_ms < rules.protect_hold_ms
                assert result.is_protected
            else:
                held_since.pop(row, None)
        status, protection = result.status, result.protection


# What is recorded.


def recorded(facts: Sequence[NewFact]) -> list[RegistryEvent]:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return [RegistryEvent(n, f.type, f.data, at) for n, f in enumerate(facts, start=1)]


def test_a_sweep_records_each_transition_and_one_digest() -> None:
    before = [ACTIVE, ACTIVE, DEGRADED, INACTIVE, ACTIVE, ACTIVE]
    errors = [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    silences = (0, 0, 0, 300_000, 120_000, 60_001)
    pulse = fleet(*silences, status=before, error_rate=errors)
    agent_ids = [f"agent-{name}" for name in "abcdef"]
    result = sweep(pulse, NOW_MS)

    *transitions, digest = swept_facts(
        agent_ids, pulse, result, before=None, epoch="e1"
    )

    told = [
        (f.data["agent_id"], f.data["from"], f.data.get("to"), f.data["reason"])
        for f in transitions
    ]
    assert told == [
        ("agent-b", "ACTIVE", "DEGRADED", "HEALTH"),
        ("agent-c", "DEGRADED", "ACTIVE", "RECOVERED"),
        ("agent-d", "INACTIVE", None, "SILENCE"),
        ("agent-e", "ACTIVE", "INACTIVE", "SILENCE"),
        ("agent-f", "ACTIVE", "DEGRADED", "SILENCE"),
    ]
    assert transitions[2].type is EventType.AGENT_DEREGISTERED
    assert transitions[0].data["health_score"] == 0.5
    assert transitions[3].data["last_heartbeat_ms"] == NOW_MS - 120_000
    assert digest.type is EventType.HEALTH_SWEPT
    assert digest.data == {
        "swept_at_ms": NOW_MS,
        "epoch": "e1",
        "agents": 6,
        "by_status": {"ACTIVE": 2, "DEGRADED": 2, "INACTIVE": 1, "DECOMMISSIONED": 1},
        "average_health": pytest.approx((1 + 0.5 + 1 + 0.5 + 0.5) / 5),
        "changes": 5,
        "held": 0,
        "protection": None,
        "digest": pulse.digest(agent_ids),
    }


def test_protection_is_recorded_and_folds_back() -> None:
    pulse = mass(60, 40)
    agent_ids = [f"agent-{n}" for n in range(100)]
    first = sweep(pulse, NOW_MS)
    began = swept_facts(agent_ids, pulse, first, before=None)
    next_ = aged(pulse, first)
    held = sweep(next_, NOW_MS + 1, protection=first.protection)
    nothing = swept_facts(agent_ids, next_, held, before=first.protection)
    end_ms = NOW_MS + HOLD_MS
    over = sweep(next_, end_ms, protection=held.protection)
    ended = swept_facts(agent_ids, next_, over, before=held.protection)

    assert [f.data["reason"] for f in began[:60]] == ["HELD"] * 60
    assert began[60] == NewFact(
        EventType.PROTECTION_STARTED,
        {"since_ms": NOW_MS, "until_ms": end_ms, "silent": 60, "agents": 100},
    )
    assert [f.type for f in nothing] == [EventType.HEALTH_SWEPT]
    assert ended[-2] == NewFact(
        EventType.PROTECTION_ENDED,
        {
            "since_ms": NOW_MS,
            "until_ms": end_ms,
            "ended_ms": end_ms,
            "reason": "EXPIRED",
        },
    )
    for facts, state in [
        (began, first.protection),
        ((*began, *nothing), held.protection),
        ((*began, *nothing, *ended), over.protection),
    ]:
        assert fold_protection(recorded(facts)) == state


def test_protection_that_was_not_needed_any_more_is_recorded_as_recovered() -> None:
    agent_ids = [f"agent-{n}" for n in range(20)]
    first = sweep(mass(20, 0), NOW_MS)
    back = fleet(*[0] * 20, status=DEGRADED)
    result = sweep(back, NOW_MS, protection=first.protection)

    facts = swept_facts(agent_ids, back, result, before=first.protection)

    assert facts[-2].data["reason"] == "RECOVERED"
    began = swept_facts(agent_ids, mass(20, 0), first, before=None)
    assert fold_protection(recorded([*began, *facts])) is None
