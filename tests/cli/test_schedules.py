"""``orchestration saga schedules`` against a real database; nothing need run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import migrate
from tests.support.front import linear

pytestmark = pytest.mark.integration


@pytest.fixture
def definition(stack: Any, tmp_path: Path) -> str:
    """A saga's file, and a migrated database."""
    migrate(stack.env)
    path = tmp_path / "linear.json"
    path.write_text(json.dumps(linear(1).to_json()))
    return str(path)


def test_a_schedule_is_added_listed_and_removed(run, run_json, definition):
    assert run("saga", "schedules", "list").stdout == "no schedules yet\n"
    words = ("saga", "schedules", "add", "nightly", definition)
    added = run(*words, "--cron", "0 2 * * *", "--data", '{"order": 7}')
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout.startswith("nightly: first at ")
    assert added.stdout.endswith(" 02:00:00 UTC\n")

    [listed] = run_json("saga", "schedules", "list")
    assert (listed["name"], listed["cron"]) == ("nightly", "0 2 * * *")
    assert listed["initial_data"] == {"order": 7}
    shown = run("saga", "schedules", "list").stdout
    assert "nightly" in shown
    assert "none yet" in shown

    assert run("saga", "schedules", "remove", "nightly").returncode == 0
    gone = run("saga", "schedules", "remove", "nightly")
    assert gone.returncode == 1
    assert "there is no schedule nightly" in gone.stderr


def test_a_period_may_be_counted_from_a_time(run_json, definition):
    words = ("saga", "schedules", "add", "often", definition)
    at = "2100-01-01T00:00:00+01:00"
    added = run_json(*words, "--every", "90", "--first-at", at)
    assert added["every_s"] == 90
    assert added["next_at"].startswith("2099-12-31T23:00:00")


def test_faults_are_told_in_one_line_and_nothing_is_stored(run, run_json, definition):
    words = ("saga", "schedules", "add", "a b", definition)
    refused = run(*words, "--every", "60", "--cron", "* *")
    assert refused.returncode == 2
    for said in ("schedule 'a b': name it", "one of every_s and cron", "has 2 fields"):
        assert said in refused.stderr
    soon = run(*words, "--every", "60", "--first-at", "soon")
    assert soon.returncode == 2
    assert "--first-at is no time" in soon.stderr
    assert run_json("saga", "schedules", "list") == []
