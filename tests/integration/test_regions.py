"""Two regions that follow each other: copies, splits, names that are twice, backups."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from eventstore import EventStore
from orchestration.adapters.region_log import RegionLog
from orchestration.adapters.saga_records import Because
from orchestration.core.registry.discover import discover
from orchestration.core.registry.fold import fold
from orchestration.core.registry.query import Query
from orchestration.engine.replicating import Followed, Follower
from orchestration.errors import ConfigurationError, DuplicateAgent, ForeignAgent
from tests.support.registry import RegistrySide, registry_side
from tests.support.servers import fresh_database, psycopg2_address
from tests.support.stack import Stack
from tests.support.tcp_proxy import TcpProxy, server_of, tcp_proxy
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

READER = "region_reader"
GRANTS = f"""
    GRANT USAGE ON SCHEMA es TO {READER};
    GRANT SELECT ON es.log, es.events TO {READER};
"""


class Region:
    """One region's tools, and its way to the other."""

    def __init__(self, name: str, side: RegistrySide, way: TcpProxy) -> None:
        self.name, self.side, self.way = name, side, way
        self.follower = Follower.of(side.desk, side.settings)
        self.peer = next(iter(self.follower.peers))

    @property
    def log(self) -> RegionLog:
        return self.follower.log

    def number(self) -> None:
        EventStore(self.side.db.engine).sequence()

    def follow(self) -> Followed:
        return self.follower.follow(self.peer, Because())

    def age(self, seconds: float) -> None:
        """Have the other region not be reached for so much longer."""
        with self.side.sql() as other:
            other.exec_driver_sql(
                "UPDATE orch.region SET reached_at = reached_at - %s * interval '1 s'",
                (seconds,),
            )

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return status and region of everybody, by id."""
        states = self.side.log.states()
        return {key: (str(one.status), one.region) for key, one in states.items()}

    def told(self) -> list[dict[str, Any]]:
        """Return what was recorded of the other region."""
        with self.side.sql() as other:
            rows = other.exec_driver_sql(
                "SELECT e.type, convert_from(e.data, 'UTF8') FROM es.events e "
                "JOIN es.streams s USING (stream_id) WHERE s.category = 'regions' "
                "ORDER BY e.position"
            )
            return [{"type": kind, **json.loads(data)} for kind, data in rows]


def reader_url(url: str, port: int) -> str:
    """Return the address of a role that may read the log, and nothing else."""
    database = make_url(url).database
    return f"postgresql://{READER}:secret@127.0.0.1:{port}/{database}"


@contextlib.contextmanager
def readable(url: str) -> Iterator[None]:
    admin = psycopg2.connect(psycopg2_address(url))
    admin.autocommit = True
    with contextlib.closing(admin), admin.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (READER,))
        if not cursor.rowcount:
            cursor.execute(f"CREATE ROLE {READER} LOGIN PASSWORD 'secret'")
        cursor.execute(GRANTS)
    yield


@pytest.fixture
def pair(
    postgres_server: str, database_url: str, redis_url: str, redis_broker_url: str
) -> Iterator[tuple[Region, Region]]:
    """Regions eu and us, each with a database and a Redis of its own."""
    with contextlib.ExitStack() as opened:
        other_url = opened.enter_context(fresh_database(postgres_server))
        urls = {"eu": database_url, "us": other_url}
        hots = {"eu": redis_url, "us": redis_broker_url}
        ways = {
            name: opened.enter_context(tcp_proxy(server_of(url)))
            for name, url in urls.items()
        }
        regions = []
        for name, peer in (("eu", "us"), ("us", "eu")):
            side = opened.enter_context(
                registry_side(
                    urls[name],
                    hots[name],
                    region=name,
                    peers=f"{peer}={reader_url(urls[peer], ways[peer].port)}",
                    peer_timeout_s=60.0,
                    peer_stale_s=100.0,
                    peer_lost_s=300.0,
                    decommission_after_s=300.0,
                )
            )
            opened.enter_context(readable(urls[name]))
            regions.append(Region(name, side, ways[peer]))
        yield regions[0], regions[1]


def both(*regions: Region) -> None:
    """Have everything that is recorded be known everywhere."""
    for region in regions:
        region.number()
    for region in regions:
        assert region.follow().fault == ""


def test_agents_are_copied_both_ways_and_not_back_again(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    eu.side.register("agent-e", location="frankfurt")
    us.side.register("agent-u", location="virginia")
    for _ in range(3):
        both(eu, us)
    assert eu.shown() == {"agent-e": ("ACTIVE", ""), "agent-u": ("ACTIVE", "us")}
    assert us.shown() == {"agent-e": ("ACTIVE", "eu"), "agent-u": ("ACTIVE", "")}
    assert eu.side.types("agent-u") == ["AGENT_COPIED"]
    assert eu.side.log.states()["agent-u"].location == "virginia"


def test_updates_statuses_and_ends_arrive_in_order(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    both(eu, us)
    us.side.register("agent-u", version="2.0.0")
    us.side.beat("agent-u", error_rate=0.9)
    us.side.sweep()
    both(eu, us)
    state = eu.side.log.states()["agent-u"]
    assert (state.descriptor.version, state.status) == ("2.0.0", "DEGRADED")
    us.side.deregister("agent-u")
    both(eu, us)
    assert eu.shown() == {}
    assert eu.side.types("agent-u") == [
        "AGENT_COPIED",
        "AGENT_COPIED",
        "AGENT_COPY_ENDED",
    ]
    us.side.register("agent-u", version="3.0.0")
    both(eu, us)
    assert eu.shown() == {"agent-u": ("ACTIVE", "us")}


def test_what_is_shown_is_what_the_events_fold_to(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    eu.side.register("agent-e")
    us.side.register("agent-u", owner="team-u", metadata={"sizes": [1, 2.5]})
    both(eu, us)
    eu.side.sweep()
    folded = fold(eu.side.log.history())
    assert eu.side.log.states() == folded


def test_replicas_see_other_regions_and_prefer_their_own(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    replica = eu.side.replica()
    us.side.register("agent-a", location="virginia")
    eu.side.register("agent-z", location="frankfurt")
    both(eu, us)
    wait_until(lambda: len(replica.columns) == 2, "the replica knows both")

    def found(**asked: Any) -> list[str]:
        query = Query(capabilities=["carbon_calculation"], **asked)
        return [one.agent_id for one in discover(replica.columns, query)]

    assert found() == ["agent-z", "agent-a"]
    assert found(location_preference="virginia") == ["agent-a", "agent-z"]
    agent = replica.columns.get("agent-a")
    assert agent is not None
    assert agent.region == "us"
    assert agent.as_of is not None
    replica.beat([("agent-a", {"error_rate": 1.0})], round(time.time() * 1_000))
    assert replica.columns.get("agent-a") == agent


def test_a_wiped_redis_and_a_sweep_leave_copies_alone(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    us.side.register("agent-u")
    eu.side.register("agent-e")
    both(eu, us)
    eu.side.age(125, "agent-u")  # four intervals
    eu.side.wipe()
    swept = eu.side.sweep()
    assert (swept.agents, swept.repaired) == (1, 0)
    assert eu.side.sweep().repaired == 0
    assert eu.shown()["agent-u"] == ("ACTIVE", "us")
    states, is_sound = eu.side.hot.states()
    assert is_sound
    assert states.keys() == {"agent-u", "agent-e"}


def test_what_redis_was_not_told_of_copies_the_sweep_makes_good(
    pair: tuple[Region, Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    eu, us = pair
    eu.side.register("agent-e")
    eu.side.sweep()
    us.side.register("agent-u")
    us.number()
    # As if the process had died between recording and telling.
    place = eu.log.place("us")
    with monkeypatch.context() as patch:
        patch.setattr(eu.follower.desk, "tell", lambda _: None)
        assert eu.follow().changes == 1
    assert eu.log.place("us") != place
    assert eu.side.sweep().repaired == 1


def test_only_its_own_region_changes_an_agent(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    both(eu, us)
    with pytest.raises(DuplicateAgent, match="in region 'us'"):
        eu.side.register("agent-u", version="9.0.0")
    with pytest.raises(ForeignAgent, match="deregister it there"):
        eu.side.deregister("agent-u")
    assert us.side.types("agent-u") == ["AGENT_REGISTERED"]


def test_a_split_is_told_and_heals(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    us.side.register("agent-v")
    both(eu, us)
    eu.way.cut()
    assert eu.follow().fault
    assert eu.shown()["agent-u"] == ("ACTIVE", "us")
    eu.age(101)
    eu.follow()
    assert eu.shown()["agent-u"] == ("DEGRADED", "us")
    assert eu.log.overview()["us"].standing == "STALE"
    eu.age(200)
    eu.follow()
    assert eu.shown()["agent-u"] == ("INACTIVE", "us")
    view = eu.log.overview()["us"]
    assert view.standing == "LOST"
    assert view.fault
    us.side.deregister("agent-v")
    us.side.register("agent-w")
    eu.way.heal()
    both(eu, us)
    assert eu.shown() == {"agent-u": ("ACTIVE", "us"), "agent-w": ("ACTIVE", "us")}
    assert [one["type"] for one in eu.told()] == [
        "REGION_STALE",
        "REGION_STALE",
        "REGION_HEALED",
    ]
    assert eu.log.overview()["us"].fault == ""


def test_a_region_that_stands_still_is_not_waited_for(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    us.side.register("agent-u")
    both(eu, us)
    hasty = eu.side.settings.model_copy(update={"peer_timeout_s": 1.0})
    eu.way.stand_still()
    follower = Follower.of(eu.side.desk, hasty)
    assert "in time" in follower.follow(eu.peer, Because()).fault
    assert eu.shown()["agent-u"][1] == "us"
    eu.way.heal()
    both(eu, us)


def test_an_id_taken_on_both_sides_is_told_and_nobody_is_replaced(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    us.side.register("agent-x", version="1.0.0")
    eu.side.register("agent-x", version="2.0.0")
    both(eu, us)
    both(eu, us)
    assert eu.shown() == {"agent-x": ("ACTIVE", "")}
    assert us.shown() == {"agent-x": ("ACTIVE", "")}
    assert eu.log.overview()["us"].contested == {"agent-x": "us"}
    assert us.log.overview()["eu"].contested == {"agent-x": "us"}
    for region in pair:
        (told,) = region.told()
        assert (told["type"], told["holder"]) == ("NAME_CONTESTED", "us")
    # The one that came later leaves, and the other is seen in its place.
    replica = eu.side.replica()
    eu.side.deregister("agent-x")
    both(eu, us)
    assert eu.shown() == {"agent-x": ("ACTIVE", "us")}
    wait_until(
        lambda: getattr(replica.columns.get("agent-x"), "region", "") == "us",
        "replicas see it",
    )
    assert eu.told()[-1]["type"] == "NAME_SETTLED"
    assert us.told()[-1]["type"] == "NAME_SETTLED"
    assert us.log.overview()["eu"].contested == {}


def test_an_id_of_a_lost_region_may_be_taken(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    both(eu, us)
    replica = eu.side.replica()
    eu.way.cut()
    eu.age(301)
    eu.follow()
    eu.side.register("agent-u", version="2.0.0")
    eu.way.heal()
    both(eu, us)
    assert eu.shown() == {"agent-u": ("ACTIVE", "")}
    assert eu.told()[-1]["holder"] == "us"
    wait_until(
        lambda: getattr(replica.columns.get("agent-u"), "region", "us") == "",
        "replicas see the own one",
    )


def test_a_region_restored_from_an_older_backup_is_copied_anew(
    pair: tuple[Region, Region], postgres_server: str
) -> None:
    eu, us = pair
    us.side.register("agent-kept")
    both(eu, us)
    name = make_url(us.side.settings.database_url).database
    admin = psycopg2.connect(psycopg2_address(postgres_server))
    admin.autocommit = True
    with contextlib.closing(admin), admin.cursor() as cursor:
        us.side.db.close()
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (name,),
        )
        cursor.execute(f"CREATE DATABASE {name}_backup TEMPLATE {name}")
        us.side.register("agent-lost")
        both(eu, us)
        assert eu.shown().keys() == {"agent-kept", "agent-lost"}
        us.side.db.close()
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"ALTER DATABASE {name}_backup RENAME TO {name}")
    us.side.register("agent-new")
    # The first reading finds it out; what is shown stays until all is read.
    both(eu, us)
    assert eu.told()[0]["type"] == "REGION_RESTORED"
    both(eu, us)
    assert eu.shown() == {
        "agent-kept": ("ACTIVE", "us"),
        "agent-new": ("ACTIVE", "us"),
    }


def test_doubled_ticks_copy_everything_once(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    us.number()
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(eu.follow) for _ in range(4)]
        assert [one.result().fault for one in found] == [""] * 4
    assert sum(one.result().changes for one in found) == 1
    assert eu.side.types("agent-u") == ["AGENT_COPIED"]
    assert eu.follower.due(Because()) == ("us",)
    assert eu.follower.due(Because()) == ()


def test_a_crash_leaves_neither_copies_nor_their_place(
    pair: tuple[Region, Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    eu, us = pair
    both(eu, us)
    us.side.register("agent-u")
    us.number()
    before = eu.log.place("us")
    run = RegionLog._run

    def dying(log: RegionLog, connection: Any, name: str, given: Any) -> Any:
        if name == "moved":
            raise SystemExit
        return run(log, connection, name, given)

    with monkeypatch.context() as patch:
        patch.setattr(RegionLog, "_run", dying)
        with pytest.raises(SystemExit):
            eu.follow()
    assert eu.log.place("us") == before
    with eu.side.sql() as other:
        copies = other.exec_driver_sql("SELECT FROM orch.agent_copy")
        assert copies.rowcount == 0
    both(eu, us)
    assert eu.shown() == {"agent-u": ("ACTIVE", "us")}


def test_a_region_that_is_no_peer_any_more_is_forgotten(
    pair: tuple[Region, Region],
) -> None:
    eu, us = pair
    us.side.register("agent-u")
    both(eu, us)
    alone = eu.side.settings.model_copy(update={"peers": ""})
    follower = Follower.of(eu.side.desk, alone)
    assert follower.due(Because()) == ()
    assert eu.shown() == {}
    assert follower.log.overview() == {}
    with pytest.raises(ConfigurationError, match="no peer"):
        follower.follow("us", Because())


def test_the_reader_may_do_nothing_but_read(pair: tuple[Region, Region]) -> None:
    eu, us = pair
    us.side.register("agent-u")
    reader = psycopg2.connect(eu.follower.peers["us"])
    with contextlib.closing(reader), reader.cursor() as cursor:
        for forbidden in (
            "DELETE FROM es.events",
            "SELECT * FROM orch.agent",
            "INSERT INTO es.subscriptions VALUES ('x')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)
            reader.rollback()


def test_workers_and_beats_of_two_regions_follow_each_other(
    pair: tuple[Region, Region], make_stack: Callable[..., Stack]
) -> None:
    for region in pair:
        settings = region.side.settings
        stack = make_stack(
            {
                "DATABASE_URL": settings.database_url,
                "REDIS_URL": settings.redis_url,
                "CELERY_BROKER_URL": settings.broker_url,
                "ORCHESTRATION_KEY_PREFIX": settings.key_prefix,
                "ORCHESTRATION_REGION": settings.region,
                "ORCHESTRATION_PEERS": settings.peers,
                "ORCHESTRATION_PEER_STALE_S": "4",
                "ORCHESTRATION_PEER_TIMEOUT_S": "3",
            }
        )
        stack.chores()
        stack.beat()
    eu, us = pair
    eu.side.register("agent-e")
    us.side.register("agent-u")
    wait_until(lambda: len(eu.shown()) == len(us.shown()) == 2, "both know both")
    eu.way.stand_still()
    wait_until(lambda: eu.shown()["agent-u"][0] == "DEGRADED", "the split is seen")
    eu.way.heal()
    wait_until(lambda: eu.shown()["agent-u"][0] == "ACTIVE", "it is over")
    wait_until(
        lambda: us.shown()["agent-e"] == ("ACTIVE", "eu"), "the other one is well"
    )
