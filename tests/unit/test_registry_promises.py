"""Promises of agents: when one counts as broken, and when as kept again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.events import EventType, RegistryEvent, registered
from orchestration.core.registry.fold import fold
from orchestration.core.registry.model import AgentDescriptor, AgentStatus
from orchestration.core.registry.packed import METRICS
from orchestration.core.registry.sla import (
    SlaChange,
    SlaState,
    judge,
    limits_of,
    sla_facts,
)
from tests.unit.fleets import NOW_MS, fleet
from tests.unit.profiles import examples

SECOND_MS = 1_000


class Watch:
    """One agent that is judged sweep by sweep; its heartbeats come every 30 s."""

    def __init__(self, sla: Mapping[str, float]) -> None:
        self.limits = limits_of([sla])
        self.state = SlaState.restored([{}], NOW_MS)
        self.now_ms = NOW_MS
        self.last_seen_ms = NOW_MS
        self.status = AgentStatus.ACTIVE

    def beats(
        self, *times_ms: float, error_rate: float = 0.0, given: int = 0b11111
    ) -> list[SlaChange]:
        changes: list[SlaChange] = []
        for response_time_ms in times_ms:
            self.now_ms += 30_000
            self.last_seen_ms = self.now_ms
            changes += self._judge(response_time_ms, error_rate, given)
        return changes

    def silent(self, seconds: int, *, excused: bool = False) -> list[SlaChange]:
        changes: list[SlaChange] = []
        for _ in range(seconds // 10):
            self.now_ms += 10_000
            changes += self._judge(0.0, 0.0, 0b11111, excused=excused)
        return changes

    def _judge(
        self, ms: float, error_rate: float, given: int, *, excused: bool = False
    ) -> Sequence[SlaChange]:
        pulse = replace(
            fleet(
                0,
                response_time_ms=ms,
                error_rate=error_rate,
                given=given,
                status=self.status,
            ),
            last_seen_ms=np.array([self.last_seen_ms]),
        )
        self.state, changes = judge(
            self.limits,
            self.state,
            pulse,
            self.now_ms,
            is_excused=np.array([excused]),
        )
        return changes


def told(changes: Sequence[SlaChange]) -> list[tuple[str, bool]]:
    return [(change.term, change.until_ms is None) for change in changes]


def test_three_misses_in_a_row_break_a_promise_from_the_first_on() -> None:
    watch = Watch({"max_latency_ms": 500})

    assert watch.beats(501, 900) == []
    [change] = watch.beats(700)

    assert change == SlaChange(
        row=0,
        term="max_latency_ms",
        limit=500.0,
        observed=700.0,
        since_ms=NOW_MS + 30_000,
        until_ms=None,
    )
    assert watch.state.violations.tolist() == [1]
    assert watch.beats(900, 900, 900) == []


def test_what_is_met_in_between_counts_anew() -> None:
    watch = Watch({"max_latency_ms": 500})

    assert watch.beats(900, 900, 500, 900, 900, 100, 900) == []


def test_it_is_kept_again_when_it_is_met_three_times_by_a_margin() -> None:
    watch = Watch({"max_latency_ms": 500})
    watch.beats(900, 900, 900)

    assert watch.beats(451, 490, 500, 450, 450, 451, 450, 100) == []
    [change] = watch.beats(450)

    assert (change.since_ms, change.limit) == (NOW_MS + 30_000, 500.0)
    assert change.until_ms == NOW_MS + 10 * 30_000
    assert watch.state.violations.tolist() == [0]


@examples(60)
@given(st.lists(st.floats(451, 500), max_size=40), st.sampled_from([0, 3]))
def test_at_its_limit_an_agent_writes_no_events(
    times: list[float], missed: int
) -> None:
    watch = Watch({"max_latency_ms": 500})
    watch.beats(*[900] * missed)

    assert watch.beats(*times) == []


def test_a_heartbeat_is_judged_once_however_often_is_swept() -> None:
    watch = Watch({"max_latency_ms": 500})
    watch.beats(900)

    assert watch.silent(50) == []
    assert watch.state.streak[0].tolist() == [1, 0, 0]


def test_a_metric_that_is_not_given_is_not_judged() -> None:
    watch = Watch({"max_latency_ms": 500, "max_error_rate": 0.1})
    watch.beats(900, 900)
    without = 0b11111 & ~(1 << METRICS.index("response_time_ms"))

    watch.beats(0, 0, 0, given=without)

    assert told(watch.beats(900)) == [("max_latency_ms", True)]


def test_errors_are_judged_as_latency_is() -> None:
    watch = Watch({"max_error_rate": 0.1})

    assert told(watch.beats(0, 0, 0, error_rate=0.11)) == [("max_error_rate", True)]
    assert told(watch.beats(0, 0, 0, error_rate=0.09)) == [("max_error_rate", False)]


def test_what_is_not_promised_is_not_broken() -> None:
    assert Watch({}).beats(10**6, 10**6, 10**6, 10**6, error_rate=1.0) == []


def test_who_is_away_breaks_its_availability() -> None:
    watch = Watch({"availability": 0.9})
    watch.beats(*[10] * 20)  # ten minutes

    changes = watch.silent(300)

    # A minute of silence is not late yet; what follows soon is a tenth.
    assert told(changes) == [("availability", True)]
    [change] = changes
    assert change.observed < 0.9
    late_since_ms = NOW_MS + 600_000 + 60_000
    assert late_since_ms + 60_000 < change.since_ms < late_since_ms + 90_000


def test_availability_comes_back_with_time() -> None:
    watch = Watch({"availability": 0.9})
    watch.beats(*[10] * 20)
    watch.silent(300)

    changes = watch.beats(*[10] * 300)

    assert told(changes) == [("availability", False)]
    assert changes[0].observed >= 0.91


def test_availability_is_judged_after_five_minutes() -> None:
    watch = Watch({"availability": 1.0})

    assert watch.silent(299) == []
    assert told(watch.silent(60)) == [("availability", True)]


def test_what_protection_excuses_is_not_counted() -> None:
    watch = Watch({"availability": 0.9})
    watch.beats(*[10] * 20)

    assert watch.silent(1_000, excused=True) == []

    watch.beats(*[10] * 20)
    while not watch.state.streak[0, 1]:  # missed once
        assert watch.silent(10) == []
    assert watch.silent(1_000, excused=True) == []


def test_a_promise_taken_back_is_broken_no_longer() -> None:
    watch = Watch({"max_latency_ms": 500})
    watch.beats(900, 900, 900)
    watch.limits = limits_of([{}])

    [change] = watch.silent(10)

    assert (change.limit, change.until_ms) == (None, watch.now_ms)
    assert watch.silent(10) == []


def test_who_was_given_up_owes_nothing() -> None:
    watch = Watch({"max_latency_ms": 500})
    watch.beats(900, 900, 900)
    watch.status = AgentStatus.DECOMMISSIONED

    assert watch.silent(10) == []
    assert watch.state.violations.tolist() == [0]


def test_the_state_follows_agents_to_other_rows() -> None:
    broken = {"max_latency_ms": NOW_MS, "availability": NOW_MS}
    state = SlaState.restored([{}, broken], NOW_MS)

    moved = state.arranged([1, -1, 0], NOW_MS + 5)

    assert moved.violations.tolist() == [2, 0, 0]
    assert moved.looked_ms.tolist() == [NOW_MS, NOW_MS + 5, NOW_MS]
    assert len(state.arranged([], NOW_MS).looked_ms) == 0


def test_no_agents_are_no_trouble() -> None:
    state, changes = judge(limits_of([]), SlaState.restored([], 0), fleet(), NOW_MS)

    assert (len(state.looked_ms), changes) == (0, ())


def test_what_is_recorded_folds_to_what_is_known() -> None:
    watch = Watch({"max_latency_ms": 500, "max_error_rate": 0.1})
    changes = [
        *watch.beats(900, 900, 900, error_rate=0.5),
        *watch.beats(10, 10, 10, error_rate=0.5),
    ]
    agent = AgentDescriptor(agent_id="agent-a", agent_type="A", version="1.0.0")

    judged = {"health": np.array([0.7]), "last_seen_ms": np.array([NOW_MS])}
    facts = [registered(agent), *sla_facts(["agent-a"], changes, **judged)]
    events = [
        RegistryEvent(version, fact.type, fact.data, datetime(2026, 3, 1, tzinfo=UTC))
        for version, fact in enumerate(facts, start=1)
    ]
    folded = fold(events)["agent-a"]
    violations = folded.violations

    assert folded.health_score == 0.7
    assert [fact.type for fact in facts[1:]] == [
        EventType.SLA_VIOLATED,
        EventType.SLA_VIOLATED,
        EventType.SLA_RESTORED,
    ]
    assert violations == {"max_error_rate": NOW_MS + 30_000}
    known = SlaState.restored([violations], watch.now_ms)
    assert known.since_ms.tolist() == watch.state.since_ms.tolist()


@examples(40)
@given(
    st.lists(
        st.tuples(st.floats(0, 2_000), st.floats(0, 1), st.integers(0, 9)),
        max_size=40,
    )
)
def test_each_term_breaks_and_is_kept_in_turn(
    rows: list[tuple[float, float, int]],
) -> None:
    watch = Watch({"max_latency_ms": 500, "availability": 0.9, "max_error_rate": 0.3})
    is_broken = dict.fromkeys(("max_latency_ms", "availability", "max_error_rate"), 0)
    for ms, error_rate, away in rows:
        changes = [*watch.beats(ms, error_rate=error_rate), *watch.silent(away * 30)]
        for change in changes:
            if change.until_ms is None:
                assert not is_broken[change.term]
                is_broken[change.term] = change.since_ms
            else:
                assert change.since_ms == is_broken[change.term]
                assert change.until_ms >= change.since_ms
                is_broken[change.term] = 0
    assert watch.state.since_ms[0].tolist() == list(is_broken.values())
    assert np.all(watch.state.up_ms <= watch.state.watched_ms + 1e-6)
