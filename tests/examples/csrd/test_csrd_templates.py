"""The saga templates: the report's is the report, the figures' runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import examples.csrd
from examples.csrd.transaction import COMPANY, csrd_transaction, report_request
from orchestration.adapters.template_folder import TemplateFolder
from orchestration.core.saga.checks import definition_faults
from orchestration.errors import InvalidTemplate

FOLDER = TemplateFolder(Path(examples.csrd.__file__).parent / "saga_templates")
ASKED = {"company_id": COMPANY, "reporting_period": "2024-Q4"}


def test_all_templates_are_sound():
    found = FOLDER.list()
    assert [f.template.label for f in found] == [
        "csrd_figures@1.0.0",
        "csrd_report@1.0.0",
    ]
    assert [f.faults for f in found] == [(), ()]
    for each in found:
        assert definition_faults(each.template.transaction(ASKED)) == ()


def test_the_reports_template_is_the_examples_own_transaction():
    template = FOLDER.load("csrd_report", "1.0.0")
    made = template.transaction(ASKED, transaction_id="t-1")
    assert made.template == "csrd_report@1.0.0"
    assert replace(made, template="") == csrd_transaction(transaction_id="t-1")
    assert template.initial_data(ASKED) == report_request()


def test_so_it_is_with_other_parameters():
    template = FOLDER.load("csrd_report")
    asked = {
        "company_id": "LEI-0987654321",
        "reporting_period": "2024",
        "standards": ["ESRS-E1"],
    }
    assert (
        replace(template.transaction(asked), template="").to_json()
        == csrd_transaction(standards=["ESRS-E1"]).to_json()
    )
    assert template.initial_data(asked) == report_request("LEI-0987654321", "2024")
    data = template.initial_data(asked | {"frameworks": ["CSRD", "GRI"]})
    assert data["frameworks"] == ["CSRD", "GRI"]


def test_a_report_needs_a_company_and_a_period():
    with pytest.raises(InvalidTemplate) as caught:
        FOLDER.load("csrd_report").transaction({})
    assert [fault.split("'")[1] for fault in caught.value.faults] == [
        "company_id",
        "reporting_period",
    ]


def test_the_figures_are_calculated_and_nothing_is_published(home, new_run):
    template = FOLDER.load("csrd_figures")
    run = new_run(
        data=template.initial_data(ASKED), steps=template.transaction(ASKED).steps
    ).whole()
    whole = new_run(saga_id="saga-2").whole()
    key = "scope2_location_based_tco2e"
    assert run.data[key] == whole.data[key]
    assert not (home / "work" / "saga-1" / "report").exists()
    assert [path.name for path in (home / "outbox").iterdir()] == [
        whole.data["report_id"]
    ]
