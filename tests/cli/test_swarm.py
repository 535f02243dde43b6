"""``orchestration swarm``, as people use it, beside a worker that the tests share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.cli.session import session
from orchestration.core.swarm.providers import announced_name
from orchestration.settings import Settings
from tests.cli.conftest import ROOT, environment, orchestration
from tests.conftest import migrate
from tests.support.servers import fresh_database, wipe
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

SEARCH = ("run", "--fitness", "moody", "--bounds", "-9:9,-9:9", "--seed", "7")
MODULES = "tests.support.moody_fitness,examples.scope3.agents"


@pytest.fixture(scope="module")
def running(postgres_server: str, redis_databases: tuple[str, str]) -> Iterator[Stack]:
    """One worker for everything."""
    with fresh_database(postgres_server) as database_url:
        addresses = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_databases[0],
            "CELERY_BROKER_URL": redis_databases[1],
            "ORCHESTRATION_KEY_PREFIX": "swarm_cli_",
            "SCOPE3_SUPPLIERS": "1000",
        }
        stack = Stack(addresses, prepare=migrate)
        try:
            stack.worker("-I", MODULES, "-c", "2")
            wait_until(lambda: _is_hosted(addresses), "the worker says what it hosts")
            yield stack
        finally:
            stack.close()
            for url in redis_databases:
                wipe(url)


@dataclass(frozen=True)
class Cli:
    """The command in this process, which spares the tests most of their time."""

    environment: Mapping[str, str]

    def __call__(self, *words: str, **given: str) -> Result:
        told = {**self.environment, **given}
        return CliRunner().invoke(main, ["swarm", *words], env=told)

    def json(self, *words: str, code: int = 0, **given: str) -> Any:
        done = self(*words, "--json", **given)
        assert (done.exit_code, done.stderr) == (code, "")
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def swarm(running: Stack) -> Cli:
    return Cli(running.env)


@pytest.fixture(scope="module")
def found(swarm: Cli) -> dict:
    """A search that was run to its end, and what was printed."""
    return swarm.json(*SEARCH, "--set", "iterations=30", "--id", "sea-1")


def test_a_search_is_run_and_found_again(found, swarm):
    assert (found["status"], found["iterations"]) == ("COMPLETED", 30)
    listed = swarm.json("list", "--state", "completed")
    assert "sea-1" in [one["swarm_id"] for one in listed]
    assert swarm.json("show", "sea-1") == found
    shown = swarm("show", "sea-1").stdout
    assert "✓ COMPLETED  moody" in shown
    assert found["state_hash"] in shown


def test_settings_are_tuned_and_a_search_takes_them(swarm):
    few = ("candidates=10", "searches=1", "evaluations=400", "generations=2")
    told = [word for one in few for word in ("--set", one)]
    tuned = swarm.json("tune", *SEARCH[1:], *told, "--id", "tuned-1")
    assert (tuned["status"], tuned["iterations"]) == ("COMPLETED", 2)
    shown = swarm("show", "tuned-1").stdout
    assert f"agents={tuned['settings']['agents']}" in shown
    settings = [
        word
        for name, value in tuned["settings"].items()
        for word in ("--set", f"{name}={json.dumps(value)}")
    ]
    done = swarm.json(*SEARCH, *settings, "--set", "evaluations=400")
    assert (done["status"], done["reason"]) == ("COMPLETED", "EVALUATIONS")
    refused = swarm("tune", "--objective", "work")
    assert refused.exit_code == 2


def test_a_replay_is_equal_unless_the_fitness_is_another(found, swarm):
    again = ("replay", "sea-1", "-I", "tests.support.moody_fitness")
    assert swarm.json(*again)["is_equal"]
    differs = swarm.json(*again, code=1, MOOD="1")
    assert (differs["is_equal"], differs["differs_at"]) == (False, 1)
    assert differs["recorded"] != differs["found"]
    assert "iteration 1 came out otherwise" in swarm(*again, MOOD="1").stdout


def test_a_replay_needs_the_fitness(running, found, run):
    done = run("swarm", "replay", "sea-1")  # another process, which has imported none
    assert done.returncode == 2
    assert "'moody' is not defined here: import its module" in done.stderr


def test_who_watches_what_is_over_sees_its_end(found, swarm):
    [line] = swarm("watch", "sea-1", "--json", "--positions").stdout.splitlines()
    frame = json.loads(line)
    assert (frame["iteration"], frame["status"]) == (30, "COMPLETED")
    assert len(frame["positions"]) == found["agents"]


def test_one_is_paused_and_stopped_while_it_is_followed(running, swarm):
    words = ("--fitness", "lasting", "--set", "iterations=9999", "--id", "long-1")
    follower = subprocess.Popen(
        orchestration("swarm", *SEARCH, *words),
        cwd=ROOT,
        env=environment(running.env),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: swarm("show", "long-1").exit_code == 0, "it begins")
        paused = swarm.json("pause", "long-1", "--by", "ada")
        assert paused["status"] == "PAUSED"
        assert "‖ PAUSED" in swarm("list", "--state", "paused").stdout
        stopped = swarm.json("stop", "long-1", "--why", "enough")
        assert stopped["status"] == "STOPPED"
        told, _ = follower.communicate(timeout=120)
    finally:
        follower.kill()
        follower.communicate()
    assert follower.returncode == 1
    assert "■ STOPPED  lasting" in told
    refused = swarm("resume", "long-1")
    assert refused.exit_code == 2
    assert "long-1" in refused.stderr


def test_work_is_shared_out_as_a_file_says(swarm, tmp_path):
    (tmp_path / "task.toml").write_text(
        'objective = "emissions"\ndata_partitions = 999\n'
        '[metadata]\ndata_source = "supplier_database"\n'
    )
    words = ("run", str(tmp_path / "task.toml"), "--set", "data_partitions=20")
    done = swarm.json(*words, "--id", "work-1")
    assert (done["status"], done["convergence"]) == ("COMPLETED", 1.0)
    assert done["result"]["rows"] == 1_000
    assert "20 done, 0 failed, 0 pending" in swarm("show", "work-1").stdout
    again = swarm.json("replay", "work-1")
    assert (again["is_equal"], again["iterations"]) == (True, done["iterations"])
    assert again["state_hash"] == done["result"]["state_hash"]
    [learned] = swarm.json("fields")
    assert (learned["handler"], learned["layout"]) == ("supplier_database", "blocks-20")
    assert len(learned["groups"]) == 20
    assert "20 known, blocks-20" in swarm("fields").stdout
    watched = swarm("watch", "work-1")  # it has no places to be at
    assert (watched.exit_code, "COMPLETED" in watched.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--handler", "nobody"), "handler 'nobody' is hosted by no worker"),
        (("--set", "colour=red"), "a task has no 'colour'"),
        (("--dims", "3"), "dims: that is for a search"),
    ],
)
def test_work_that_cannot_be_done_is_refused(swarm, words, said):
    done = swarm("run", "--objective", "work", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_all_that_is_wrong_is_told_at_once_and_nothing_started(swarm):
    before = swarm("list", "--json").stdout
    done = swarm(*SEARCH, "--set", "iterations=0", "--set", "inertia=2")
    assert done.exit_code == 2
    assert "iterations is 0: give" in done.stderr
    assert "inertia 2 with" in done.stderr
    assert swarm("list", "--json").stdout == before


def test_an_id_that_fits_none_or_several_is_refused(found, swarm):
    swarm.json(*SEARCH, "--set", "iterations=1", "--id", "sea-2")
    for wanted, said in {
        "nobody": "✗ there is no swarm nobody",
        "sea-": "✗ 2 swarms begin with sea-",
    }.items():
        done = swarm("show", wanted)
        assert done.exit_code == 2
        assert done.stderr.startswith(said)


def _is_hosted(addresses: dict[str, str]) -> bool:
    settings = Settings(
        database_url=addresses["DATABASE_URL"],
        redis_url=addresses["REDIS_URL"],
        broker_url=addresses["CELERY_BROKER_URL"],
    )
    with session(settings) as opened:
        return not opened.announcements.offline([announced_name("fitness", "moody")])
