"""What operators do to sagas by commands, against real servers and workers."""

from __future__ import annotations

import getpass
import json
import os
import pty
import socket
import subprocess
from xml.etree import ElementTree as ET

import pytest

from orchestration.saga import SagaStep, SagaTransaction
from tests.cli.conftest import ROOT, environment, orchestration
from tests.support.front import Front, linear, step
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ONCE = {"max_attempts": 1}


def approval(name: str = "approval", **attributes: str | float) -> SagaTransaction:
    """Return a saga that waits for a signal between two steps."""
    steps = [
        step("s1"),
        SagaStep("approve", depends_on=["s1"], wait_for="approved"),
        step("s3", "approve"),
    ]
    return SagaTransaction(name, steps, search_attributes=attributes)


def escalating(**attributes: str | float) -> SagaTransaction:
    """Return a saga of whose second step nobody knows whether it took effect."""
    steps = [step("s1"), step("s2", "s1", fail="unknown", on_unknown="ESCALATE")]
    return SagaTransaction("escalating", steps, search_attributes=attributes)


def failing_undo(how: str) -> SagaTransaction:
    """Return a saga whose first step cannot be undone at the first attempt."""
    steps = [
        step("s1", undo_fail=how, compensation_retry_policy=ONCE),
        step("s2", "s1", fail="for good"),
    ]
    return SagaTransaction("failing", steps)


def waiting(front: Front, transaction: SagaTransaction) -> str:
    """Start a saga and return its id when it waits for its signal."""
    saga_id = front.start(transaction)
    wait_until(lambda: front.status(saga_id).state == "WAITING", "it waits")
    return saga_id


def act_of(front: Front, saga_id: str, kind: str) -> dict[str, object]:
    [event] = [one for one in front.history(saga_id) if one.type == kind]
    return dict(event.data)


def test_cancel_undoes_a_saga_and_keeps_who_asked_and_why(shared, run):
    saga_id = waiting(shared, approval())
    done = run(
        "saga", "cancel", saga_id[:8], "--why", "wrong order", "--by", "ann@desk"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"✓ {saga_id[:8]} approval cancelled: it is " in done.stdout
    assert shared.wait(saga_id).state == "COMPENSATED"
    told = act_of(shared, saga_id, "SAGA_CANCEL_REQUESTED")
    assert told == {"by": "ann@desk", "why": "wrong order"}
    shown = run("saga", "show", saga_id).stdout
    assert "saga cancelled · by ann@desk: wrong order" in shown


def test_a_refusal_says_what_would_fit_and_is_exit_code_1(shared, run, run_json):
    saga_id = shared.run(linear(1)).saga_id
    done = run("saga", "resume", saga_id)
    assert done.returncode == 1
    assert "is COMPLETED, cannot resume: only a paused saga" in done.stdout
    told = run_json("saga", "pause", saga_id, code=1)
    assert (told["acted"], told["refused"]) == (0, 1)
    [line] = told["sagas"]
    assert (line["saga_id"], line["outcome"]) == (saga_id, "refused")
    assert "only a saga on its way can be paused" in line["reason"]


def test_pause_and_resume_are_by_the_user_and_host_if_nobody_else_is_named(
    shared, run_json
):
    saga_id = waiting(shared, approval())
    assert run_json("saga", "pause", saga_id)["sagas"][0]["state"] == "PAUSED"
    told = act_of(shared, saga_id, "SAGA_PAUSED")
    assert told["by"] == f"{getpass.getuser()}@{socket.gethostname()}"
    assert run_json("saga", "resume", saga_id)["sagas"][0]["outcome"] == "acted"
    assert not shared.status(saga_id).is_on_hold


def test_a_signal_with_data_completes_its_step_and_of_one_id_counts_once(
    shared, run, run_json, tmp_path
):
    saga_id = waiting(shared, approval())
    (tmp_path / "data.json").write_text('{"approver": "ben"}')
    words = ["saga", "signal", saga_id, "approved", "--signal-id", "7"]
    assert run(*words, "--data", f"@{tmp_path / 'data.json'}").returncode == 0
    assert shared.wait(saga_id).result["approver"] == "ben"
    assert run(*words).returncode == 0
    assert shared.types(saga_id).count("SIGNAL_RECEIVED") == 1
    assert "takes: approved" in run("saga", "signal", saga_id, "rejected").stdout


def test_resolve_says_that_an_unknown_step_took_effect(shared, run):
    saga_id = shared.run(escalating()).saga_id
    asks = run("saga", "resolve", saga_id, "s2")
    assert "say whether step 's2' took effect" in asks.stdout
    words = ["--happened", "--output", '{"payment": "P-1"}', "--why", "seen"]
    assert run("saga", "resolve", saga_id, "s2", *words).returncode == 0
    assert shared.wait(saga_id).result["payment"] == "P-1"
    told = act_of(shared, saga_id, "STEP_RESOLVED")
    assert (told["happened"], told["why"]) == (True, "seen")


def test_resolve_says_that_an_unknown_step_did_not_take_effect(shared, run):
    saga_id = shared.run(escalating()).saga_id
    assert run("saga", "resolve", saga_id, "s2", "--not-happened").returncode == 0
    status = shared.wait(saga_id)
    assert (status.state, status.compensated_steps) == ("COMPENSATED", ("s1",))


def test_a_dead_letter_is_listed_until_a_retry_settles_it(shared, run, run_json):
    saga_id = shared.run(failing_undo("once")).saga_id
    [letter] = run_json("saga", "dead-letters", saga_id[:8])
    assert (letter["saga_id"], letter["step"]) == (saga_id, "s1")
    assert letter["error"]["message"] == "s1 fails once"
    listed = run("saga", "dead-letters").stdout
    assert "ValueError: s1 fails once" in listed
    assert saga_id[:8] in listed
    assert run("saga", "retry", saga_id, "--why", "mended").returncode == 0
    assert shared.wait(saga_id).state == "COMPENSATED"
    assert run_json("saga", "dead-letters", saga_id) == []


@pytest.mark.parametrize(
    ("words", "undone", "left"),
    [(("resolve",), ("s1",), ()), (("skip",), (), ("s1",))],
)
def test_a_dead_letter_is_settled_by_a_person(shared, run, words, undone, left):
    saga_id = shared.run(failing_undo("for good")).saga_id
    done = run("saga", *words, saga_id, "s1", "--why", "by phone")
    assert done.returncode == 0, done.stdout
    status = shared.wait(saga_id)
    assert status.state == "COMPENSATED"
    assert (status.compensated_steps, status.uncompensated_steps) == (undone, left)


def test_replay_undoes_once_more_from_a_step_on(shared, run):
    saga_id = shared.run(linear(3, s3={"fail": "for good"})).saga_id
    done = run("saga", "replay", saga_id, "--from-step", "s1", "--why", "lost")
    assert done.returncode == 0, done.stdout
    assert shared.wait(saga_id).state == "COMPENSATED"
    undone = [e for e in shared.history(saga_id) if e.type == "STEP_COMPENSATED"]
    assert [(e.data["step"], e.data["round"]) for e in undone] == [
        ("s2", 1),
        ("s1", 1),
        ("s1", 2),
    ]


def test_retry_from_a_step_undoes_it_and_begins_with_it_anew(shared, run):
    halting = linear(3, s3={"fail": "for good"}, on_failure="HALT")
    saga_id = shared.run(halting).saga_id
    done = run("saga", "retry", saga_id, "--from-step", "s2", "--why", "wrong figures")
    assert done.returncode == 0, done.stdout
    shared.wait(saga_id)
    rewound = act_of(shared, saga_id, "SAGA_REWOUND")
    assert (rewound["from_step"], rewound["why"]) == ("s2", "wrong figures")
    done_again = [e for e in shared.history(saga_id) if e.type == "STEP_COMPLETED"]
    assert [e.data["step"] for e in done_again] == ["s1", "s2", "s2"]


def test_fork_begins_anew_with_other_data_and_says_the_new_id(shared, run_json):
    saga_id = shared.run(linear(1), order=7).saga_id
    told = run_json(
        *("saga", "fork", saga_id, "--data", '{"order": 8}', "--why", "again")
    )
    [line] = told["sagas"]
    assert shared.wait(line["new_id"]).state == "COMPLETED"
    started = act_of(shared, line["new_id"], "SAGA_STARTED")
    assert (started["forked_from"], started["why"]) == (saga_id, "again")
    assert started["initial_data"] == {"order": 8}


def test_a_dry_run_shows_what_a_bulk_act_is_for_and_does_nothing(shared, run, run_json):
    ids = {waiting(shared, approval(batch="dry", row=row)) for row in (1, 2)}
    waiting(shared, approval(batch="other"))
    words = ["saga", "cancel", "--all-matching", "--attribute", "batch=dry"]
    told = run_json(*words, "--dry-run")
    assert {line["saga_id"] for line in told["sagas"]} == ids
    assert (told["found"], told["acted"], told["dry_run"]) == (2, 0, True)
    text = run(*words, "--attribute", "row=2", "--dry-run").stdout
    assert "1 saga would be cancelled" in text
    assert {shared.status(one).state for one in ids} == {"WAITING"}


def test_a_bulk_act_is_refused_where_nobody_can_be_asked(shared, run):
    saga_id = waiting(shared, approval(batch="asked"))
    words = ["saga", "pause", "--all-matching", "--attribute", "batch=asked"]
    done = run(*words)
    assert done.returncode == 2
    assert "1 saga would be paused: say --yes, or --dry-run" in done.stderr
    assert not shared.status(saga_id).is_on_hold


@pytest.mark.parametrize(("answer", "is_paused"), [("y", True), ("n", False)])
def test_a_bulk_act_at_a_terminal_asks_first(shared, running, answer, is_paused):
    saga_id = waiting(shared, approval(batch=f"prompt-{answer}"))
    words = ["saga", "pause", "--all-matching", "--name", "approval", "--attribute"]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            orchestration(*words, f"batch=prompt-{answer}"),
            cwd=ROOT,
            env=environment(running.env),
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "pause 1 saga? [y/N]" in done.stderr
    assert (done.returncode == 0) is is_paused
    assert shared.status(saga_id).is_on_hold is is_paused


def test_a_bulk_act_goes_on_over_refusals_and_ends_with_a_summary(
    shared, run, run_json
):
    held = [waiting(shared, approval(batch="mixed")) for _ in range(2)]
    stuck = shared.run(escalating(batch="mixed")).saga_id
    words = ["--all-matching", "--attribute", "batch=mixed", "--yes"]
    paused = run("saga", "pause", *words, "--why", "bank is down")
    assert "2 sagas paused, 0 refused" in paused.stdout
    told = run_json("saga", "resume", *words, code=1)
    assert (told["found"], told["acted"], told["refused"]) == (3, 2, 1)
    refused = [line for line in told["sagas"] if line["outcome"] == "refused"]
    assert [line["saga_id"] for line in refused] == [stuck]
    assert "it paused by itself" in refused[0]["reason"]
    assert not any(shared.status(one).is_on_hold for one in held)
    again = run("saga", "resume", *words)
    assert again.returncode == 1
    assert "0 sagas resumed, 1 refused" in again.stdout


def test_a_bulk_act_takes_the_newest_that_fit_up_to_its_limit(shared, run_json):
    ids = [waiting(shared, approval("limited")) for _ in range(3)]
    words = ["saga", "cancel", "--all-matching", "--name", "limited", "--limit", "2"]
    told = run_json(*words, "--dry-run", "--since", "1h")
    assert [line["saga_id"] for line in told["sagas"]] == [ids[2], ids[1]]
    assert run_json(*words, "--dry-run", "--until", "1h")["sagas"] == []


def test_list_finds_by_attributes_and_goes_on_page_by_page(shared, run, run_json):
    ids = [shared.start(approval(shop="munich", row=row)) for row in range(3)]
    words = ["saga", "list", "--attribute", "shop=munich"]
    first = run_json(*words, "--limit", "2")
    assert [line["saga_id"] for line in first] == [ids[2], ids[1]]
    assert first[0]["search_attributes"] == {"shop": "munich", "row": 2}
    rest = run_json(*words, "--limit", "2", "--after", first[-1]["saga_id"])
    assert [line["saga_id"] for line in rest] == [ids[0]]
    text = run(*words, "--limit", "2").stdout
    assert f"older ones: the same with --after {ids[1][:8]}" in text
    assert run_json(*words, "--attribute", "row=1")[0]["saga_id"] == ids[1]
    assert run_json(*words, "--until", "2020-01-01") == []


def test_a_template_is_listed_and_run_by_its_name_with_parameters(
    shared, run, run_json, tmp_path
):
    template = {
        "name": "order",
        "version": "1.2.0",
        "description": "One step of work.",
        "parameters": {
            "customer": {"type": "string"},
            "timeout_ms": {"type": "integer", "default": 60_000},
        },
        "saga": linear(1).to_json() | {"timeout_ms": "${timeout_ms}"},
        "initial_data": {"customer": "${customer}"},
    }
    (tmp_path / "order.json").write_text(json.dumps(template))
    (tmp_path / "broken.json").write_text("{}")
    given = {"ORCHESTRATION_TEMPLATES_DIR": str(tmp_path)}
    sound, broken = run_json("saga", "templates", **given)
    assert (sound["name"], sound["version"], sound["faults"]) == ("order", "1.2.0", [])
    assert broken["faults"]
    listed = run("saga", "templates", str(tmp_path)).stdout
    assert "order@1.2.0" in listed
    assert "customer, timeout_ms=60000" in listed
    words = ["saga", "run", "order@1.2.0", "--param", "customer=7", "--id", "order-7"]
    done = run(*words, "--param", "timeout_ms=50000", "--data", '{"n": 1}', **given)
    assert done.returncode == 0, done.stdout + done.stderr
    started = act_of(shared, "order-7", "SAGA_STARTED")
    assert started["definition"]["template"] == "order@1.2.0"
    assert started["definition"]["timeout_ms"] == 50_000
    assert started["initial_data"] == {"customer": "7", "n": 1}
    missing = run("saga", "run", "order", **given)
    assert missing.returncode == 2
    assert "parameter 'customer' is missing" in missing.stderr


def test_show_writes_a_picture_of_the_saga(shared, run, tmp_path):
    saga_id = shared.run(linear(3, s3={"fail": "for good"})).saga_id
    file = tmp_path / "saga.svg"
    done = run("saga", "show", saga_id, "--svg", str(file))
    assert (done.returncode, done.stdout.strip()) == (0, f"✓ {file}")
    root = ET.parse(file).getroot()
    assert root[0].text == "Saga linear, COMPENSATED"
    piped = run("saga", "show", saga_id, "--svg", "-").stdout
    assert ET.fromstring(piped)[0].text == "Saga linear, COMPENSATED"


def test_an_operators_hold_is_no_end_to_those_who_follow(shared, running, run):
    saga_id = waiting(shared, approval())
    assert run("saga", "pause", saga_id).returncode == 0
    with subprocess.Popen(
        orchestration("saga", "show", saga_id, "--follow"),
        cwd=ROOT,
        env=environment(running.env) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        while "saga paused" not in (line := following.stdout.readline()):
            assert line, "it ended before the saga did"
        run("saga", "signal", saga_id, "approved")
        run("saga", "resume", saga_id)
        rest = following.stdout.read()
    assert following.returncode == 0
    assert "✓ COMPLETED" in rest
