"""What goes wrong before any server is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from orchestration.cli.options import attributes_of, moment
from tests.cli.conftest import ROOT

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def test_help_loads_no_driver():
    script = (
        "import sys, json, orchestration.cli\n"
        "print(json.dumps([m for m in sys.modules if '.' not in m]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"celery", "kombu", "sqlalchemy", "psycopg2", "redis", "numpy", "rich"}
    assert not heavy & set(json.loads(done.stdout))


def test_missing_address_is_one_line_on_stderr(run):
    done = run("saga", "list")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(run):
    assert "Traceback" in run("--debug", "saga", "list").stderr


def test_server_that_does_not_answer_is_told_at_once(run):
    done = run("saga", "list", DATABASE_URL=NOBODY, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 2
    assert "nothing answers at 127.0.0.1:1, which DATABASE_URL names" in done.stderr
    assert "orchestration up" in done.stderr


def test_doctor_reports_servers_that_do_not_answer(run):
    urls = {"DATABASE_URL": NOBODY, "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = run("doctor", "--json", **urls)
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    wrong = {one["subject"] for one in findings if one["verdict"] == "wrong"}
    assert wrong == {"postgres", "broker", "redis"}


def test_env_without_a_stack_prints_nothing_to_evaluate(run, tmp_path):
    done = run("env", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "orchestration up" in done.stderr


def test_up_names_a_module_that_is_not_there(run, tmp_path):
    done = run("up", "-I", "no.such.module", TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert "no module 'no.such.module'" in done.stderr


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("missing.json", "No such file"),
        ("no_such_module:saga", "No module named"),
        ("orchestration.saga:SagaStep", "missing a required"),
        ("orchestration.errors:__all__", "list, no SagaTransaction"),
    ],
)
def test_run_says_what_is_wrong_with_a_definition(run, definition, said):
    done = run("saga", "run", definition)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cancel", "name a saga by its ID, or many by --all-matching"),
        ("cancel 7 --all-matching --state paused", "exclude each other"),
        ("cancel --all-matching", "needs something to match: --state"),
        ("cancel 7 --name order", "go with --all-matching"),
        ("cancel 7 --limit 3", "go with --all-matching"),
        ("resolve 7", "give ID and STEP, not 7"),
        ("skip --all-matching --name order 7 s1", "give STEP alone, not 7 s1"),
        ("signal 7", "give ID and NAME, not 7"),
        ("fork --id new --all-matching --name order", "--id is for one saga"),
        ("signal 7 approved --data {", "it is no JSON"),
        ("signal 7 approved --data @missing.json", "No such file"),
        ("resolve 7 s1 --output [1]", "it is no JSON object"),
        ("list --attribute shop", "'shop' is no NAME=VALUE"),
        ("list --since yesterday", "give 2026-01-31, 2026-01-31T12:00, or how long"),
        ("list --state sleeping", "'sleeping' is not one of"),
        ("run order.json --param a=1", "--param is for templates"),
        ("run no_such_thing", "No module named 'no_such_thing'"),
        ("run no_such_thing", "the folder of templates sagas cannot be read"),
        ("run order@1.0.0", "the folder of templates sagas cannot be read"),
        ("show 7 --svg - --json", "--svg - has stdout for itself"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_any_server_is_asked(
    run, words, said
):
    done = run("saga", *words.split())
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("munich", "munich"),
        ("7", 7),
        ("1.5", 1.5),
        ('"7"', "7"),
        ("true", "true"),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
def test_attributes_that_read_as_numbers_are_numbers(text, value):
    assert attributes_of({"shop": text}) == {"shop": value}


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", 90), ("15min", 900), ("2h", 7_200), ("1.5d", 129_600)],
)
def test_times_may_be_told_by_how_long_ago_they_are(text, ago):
    found = moment(None, None, text)
    gone = datetime.now(UTC) - found
    assert gone - timedelta(seconds=60) < timedelta(seconds=ago) <= gone


def test_times_without_a_zone_are_local():
    assert moment(None, None, "2026-01-31T12:00+02:00").astimezone(UTC).hour == 10
    local = datetime(2026, 1, 31).astimezone()
    assert moment(None, None, "2026-01-31") == local
