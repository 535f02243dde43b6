"""The saga of a CSRD report: five steps, each undone by its compensation.

transaction = csrd_transaction()
result = await saga.execute(transaction, report_request())
result["report_id"]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestration.saga import CompensationStrategy, SagaStep, SagaTransaction

__all__ = [
    "COMPANY",
    "COMPANY_WITHOUT_FACTOR",
    "csrd_transaction",
    "report_request",
]

COMPANY = "LEI-1234567890"
"""Its data is whole: the saga completes."""

COMPANY_WITHOUT_FACTOR = "LEI-0987654321"
"""It has a site in Liechtenstein, of which the table of factors knows nothing:
``calculate_metrics`` fails for good, and the two steps before it are undone."""


def csrd_transaction(
    *,
    standards: Sequence[str] = ("ESRS-E1", "ESRS-E2", "ESRS-S1"),
    read_delay_ms: float = 0,
    transaction_id: str | None = None,
) -> SagaTransaction:
    """Return the saga that makes and publishes a report.

    Args:
        standards: The standards to check against; only ESRS-E1 has data points
            here, the others are reported as not assessed.
        read_delay_ms: A wait after each site that is collected, milliseconds; it
            gives demonstrations the time to kill a worker in mid-step.
        transaction_id: Of the saga; None: a new one.
    """
    metadata: dict[str, Any] = {"frameworks": list(standards)}
    if read_delay_ms:
        metadata["read_delay_ms"] = read_delay_ms
    transaction = SagaTransaction(
        name="csrd_report_generation",
        compensation_strategy=CompensationStrategy.BACKWARD,
        timeout_ms=600_000,
        steps=_steps(metadata),
    )
    if transaction_id is None:
        return transaction
    return replace(transaction, transaction_id=transaction_id)


def report_request(
    company_id: str = COMPANY, reporting_period: str = "2024-Q4"
) -> dict[str, Any]:
    """Return the ``initial_data`` of a report."""
    return {
        "company_id": company_id,
        "reporting_period": reporting_period,
        "frameworks": ["CSRD"],
    }


def _steps(metadata: dict[str, Any]) -> list[SagaStep]:
    return [
        SagaStep(
            name="collect_esg_data",
            agent_id="agent-data-collector",
            action="collect_data",
            compensation="delete_collected_data",
            timeout_ms=120_000,
            metadata=metadata,
        ),
        SagaStep(
            name="validate_completeness",
            agent_id="agent-validator",
            action="validate_framework_completeness",
            compensation="reset_validation_state",
            depends_on=["collect_esg_data"],
            retry_policy={"max_attempts": 3, "backoff_ms": 2_000},
        ),
        SagaStep(
            name="calculate_metrics",
            agent_id="agent-calculator",
            action="calculate_csrd_metrics",
            compensation="clear_calculations",
            depends_on=["validate_completeness"],
            timeout_ms=180_000,
        ),
        SagaStep(
            name="generate_report",
            agent_id="agent-reporter",
            action="generate_xbrl_report",
            compensation="delete_draft_report",
            depends_on=["calculate_metrics"],
            is_pivot=True,
        ),
        SagaStep(
            name="publish_report",
            agent_id="agent-publisher",
            action="publish_to_esma",
            depends_on=["generate_report"],
        ),
    ]
