"""The replica: what it takes in, what it ignores, and how two are compared."""

from __future__ import annotations

import math
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.registry.checksum import checksum
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.discover import discover
from orchestration.core.registry.model import AgentStatus, RegisteredAgent
from orchestration.core.registry.query import Order, Query
from orchestration.core.registry.tally import tally
from tests.support.plain_discovery import plain_discover
from tests.support.random_agents import random_agent, random_agents, random_query
from tests.unit.profiles import examples

EVERYTHING = Query(max_results=10_000, order=Order.AGENT_ID)
SOON = 2_000_000_000.0


def an_agent(agent_id: str = "agent-a", **fields) -> RegisteredAgent:
    drawn = random_agent(random.Random(0), agent_id, version=1)
    return replace(drawn, **{"status": AgentStatus.ACTIVE, **fields})


def contents(columns: Columns) -> dict[str, RegisteredAgent]:
    return {agent_id: columns.get(agent_id) for agent_id in columns.versions()}


def summed(columns: Columns) -> int:
    agents = contents(columns).values()
    return checksum((one.agent_id, one.version, one.status) for one in agents)


class Plain:
    """What ``Columns`` means, on a dict."""

    def __init__(self) -> None:
        self.agents: dict[str, RegisteredAgent] = {}
        self.gone: dict[str, int] = {}

    def version(self, agent_id: str) -> int:
        if agent_id in self.agents:
            return self.agents[agent_id].version
        return self.gone.get(agent_id, 0)

    def put(self, agent: RegisteredAgent) -> None:
        if agent.version <= self.version(agent.agent_id):
            return
        known = self.agents.get(agent.agent_id)
        if known and later(known.last_heartbeat, agent.last_heartbeat):
            agent = replace(
                agent,
                health_score=known.health_score,
                load=known.load,
                last_heartbeat=known.last_heartbeat,
            )
        self.agents[agent.agent_id] = agent

    def drop(self, agent_id: str, version: int) -> None:
        if version > self.version(agent_id):
            self.agents.pop(agent_id, None)
            self.gone[agent_id] = version

    def forget(self, agent_id: str, version: int) -> None:
        known = self.agents.get(agent_id)
        if known and version == known.version:
            del self.agents[agent_id]
            self.gone.pop(agent_id, None)

    def beat(self, agent_id: str, health: float, load: float, seen: float) -> None:
        known = self.agents.get(agent_id)
        at = datetime.fromtimestamp(seen, UTC)
        if known and not later(known.last_heartbeat, at):
            self.agents[agent_id] = replace(
                known, health_score=health, load=load, last_heartbeat=at
            )

    def set_status(self, agent_id: str, status: AgentStatus, version: int) -> None:
        known = self.agents.get(agent_id)
        if known and version > known.version:
            self.agents[agent_id] = replace(known, status=status, version=version)


def later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one > other


def some_change(rng: random.Random, columns: Columns, plain: Plain) -> None:
    """Do the same to both, stale or not."""
    agent_id, version = f"agent-{rng.randrange(90)}", rng.randint(1, 12)
    many = [f"agent-{rng.randrange(90)}" for _ in range(rng.randint(0, 8))]
    match rng.choice(["put", "put", "put", "drop", "forget", "beats", "status"]):
        case "put":
            agent = random_agent(rng, agent_id, version=version)
            columns.put(agent)
            plain.put(agent)
        case "drop":
            columns.drop(agent_id, version)
            plain.drop(agent_id, version)
        case "forget":
            columns.forget(agent_id, version)
            plain.forget(agent_id, version)
        case "beats":
            figures = [(rng.randrange(100) / 100, rng.random()) for _ in many]
            health, load = [h for h, _ in figures], [round(w, 4) for _, w in figures]
            seen = [SOON + number for number in range(len(many))]
            columns.beats(many, health, load, seen)
            for beat in zip(many, health, load, seen, strict=True):
                plain.beat(*beat)
        case "status":
            statuses = [rng.choice(list(AgentStatus)) for _ in many]
            versions = sorted(rng.randint(1, 20) for _ in many)
            versions = [version + place for place, version in enumerate(versions)]
            columns.set_status(many, statuses, versions)
            for change in zip(many, statuses, versions, strict=True):
                plain.set_status(*change)


@given(st.integers(0, 2**32))
@examples(60)
def test_the_replica_holds_what_a_plain_one_holds(seed):
    rng, columns, plain = random.Random(seed), Columns(), Plain()
    for _ in range(rng.choice([20, 200])):
        some_change(rng, columns, plain)
    assert contents(columns) == plain.agents
    assert columns.checksum == summed(columns)
    for _ in range(5):
        query = random_query(rng)
        assert discover(columns, query) == plain_discover(plain.agents.values(), query)


@given(st.integers(0, 2**32))
@examples(40)
def test_in_whichever_order_changes_come_replicas_come_to_the_same(seed):
    rng = random.Random(seed)
    changes = [random_agent(rng, f"agent-{n % 7}", version=n + 1) for n in range(40)]
    changes = [replace(change, last_heartbeat=None) for change in changes]
    gone = [(f"agent-{n}", rng.randint(1, 50)) for n in range(3)]
    replicas = []
    for _ in range(2):
        columns = Columns()
        steps = [*changes, *gone, *changes[:10]]
        rng.shuffle(steps)
        for step in steps:
            columns.drop(*step) if isinstance(step, tuple) else columns.put(step)
        replicas.append(columns)
    assert contents(replicas[0]) == contents(replicas[1])
    assert replicas[0].checksum == replicas[1].checksum


@given(st.integers(0, 2**32), st.sampled_from(["version", "status", "id", "missing"]))
@examples(60)
def test_the_checksum_differs_where_the_contents_do(seed, what):
    agents = list(random_agents(seed, 20))
    first, second = Columns(), Columns()
    for agent in agents:
        first.put(agent)
    other = {
        "version": [replace(agents[0], version=agents[0].version + 1)],
        "status": [replace(agents[0], status=_another(agents[0].status))],
        "id": [replace(agents[0], descriptor=_renamed(agents[0]))],
        "missing": [],
    }[what]
    for agent in reversed([*other, *agents[1:]]):
        second.put(agent)
    assert first.checksum != second.checksum
    assert second.checksum == summed(second)


def _another(status: AgentStatus) -> AgentStatus:
    statuses = list(AgentStatus)
    return statuses[(statuses.index(status) + 1) % len(statuses)]


def _renamed(agent: RegisteredAgent):
    return replace(agent.descriptor, agent_id=agent.agent_id + "-2")


def test_the_checksum_is_the_same_in_every_release():
    agents = [("agent-a", 1, AgentStatus.ACTIVE), ("agent-b", 7, AgentStatus.INACTIVE)]
    assert checksum(agents) == checksum(reversed(agents)) == GOLDEN
    assert checksum([]) == Columns().checksum == 0


GOLDEN = 8_188_215_039_885_769_687


def test_a_change_that_is_not_newer_is_ignored():
    columns = Columns()
    assert columns.put(an_agent(version=3, location="new"))
    assert not columns.put(an_agent(version=3, location="same"))
    assert not columns.put(an_agent(version=2, location="old"))
    columns.set_status(["agent-a"], [AgentStatus.INACTIVE], [3])
    assert not columns.drop("agent-a", 3)
    known = columns.get("agent-a")
    assert (known.location, known.status) == ("new", AgentStatus.ACTIVE)


def test_a_late_change_does_not_bring_back_an_agent_that_is_gone():
    columns = Columns()
    columns.put(an_agent(version=1))
    assert columns.drop("agent-a", 5)
    assert not columns.put(an_agent(version=4))
    assert not columns.drop("agent-a", 6)
    assert not columns.put(an_agent(version=6))
    assert columns.put(an_agent(version=7))
    assert "agent-a" in columns


def test_an_agent_may_be_known_to_be_gone_before_it_comes():
    columns = Columns()
    assert not columns.drop("agent-a", 2)
    assert not columns.put(an_agent(version=1))
    assert len(columns) == 0


def test_rows_are_given_again():
    columns = Columns()
    for number in range(500):
        columns.put(an_agent(f"agent-{number}"))
        columns.drop(f"agent-{number}", 2)
    assert columns.capacity == 64


def test_words_that_nobody_has_any_more_are_forgotten():
    columns = Columns()
    for number in range(200):
        said = replace(
            an_agent().descriptor,
            capabilities=[f"c{number}@1.0.{number}"],
            tags=[f"t{number}"],
            version=f"1.0.{number}",
        )
        agent = an_agent(descriptor=said, location=f"l{number}", version=number + 1)
        columns.put(agent)
    assert tally(columns).unique_capabilities == 1
    assert len(columns.index.tags) == len(columns.index.releases) == 1
    assert max(len(columns.locations), len(columns.code_versions)) <= 2


def test_a_constraint_is_asked_anew_of_a_version_that_took_anothers_place():
    columns = Columns()
    query = Query(version_constraint=">=2")
    for number, code in enumerate(["1.0.0", "2.0.0", "1.5.0", "3.0.0"], 1):
        said = replace(an_agent().descriptor, version=code)
        columns.put(an_agent(descriptor=said, version=number))
        assert bool(discover(columns, query)) is (code >= "2")


def test_heartbeats_of_agents_that_are_not_known_are_told():
    columns = Columns()
    columns.put(an_agent())
    ids, figures = ["agent-x", "agent-a", "agent-y"], [0.5, 0.6, 0.7]
    assert columns.beats(ids, figures, figures, [SOON] * 3) == ("agent-x", "agent-y")
    assert columns.get("agent-a").health_score == 0.6
    assert columns.set_status(["agent-z"], [AgentStatus.ACTIVE], [9]) == ("agent-z",)


def test_of_an_agents_heartbeats_in_one_batch_the_latest_counts():
    columns = Columns()
    columns.put(an_agent())
    columns.beats(
        ["agent-a"] * 3, [0.5, 0.6, 0.7], [0.1, 0.2, 0.3], [SOON, SOON + 9, SOON + 5]
    )
    known = columns.get("agent-a")
    assert (known.health_score, known.load) == (0.6, 0.2)
    assert known.last_heartbeat.timestamp() == SOON + 9


def test_an_update_does_not_bring_back_old_heartbeats():
    columns = Columns()
    columns.put(an_agent())
    columns.beats(["agent-a"], [0.6], [0.2], [SOON])
    columns.put(an_agent(version=2, location="moon"))
    known = columns.get("agent-a")
    assert (known.location, known.health_score, known.load) == ("moon", 0.6, 0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_figures_that_are_none_are_refused_and_nothing_is_taken_in(bad):
    columns = Columns()
    columns.put(an_agent(health_score=1.0))
    with pytest.raises(ValueError, match="agent 'agent-b': a figure is"):
        columns.beats(["agent-a", "agent-b"], [0.5, bad], [0, 0], [SOON, SOON])
    with pytest.raises(ValueError, match="agent 'agent-c': a figure is"):
        columns.put(an_agent("agent-c", load=bad))
    with pytest.raises(ValueError, match="1 figures for 2 agents"):
        columns.beats(["agent-a", "agent-b"], [0.5], [0, 0], [SOON, SOON])
    assert columns.get("agent-a").health_score == 1.0
    assert len(columns) == 1


def test_counters_move_with_what_they_count_alone():
    columns = Columns()

    def counted() -> tuple[int, int, int]:
        return columns.members, columns.changes, columns.moves

    columns.put(an_agent())
    members, changes, moves = counted()
    columns.put(an_agent())
    columns.beats(["agent-x"], [1], [0], [SOON])
    assert counted() == (members, changes, moves)
    columns.beats(["agent-a"], [1], [0], [SOON])
    assert counted() == (members, changes, moves + 1)
    columns.set_status(["agent-a"], [AgentStatus.DEGRADED], [2])
    assert counted() == (members, changes + 1, moves + 1)
    columns.put(an_agent(version=3, location="moon"))
    assert counted()[0] > members


def test_the_tally_counts_every_status():
    columns = Columns()
    assert tally(columns).average_health_score == 0.0
    columns.put(an_agent("agent-a", health_score=1.0))
    columns.put(an_agent("agent-b", health_score=0.5, status=AgentStatus.INACTIVE))
    counted = tally(columns)
    assert (counted.total_agents, counted.average_health_score) == (2, 0.75)
    assert counted.by_status == {
        AgentStatus.ACTIVE: 1,
        AgentStatus.DEGRADED: 0,
        AgentStatus.INACTIVE: 1,
        AgentStatus.DECOMMISSIONED: 0,
    }


def test_readers_never_see_half_a_change():
    """Each agent says its version in its location, tag and load."""
    columns, done, wrong = Columns(), threading.Event(), []
    names = [f"agent-{number}" for number in range(20)]

    def write() -> None:
        rng = random.Random(1)
        for version in range(1, 1_500):
            name = names[version % len(names)]
            if rng.random() < 0.2:
                columns.drop(name, version)
                continue
            said = replace(an_agent(name).descriptor, tags=[f"v{version % 7}"])
            agent = an_agent(name, descriptor=said, location=f"v{version % 7}")
            columns.put(replace(agent, version=version))
        done.set()

    def read() -> None:
        while not done.is_set():
            for number in range(7):
                wrong.extend(
                    agent
                    for agent in discover(columns, Query(tags=[f"v{number}"]))
                    if not agent.version % 7 == number == int(agent.location[1:])
                )

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    write()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rows_hold_when_a_rare_word_becomes_common_and_rare_again():
    columns = Columns()
    for number in range(300):
        columns.put(an_agent(f"agent-{number:03}"))
    word = an_agent().descriptor.tags[0]
    for number in range(297):
        columns.drop(f"agent-{number:03}", 2)
    for number in range(1_000):
        said = replace(an_agent(f"agent-b{number}").descriptor, tags=[])
        columns.put(an_agent(f"agent-b{number}", descriptor=said))
    assert columns.index.tags.get(word).mask is None
    found = discover(columns, replace(EVERYTHING, tags=[word]))
    assert [one.agent_id for one in found] == ["agent-297", "agent-298", "agent-299"]
    assert np.count_nonzero(columns.status >= 0) == len(columns) == 1_003
