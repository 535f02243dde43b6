"""Who is given which partition, and that each is on record once: Redis and Postgres."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orchestration.adapters.database import Database
from orchestration.adapters.partition_log import PartitionLog
from orchestration.adapters.partition_queue import PartitionQueue
from orchestration.adapters.partition_records import (
    Answer,
    Claim,
    Held,
    Layout,
    QueueState,
    Settling,
)
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.adapters.swarm_log import SwarmLog
from orchestration.core.swarm.events import EventType, NewFact
from orchestration.core.swarm.model import AgentRole
from orchestration.core.swarm.partitions.control import pullers
from orchestration.core.swarm.partitions.facts import How, committed, failed, started
from orchestration.core.swarm.providers import PartitionResult
from orchestration.core.swarm.task import SwarmTask
from orchestration.settings import Settings
from orchestration.swarm_metrics import SwarmMetrics
from tests.support.front import Front, front_door
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

WORKER, SOLDIER, FORAGER, SCOUT = 1, 2, 3, 4
ROLES = {
    WORKER: AgentRole.WORKER,
    SOLDIER: AgentRole.SOLDIER,
    FORAGER: AgentRole.FORAGER,
    SCOUT: AgentRole.SCOUT,
    5: AgentRole.WORKER,
}
WORTH = {
    "work": [1.0, 5.0, 3.0, 2.0],
    "forage": [9.0, 1.0, 2.0, 3.0],
    "scout": [1.0, 2.0, 9.0, 3.0],
}
BECAUSE = Because(actor="test")


class Queue:
    """One swarm's queue, and the turns of its agents."""

    def __init__(self, redis_url: str, **layout: Any) -> None:
        self.queue = PartitionQueue(redis_url)
        told: dict[str, Any] = {
            "roles": ROLES,
            "orders": WORTH,
            "ready": [0, 1, 2, 3],
            "retry": {},
            "over": (),
            "deadline_ms": 0,
        }
        self.layout = Layout(**told | layout)
        assert self.queue.build("s", self.layout)
        self.turns = self.queue.wake("s", sorted(ROLES))

    def claim(self, agent: int, *, grace_ms: int = 0, lease_ms: int = 9_000) -> Claim:
        turn = self.turns[agent]
        given = {"lease_ms": lease_ms, "grace_ms": grace_ms}
        claim = self.queue.claim("s", agent, turn, **given)
        if claim.answer is Answer.LEASED:
            self.turns[agent] = claim.turn
        return claim

    def settle(self, claim: Claim, agent: int, how: Settling, **more: int) -> Any:
        held = Held(claim.partition, claim.attempt, agent)
        return self.queue.settle("s", held, how, **more)


@pytest.fixture
def made(redis_url: str) -> Iterator[list[Queue]]:
    queues: list[Queue] = []
    yield queues
    for one in queues:
        one.queue.close()


@pytest.fixture
def queue(redis_url: str, made: list[Queue]) -> Queue:
    made.append(Queue(redis_url))
    return made[-1]


def test_each_role_is_given_what_is_worth_most_to_it(queue: Queue) -> None:
    given = [queue.claim(agent).partition for agent in (WORKER, FORAGER, SCOUT, 5)]
    assert given == [1, 0, 2, 3]
    assert queue.claim(SOLDIER).answer is Answer.IDLE
    assert queue.queue.pace("s").idle == (SOLDIER,)


def test_of_two_messages_for_an_agent_one_finds_its_turn_taken(queue: Queue) -> None:
    turn = queue.turns[WORKER]
    assert queue.claim(WORKER).answer is Answer.LEASED
    again = queue.queue.claim("s", WORKER, turn, lease_ms=1, grace_ms=0)
    assert again.answer is Answer.STALE


def test_soldiers_take_retries_first_and_others_last(queue: Queue) -> None:
    first = queue.claim(WORKER)
    queue.settle(first, WORKER, Settling.RETRY)
    others = queue.claim(5, grace_ms=60_000)
    assert others.partition != first.partition
    taken = queue.claim(SOLDIER, grace_ms=60_000)
    assert (taken.partition, taken.attempt, taken.failures) == (first.partition, 2, 1)


def test_a_retry_is_never_given_to_the_agent_that_had_it_last(queue: Queue) -> None:
    for agent in (WORKER, FORAGER, SCOUT):
        queue.settle(queue.claim(agent), agent, Settling.OVER)
    last = queue.claim(5)
    queue.settle(last, 5, Settling.RETRY)
    assert queue.claim(5).answer is Answer.IDLE
    assert queue.claim(WORKER).partition == last.partition


def test_a_retry_waits(queue: Queue) -> None:
    claim = queue.claim(SOLDIER)
    queue.settle(claim, SOLDIER, Settling.RETRY, wait_ms=60_000)
    pace = queue.queue.pace("s")
    assert pace.due == 0
    assert 50_000 < (pace.next_due_ms or 0) <= 60_000


def test_what_is_over_counts_once(queue: Queue) -> None:
    claim = queue.claim(WORKER)
    assert queue.settle(claim, WORKER, Settling.OVER, tick_every=1) == (3, True)
    assert queue.settle(claim, WORKER, Settling.OVER, tick_every=1) == (3, False)
    assert queue.settle(claim, WORKER, Settling.RETRY) == (3, False)


def test_a_tick_is_due_after_so_many(queue: Queue) -> None:
    due = []
    for agent in (WORKER, FORAGER, SCOUT, 5):
        claim = queue.claim(agent)
        due.append(queue.settle(claim, agent, Settling.OVER, tick_every=2)[1])
    assert due == [False, True, False, True]


def test_a_lease_that_is_not_renewed_runs_out(queue: Queue) -> None:
    lost = queue.claim(WORKER, lease_ms=0)
    kept = queue.claim(5, lease_ms=0)
    assert queue.queue.renew("s", Held(kept.partition, kept.attempt, 5), 60_000)
    [expired] = queue.queue.expired("s")
    assert (expired.partition, expired.agent) == (lost.partition, WORKER)
    queue.settle(lost, WORKER, Settling.RETRY)
    gone = Held(lost.partition, lost.attempt, WORKER)
    assert not queue.queue.renew("s", gone, 60_000)
    taken = queue.claim(SOLDIER)
    # The old attempt can no longer put it back.
    assert taken.partition == lost.partition
    queue.settle(lost, WORKER, Settling.RETRY)
    [held] = queue.queue.held_by("s", {SOLDIER})
    assert held.attempt == taken.attempt


def test_what_is_handed_back_is_no_failure(queue: Queue) -> None:
    claim = queue.claim(WORKER)
    queue.settle(claim, WORKER, Settling.BACK)
    again = queue.claim(SOLDIER)
    assert (again.partition, again.failures) == (claim.partition, 0)
    assert again.attempt == claim.attempt + 1


def test_nothing_is_given_out_while_it_is_paused_or_late(queue: Queue) -> None:
    queue.queue.set_state("s", QueueState.PAUSED, 0)
    assert queue.claim(WORKER).answer is Answer.PAUSED
    queue.queue.set_state("s", QueueState.OPEN, 1)
    assert queue.claim(5).answer is Answer.LATE


def test_a_queue_is_built_once_and_remembers_what_was_tried(
    redis_url: str, made: list[Queue]
) -> None:
    retry = {3: (4, 2, WORKER)}
    made.append(Queue(redis_url, ready=[0], retry=retry, over=[1, 2]))
    queue = made[0]
    assert not queue.queue.build("s", queue.layout)
    taken = queue.claim(SOLDIER)
    assert (taken.partition, taken.attempt, taken.failures) == (3, 5, 2)
    assert queue.queue.pace("s").left == 2


def test_the_dead_have_no_turn_and_newcomers_rest(queue: Queue) -> None:
    roles = {WORKER: AgentRole.WORKER, 9: AgentRole.WORKER}
    queue.queue.update("s", roles, WORTH, [0, 1, 2, 3])
    assert queue.claim(5).answer is Answer.STALE
    assert queue.queue.pace("s").idle == (9,)
    queue.turns |= queue.queue.wake("s", [9])
    assert queue.claim(9).answer is Answer.LEASED


def test_of_a_queue_that_is_gone_or_over_nothing_is_given(queue: Queue) -> None:
    queue.queue.drop("s")
    assert queue.claim(WORKER).answer is Answer.STALE
    assert queue.queue.settle("s", Held(0, 1, WORKER), Settling.OVER) == (-1, False)
    assert queue.queue.pace("s").state is QueueState.OVER
    gone = queue.queue.claim("nobody", WORKER, 1, lease_ms=1, grace_ms=0)
    assert gone.answer is Answer.ABSENT


def test_workers_of_one_speed_have_equal_shares(
    redis_url: str, made: list[Queue]
) -> None:
    """Four slots, each of which has the next who waits take one that takes as long."""
    count, agents = 400, 12
    roles = dict.fromkeys(range(agents), AgentRole.WORKER)
    worth = [float(1 + n % 7) for n in range(count)]
    orders = dict.fromkeys(WORTH, worth)
    made.append(Queue(redis_url, roles=roles, orders=orders, ready=range(count)))
    queue, waiting = made[0], deque(range(agents))
    queue.turns = queue.queue.wake("s", range(agents))
    at_work: deque[tuple[int, Claim]] = deque()
    shares: Counter[int] = Counter()
    while waiting or at_work:
        while waiting and len(at_work) < 4:
            agent = waiting.popleft()
            if (claim := queue.claim(agent)).answer is Answer.LEASED:
                at_work.append((agent, claim))
        if at_work:
            agent, claim = at_work.popleft()
            queue.settle(claim, agent, Settling.OVER)
            shares[agent] += 1
            waiting.append(agent)
    assert shares.total() == count
    for share in shares.values():
        assert share == pytest.approx(count / agents, rel=0.1)


# --- the nurse


@pytest.fixture
def front(database_url: str, redis_url: str, redis_broker_url: str) -> Iterator[Front]:
    """A producer without any worker; its desk is the same as a worker's."""
    migrate_all(database_url)
    addresses = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with front_door({**addresses, "CELERY_BROKER_URL": redis_broker_url}) as made:
        yield made


@pytest.mark.parametrize("nurses", [0.2, 0.0])
def test_the_nurse_gives_back_at_once_what_the_dead_had(
    front: Front, nurses: float
) -> None:
    """An agent dies of what it has failed at, and has another partition in hand."""
    side = front.bus.partitions
    roles = {"NURSE": nurses, "SCOUT": 0.0, "SOLDIER": 0.0, "FORAGER": 0.0}
    given = {"weights": [200] * 6, "roles": roles, "max_attempts": 9}
    task = SwarmTask("t", 6, 10, handler="h", swarm_id="s", **given)
    side.desk.swarms.begin("s", started(task), BECAUSE)
    assert side.desk.tick("s", BECAUSE)
    victim = max(pullers(side.desk.read("s").colony))

    def claim(agent: int) -> Claim:
        [turn] = side.queue.wake("s", [agent]).values()
        return side.queue.claim("s", agent, turn, lease_ms=600_000, grace_ms=0)

    first, lost = claim(victim), claim(victim)
    timing = {"busy_ms": 1.0, "worker": "w"}
    told = {"error": {"type": "ValueError", "message": "no"}, "timing": timing}
    fact = failed(first.partition, victim, 1, how=How.FAILED, retry_in_ms=0, **told)
    assert side.log.record("s", [fact], BECAUSE) == (True,)
    side.queue.settle("s", Held(first.partition, 1, victim), Settling.RETRY)
    assert side.desk.tick("s", BECAUSE)
    colony = side.desk.read("s").colony
    assert victim not in colony.agents.ids
    assert colony.agents.state.size == 10
    held = [one.partition for one in side.queue.held_by("s", {victim})]
    assert held == ([] if nurses else [lost.partition])
    other = min(pullers(colony))
    taken = [claim(other) for _ in range(6)]
    again = [one for one in taken if one.partition == lost.partition]
    # It has failed at nothing: its attempt was just not its agent's to end.
    tries = [(one.attempt, one.failures) for one in again]
    assert tries == ([(2, 0)] if nurses else [])


# --- leases that end


def test_what_is_done_is_not_taken_for_lost_though_its_process_did_not_tell(
    front: Front,
) -> None:
    """It ended after the record, before the queue heard of it."""
    side = front.bus.partitions
    task = SwarmTask("t", 4, 10, handler="h", swarm_id="s")
    side.desk.swarms.begin("s", started(task), BECAUSE)
    assert side.desk.tick("s", BECAUSE)
    agent = min(pullers(side.desk.read("s").colony))
    [turn] = side.queue.wake("s", [agent]).values()
    claim = side.queue.claim("s", agent, turn, lease_ms=1, grace_ms=0)
    timing = {"busy_ms": 1.0, "worker": "w"}
    fact = committed(claim.partition, agent, 1, PartitionResult(rows=1), timing)
    assert side.log.record("s", [fact], BECAUSE) == (True,)
    wait_until(lambda: side.queue.expired("s"), "its lease has ended")
    assert side.desk.tick("s", BECAUSE)
    assert side.queue.expired("s") == side.queue.held_by("s", {agent}) == ()
    assert side.queue.pace("s").left == 3
    colony = side.desk.read("s").colony
    assert colony.failures == {}
    assert [*colony.done] == [claim.partition]


# --- metrics


def test_shared_work_has_all_four_metrics_until_it_is_over(front: Front) -> None:
    side, registry = front.bus.partitions, CollectorRegistry()
    desk = replace(side.desk, metrics=SwarmMetrics(registry), _known={})
    for swarm_id in ("s", "other"):
        task = SwarmTask("t", 2, 10, handler="h", swarm_id=swarm_id)
        desk.swarms.begin(swarm_id, started(task), BECAUSE)
        side.log.record(swarm_id, [commit(0, 4, 1)], BECAUSE)
        desk.patrol(swarm_id, BECAUSE)

    def shown(swarm_id: str) -> list[object]:
        by_id = {"swarm_id": swarm_id}
        agents = {**by_id, "role": "queen"}
        return [
            registry.get_sample_value("swarm_agents_total", agents),
            registry.get_sample_value("swarm_efficiency", by_id),
        ]

    for swarm_id in ("s", "other"):
        agents, efficiency = shown(swarm_id)
        assert agents == 1
        assert isinstance(efficiency, float)
        assert 0 < efficiency < 1
        side.log.record(swarm_id, [commit(1, 5, 1)], BECAUSE)
    desk.patrol("s", BECAUSE)
    side.desk.tick("other", BECAUSE)  # as another process does
    assert shown("s") == [None, None]
    desk.forget_ended()
    assert shown("other") == [None, None]
    completed = {"status": "completed"}
    assert registry.get_sample_value("swarm_tasks_total", completed) == 1
    assert registry.get_sample_value("swarm_convergence_time_ms_count") == 1


# --- on record


@pytest.fixture
def logs(database_url: str, redis_url: str) -> Iterator[tuple[SwarmLog, PartitionLog]]:
    migrate_all(database_url)
    settings = Settings(
        database_url=database_url, redis_url=redis_url, broker_url=redis_url
    )
    db = Database(settings.database_url)
    yield SwarmLog(db), PartitionLog(db)
    db.close()


def begun(logs: tuple[SwarmLog, PartitionLog]) -> str:
    task = SwarmTask("count", 3, handler="h", swarm_id="s")
    logs[0].begin("s", started(task), BECAUSE)
    return "s"


def commit(partition: int, agent: int, value: int) -> NewFact:
    timing = {"busy_ms": 1.0, "worker": "w"}
    return committed(partition, agent, 1, PartitionResult(1, 1.0, value), timing)


def test_the_first_commit_of_a_partition_is_the_only_one(
    logs: tuple[SwarmLog, PartitionLog],
) -> None:
    swarm_id, log = begun(logs), logs[1]
    one, other = commit(0, 1, 10), commit(0, 2, 20)
    assert log.record(swarm_id, [one], BECAUSE) == (True,)
    assert log.record(swarm_id, [one], BECAUSE) == (True,)  # told again
    assert log.record(swarm_id, [other], BECAUSE) == (False,)
    [kept] = log.results(swarm_id)
    assert (kept["agent"], kept["value"]) == (1, 10)


def test_facts_are_judged_one_by_one(logs: tuple[SwarmLog, PartitionLog]) -> None:
    swarm_id, log = begun(logs), logs[1]
    log.record(swarm_id, [commit(1, 1, 1)], BECAUSE)
    facts = [commit(0, 1, 1), commit(1, 2, 2), commit(2, 2, 3)]
    assert log.record(swarm_id, facts, BECAUSE) == (True, False, True)
    assert [one["value"] for one in log.results(swarm_id)] == [1, 1, 3]


def test_after_the_end_nothing_is_recorded(
    logs: tuple[SwarmLog, PartitionLog],
) -> None:
    swarm_id = begun(logs)
    swarms, log = logs
    log.record(swarm_id, [commit(0, 1, 1)], BECAUSE)
    end = NewFact(EventType.SWARM_TIMED_OUT, {"reason": "late", "result": {}})
    view = swarms.view(swarm_id)
    assert swarms.record(view, [end], BECAUSE, expected=2).is_new
    head = log.head(swarm_id)
    assert log.record(swarm_id, [commit(1, 1, 1)], BECAUSE) is None
    assert log.head(swarm_id) == head
    assert len(log.results(swarm_id)) == 1
    assert log.open(10) == ()
