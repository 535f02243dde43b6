"""The saga's four metrics, in a registry of the test's own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from orchestration.core.saga.acts import Who, cancel, pause
from orchestration.core.saga.events import NewFact
from orchestration.core.saga.outcomes import Failed, Lost, Succeeded
from orchestration.metrics import SagaMetrics, saga_metrics
from tests.unit.scripted import ERROR, FOR_GOOD, LOST, OK, RETRYABLE, Script, step

TIMED_OUT = Lost(ERROR, timed_out=True)


class Counted:
    """A registry with the metrics of what it is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = SagaMetrics(self.registry)

    def tell(self, script: Script, outcome: Succeeded | Failed | Lost = OK) -> None:
        name = next(iter(script.view.plan.by_name))
        decision = script.do(name, outcome)
        self.metrics.observe(decision.facts, decision.view)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (OK, "completed"),
        (RETRYABLE, "failed"),
        (LOST, "unknown"),
        (TIMED_OUT, "timed_out"),
    ],
)
def test_ends_of_attempts_are_counted_by_step_and_status(
    outcome: Succeeded | Failed | Lost, status: str
) -> None:
    counted = Counted()
    counted.tell(Script(step("a")), outcome)
    assert counted.value("saga_steps_total", step="a", status=status) == 1


def test_a_completed_saga_is_counted_and_timed() -> None:
    counted, script = Counted(), Script(step("a"))
    script.later(seconds=2)
    counted.tell(script)
    assert counted.value("saga_executions_total", status="completed") == 1
    assert counted.value("saga_duration_ms_sum") == 2_000
    assert counted.value("saga_duration_ms_bucket", le="2500.0") == 1
    assert counted.value("saga_duration_ms_bucket", le="1000.0") == 0


def test_undos_are_counted_and_so_is_their_saga() -> None:
    counted, script = Counted(), Script(step("a"), step("b"))
    script.do("a")
    script.do("b", FOR_GOOD)
    decision = script.undo("a")
    counted.metrics.observe(decision.facts, decision.view)
    assert counted.value("saga_compensations_total") == 1
    assert counted.value("saga_executions_total", status="compensated") == 1


@pytest.mark.parametrize(
    ("direction", "status"), [("undo", "compensation_failed"), ("do", "paused")]
)
def test_sagas_that_need_a_person_are_counted(direction: str, status: str) -> None:
    counted = Counted()
    if direction == "undo":
        script = Script(step("a", on_unknown="COMPENSATE"))
        script.do("a", LOST)
        decision = script.undo("a", FOR_GOOD)
    else:
        decision = Script(step("a", on_unknown="ESCALATE")).do("a", LOST)
    counted.metrics.observe(decision.facts, decision.view)
    assert counted.value("saga_executions_total", status=status) == 1
    timed = counted.value("saga_duration_ms_count")
    assert timed == (1 if direction == "undo" else 0)


def test_a_saga_that_halts_is_counted_and_timed_as_failed() -> None:
    counted, script = Counted(), Script(step("a"), on_failure="HALT")
    counted.tell(script, FOR_GOOD)
    assert counted.value("saga_executions_total", status="failed") == 1
    assert counted.value("saga_duration_ms_count") == 1


def test_a_saga_undone_on_request_is_counted_as_cancelled() -> None:
    counted, script = Counted(), Script(step("a"), step("b"))
    script.do("a")
    decision = script.act(cancel, Who("me"))
    counted.metrics.observe(decision.facts, decision.view)
    decision = script.undo("a")
    counted.metrics.observe(decision.facts, decision.view)
    assert counted.value("saga_executions_total", status="cancelled") == 1
    assert counted.value("saga_executions_total", status="compensated") is None


def test_a_cancelled_saga_that_cannot_be_undone_is_no_clean_end() -> None:
    counted, script = Counted(), Script(step("a"), step("b"))
    script.do("a")
    script.act(cancel, Who("me"))
    decision = script.undo("a", FOR_GOOD)
    counted.metrics.observe(decision.facts, decision.view)
    status = "compensation_failed"
    assert counted.value("saga_executions_total", status=status) == 1


def test_an_operators_pause_is_no_end() -> None:
    counted, script = Counted(), Script(step("a"))
    decision = script.act(pause, Who("me"))
    counted.metrics.observe(decision.facts, decision.view)
    assert counted.value("saga_executions_total", status="paused") is None


def test_the_names_and_labels_are_the_contracts() -> None:
    counted = Counted()
    counted.tell(Script(step("a")))
    text = generate_latest(counted.registry).decode()
    for line in (
        'saga_executions_total{status="completed"} 1.0',
        'saga_steps_total{status="completed",step="a"} 1.0',
        "saga_compensations_total 0.0",
        "saga_duration_ms_count 1.0",
    ):
        assert line in text


def test_nothing_recorded_is_nothing_counted() -> None:
    counted, script = Counted(), Script(step("a"))
    facts: tuple[NewFact, ...] = ()
    counted.metrics.observe(facts, script.view)
    assert counted.value("saga_compensations_total") == 0


def test_a_process_has_one_set_of_metrics() -> None:
    assert saga_metrics() is saga_metrics()
