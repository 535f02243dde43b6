"""How well an agent is: the formula, one by one and for all at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.health import HealthRules, health_score, health_scores
from orchestration.core.registry.model import AgentStatus
from orchestration.core.registry.pulse import Pulse
from tests.unit.fleets import NOW_MS, fleet
from tests.unit.profiles import examples


def contract(silence: int, interval: int, error: float, ms: float, cpu: float) -> float:
    """The formula as CONTRACT.md has it."""
    recency = 0.5 if silence > 2 * interval else 1
    speed = min(1, 2000 / ms) if ms else 1
    return recency * (1 - error) * speed * (1 - max(0, cpu - 0.7))


def test_a_new_agent_is_well() -> None:
    assert health_score(silence_ms=0, interval_ms=30_000) == 1.0


@pytest.mark.parametrize(
    ("given_", "health"),
    [
        ({"silence_ms": 60_000}, 1.0),
        ({"silence_ms": 60_001}, 0.5),
        ({"error_rate": 0.25}, 0.75),
        ({"error_rate": 1.0}, 0.0),
        ({"response_time_ms": 2_000.0}, 1.0),
        ({"response_time_ms": 4_000.0}, 0.5),
        ({"cpu_usage": 0.7}, 1.0),
        ({"cpu_usage": 1.0}, 0.7),
        ({"silence_ms": 90_000, "error_rate": 0.2, "response_time_ms": 4_000}, 0.2),
        ({"violations": 1}, 0.85),
        ({"violations": 2}, 0.7225),
    ],
)
def test_what_an_agent_loses(given_: dict[str, float], health: float) -> None:
    told = {"silence_ms": 0, "interval_ms": 30_000, **given_}

    assert health_score(**told) == pytest.approx(health, abs=1e-12)  # type: ignore[arg-type]


_RATIO = st.floats(0, 1)
_ROW = st.tuples(
    st.integers(0, 10_000_000),
    st.integers(1, 3_600_000),
    _RATIO,
    st.floats(0, 1e7),
    _RATIO,
)


@examples(200)
@given(_ROW)
def test_without_a_broken_promise_it_is_the_formula_of_the_contract(
    row: tuple[int, int, float, float, float],
) -> None:
    silence, interval, error, ms, cpu = row

    health = health_score(
        silence_ms=silence,
        interval_ms=interval,
        error_rate=error,
        response_time_ms=ms,
        cpu_usage=cpu,
    )

    assert health == pytest.approx(contract(silence, interval, error, ms, cpu), 1e-12)


_ANY = st.floats(allow_nan=True, allow_infinity=True)
_RULES = st.builds(
    HealthRules,
    late_intervals=st.floats(0.5, 10),
    late_factor=_RATIO,
    slow_ms=st.floats(1, 1e5),
    busy_cpu=_RATIO,
    sla_factor=_RATIO,
)


@examples(200)
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**6), 10**12),
            st.integers(1, 10**9),
            _ANY,
            _ANY,
            _ANY,
            st.integers(-3, 20),
        ),
        min_size=1,
        max_size=20,
    ),
    _RULES,
)
def test_one_by_one_and_all_at_once_agree_to_the_bit(
    rows: list[tuple[int, int, float, float, float, int]], rules: HealthRules
) -> None:
    silences, intervals, cpus, errors, times, violations = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    pulse = Pulse(
        last_seen_ms=NOW_MS - silences,
        interval_ms=intervals,
        cpu_usage=cpus,
        error_rate=errors,
        response_time_ms=times,
        given=np.zeros(len(rows), dtype=np.uint8),
        violations=violations,
        status=np.zeros(len(rows), dtype=np.int8),
    )

    with np.errstate(all="ignore"):
        together = health_scores(pulse, pulse.silence_ms(NOW_MS), rules)

    for health, (silence, interval, cpu, error, ms, broken) in zip(
        together, rows, strict=True
    ):
        alone = health_score(
            silence_ms=max(silence, 0),
            interval_ms=interval,
            cpu_usage=cpu,
            error_rate=error,
            response_time_ms=ms,
            violations=broken,
            rules=rules,
        )
        assert health == alone
        assert 0.0 <= alone <= 1.0


@examples(100)
@given(_ROW, st.sampled_from(["silence_ms", "error_rate", "response_time_ms", "cpu"]))
def test_doing_worse_never_helps(
    row: tuple[int, int, float, float, float], what: str
) -> None:
    silence, interval, error, ms, cpu = row
    told = {
        "silence_ms": silence,
        "interval_ms": interval,
        "error_rate": error,
        "response_time_ms": ms,
        "cpu_usage": cpu,
    }
    name = "cpu_usage" if what == "cpu" else what
    most = 1.0 if name in {"error_rate", "cpu_usage"} else 10**8

    worse = health_score(**{**told, name: most})  # type: ignore[arg-type]

    assert worse <= health_score(**told)  # type: ignore[arg-type]
    assert health_score(**told, violations=1) <= health_score(**told)  # type: ignore[arg-type]


def test_the_clock_of_the_receiver_may_go_back() -> None:
    pulse = fleet(-5_000, 0, status=AgentStatus.ACTIVE)

    assert pulse.silence_ms(NOW_MS).tolist() == [0, 0]


def test_the_lines_of_the_contract_make_sense() -> None:
    assert HealthRules().faults() == ()


@pytest.mark.parametrize(
    ("line", "value", "words"),
    [
        ("active_health", 80, "active_health is 80: give it 0 to 1"),
        ("sla_factor", -0.1, "sla_factor is -0.1: give it 0 to 1"),
        ("protect_share", float("nan"), "protect_share is nan: give it 0 to 1"),
        ("slow_ms", 0, "slow_ms is 0: give it more than 0"),
        ("decommission_after_ms", -1, "decommission_after_ms is -1: give it more"),
        ("protect_hold_ms", -1, "protect_hold_ms is -1: give it 0 or more"),
        ("inactive_intervals", 1.5, "is 1.5: give it at least late_intervals, 2.0"),
        ("decommission_intervals", 3.0, "is 3.0: give it at least inactive_intervals"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    line: str, value: float, words: str
) -> None:
    [fault] = HealthRules(**{line: value}).faults()  # type: ignore[arg-type]

    assert words in fault
