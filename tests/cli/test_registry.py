"""``orchestration registry``, as operators use it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, environment, orchestration
from tests.support.registry import SECRET, RegistrySide, registry_side
from tests.support.servers import wipe
from tests.support.waiting import wait_until

integration = pytest.mark.integration

NOBODY = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


@pytest.fixture
def side(stack, request) -> Iterator[RegistrySide]:
    """What registers, hears and sweeps, on the servers that the commands read."""
    given = getattr(request, "param", {})
    with registry_side(
        stack.env["DATABASE_URL"], stack.env["REDIS_URL"], key_prefix="", **given
    ) as side:
        yield side


@pytest.fixture
def fleet(side: RegistrySide) -> RegistrySide:
    """Six agents; 0 and 3 are DEGRADED."""
    for n in range(6):
        side.register(
            f"agent-calc-{n}",
            version=f"1.{n}.0",
            tags=["production"] if n % 2 else ["staging"],
            location="mars" if n < 2 else "venus",
            cost_per_request=float(10 - n),
            heartbeat_interval_s=600.0,  # it outlasts the commands, on any host
        )
        side.beat(f"agent-calc-{n}", error_rate=0.5 if n in (0, 3) else 0.01 * n)
    side.sweep()
    return side


def ids(agents: list[dict[str, str]]) -> str:
    return "".join(one["agent_id"][-1] for one in agents)


@integration
def test_agents_are_listed_by_what_is_asked_and_in_pages(fleet, run, run_json):
    def listed(*words: str) -> str:
        return ids(run_json("registry", "list", *words))

    assert listed() == "012345"
    assert listed("--status", "degraded", "--location", "venus") == "3"
    assert listed("--tag", "production", "--version", ">=1.3") == "35"
    assert listed("-c", "carbon_calculation", "--min-health", "0.9") == "1245"
    assert listed("--limit", "2", "--after", "agent-calc-2") == "34"
    shown = run("registry", "list", "--limit", "4").stdout
    assert "6 agents: 4 ACTIVE, 2 DEGRADED" in shown
    assert "--after agent-calc-3" in shown
    assert "no agents" in run("registry", "list", "--tag", "x").stdout


@integration
def test_the_past_is_listed_as_it_was(fleet, run, run_json):
    before = datetime.now(UTC)
    fleet.deregister("agent-calc-1")
    assert ids(run_json("registry", "list")) == "02345"
    then = ("registry", "list", "--as-of", before.isoformat())
    assert ids(run_json(*then)) == "012345"
    assert ids(run_json(*then, "--status", "degraded")) == "03"
    assert "as of" in run(*then).stdout
    long_ago = (before - timedelta(days=1)).isoformat()
    assert run_json("registry", "list", "--as-of", long_ago) == []


@integration
def test_discovery_ranks_and_pages_as_apps_see_it(fleet, run, run_json):
    def found(*words: str) -> dict:
        return run_json("registry", "discover", *words)

    assert ids(found()["agents"]) == "124503"
    assert ids(found("--prefer", "venus", "--limit", "2")["agents"]) == "24"
    assert ids(found("--order", "cost", "--max-cost", "7")["agents"]) == "543"
    assert ids(found("--status", "active")["agents"]) == "1245"
    first = found("--limit", "4")
    rest = found("--limit", "4", "--after", first["after"])
    assert ids(first["agents"] + rest["agents"]) == "124503"
    assert rest["after"] is None
    none = run("registry", "discover", "-c", "flying")
    assert (none.returncode, none.stdout) == (1, "no agent can do that now\n")
    wrong = run("registry", "discover", "--after", "no cursor")
    assert wrong.returncode == 2
    assert "it is no cursor of this query" in wrong.stderr


@integration
def test_one_agent_is_shown_by_the_beginning_of_its_id(fleet, run, run_json):
    fleet.register("agent-other", owner="team-a")
    fleet.beat("agent-other", cpu_usage=0.25)
    shown = run_json("registry", "show", "oth")
    assert (shown["agent_id"], shown["owner"]) == ("agent-other", "team-a")
    assert shown["metrics"] == {"cpu_usage": 0.25}
    assert "╭─ agent-calc-3 " in run("registry", "show", "calc-3").stdout
    for words, said in {
        "calc": "6 agents begin with 'calc'",
        "nobody": "no agent is registered as 'nobody'",
    }.items():
        done = run("registry", "show", words)
        assert done.returncode == 2
        assert said in done.stderr
        assert "orchestration registry list" in done.stderr


@integration
def test_a_card_is_printed_and_registered_again_and_says_who_did_it(
    fleet, run, run_json, tmp_path: Path
):
    card = run("registry", "card", "calc-4").stdout
    file = tmp_path / "card.json"
    file.write_text(card)
    assert json.loads(card)["version"] == "1.4.0"
    twin = ("registry", "import", str(file), "--id", "agent-twin")
    assert json.loads(run(*twin, "--dry-run").stdout)["agent_id"] == "agent-twin"
    assert "agent-twin" not in fleet.statuses()

    done = run(*twin, "--location", "pluto", "--by", "ann")
    assert "agent-twin is registered, with 1 capability" in done.stdout
    assert run_json(*twin)["revision"] == 1  # nothing new is no event
    [event] = run_json("registry", "history", "twin")
    assert (event["actor"], event["data"]["location"]) == ("ann", "pluto")
    again = json.loads(run("registry", "card", "twin").stdout)
    assert again["skills"] == json.loads(card)["skills"]


@integration
def test_history_outlives_the_agent(fleet, run, run_json):
    fleet.deregister("agent-calc-3")
    events = run_json("registry", "history", "agent-calc-3")
    assert [event["type"] for event in events] == [
        "AGENT_REGISTERED",
        "AGENT_STATUS_CHANGED",
        "AGENT_DEREGISTERED",
    ]
    shown = run("registry", "history", "calc-3").stdout
    assert "ACTIVE → DEGRADED, health" in shown
    assert events[0]["hash"][:8] in shown
    never = run("registry", "history", "agent-never")
    assert never.returncode == 2
    assert "no agent was ever registered as 'agent-never'" in never.stderr


@integration
@pytest.mark.parametrize("side", [{"registry_secrets": SECRET}], indirect=True)
def test_a_signed_token_lets_its_holder_register(side, run, run_json, tmp_path):
    secret = {"ORCHESTRATION_REGISTRY_SECRETS": f"{SECRET},an older one of 16 bytes"}
    file = tmp_path / "card.json"
    file.write_text(json.dumps({"name": "Bank", "version": "1.0.0", "skills": []}))
    refused = run("registry", "import", str(file), **secret)
    assert refused.returncode == 2
    assert "needs a registration token" in refused.stderr

    signed = run("registry", "token", "agent-ba*", "--owner", "team-a", **secret)
    assert signed.stdout.startswith("aft1.")
    token = {"ORCHESTRATION_REGISTRY_TOKEN": signed.stdout.strip()}
    assert run_json("registry", "import", str(file), **secret, **token)["owner"] == (
        "team-a"
    )
    other = run("registry", "import", str(file), "--id", "agent-x", **secret, **token)
    assert "is for 'agent-ba*', not for agent 'agent-x'" in other.stderr


@integration
def test_commands_read_on_while_redis_has_lost_everything(fleet, run_json, redis_url):
    wipe(redis_url)
    assert ids(run_json("registry", "list", "--status", "degraded")) == "03"


@integration
def test_without_redis_the_record_is_shown_and_that_is_said(fleet, run):
    done = run("registry", "list", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0
    assert "6 agents: 4 ACTIVE, 2 DEGRADED" in done.stdout
    assert "Redis does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def watching(
    env: dict[str, str], said: Path, *words: str
) -> Iterator[subprocess.Popen]:
    with said.open("wb") as log:
        process = subprocess.Popen(
            orchestration("registry", "watch", *words),
            cwd=ROOT,
            env=environment({**env, "PYTHONUNBUFFERED": "1"}),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@integration
def test_watching_follows_who_joins_leaves_and_falls_ill_until_ctrl_c(
    fleet, stack, tmp_path
):
    said, lines = tmp_path / "said", tmp_path / "lines"

    def has(*words: str) -> None:
        def there() -> bool:
            return any(
                all(word in line for word in words)
                for line in said.read_text().splitlines()
            )

        wait_until(there, f"{words} in what was said")

    with (
        watching(stack.env, said) as people,
        watching(stack.env, lines, "--json", "--tag", "production") as program,
    ):
        has("6 agents: 4 ACTIVE, 2 DEGRADED now")
        wait_until(lambda: lines.read_text().count("\n") == 3, "all that there are")
        fleet.register("agent-new", tags=["production"], heartbeat_interval_s=600.0)
        has("+ joined", "agent-new", "✓ ACTIVE")
        fleet.beat("agent-new", error_rate=0.9)
        fleet.sweep()
        has("~ changed", "agent-new", "✓ ACTIVE → ! DEGRADED")
        fleet.deregister("agent-new")
        fleet.deregister("agent-calc-2")  # which the program does not ask about
        has("left", "agent-new", "! DEGRADED")
        has("left", "agent-calc-2")
        wait_until(lambda: lines.read_text().count("\n") == 6, "its own three")
        for process in (people, program):
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
    assert "Traceback" not in said.read_text() + lines.read_text()
    told = [json.loads(line) for line in lines.read_text().splitlines()][3:]
    assert [(one["kind"], one["was"], one["agent"]["status"]) for one in told] == [
        ("JOINED", None, "ACTIVE"),
        ("CHANGED", "ACTIVE", "DEGRADED"),
        ("LEFT", "DEGRADED", "DEGRADED"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("list --status DECOMMISSIONED", "'DECOMMISSIONED' is not one of"),
        ("list --min-health 2", "2.0 is not in the range"),
        ("list --as-of yesterday", "give 2026-01-31, 2026-01-31T12:00, or how long"),
        ("discover --order luck", "'luck' is not one of"),
        ("discover --service-type BAKING", "'BAKING' is not one of"),
        ("list", "nothing answers at 127.0.0.1:1, which DATABASE_URL names"),
        ("history agent-a", "nothing answers at 127.0.0.1:1"),
        ("import missing.json", "No such file"),
        ("import README.md", "README.md is no JSON"),
        ("token agent-x", "Missing option '--owner'"),
        ("token agent-x --owner a", "ORCHESTRATION_REGISTRY_SECRETS is not set"),
    ],
)
def test_words_that_make_no_sense_are_refused(run, words, said):
    done = run("registry", *words.split(), **NOBODY)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("secret", "pattern", "said"),
    [
        ("short", "agent-x", "has 5 bytes: use at least 16 random ones"),
        (SECRET, "x-*", "pattern 'x-*': begin with 'agent-'"),
    ],
)
def test_a_token_that_would_be_none_is_not_signed(run, secret, pattern, said):
    given = {**NOBODY, "ORCHESTRATION_REGISTRY_SECRETS": secret}
    done = run("registry", "token", pattern, "--owner", "a", **given)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


def test_all_that_is_wrong_with_a_card_is_told(run, tmp_path):
    file = tmp_path / "card.json"
    file.write_text('{"name": "", "skills": 7}')
    done = run("registry", "import", str(file), **NOBODY)
    assert done.returncode == 2
    for field in ("name is", "version is", "skills is 7"):
        assert field in done.stderr
