"""The command line: what it prints, in words and JSON, and how it exits."""

import json
import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from eventstore import EventStore, NewEvent, RecordedEvent
from eventstore.cli import cli
from eventstore.subscription import Subscription
from tests.eventstore.conftest import Tamper

pytestmark = pytest.mark.integration

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str) -> Run:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(
            cli, arguments, env={"DATABASE_URL": database_url, "COLUMNS": "200"}
        )

    return call


def test_migrate_says_what_it_applied(run: Run) -> None:
    first = run("migrate")
    assert first.exit_code == 0
    assert first.output.startswith("applied 0001_tables, 0002_")
    assert run("migrate").output == "the schema is up to date\n"
    assert json.loads(run("migrate", "--json").output) == {"applied": []}


def test_the_url_may_be_an_option_and_must_be_somewhere(database_url: str) -> None:
    arguments = ["migrate", "--json", "--database-url", database_url]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    missing = CliRunner().invoke(cli, ["migrate"], env={"DATABASE_URL": ""})
    assert missing.exit_code == 2
    assert "DATABASE_URL" in missing.output


@pytest.mark.parametrize("command", ["tail", "stats", "verify"])
def test_what_cannot_be_told_exits_with_two(run: Run, command: str) -> None:
    result = run(command)
    assert result.exit_code == 2
    assert "es." in result.stderr
    nowhere = run(command, "--database-url", "postgresql://127.0.0.1:1/none")
    assert nowhere.exit_code == 2
    assert "Error: " in nowhere.stderr


def test_verify_is_sound_then_tampered(
    filled: EventStore, run: Run, tamper: Tamper
) -> None:
    sound = run("verify")
    assert (sound.exit_code, sound.output) == (0, "12 events in 3 streams: sound\n")
    tamper("UPDATE es.events SET data = '{}' WHERE stream_id = 2 AND version = 3")
    result = run("verify")
    assert result.exit_code == 1
    assert "stream 'order-2', version 3: its data" in result.output
    assert "TAMPERED" in result.output
    report = json.loads(run("verify", "--json").output)
    assert report["sound"] is False
    assert [(f["stream"], f["version"], f["reason"]) for f in report["failures"]] == [
        ("order-2", 3, "DATA_CHANGED")
    ]
    assert run("verify", "--stream", "order-1").exit_code == 0
    unknown = run("verify", "--stream", "order-9")
    assert unknown.exit_code == 2
    assert "no stream 'order-9'" in unknown.stderr


def test_doctor_names_problem_and_fix(
    store: EventStore, run: Run, tamper: Tamper
) -> None:
    store.append("a", [NewEvent("T", {})])
    tamper("UPDATE es.events SET actor = 'x'")  # leaves its triggers half awake
    result = run("doctor")
    assert result.exit_code == 1
    assert "trigger es.events refuse_update does not always fire" in result.output
    assert "ALTER TABLE es.events ENABLE ALWAYS TRIGGER refuse_update" in result.output
    findings = json.loads(run("doctor", "--json").output)
    assert {"subject", "ok", "problem", "fix"} == set(findings[0])
    assert any(finding["ok"] for finding in findings)


def test_doctor_of_an_empty_database_says_migrate(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert "python -m eventstore migrate" in result.output


def test_stats(filled: EventStore, run: Run) -> None:
    Subscription(filled, "projection", batch_size=5).run_once(lambda _, __: None)
    filled.append("bill-1", [NewEvent("T", {})])
    figures = json.loads(run("stats", "--json").output)
    assert figures["events"] == 13
    assert figures["streams"] == 4
    assert figures["numbered"] == 12
    assert figures["unnumbered"] == 1
    assert figures["categories"] == {"order": 12}
    assert figures["subscriptions"]["projection"]["behind"] == 7
    text = run("stats").output
    assert "category order" in text
    assert "at 4, 7 behind" in text


def seqs(result: Result) -> list[int]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["seq"] for line in result.output.splitlines()]


def test_tail_shows_the_newest_or_from_a_number(filled: EventStore, run: Run) -> None:
    assert seqs(run("tail", "--json", "--limit", "3")) == [9, 10, 11]
    assert seqs(run("tail", "--json", "--from", "2", "--limit", "2")) == [2, 3]
    assert seqs(run("tail", "--json")) == list(range(12))
    line = run("tail", "--limit", "1").output
    assert line.startswith("      11  order-3  4 20")
    assert line.endswith('PLACED {"n": 3, "stream": "order-3"}\n')


def test_tail_of_a_stream_or_category(filled: EventStore, run: Run) -> None:
    result = run("tail", "--stream", "order-2", "--from", "3", "--json")
    events = [json.loads(line) for line in result.output.splitlines()]
    assert [(e["stream"], e["version"]) for e in events] == [
        ("order-2", 3),
        ("order-2", 4),
    ]
    assert "order-2  1 " in run("tail", "--stream", "order-2").output
    assert seqs(run("tail", "--category", "order", "--json", "--limit", "2")) == [0, 1]
    assert seqs(run("tail", "--category", "nothing", "--json")) == []
    both = run("tail", "--category", "order", "--stream", "order-1")
    assert both.exit_code == 2
    assert "exclude each other" in both.output


def test_tail_follows_until_it_is_stopped(
    filled: EventStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = []

    def meanwhile(_: float) -> None:
        """Stand in for the pause between two looks."""
        pauses.append(1)
        if len(pauses) == 3:
            raise KeyboardInterrupt
        filled.append("order-4", [NewEvent("T", {})])
        filled.sequence()

    monkeypatch.setattr("eventstore.cli.time.sleep", meanwhile)
    result = run("tail", "--follow", "--json", "--limit", "2")
    lines = [
        json.loads(line)["seq"] for line in result.output.split("\n") if "{" in line
    ]
    assert lines == [10, 11, 12, 13]


def test_tail_saga_rebuilds_the_tree_of_tasks(store: EventStore, run: Run) -> None:
    saga, root = uuid4(), {"task": "t-1", "parent": None, "root": "t-1"}

    def step(kind: str, task: str, parent: str) -> NewEvent:
        metadata = {"task": task, "parent": parent, "root": "t-1"}
        return NewEvent(kind, {"s": "[x]"}, metadata=metadata, correlation_id=saga)

    store.append(
        f"saga-{saga}",
        [
            NewEvent("SAGA_STARTED", {}),
            NewEvent("STEP_STARTED", {}, metadata=root, correlation_id=saga),
            step("STEP_COMPLETED", "t-2", "t-1"),
            step("SAGA_COMPLETED", "t-3", "t-2"),
        ],
    )
    text = run("tail", "--saga", str(saga)).output
    indent = {
        name: next(line.index(name) for line in text.splitlines() if name in line)
        for name in ("(no task)", "task t-1", "task t-2", "task t-3", "SAGA_COMPLETED")
    }
    assert indent["(no task)"] == indent["task t-1"]
    assert indent["task t-1"] < indent["task t-2"] < indent["task t-3"]
    assert '{"s": "[x]"}' in text
    tree = json.loads(run("tail", "--saga", str(saga), "--json").output)["tasks"]
    assert [node["task"] for node in tree] == [None, "t-1"]
    below = tree[1]["children"][0]
    assert (below["task"], below["children"][0]["task"]) == ("t-2", "t-3")
    assert below["events"][0]["correlation_id"] == str(saga)


def test_tail_of_an_unknown_saga_says_so(store: EventStore, run: Run) -> None:
    result = run("tail", "--saga", "nope")
    assert result.exit_code == 2
    assert "stream 'saga-nope' has no events" in result.stderr


def test_python_m_eventstore(database_url: str, store: EventStore) -> None:
    command = [sys.executable, "-m", "eventstore", "verify", "--json"]
    done = subprocess.run(
        [*command, "--database-url", database_url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["sound"] is True


def test_events_read_by_stream_have_no_number_yet(store: EventStore) -> None:
    store.append("a", [NewEvent("T", {})])
    (event,) = store.read_stream("a")
    assert isinstance(event, RecordedEvent)
    assert event.seq is None
