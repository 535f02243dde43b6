"""Who is there by registry and announcements, as a router sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.adapters.announced_agents import AnnouncedAgents
from orchestration.adapters.announcements import Announced
from orchestration.adapters.registered_agents import RegisteredAgents
from orchestration.core.registry.columns import Columns
from orchestration.core.registry.model import (
    AgentDescriptor,
    AgentStatus,
    RegisteredAgent,
)
from orchestration.core.registry.packed import Heartbeat
from orchestration.core.routing.loads import Report
from orchestration.engine.surroundings import Surroundings
from orchestration.errors import UnknownTarget
from tests.unit.profiles import examples


class Replica:
    """The registry in memory, and heartbeats by the test's word."""

    def __init__(self) -> None:
        self.ahead_s = 0.0  # of this host's clock
        self.columns = Columns()
        self.feed_age_s = 0.1
        self.beats: dict[str, Heartbeat] = {}
        self.listeners: list[Callable[[Sequence[str]], None]] = []
        self.version = 0

    def listen_to_beats(
        self, listener: Callable[[Sequence[str]], None]
    ) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def last_beat(self, agent_id: str) -> Heartbeat | None:
        return self.beats.get(agent_id)

    @property
    def now_ms(self) -> int:
        return round((time.time() + self.ahead_s) * 1_000)

    def beat(self, agent_id: str, **metrics: float) -> None:
        self.beats[agent_id] = Heartbeat(received_at_ms=self.now_ms, metrics=metrics)
        for listener in self.listeners:
            listener([agent_id])

    def have(
        self, agent_id: str, status: AgentStatus = AgentStatus.ACTIVE, **said: object
    ) -> None:
        self.version += 1
        location = str(said.pop("location", ""))
        self.columns.put(
            RegisteredAgent(
                descriptor=AgentDescriptor(
                    agent_id=agent_id,
                    agent_type="T",
                    version="1.0.0",
                    **said,  # type: ignore[arg-type]
                ),
                health_score=0.9,
                status=status,
                location=location,
                registered_at=datetime.now(UTC),
                version=self.version,
            )
        )


class Said:
    """Announcements by the test's word, and who said that it routes."""

    interval_s = 10.0

    def __init__(self, **agents: bool) -> None:
        self.agents = {name.replace("_", "-"): live for name, live in agents.items()}
        self.routers: dict[str, bool] = {}

    def announce(self, worker: str, *, also: Sequence[tuple[str, str]]) -> int:
        assert also == [("router", "")]
        self.routers[worker] = True
        return 1

    def gone(self, worker: str) -> None:
        self.routers[worker] = False

    def listed(self) -> tuple[Announced, ...]:
        said = [("w", "agent", name, live) for name, live in self.agents.items()]
        said += [(name, "router", "", live) for name, live in self.routers.items()]
        return tuple(
            Announced(
                worker=worker,
                kind=kind,
                name=name,
                pool="",
                is_live=live,
                last_seen=datetime.now(UTC),
            )
            for worker, kind, name, live in said
        )


@pytest.fixture
def replica() -> Replica:
    return Replica()


def view(
    replica: Replica, said: Said | None = None, router: str = ""
) -> RegisteredAgents:
    announced = AnnouncedAgents(said or Said(), router)  # type: ignore[arg-type]
    announced.refresh()
    return RegisteredAgents(replica, announced)  # type: ignore[arg-type]


def test_an_agent_is_seen_as_it_is_registered(replica: Replica) -> None:
    agents = view(replica)
    before = agents.membership
    replica.have("agent-a", AgentStatus.DEGRADED, location="eu")
    found = agents.agent("agent-a")
    assert found is not None
    assert (found.status, found.location, found.health) == ("DEGRADED", "eu", 0.9)
    assert agents.membership != before
    assert set(agents.live()) == {"agent-a"}
    replica.columns.drop("agent-a", 99)
    assert agents.agent("agent-a") is None


def test_hosted_agents_under_any_name_are_there_too(replica: Replica) -> None:
    agents = view(replica, Said(helper=True, former=False))
    assert set(agents.live()) == {"helper"}
    former = agents.agent("former")
    assert former is not None
    assert former.status is AgentStatus.INACTIVE


def test_an_agent_whose_worker_is_gone_gets_nothing(replica: Replica) -> None:
    replica.have("agent-a")
    said = Said(agent_a=False)
    agents = view(replica, said)
    assert set(agents.live()) == set()
    said.agents["agent-a"] = True
    agents.announced.refresh()
    assert set(agents.live()) == {"agent-a"}


def test_agents_are_found_by_capability_and_its_version(replica: Replica) -> None:
    replica.have("agent-b", capabilities=["steel@1.2.0"])
    replica.have("agent-a", capabilities=["steel@2.0.0", "water"])
    agents = view(replica)
    assert agents.capable("steel") == ["agent-a", "agent-b"]
    assert agents.capable("steel@>=2") == ["agent-a"]
    assert agents.capable("air") == []


def test_each_heartbeat_is_news_once(replica: Replica) -> None:
    replica.have("agent-a", metadata={"max_concurrent_requests": 7})
    replica.beat("agent-a", queue_size=3.0)
    agents = view(replica)
    [heard] = agents.news()
    assert (heard.agent_id, heard.capacity, heard.report) == ("agent-a", 7, Report(3.0))
    assert heard.age_s < 10
    assert [*agents.news()] == []
    replica.beat("agent-a", error_rate=0.5, response_time_ms=20.0)
    [heard] = agents.news()
    assert heard.report == Report(0.0, 20.0, 0.5)
    agents.close()
    assert replica.listeners == []


@pytest.mark.parametrize("ahead_s", [-3_600, 3_600])
def test_a_load_is_as_old_as_redis_says_whatever_this_hosts_clock(
    replica: Replica, ahead_s: float
) -> None:
    replica.ahead_s = ahead_s
    replica.have("agent-a")
    replica.beat("agent-a")
    [heard] = view(replica).news()
    assert heard.age_s < 10
    replica.beats["agent-a"] = Heartbeat(
        received_at_ms=replica.now_ms - 30_000, metrics={}
    )
    [heard] = view(replica).news()
    assert 30 <= heard.age_s < 40


def test_routers_know_how_many_they_are(replica: Replica) -> None:
    said = Said()
    first = view(replica, said, "one")
    assert first.routers == 1
    second = view(replica, said, "two")
    assert second.routers == 2
    first.announced.refresh()
    assert first.routers == 2
    second.announced.say_gone()
    first.announced.refresh()
    assert first.routers == 1


def test_of_many_who_ask_one_is_told_to_read_the_announcements(
    replica: Replica,
) -> None:
    registry = SimpleNamespace(start=lambda: None, replica=replica)
    around = Surroundings(Said(), registry)  # type: ignore[arg-type]
    assert not around.is_due()
    around.announced._tried_at -= 10  # it was read so long ago
    assert [around.is_due() for _ in range(5)] == [True] + 4 * [False]


def test_news_that_others_read_while_it_is_decided_are_gone_by(
    replica: Replica,
) -> None:
    registry = SimpleNamespace(start=lambda: None, replica=replica)
    said = Said()
    around = Surroundings(said, registry)  # type: ignore[arg-type]
    seen = []

    def decide() -> Any:
        seen.append(around.agents.agent("agent-a"))
        if seen[-1] is None:
            # Another thread reads them, right after it was looked.
            said.agents["agent-a"] = True
            around.announced.refresh()
            raise UnknownTarget("nobody is known", "agent-a")
        return seen[-1]

    assert around.decided(decide).agent_id == "agent-a"
    assert len(seen) == 2


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "status", "drop", "host", "look"]),
            st.integers(0, 4),
            st.sampled_from(AgentStatus),
        ),
        max_size=40,
    )
)
def test_what_is_seen_bit_by_bit_is_what_a_first_look_sees(
    steps: list[tuple[str, int, AgentStatus]],
) -> None:
    replica, said = Replica(), Said()
    agents = view(replica, said)
    for version, (what, which, status) in enumerate(steps, start=1):
        agent_id = f"agent-{which}"
        match what:
            case "put":
                replica.version = version - 1
                replica.have(agent_id, status)
            case "status":
                replica.columns.set_status([agent_id], [status], [version])
            case "drop":
                replica.columns.drop(agent_id, version)
            case "host":
                said.agents[agent_id] = status is AgentStatus.ACTIVE
                agents.announced.refresh()
            case _:
                agents.live()
    fresh = RegisteredAgents(replica, agents.announced)  # type: ignore[arg-type]
    assert set(agents.live()) == set(fresh.live())
    assert set(agents.known()) == set(fresh.known())
    assert agents._rows._row_of.keys() == replica.columns.versions().keys()
    for which in range(5):
        assert agents.agent(f"agent-{which}") == fresh.agent(f"agent-{which}")
