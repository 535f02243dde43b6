"""The agents' actions: done twice, killed half-way, undone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.csrd.errors import (
    BadRequest,
    ChangedFile,
    CsrdError,
    IncompleteData,
    MissingFactor,
)
from examples.csrd.transaction import COMPANY_WITHOUT_FACTOR, report_request
from orchestration.errors import StepTimedOut

COMPENSABLE = [
    "collect_esg_data",
    "validate_completeness",
    "calculate_metrics",
    "generate_report",
]
ROOT = Path(__file__).parents[3]


def test_the_saga_ends_with_a_report_in_the_outbox(run, home):
    run.whole()
    report = home / "outbox" / run.data["report_id"]
    assert run.data["published"]["path"] == str(report)
    assert run.data["published"]["submitted_to_esma"] is False
    assert (report / "report.html").is_file()
    assert len(json.dumps(run.data)) < 16_000


@pytest.mark.parametrize("name", COMPENSABLE)
def test_undo_leaves_every_byte_as_it_was_before_the_step(run, home, snapshot, name):
    run.up_to(name)
    before = snapshot(home)
    run.do(name)
    assert snapshot(home) != before
    assert run.undo(name)["deleted_files"] > 0
    assert snapshot(home) == before


@pytest.mark.parametrize("name", COMPENSABLE)
def test_undo_of_what_never_came_to_be_changes_nothing(run, home, snapshot, name):
    run.up_to(name)
    before = snapshot(home)
    assert run.undo(name) == {"deleted_files": 0}
    assert snapshot(home) == before


def test_undoing_all_steps_twice_leaves_no_trace_of_the_saga(run, home, snapshot):
    before = snapshot(home)
    run.up_to("publish_report")
    for name in reversed(COMPENSABLE):
        run.undo(name)
        run.undo(name)
    assert snapshot(home) == before


def test_undo_leaves_the_files_of_other_sagas_alone(new_run, home, snapshot):
    new_run("other").do("collect_esg_data")
    before = snapshot(home)
    mine = new_run("mine")
    mine.do("collect_esg_data")
    mine.undo("collect_esg_data")
    assert snapshot(home) == before


@pytest.mark.parametrize("name", [*COMPENSABLE, "publish_report"])
def test_a_second_attempt_with_the_same_key_returns_and_writes_the_same(
    run, home, snapshot, name
):
    run.up_to(name)
    first = run.do(name)
    after_first = snapshot(home)
    assert run.do(name, attempt=2) == first
    assert snapshot(home) == after_first


@pytest.mark.parametrize("name", COMPENSABLE)
def test_a_step_done_again_after_its_undo_makes_the_same_files(
    run, home, snapshot, name
):
    run.up_to(name)
    first = run.do(name)
    files = {k: v for k, v in snapshot(home).items() if "output.json" not in k}
    run.undo(name)
    assert run.do(name, round=2, idempotency_key="second") == first
    again = {k: v for k, v in snapshot(home).items() if "output.json" not in k}
    assert again == files


def test_attempts_at_the_same_time_agree_and_leave_one_result(run, home):
    run.up_to("validate_completeness")

    def attempt(number: int):
        try:
            return run.do("collect_esg_data", attempt=number, idempotency_key="k")
        except FileNotFoundError:  # the slower one lost its half-built folder
            return None

    run.undo("collect_esg_data")
    with ThreadPoolExecutor(4) as pool:
        outputs = [output for output in pool.map(attempt, range(1, 9)) if output]
    assert outputs
    assert all(output == outputs[0] for output in outputs)
    left = [path.name for path in (home / "work" / "saga-1").iterdir()]
    assert left == ["collected"]


def test_an_action_that_fails_half_way_leaves_nothing(run, home, snapshot):
    before = snapshot(home)
    calls = iter(range(100))

    def renew() -> None:
        if next(calls) == 4:
            raise StepTimedOut("time is over")

    with pytest.raises(StepTimedOut):
        run.do("collect_esg_data", renew=renew)
    assert snapshot(home) == before


def test_a_cancelled_saga_stops_collecting_and_leaves_nothing(run, home, snapshot):
    before = snapshot(home)
    with pytest.raises(CsrdError, match="given up"):
        run.do("collect_esg_data", is_cancelled=lambda: True)
    assert snapshot(home) == before


def kill_while_collecting(home: Path) -> None:
    """Run the first step in a process of its own and kill it half-way."""
    code = (
        "from examples.csrd import agents\n"
        "from examples.csrd.transaction import report_request\n"
        "from orchestration.agents import ActionContext\n"
        "agents.collect_data(report_request(), ActionContext(saga_id='saga-1', "
        "step='collect_esg_data', direction='do', attempt=1, round=1, "
        "idempotency_key='saga-1:collect_esg_data:do:1', "
        "metadata={'read_delay_ms': 60_000}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        deadline = time.monotonic() + 180
        while not list(home.glob("work/saga-1/.collected.*/electricity/*.csv")):
            assert time.monotonic() < deadline, "nothing was collected"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_undo_removes_what_a_killed_process_left(run, home, snapshot):
    before = snapshot(home)
    kill_while_collecting(home)
    assert snapshot(home) != before
    assert run.undo("collect_esg_data")["deleted_files"] > 0
    assert snapshot(home) == before


def test_the_next_attempt_completes_what_a_killed_process_began(
    run, new_run, home, snapshot
):
    run.do("collect_esg_data")
    whole = snapshot(home)
    run.undo("collect_esg_data")
    kill_while_collecting(home)
    new_run().do("collect_esg_data", attempt=2)
    assert snapshot(home) == whole


def test_an_attempt_that_fails_for_good_clears_away_a_killed_ones_files(
    run, home, snapshot
):
    before = snapshot(home)
    kill_while_collecting(home)
    with pytest.raises(CsrdError):
        run.do("collect_esg_data", attempt=2, is_cancelled=lambda: True)
    assert snapshot(home) == before


def test_a_site_in_a_country_without_factor_fails_the_calculation(
    new_run, home, snapshot
):
    run = new_run(data=report_request(COMPANY_WITHOUT_FACTOR))
    run.up_to("calculate_metrics")
    before = snapshot(home)
    with pytest.raises(MissingFactor) as caught:
        run.do("calculate_metrics")
    told = str(caught.value)
    assert "country LIE" in told
    assert "LI-VDZ (Vaduz laboratory)" in told
    assert "grid_intensity.csv" in told
    assert snapshot(home) == before


def test_missing_readings_fail_the_check_and_leave_nothing(
    run, own_data, home, snapshot
):
    path = own_data / "companies" / "LEI-1234567890" / "electricity.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(s for s in lines if not s.startswith("PL-LOD,2024-1")))
    run.do("collect_esg_data")
    before = snapshot(home)
    with pytest.raises(IncompleteData, match="PL-LOD: 2024-10, 2024-11, 2024-12"):
        run.do("validate_completeness")
    assert snapshot(home) == before


def test_gaps_are_never_added_up_even_if_no_data_point_requires_the_readings(
    run, own_data
):
    path = own_data / "companies" / "LEI-1234567890" / "electricity.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(s for s in lines if not s.startswith("PL-LOD,2024-12")))
    run.do("collect_esg_data", metadata={"frameworks": ["ESRS-E2"]})
    run.do("validate_completeness")
    with pytest.raises(IncompleteData, match="PL-LOD: 2024-12"):
        run.do("calculate_metrics")


def test_without_the_year_before_the_report_has_no_comparative_and_says_so(
    run, own_data, home
):
    path = own_data / "companies" / "LEI-1234567890" / "electricity.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(s for s in lines if ",2023-" not in s))
    run.whole()
    assert list(run.data["scope2"]) == ["2024"]
    page = Path(run.data["published"]["path"], "report.html").read_text()
    assert "No comparative figures: the year before lacks readings" in page


def test_a_year_before_without_factor_is_left_out_with_the_reason(run, own_data):
    table = own_data / "grid_intensity.csv"
    rows = table.read_text().replace(",2022,", ",2024,").replace(",2023,", ",2024,")
    table.write_text(rows)
    run.whole()
    assert list(run.data["scope2"]) == ["2024"]
    page = Path(run.data["published"]["path"], "report.html").read_text()
    assert "No comparative figures: no electricity factor" in page
    published = Path(run.data["published"]["path"], "completeness.json")
    counts = json.loads(published.read_text())["counts"]
    assert counts == {"complete": 0, "in part": 3, "missing": 1, "not covered": 26}


def test_data_that_changes_after_collecting_does_not_reach_the_report(run, own_data):
    run.do("collect_esg_data")
    path = own_data / "companies" / "LEI-1234567890" / "electricity.csv"
    path.write_text(path.read_text().replace("1259.292", "999999.000"))
    run.do("validate_completeness")
    run.do("calculate_metrics")
    run.do("generate_report")
    figures = run.data["scope2"]["2023"]["electricity_mwh"]
    assert figures == "77086.756"


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ("validate_completeness", "collected"),
        ("generate_report", "figures"),
        ("publish_report", "draft"),
    ],
)
def test_a_file_changed_between_steps_is_refused(run, home, step, key):
    run.up_to(step)
    path = home / run.data[key]["path"]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ChangedFile, match="SHA-256"):
        run.do(step)


def test_a_reading_changed_between_steps_is_refused(run, home):
    run.up_to("validate_completeness")
    path = home / "work" / "saga-1" / "collected" / "electricity" / "FR-LYS.csv"
    path.write_text(path.read_text().replace("meter", "invoice", 1))
    with pytest.raises(ChangedFile, match=r"FR-LYS\.csv"):
        run.do("validate_completeness")


def test_a_file_that_is_gone_is_named_with_the_way_out(run, home):
    run.up_to("validate_completeness")
    (home / run.data["collected"]["path"]).unlink()
    with pytest.raises(ChangedFile, match="let all workers share CSRD_HOME"):
        run.do("validate_completeness")


def test_a_framework_that_is_not_reported_on_is_refused(new_run):
    with pytest.raises(BadRequest, match="add CSRD"):
        new_run(data=report_request() | {"frameworks": ["GRI"]}).do("collect_esg_data")


def test_input_that_a_step_lacks_is_named(run):
    with pytest.raises(BadRequest, match="lacks collected"):
        run.do("validate_completeness")


def test_a_saga_id_that_is_no_file_name_stays_inside_the_home(new_run, home, tmp_path):
    new_run("../../escaped").whole()
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_standards_are_those_of_the_steps_metadata(run):
    run.do("collect_esg_data", metadata={"frameworks": ["ESRS-E1", "ESRS-G1"]})
    assert run.do("validate_completeness")["standards_not_assessed"] == ["ESRS-G1"]
