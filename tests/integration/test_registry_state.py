"""The registry's events, rows, hot state and replicas, when something goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from prometheus_client import CollectorRegistry

from orchestration.adapters import registry_drift
from orchestration.adapters.registry_feed import FeedChange, Kind, Snapshot
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_rebuild import rebuild
from orchestration.adapters.registry_replica import Replica
from orchestration.core.registry.fold import fold
from orchestration.core.registry.model import AgentStatus
from orchestration.engine.registry_client import RegistryClient
from orchestration.errors import DuplicateAgent, TooManyAgents
from orchestration.metrics import RegistryMetrics
from tests.support.registry import RegistrySide, registry_side
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def side(database_url: str, redis_url: str) -> Iterator[RegistrySide]:
    with registry_side(database_url, redis_url) as side:
        yield side


def test_rows_are_what_the_events_fold_to(side: RegistrySide) -> None:
    side.register("agent-a", location="eu")
    side.register("agent-a", capabilities=["other"])
    side.register("agent-b")
    side.deregister("agent-b")
    side.register("agent-b", tags=["again"])
    side.register("agent-c")
    side.deregister("agent-c")
    time.sleep(0.5)
    side.sweep()
    folded = fold(side.log.history())
    registered = {key: one for key, one in folded.items() if one.is_registered}
    assert side.log.states() == registered
    assert registered.keys() == {"agent-a", "agent-b"}
    assert side.types("agent-b")[:3] == [
        "AGENT_REGISTERED",
        "AGENT_DEREGISTERED",
        "AGENT_REGISTERED",
    ]


def test_who_was_registered_at_a_moment_is_told_from_events(side: RegistrySide) -> None:
    side.register("agent-a", version="1.0.0")
    at = side.register("agent-a", version="1.1.0").changed_at
    side.register("agent-a", version="2.0.0")
    side.register("agent-b")
    then = side.log.as_of(at)
    assert then.keys() == {"agent-a"}
    assert then["agent-a"].descriptor.version == "1.1.0"


def test_the_same_registration_leaves_no_event(side: RegistrySide) -> None:
    before = side.register(metadata={"sizes": (1, 2.0)})
    assert side.register(metadata={"sizes": (1, 2.0)}) == before
    assert side.types() == ["AGENT_REGISTERED"]


def test_a_living_agent_of_another_owner_keeps_its_name(side: RegistrySide) -> None:
    side.register(owner="team-a")
    with pytest.raises(DuplicateAgent, match="belongs to 'team-a'"):
        side.register(owner="team-b", version="2.0.0")
    assert side.types() == ["AGENT_REGISTERED"]


def test_two_owners_at_once_leave_one_agent(side: RegistrySide) -> None:
    together = Barrier(8)

    def register(nth: int) -> str:
        together.wait()
        try:
            return side.register(owner=f"team-{nth}").owner
        except DuplicateAgent:
            return ""

    with ThreadPoolExecutor(8) as threads:
        owners = [one for one in threads.map(register, range(8)) if one]
    assert owners == [side.log.states()["agent-a"].owner]
    assert side.types() == ["AGENT_REGISTERED"]


def test_no_more_agents_than_may_be(database_url: str, redis_url: str) -> None:
    with registry_side(database_url, redis_url, max_agents=3) as side:
        together = Barrier(6)

        def register(nth: int) -> bool:
            together.wait()
            try:
                side.register(f"agent-{nth}")
            except TooManyAgents:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(register, range(6))) == 3
        registered = sorted(side.log.states())
        side.register(registered[0], version="1.0.1")
        side.deregister(registered[0])
        side.register("agent-new")


def test_a_row_that_was_lost_or_set_back_is_put_right(side: RegistrySide) -> None:
    side.register("agent-a", owner="team-a")
    side.register("agent-b")
    with side.sql() as other:
        other.exec_driver_sql("UPDATE orch.agent SET version = 7, owner = ''")
        other.exec_driver_sql("DELETE FROM orch.agent WHERE agent_id = 'agent-b'")
    side.register("agent-a", owner="team-a", version="1.0.1")
    assert side.log.states()["agent-a"].owner == "team-a"
    side.register("agent-b")
    assert side.log.states() == fold(side.log.history())


def test_a_replica_follows_the_feed(side: RegistrySide) -> None:
    replica = side.replica()
    side.register("agent-a", location="eu", metadata={"max_concurrent_requests": 4})
    wait_until(lambda: "agent-a" in replica.columns, "it is there")
    side.beat("agent-a", error_rate=0.5, queue_size=2)
    wait_until(lambda: replica.last_beat("agent-a"), "it is heard of")
    agent = replica.columns.get("agent-a")
    assert agent is not None
    assert (agent.health_score, agent.load, agent.location) == (0.5, 0.5, "eu")
    assert abs(agent.last_heartbeat.timestamp() - time.time()) < 60
    side.sweep()
    wait_until(lambda: status(replica) is AgentStatus.DEGRADED, "it is degraded")
    side.deregister("agent-a")
    wait_until(lambda: "agent-a" not in replica.columns, "it is gone")
    assert replica.feed_age_s < 60


def status(replica: Replica, agent_id: str = "agent-a") -> AgentStatus | None:
    agent = replica.columns.get(agent_id)
    return agent and agent.status


def test_a_wiped_redis_is_built_anew_and_equals_the_rows(side: RegistrySide) -> None:
    replicas = [side.replica() for _ in range(3)]
    for nth in range(20):
        side.register(f"agent-{nth}", location="eu")
    side.deregister("agent-3")
    side.beat("agent-1", cpu_usage=0.4)
    wait_until(lambda: all(r.last_beat("agent-1") for r in replicas), "all have heard")
    epoch = side.hot.look()
    before = {r: r.columns.get("agent-1") for r in replicas}
    side.wipe()
    assert all(r.columns.get("agent-1") == before[r] for r in replicas)
    wait_until(lambda: side.hot.look() not in ("", epoch), "there is a new epoch")
    snapshot = side.hot.snapshot()
    assert snapshot is not None
    held = {one.agent_id: one for one in snapshot.agents}
    rows = {key: FeedChange.of(one) for key, one in side.log.states().items()}
    assert {k: (v.document, v.state) for k, v in rows.items()} == {
        k: (v.document, v.state) for k, v in held.items()
    }
    wait_until(lambda: all(r.reloads > 1 for r in replicas), "all have read it")
    sums = {r.columns.checksum for r in replicas}
    assert sums == {side.hot.checksum(side.hot.epoch)[1]}
    # Of before the wipe: what nobody has told otherwise stays as it was known.
    assert all(r.columns.get("agent-1") == before[r] for r in replicas)
    side.register("agent-late")
    wait_until(lambda: all("agent-late" in r.columns for r in replicas), "they go on")


def test_nobody_expires_for_what_redis_has_lost(side: RegistrySide) -> None:
    side.register("agent-a")
    side.register("agent-b")
    side.age(130)  # longer than four intervals
    side.wipe()
    swept = side.sweep()
    assert (swept.agents, swept.changed) == (2, 0)
    assert set(side.statuses().values()) == {"ACTIVE"}


def test_a_heartbeat_that_comes_twice_counts_once(side: RegistrySide) -> None:
    side.register()
    side.beat("agent-a", number=5, cpu_usage=0.1)
    first = side.last_beat("agent-a")
    time.sleep(0.01)
    side.beat("agent-a", number=5, cpu_usage=0.1)
    side.beat("agent-a", number=4, cpu_usage=0.9)
    assert side.last_beat("agent-a") == first
    side.beat("agent-a", number=6, cpu_usage=0.2)
    assert side.last_beat("agent-a") != first


def test_a_heartbeat_that_waited_for_long_does_not_count(side: RegistrySide) -> None:
    for name in ("a", "b", "c"):
        side.register(f"agent-{name}")
    now_ms = side.hot.now_ms()
    until_ms = {"agent-a": now_ms - 1, "agent-b": now_ms + 60_000}
    beats = [(one, {"cpu_usage": 0.5}) for one in side.log.states()]
    heard = side.desk.beat(beats, until_ms=until_ms)
    assert heard is not None
    assert (heard.unknown, heard.late) == ((), 1)
    assert side.last_beat("agent-a") is None
    assert side.last_beat("agent-b")
    assert side.last_beat("agent-c")


def test_a_clock_that_is_set_meanwhile_freezes_no_replica(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register("agent-a")
    client = RegistryClient(
        side.db, side.settings, RegistryMetrics(CollectorRegistry())
    )
    client.start()
    real = time.time
    try:
        monkeypatch.setattr(time, "time", lambda: real() + 3_600)
        client.heartbeat("agent-a", {"error_rate": 0.0}).result(30)
        own = client.get("agent-a").last_heartbeat
        assert own is not None
        assert abs(own.timestamp() - real()) < 60
        # The worker that takes it, and what another process sends.
        side.beat("agent-a", error_rate=0.5)
        wait_until(lambda: client.get("agent-a").health_score == 0.5, "it goes on")
    finally:
        client.close()


def test_changes_that_come_twice_or_late_change_nothing(side: RegistrySide) -> None:
    first = side.register(version="1.0.0")
    second = side.register(version="2.0.0")
    sums = side.hot.checksum(side.hot.epoch)
    for state in (second, first):
        assert side.hot.change([FeedChange.of(state)])
    assert side.hot.checksum(side.hot.epoch) == sums
    side.deregister()
    gone = side.hot.checksum(side.hot.epoch)
    side.hot.change([FeedChange.of(second)])
    assert side.hot.checksum(side.hot.epoch) == gone
    assert side.hot.states() == ({}, True)


def test_a_writer_of_an_old_epoch_writes_into_the_new_one(side: RegistrySide) -> None:
    side.register("agent-a")
    stale = HotState(side.settings.redis_url, side.settings.key_prefix)
    stale.look()
    side.wipe()
    side.sweep()
    change = FeedChange.of(side.log.states()["agent-a"])
    moved = FeedChange(
        kind=Kind.STATUS, agent_id="agent-a", version=2, status=AgentStatus.DEGRADED
    )
    assert stale.change([change, moved])
    assert stale.epoch == side.hot.look()
    assert side.hot.states()[0]["agent-a"].version == 2
    stale.close()


def test_a_gap_in_the_feed_is_noticed(side: RegistrySide) -> None:
    side.register("agent-a")
    replica = side.replica()
    replica.close()
    feed = side.hot._epochs.key(side.hot.epoch, "deltas")
    side.register("agent-b")
    side.redis.xtrim(feed, maxlen=0, approximate=False)
    side.register("agent-c")
    assert replica._follow()
    assert replica.reloads == 2
    assert {"agent-a", "agent-b", "agent-c"} == replica.columns.versions().keys()


def test_a_replica_that_drifted_reads_all_again(side: RegistrySide) -> None:
    side.register("agent-a")
    side.register("agent-b")
    replica = side.replica(compare_every_s=0.05)
    with replica.columns.lock:  # or all is read again in between
        replica.columns.drop("agent-a", 1_000)
        replica.columns._graves.clear()
    wait_until(lambda: "agent-a" in replica.columns, "it is there again")
    wait_until(lambda: replica.reloads == 2, "all was read again")


def test_what_a_replicas_own_process_records_is_no_drift(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # It goes on recording, also on a host that stands still for seconds.
        patch.setattr(registry_drift, "_SETTLED_S", 200.0)
        patch.setattr(registry_drift, "_PATIENCE_S", 200.0)
        replica = side.replica(compare_every_s=0.01)
        with ThreadPoolExecutor(4) as threads:
            own = threads.map(side.register, [f"agent-{nth}" for nth in range(600)])
            for state in own:
                replica.put(state)
                # As if the feed had not told of this one yet, whenever it is compared.
                replica.columns.put(replace(state.agent, version=state.version + 1))
                time.sleep(0.002)
        assert replica.reloads == 1
    # What stays otherwise once it is quiet is drift.
    wait_until(lambda: replica.reloads == 2, "all is read again")


def test_what_was_not_told_the_sweep_makes_good(side: RegistrySide) -> None:
    for name in ("a", "b"):
        side.register(f"agent-{name}")
    replica = side.replica()
    # As if the words about these changes had been lost on the way to Redis.
    side.hot.change = lambda _: True  # type: ignore[method-assign]
    side.register("agent-b", version="1.0.1")
    side.register("agent-d")
    side.deregister("agent-a")
    del side.hot.change
    assert side.sweep().repaired == 3
    assert side.sweep().repaired == 0
    told = {"agent-b": 2, "agent-d": 1}
    wait_until(lambda: replica.columns.versions() == told, "replicas hear of it")


def test_rows_and_keys_that_were_lost_come_back_by_the_sweep(
    side: RegistrySide,
) -> None:
    for name in ("a", "b"):
        side.register(f"agent-{name}")
    before = side.log.states()
    epoch = side.hot.epoch
    with side.sql() as other:
        other.exec_driver_sql("DELETE FROM orch.agent WHERE agent_id = 'agent-a'")
    side.sweep()
    assert side.log.states() == before
    side.redis.hdel(side.hot._epochs.key(epoch, "states"), "agent-b")
    assert side.sweep().repaired == 2
    assert side.hot.look() != epoch
    assert side.sweep().repaired == 0


def in_both(side: RegistrySide, replica: Replica) -> bool:
    recorded = {key: state.version for key, state in side.log.states().items()}
    return bool(replica.columns.versions() == recorded)


def test_what_is_registered_while_all_is_read_again_is_not_let_go(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.register("agent-a")
    replica = side.replica()
    read, found = side.hot.snapshot, []

    def overtaken() -> Snapshot | None:
        snapshot = read()
        replica.put(side.register("agent-b"))
        return snapshot

    def tell() -> None:
        found.append("agent-b" in replica.columns)

    with monkeypatch.context() as patch:
        patch.setattr(side.hot, "snapshot", overtaken)
        replica.listen(tell)
        rebuild(side.log, side.hot)
        wait_until(lambda: replica.reloads == 2, "all is read again")
    side.register("agent-b", version="1.0.1")
    wait_until(lambda: in_both(side, replica), "it holds what was recorded")
    assert all(found)


def test_what_redis_never_heard_of_comes_back_by_the_sweep(side: RegistrySide) -> None:
    side.register("agent-a")
    replica = side.replica(compare_every_s=0.05)
    # As if Redis had been away, and were back as it was before.
    side.hot.change = lambda _: True  # type: ignore[method-assign]
    replica.put(side.register("agent-b"))
    del side.hot.change
    wait_until(lambda: "agent-b" not in replica.columns, "the feed does not tell of it")
    assert side.sweep().repaired == 1
    wait_until(lambda: in_both(side, replica), "it holds what was recorded")


@pytest.mark.parametrize("lost", ["one state", "states", "agents", "meta"])
def test_a_damaged_hot_state_empties_no_replica(side: RegistrySide, lost: str) -> None:
    for name in ("a", "b", "c"):
        side.register(f"agent-{name}")
    known = side.replica()
    known.close()
    if lost == "one state":
        side.redis.hdel(side.hot._epochs.key(side.hot.epoch, "states"), "agent-b")
    else:
        side.redis.delete(side.hot._epochs.key(side.hot.epoch, lost))
    assert known._reload()
    assert in_both(side, known)
    late = side.replica(compare_every_s=600.0)  # which would find it out as well
    assert in_both(side, late)
    side.register("agent-d")
    assert side.sweep().repaired == 4
    wait_until(lambda: late.reloads == 2, "it is built anew")
    assert in_both(side, late)
    assert side.sweep().repaired == 0


def test_who_builds_late_removes_nothing_of_the_epoch_that_holds(
    side: RegistrySide,
) -> None:
    side.register("agent-a")
    late = HotState(side.settings.redis_url, side.settings.key_prefix)
    late.look()
    rebuild(side.log, side.hot)
    late._epochs._sweep_up(late.epoch)  # it takes the epoch before for that
    assert side.hot.states()[1]
    assert side.hot.sizes() == (1, 1)
    late.close()


@pytest.mark.parametrize("lost", ["meta", "states", "agents"])
def test_an_epoch_of_which_some_was_lost_does_not_hold(
    side: RegistrySide, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    side.register("agent-a")
    before, epochs = side.hot.look(), side.hot._epochs
    run_open = epochs._open

    def opened(keys: list[str], args: list[str]) -> object:
        side.redis.delete(epochs.key(args[0], lost))
        return run_open(keys=keys, args=args)

    monkeypatch.setattr(epochs, "_open", opened)
    agents = [FeedChange.of(state) for state in side.log.states().values()]
    assert side.hot.build(agents) == before
    assert side.hot.states()[1]


def test_without_redis_agents_are_registered_and_found(
    database_url: str, redis_url: str
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with registry_side(database_url, redis_url) as sound:
        sound.register("agent-a")
        with registry_side(database_url, nowhere) as side:
            side.register("agent-b")
            replica = side.replica()
            assert replica.columns.versions().keys() == {"agent-a", "agent-b"}
            assert replica.feed_age_s > 1_000
