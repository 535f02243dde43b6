"""What goes wrong before any server is asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
