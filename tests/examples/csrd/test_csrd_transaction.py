"""The saga's definition, and the agents that it names."""

from __future__ import annotations

import itertools

from examples.csrd.transaction import csrd_transaction, report_request
from orchestration.agents import hosted_agents


def test_steps_name_agents_actions_and_compensations_that_exist(run):
    by_id = {agent.agent_id: agent for agent in hosted_agents()}
    for step in csrd_transaction().steps:
        assert step.action in by_id[step.agent_id].actions
        if step.compensation:
            assert step.compensation in by_id[step.agent_id].actions


def test_it_is_the_five_steps_in_a_row_with_the_report_as_pivot():
    steps = csrd_transaction().steps
    assert [(s.name, s.agent_id, s.action, s.compensation) for s in steps] == [
        (
            "collect_esg_data",
            "agent-data-collector",
            "collect_data",
            "delete_collected_data",
        ),
        (
            "validate_completeness",
            "agent-validator",
            "validate_framework_completeness",
            "reset_validation_state",
        ),
        (
            "calculate_metrics",
            "agent-calculator",
            "calculate_csrd_metrics",
            "clear_calculations",
        ),
        (
            "generate_report",
            "agent-reporter",
            "generate_xbrl_report",
            "delete_draft_report",
        ),
        ("publish_report", "agent-publisher", "publish_to_esma", None),
    ]
    for before, after in itertools.pairwise(steps):
        assert tuple(after.depends_on) == (before.name,)
    assert [s.name for s in steps if s.is_pivot] == ["generate_report"]


def test_each_transaction_has_an_id_of_its_own_unless_one_is_given():
    assert csrd_transaction().transaction_id != csrd_transaction().transaction_id
    assert csrd_transaction(transaction_id="t-1").transaction_id == "t-1"


def test_pacing_is_in_the_metadata_of_the_collecting_step_only():
    first, *others = csrd_transaction(read_delay_ms=150).steps
    assert first.metadata["read_delay_ms"] == 150
    assert all("read_delay_ms" not in step.metadata for step in others)


def test_the_request_is_plain_json():
    assert report_request() == {
        "company_id": "LEI-1234567890",
        "reporting_period": "2024-Q4",
        "frameworks": ["CSRD"],
    }
