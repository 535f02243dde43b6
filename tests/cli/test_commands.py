"""Each command against real servers and workers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT
from tests.support.front import linear
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def undone(shared) -> str:
    """The id of a saga whose third step failed for good."""
    return shared.run(linear(3, s3={"fail": "for good"})).saga_id


def test_list_show_and_history_tell_of_a_saga(running, run, run_json, undone):
    [line] = [one for one in run_json("saga", "list") if one["saga_id"] == undone]
    assert line["state"] == "COMPENSATED"
    assert run_json("saga", "list", "--state", "paused") == []

    status = run_json("saga", "show", undone)
    assert status["compensated_steps"] == ["s2", "s1"]
    assert status["failed_step"] == "s3"

    events = run_json("saga", "history", undone)
    assert [e["version"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "COMPENSATION_COMPLETED"
    assert len(events[0]["hash"]) == 64

    shown = run("saga", "show", undone[:8])
    assert "s3 gave up: NonRetryable: s3 fails for good" in shown.stdout
    assert "↶ s1" in shown.stdout
    assert "all undone" in run("saga", "history").stdout
    assert undone[:8] in run("saga", "list").stdout


def test_output_that_is_piped_has_no_colours(running, run, undone):
    assert "\x1b" not in run("saga", "show", undone).stdout


def test_follow_tells_each_event_until_the_end(shared, running, run, tmp_path):
    gate = tmp_path / "gate"
    saga_id = shared.start(linear(2, s2={"wait_for_file": str(gate)}))
    words = ["-m", "orchestration", "saga", "show", saga_id, "--follow"]
    with subprocess.Popen(
        [sys.executable, "-u", *words],
        cwd=ROOT,
        env={**running.env, "PATH": "", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        seen = []
        while not any("step started     s2" in line for line in seen):
            seen.append(following.stdout.readline())
            assert seen[-1], "it ended before the saga did"
        gate.touch()
        rest = following.stdout.read()
    assert following.returncode == 0
    assert "saga completed" in rest
    assert "✓ COMPLETED" in rest


def test_run_starts_a_saga_and_tells_by_its_exit_code_how_it_ended(
    running, run, run_json, tmp_path
):
    for name, options in {"good": {}, "bad": {"s2": {"fail": "for good"}}}.items():
        definition = linear(2, **options).to_json()
        (tmp_path / f"{name}.json").write_text(json.dumps(definition))
    good = run("saga", "run", str(tmp_path / "good.json"), "--data", '{"a": 1}')
    assert good.returncode == 0
    assert "✓ COMPLETED" in good.stdout
    bad = run("saga", "run", str(tmp_path / "bad.json"), "--id", "bad-1", "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["state"] == "COMPENSATED"
    assert run_json("saga", "show", "bad-1")["state"] == "COMPENSATED"


def test_run_takes_a_definition_out_of_a_module(running, run):
    done = run("saga", "run", "tests.support.front:linear")
    assert done.returncode == 0, done.stderr


def test_agents_says_who_hosts_them(running, run, run_json):
    found = {agent["agent_id"]: agent for agent in run_json("agents")}
    assert set(found) == {"agent-effects", "agent-second"}
    assert "work" in found["agent-effects"]["actions"]
    assert len(found["agent-effects"]["live"]) == 1
    assert "agent-second" in run("agents").stdout


def test_doctor_is_content_with_a_whole_stack(running, run_json):
    def wrong() -> list[str]:
        findings = run_json("doctor")["findings"]
        says = [one["says"] for one in findings if one["verdict"] == "wrong"]
        # The tests' server trades safety for speed, and the doctor sees it.
        return [one for one in says if "a crash may lose" not in one]

    wait_until(lambda: wrong() == [], "the doctor finds nothing wrong")


def test_health_of_a_worker_is_that_of_this_host(running, run):
    assert run("health", "worker").returncode == 0
    elsewhere = run("health", "worker", "--host", "elsewhere")
    assert elsewhere.returncode == 1
    assert "no worker on elsewhere" in elsewhere.stderr


def test_migrate_says_what_it_did_and_then_has_nothing_to_do(run, database_url):
    first = run("migrate", DATABASE_URL=database_url)
    assert first.returncode == 0, first.stderr
    assert "✓ orch 0001" in first.stdout
    again = run("migrate", "--json", DATABASE_URL=database_url)
    assert json.loads(again.stdout)["applied"] == []


def test_schema_that_is_missing_is_named_with_the_command(run, database_url):
    done = run(
        "saga", "list", DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert done.returncode == 2
    assert "orchestration migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_saga_is_named_and_how_to_list(running, run, undone):
    done = run("saga", "show", "no-such-saga")
    assert done.returncode == 2
    assert "no saga no-such-saga" in done.stderr
    assert "orchestration saga list" in done.stderr
