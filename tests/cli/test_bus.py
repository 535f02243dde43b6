"""``orchestration bus dead-letters``, as operators use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Stack
from tests.support.talking import Talk, talk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def talking(stack: Stack, tmp_path: Path) -> Iterator[Talk]:
    stack.env["EFFECTS_FILE"] = str(tmp_path / "effects")
    stack.worker("-I", "tests.support.talking_agents", "-c", "1")
    with talk(stack.env) as talking:
        yield talking


def test_dead_letters_are_listed_shown_retried_and_discarded(talking, run, run_json):
    assert "no dead letters" in run("bus", "dead-letters", "list").stdout
    sent = [talking.command(fails_for_good=True, n=n) for n in range(3)]
    talking.send(*sent)
    talking.await_letters(3)

    first = run_json("bus", "dead-letters", "list", "--limit", "2")
    rest = run_json(
        "bus", "dead-letters", "list", "--after", str(first[-1]["letter_id"])
    )
    assert len(first + rest) == 3
    shown = run("bus", "dead-letters", "list", "--reason", "failed").stdout
    assert sent[0].message_id[:8] in shown
    assert "FAILED: never" in shown
    number = str(first[0]["letter_id"])
    assert run_json("bus", "dead-letters", "show", number)["item"]["message"][
        "payload"
    ] == {"fails_for_good": True, "n": 2}
    assert '"n": 2' in run("bus", "dead-letters", "show", number).stdout
    assert run("bus", "dead-letters", "show", "999").returncode == 1

    done = run_json("bus", "dead-letters", "retry", number, "--by", "ann")
    assert done["acted"] == [int(number)]
    wait_until(lambda: talking.letters()[0].deaths == 2, "it dies again")

    agent = ("--all-matching", "--agent", "agent-talker")
    would = run("bus", "dead-letters", "discard", *agent, "--dry-run")
    assert "3 would be given up" in would.stdout
    assert run("bus", "dead-letters", "discard", *agent).returncode == 2
    assert "3 given up" in run("bus", "dead-letters", "discard", *agent, "--yes").stdout
    assert talking.letters() == ()

    # What is settled is settled; what was meant has to be said.
    assert run("bus", "dead-letters", "retry", number).returncode == 1
    assert run("bus", "dead-letters", "retry").returncode == 2
    assert run("bus", "dead-letters", "retry", "--all-matching").returncode == 2
    listed = json.loads(
        run("bus", "dead-letters", "list", "--state", "all", "--json").stdout
    )
    assert {one["state"] for one in listed} == {"DISCARDED"}
