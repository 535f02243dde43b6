"""Where messages would go, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

RULES = """
[[rules]]
name = "carbon"
condition = "payload.get('task_type') == 'carbon'"
targets = ["agent-effects", "agent-nobody"]
strategy = "ROUND_ROBIN"

[routes.calculator]
targets = ["agent-effects"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


def test_explain_tells_which_rule_and_which_agents(running, run, run_json, rules):
    words = ("route", "explain", "whoever", "--rules", rules)
    told = run_json(*words, "--payload", '{"task_type": "carbon"}', code=0)
    assert told["rule"] == "carbon"
    assert told["targets"] == told["candidates"] == ["agent-effects"]
    assert told["unknown_targets"] == ["agent-nobody"]
    shown = run(*words, "--payload", '{"task_type": "carbon"}')
    assert shown.returncode == 0
    assert "goes to" in shown.stdout
    assert "agent-nobody" in shown.stdout
    assert "ROUND_ROBIN, turn" in shown.stdout


def test_a_message_is_given_whole_or_by_options(running, run_json, rules, tmp_path):
    message = {"recipient_id": "calculator", "sender_id": "me", "message_type": "EVENT"}
    (tmp_path / "message.json").write_text(json.dumps(message))
    given = ("--message", f"@{tmp_path / 'message.json'}")
    told = run_json("route", "explain", *given, "--rules", rules, code=0)
    assert told["rule"] == "static:calculator"
    static = ("--static", "other=agent-effects")
    told = run_json("route", "explain", "other", *given, *static, code=0)
    assert told["rule"] == "static:other"
    told = run_json(
        "route", "explain", "calculator", code=0, ORCHESTRATION_ROUTES_FILE=rules
    )
    assert told["rule"] == "static:calculator"


def test_what_has_no_way_is_told_and_exits_with_an_error(running, run, run_json):
    told = run_json("route", "explain", "nobody", code=1)
    assert told["error"] == "NoRoute"
    shown = run("route", "explain", "nobody")
    assert shown.returncode == 2
    assert "there is no way for a message to 'nobody'" in shown.stderr
    assert run("route", "explain").returncode == 2


def test_a_broken_file_of_rules_is_named_with_its_faults(running, run, tmp_path):
    path = tmp_path / "rules.toml"
    for text, fault in (
        ("[[rules]]\nname = 'x'\n", "it leads nowhere"),
        ("[[rules]]\nname = 'x'\nwhere = 1\n", "unexpected keyword argument 'where'"),
        ("[[rules]\n", "is no TOML"),
        ("[rule]\n", "it may hold 'rules' and 'routes'"),
    ):
        path.write_text(text)
        done = run("route", "explain", "x", "--rules", str(path))
        assert done.returncode == 2
        assert fault in " ".join(done.stderr.split())
    done = run("route", "explain", "x", "--rules", str(tmp_path / "none.toml"))
    assert "name one that is there" in " ".join(done.stderr.split())


def test_replay_of_nothing_is_all_of_it(running, run, run_json):
    assert run_json("route", "replay", code=0) == {"count": 0, "differences": []}
    assert "0 of 0" in run("route", "replay").stdout
