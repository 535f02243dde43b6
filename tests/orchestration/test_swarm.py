"""Swarms that share out partitions of data, on real workers."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from prometheus_client import CollectorRegistry

from eventstore.verify import verify
from orchestration.agents import Partition
from orchestration.core.swarm.events import EventType
from orchestration.core.swarm.model import AgentRole, SwarmBehavior
from orchestration.core.swarm.partitions.colony import Colony
from orchestration.core.swarm.partitions.trails import Trails
from orchestration.engine import swarm_replaying
from orchestration.errors import (
    InvalidSwarm,
    PayloadTooLarge,
    SwarmActRefused,
    SwarmConflict,
    SwarmHandlerNotFound,
    SwarmNotFound,
    SwarmSourceNotFound,
)
from orchestration.swarm import SwarmOrchestrator, SwarmStatus, SwarmTask
from orchestration.swarm_metrics import SwarmMetrics
from tests.support.front import Front
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.unit.colonies import Story

pytestmark = pytest.mark.integration

MODULES = "tests.support.swarm_agents"
ENVIRONMENT = {
    "ORCHESTRATION_FIELD_TICK_S": "0.5",
    # No worker dies here, and a lease that lapses on a busy host is one more attempt.
    "ORCHESTRATION_LEASE_S": "60",
}
SLOTS = 4
NUMBERS = ("numbers", "given")  # the source, and what the groups are
WAIT_MS = 200_000


@pytest.fixture(scope="module")
def swarm(front: Front) -> SwarmOrchestrator:
    """A producer whose workers host the handlers."""
    made = SwarmOrchestrator(front.bus)
    wait_until(lambda: not missing(made), "the workers have said what they host")
    return made


def missing(swarm: SwarmOrchestrator) -> bool:
    announcements = swarm._bus.announcements
    return not announcements.knows("@handler/work")


def deploy(swarm: SwarmOrchestrator, task: SwarmTask) -> dict[str, Any]:
    return asyncio.run(swarm.deploy(task))


def begin(swarm: SwarmOrchestrator, task: SwarmTask) -> str:
    """Start a swarm without waiting for it."""
    from orchestration.adapters.saga_records import Because

    swarm._bus.partitions.desk.begin(task, Because(actor="test"))
    return task.swarm_id


def events(swarm: SwarmOrchestrator, swarm_id: str) -> Mapping[str, list[Any]]:
    """Return the data of a swarm's events by their type."""
    found: dict[str, list[Any]] = {}
    for event in asyncio.run(swarm.events(swarm_id)):
        found.setdefault(event.type, []).append(event.data)
    return found


def task(count: int = 20, **given: Any) -> SwarmTask:
    metadata = given.pop("metadata", {})
    given = {"handler": "work", "backoff_ms": 20, "timeout_ms": WAIT_MS, **given}
    return SwarmTask("test", count, metadata=metadata, **given)


def told(swarm: SwarmOrchestrator, swarm_id: str, kind: str) -> list[Any]:
    return events(swarm, swarm_id).get(kind, [])


def result_of(swarm: SwarmOrchestrator, swarm_id: str) -> Mapping[str, Any]:
    return asyncio.run(swarm.wait(swarm_id, timeout_ms=WAIT_MS)).result


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def begin_held(swarm: SwarmOrchestrator, wanted: SwarmTask, notes: Path) -> str:
    """Begin a swarm and return once its gate holds each slot at its first partition.

    The worker is at rest before: while its tasks are short it puts some behind others,
    and what is behind one that is held leaves a slot without any.
    """
    wait_until(lambda: not busy(swarm), "nobody is at work any more")
    swarm_id = begin(swarm, wanted)
    wait_until(lambda: len(lines(notes)) == SLOTS, "each slot has its first partition")
    return swarm_id


def deploy_asked(
    swarm: SwarmOrchestrator, wanted: SwarmTask, held: Path, notes: Path
) -> Mapping[str, Any]:
    """Have a swarm begin once all its agents were asked: nobody is ahead of others.

    Who asks them may be held up after the first of them, who would do it all. But when
    the gate holds all slots, none of them is at a tick any more; and then only the
    patrol can end another swarm, and is at nothing else when it does.
    """
    swarm_id = begin_held(swarm, wanted, notes)
    assert deploy(swarm, task(1, timeout_ms=1))["status"] == "TIMEOUT"
    held.touch()
    return result_of(swarm, swarm_id)


# --- what the system's description names


def test_swarm_initialization(swarm: SwarmOrchestrator) -> None:
    """A swarm begins with the agents, roles and energy that its task asks for."""
    wanted = task(10, agents_required=20)
    result = deploy(swarm, wanted)
    [started] = told(swarm, wanted.swarm_id, "SWARM_STARTED")
    assert started["kind"] == "partitions"
    assert started["agents"] == result["agents"] == 20
    assert result["energy"]["initial"] == 20_000
    assert result["swarm_id"] == wanted.swarm_id
    again = SwarmOrchestrator(swarm._bus)
    asyncio.run(again.initialize())
    asyncio.run(again.initialize())


def test_agent_allocation(
    swarm: SwarmOrchestrator, gate: Callable[[], Path], folder: Path
) -> None:
    """Each partition goes to one agent; many share the work, and the queen has none."""
    held, notes = gate(), folder / "allocation"
    metadata = {"gate": str(held), "touched": str(notes)}
    wanted = task(60, agents_required=20, metadata=metadata)
    result = deploy_asked(swarm, wanted, held, notes)
    touched = [line.split() for line in lines(notes)]
    assert Counter(int(p) for p, _, _ in touched) == dict.fromkeys(range(60), 1)
    agents = Counter(agent for _, agent, _ in touched)
    assert agents == result["agent_partitions"]
    assert len(agents) > 10
    roles = folded(swarm, wanted.swarm_id).agents.roles
    [queen] = [one for one, role in roles.items() if role is AgentRole.QUEEN]
    assert str(queen) not in agents


def test_foraging_behavior(swarm: SwarmOrchestrator) -> None:
    """Ticks of a foraging swarm tell of pheromone on what has been found."""
    wanted = task(
        40,
        behavior="FORAGING",
        groups=[0, 1] * 20,
        metadata={"returns": {"rows": 1, "quality": 0.5}},
    )
    result = deploy(swarm, wanted)
    ticks = told(swarm, wanted.swarm_id, "SWARM_TICKED")
    assert result["fitness"] == pytest.approx(0.5)
    assert result["behavior"] == SwarmBehavior.FORAGING
    assert all(len(tick["pheromone"]) == 2 for tick in ticks)
    assert max(ticks[-1]["pheromone"]) < 1.0


def test_convergence_detection(swarm: SwarmOrchestrator) -> None:
    """Convergence is the share of weight that is done, and is told tick by tick."""
    wanted = task(
        20, max_attempts=1, metadata={"failing": {"3": 9}}, convergence_threshold=0.95
    )
    result = deploy(swarm, wanted)
    assert result["convergence"] == pytest.approx(0.95)
    assert result["converged"] is True
    course = [t["convergence"] for t in told(swarm, wanted.swarm_id, "SWARM_TICKED")]
    assert course == sorted(course)
    assert course[-1] == pytest.approx(0.95)
    assert deploy(swarm, task(4, metadata={"hopeless": [0]}))["converged"] is False


def test_pheromone_evaporation() -> None:
    """Where nothing is found pheromone is gone by a tenth with each tick."""
    story = Story(20, groups=[0, 1] * 10)
    trails: Trails = story.colony.trails
    for n in range(1, 9):
        story.commit(2 * n)
        story.tick()
        assert trails.pheromone[1] == pytest.approx(0.9**n, abs=1e-12)
    assert trails.pheromone[0] == pytest.approx(1.0)


def test_evolution_reproduction() -> None:
    """An agent that has earned enough for two has a child, where there is room."""
    story = Story(60, weights=[0.01] * 59 + [1_000], seed=1)
    colony: Colony = story.colony
    for partition in range(12):
        story.commit(partition, agent=5)
    story.tick()
    assert colony.agents.ledger.evolution_overflow == 1  # all places were taken
    story.fail(59, agent=6)
    before = colony.agents.energy
    [child] = story.tick()["births"]
    assert child == 10
    assert colony.agents.state.size == 10
    assert colony.agents.ledger.births == 1
    assert colony.agents.energy == colony.agents.ledger.balance < before


def test_swarm_metrics(swarm: SwarmOrchestrator) -> None:
    """The four metrics; what is by swarm is removed when the swarm is over."""
    registry = CollectorRegistry()
    metrics = SwarmMetrics(registry)
    wanted = task(10)
    deploy(swarm, wanted)
    ended = swarm._bus.swarms.log.view(wanted.swarm_id)
    [first, *_] = asyncio.run(swarm.events(wanted.swarm_id))
    from orchestration.core.swarm.fold import first as begun

    roles = {str(role): 1 for role in AgentRole}
    metrics.moved(begun(wanted.swarm_id, first), roles, efficiency=0.5)
    labels = {"swarm_id": wanted.swarm_id}
    scout = {**labels, "role": "scout"}
    assert registry.get_sample_value("swarm_agents_total", scout) == 1
    assert registry.get_sample_value("swarm_efficiency", labels) == 0.5
    metrics.moved(ended, roles)
    assert registry.get_sample_value("swarm_agents_total", scout) is None
    assert registry.get_sample_value("swarm_efficiency", labels) is None
    completed = {"status": "completed"}
    assert registry.get_sample_value("swarm_tasks_total", completed) == 1
    assert registry.get_sample_value("swarm_convergence_time_ms_count") == 1


# --- what comes of it


def test_every_result_key_is_there(swarm: SwarmOrchestrator) -> None:
    result = deploy(swarm, task(10))
    assert {
        "convergence", "converged", "fitness", "iterations", "duration_ms",
        "efficiency", "efficiency_bound", "load_balance", "jain_index", "throughput",
        "partitions", "failed_partitions", "attempts", "duplicates_suppressed", "slots",
        "status", "state_hash", "chain_head", "rows", "energy", "swarm_id",
    } <= result.keys()  # fmt: skip
    assert result["status"] == "COMPLETED"
    assert result["partitions"] == {"done": 10, "failed": 0, "pending": 0}
    assert result["rows"] == 100
    assert result["throughput"] == pytest.approx(100_000 / result["duration_ms"])
    assert 0 < result["efficiency"] <= result["efficiency_bound"] <= 1
    assert sum(result["agent_partitions"].values()) == 10


def test_results_are_told_in_the_order_of_partitions(swarm: SwarmOrchestrator) -> None:
    wanted = SwarmTask(
        "sum up", 10, handler="sums", metadata={"data_source": "numbers"}
    )
    result = deploy(swarm, wanted)
    records = asyncio.run(swarm.results(wanted.swarm_id))
    assert [one.partition for one in records] == list(range(10))
    assert [one.value for one in records] == [
        sum(range(index, 1_000, 10)) for index in range(10)
    ]
    assert [one.rows for one in records] == [100] * 10
    assert result["rows"] == 1_000
    with pytest.raises(SwarmNotFound):
        asyncio.run(swarm.results("nobody"))


def test_a_handler_may_be_a_coroutine(swarm: SwarmOrchestrator) -> None:
    wanted = SwarmTask("wait", 3, handler="asynchronous")
    deploy(swarm, wanted)
    values = [one.value for one in asyncio.run(swarm.results(wanted.swarm_id))]
    assert values == [{"index": 0}, {"index": 1}, {"index": 2}]


def test_the_same_results_have_the_same_hash(swarm: SwarmOrchestrator) -> None:
    one, other = deploy(swarm, task(30)), deploy(swarm, task(30, agents_required=25))
    assert one["state_hash"] == other["state_hash"]
    third = deploy(swarm, task(30, metadata={"returns": {"rows": 10, "value": 1}}))
    assert one["state_hash"] != third["state_hash"]


def test_what_happened_can_be_verified(swarm: SwarmOrchestrator) -> None:
    wanted = task(10)
    result = deploy(swarm, wanted)
    recorded = events(swarm, wanted.swarm_id)
    assert len(recorded["PARTITION_COMMITTED"]) == 10
    assert len(recorded["SWARM_COMPLETED"]) == 1
    assert re.fullmatch("[0-9a-f]{64}", result["chain_head"])
    colony = folded(swarm, wanted.swarm_id)
    assert colony.agents.digest() == recorded["SWARM_TICKED"][-1]["state"]
    assert colony.agents.energy == colony.agents.ledger.balance
    assert result["energy"]["total"] == colony.agents.energy
    assert verify(swarm._bus._connected.engine).sound


def folded(swarm: SwarmOrchestrator, swarm_id: str) -> Colony:
    first, *rest = asyncio.run(swarm.events(swarm_id))
    colony = Colony.of(swarm_id, first)
    colony.fold(rest)
    return colony


def test_work_on_items_that_came_with_the_task_is_replayed(
    swarm: SwarmOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the record alone, and by the handler on the items that are on record."""
    given = {"items": list(range(50))}
    wanted = SwarmTask("sum up", 12, handler="sums", metadata=given)
    deploy(swarm, wanted)
    values = [one.value for one in asyncio.run(swarm.results(wanted.swarm_id))]
    assert sum(values) == sum(range(50))
    by_record = asyncio.run(swarm.replay(wanted.swarm_id))
    assert by_record.is_equal
    with pytest.raises(SwarmHandlerNotFound, match="'sums' is not defined here"):
        asyncio.run(swarm.replay(wanted.swarm_id, call_handler=True))

    def otherwise(partition: Partition, metadata: Mapping[str, Any]) -> int:
        return sum(partition.rows) + (partition.index == changed)

    monkeypatch.setattr(swarm_replaying, "handler_of", lambda _: otherwise)
    changed = -1
    assert asyncio.run(swarm.replay(wanted.swarm_id, call_handler=True)) == by_record
    changed = 7
    again = asyncio.run(swarm.replay(wanted.swarm_id, call_handler=True))
    assert (again.is_equal, again.state_hash) == (False, by_record.state_hash)
    assert again.recorded != again.found


# --- what is left for later runs


def test_a_later_run_begins_with_the_longest(
    swarm: SwarmOrchestrator, gate: Callable[[], Path], folder: Path
) -> None:
    """The field was laid by the run before, and beat's task evaporates it."""
    told: dict[str, Any] = {"data_source": "numbers"}
    groups = [0, 1, 2] * 8
    first = task(
        24, groups=groups, metadata={**told, "busy_ms": [0, 50, 0] * 8}, handler="work"
    )
    assert deploy(swarm, first)["groups"] == {"all": 3, "known": 0}
    fields = asyncio.run(swarm.fields())
    [field] = [one for one in fields if (one.source, one.layout) == NUMBERS]
    # Those that were busy, unless this host was even busier meanwhile.
    longest = max(field.groups, key=lambda group: field.groups[group].work_ms)
    assert field.groups[1].work_ms >= 50
    held, notes = gate(), folder / "longest"
    again = {**told, "gate": str(held), "touched": str(notes)}
    swarm_id = begin_held(swarm, task(24, groups=groups, metadata=again), notes)
    assert {int(line.split()[0]) % 3 for line in lines(notes)} == {longest}
    held.touch()
    assert result_of(swarm, swarm_id)["groups"] == {"all": 3, "known": 3}


def test_beat_evaporates_what_runs_have_left(
    swarm: SwarmOrchestrator, running: Stack
) -> None:
    deploy(swarm, task(4, metadata={"data_source": "numbers"}))

    def field() -> Any:
        found = asyncio.run(swarm.fields())
        return next(one for one in found if one.layout == "blocks-4")

    laid = field()
    assert (laid.handler, laid.source) == ("work", "numbers")
    client = bare(running)

    def has_evaporated() -> bool:
        name, kwargs = "swarm.evaporate", {"period_s": 0.01}
        client.send_task(name, kwargs=kwargs, queue="chores", ignore_result=True)
        return bool(field().tick > laid.tick)

    wait_until(has_evaporated, "ticks are on record")
    client.close()
    assert field().groups[0].evidence < laid.groups[0].evidence


def bare(running: Stack) -> Celery:
    """A producer without this package."""
    client = Celery(broker=running.env["CELERY_BROKER_URL"], set_as_current=False)
    prefix = running.env["ORCHESTRATION_KEY_PREFIX"]
    client.conf.broker_transport_options = {"global_keyprefix": prefix}
    return client


# --- what is refused


def test_all_faults_are_named_before_anything_starts(swarm: SwarmOrchestrator) -> None:
    wrong = SwarmTask("", 0, 3, convergence_threshold=2, swarm_id="never-began")
    with pytest.raises(InvalidSwarm) as caught:
        deploy(swarm, wrong)
    assert len(caught.value.faults) == 5
    with pytest.raises(SwarmNotFound):
        asyncio.run(swarm.status("never-began"))


def test_too_many_agents_are_refused(swarm: SwarmOrchestrator) -> None:
    with pytest.raises(InvalidSwarm, match="ORCHESTRATION_MAX_SWARM_AGENTS"):
        deploy(swarm, task(agents_required=1_001))


def test_a_handler_that_nobody_hosts_is_an_error(swarm: SwarmOrchestrator) -> None:
    with pytest.raises(SwarmHandlerNotFound, match="'nobody' is hosted by no worker"):
        deploy(swarm, task(handler="nobody", swarm_id="no-handler"))
    with pytest.raises(SwarmSourceNotFound, match="data source 'nowhere'"):
        deploy(swarm, task(metadata={"data_source": "nowhere"}))
    with pytest.raises(SwarmNotFound):
        asyncio.run(swarm.status("no-handler"))


def test_a_task_that_is_too_large_is_refused(swarm: SwarmOrchestrator) -> None:
    with pytest.raises(PayloadTooLarge):
        deploy(swarm, task(metadata={"much": "x" * 300_000}))


def test_an_id_belongs_to_one_task(swarm: SwarmOrchestrator) -> None:
    one = task(5)
    first = deploy(swarm, one)
    assert deploy(swarm, one) == first  # it waits for the first run
    with pytest.raises(SwarmConflict):
        deploy(swarm, task(6, swarm_id=one.swarm_id))


# --- what goes wrong on the way


def test_a_failed_attempt_is_made_again_by_another_agent(
    swarm: SwarmOrchestrator, folder: Path
) -> None:
    notes = folder / "retries"
    failing = {"failing": {"4": 2, "7": 1}, "touched": str(notes)}
    result = deploy(swarm, task(20, metadata=failing))
    assert result["partitions"]["done"] == 20
    assert result["attempts"] == 23
    touched = [line.split() for line in lines(notes)]
    agents = [agent for partition, agent, _ in touched if partition == "4"]
    assert len(agents) == 3
    assert agents[0] != agents[1] != agents[2]


def test_poison_touches_few_agents(swarm: SwarmOrchestrator, folder: Path) -> None:
    notes = folder / "poison"
    poison = {"failing": {"2": 99}, "touched": str(notes)}
    wanted = task(12, metadata=poison)
    result = deploy(swarm, wanted)
    assert result["failed_partitions"] == [2]
    touched = [line.split() for line in lines(notes)]
    assert len({agent for partition, agent, _ in touched if partition == "2"}) <= 3
    assert [one["retry_in_ms"] for one in told(swarm, wanted.swarm_id, FAILED)] == [
        20,
        40,
        None,
    ]


FAILED = EventType.PARTITION_FAILED


def test_a_third_that_dies_is_replaced_at_the_same_tick(
    swarm: SwarmOrchestrator, gate: Callable[[], Path], folder: Path
) -> None:
    """What they fail at is so heavy that it costs an agent all it has."""
    held, notes = gate(), folder / "deaths"
    failing = {str(partition): 1 for partition in range(6)}
    metadata = {"failing": failing, "gate": str(held), "touched": str(notes)}
    given = {"weights": [150] * 6 + [1] * 30, "metadata": metadata}
    wanted = task(36, agents_required=20, **given)
    result = deploy_asked(swarm, wanted, held, notes)
    assert result["partitions"]["done"] == 36
    assert result["deaths"] >= 6
    ticks = told(swarm, wanted.swarm_id, "SWARM_TICKED")
    assert {tick["agents"] for tick in ticks} == {result["agents"]} == {20}
    assert sum(len(tick["deaths"]) for tick in ticks) == result["deaths"]
    assert result["replaced"] + result["births"] == result["deaths"]
    energy = result["energy"]
    gained, spent = energy["initial"] + energy["injected"], energy["cost"]
    assert energy["total"] == gained + energy["income"] - spent


def test_what_is_hopeless_is_not_tried_again(swarm: SwarmOrchestrator) -> None:
    result = deploy(swarm, task(5, metadata={"hopeless": [1]}))
    assert result["failed_partitions"] == [1]
    assert result["attempts"] == 5


def test_what_cannot_be_recorded_fails(swarm: SwarmOrchestrator) -> None:
    wanted = task(2, metadata={"returns": {"rows": 1, "quality": 1.5}})
    assert deploy(swarm, wanted)["partitions"]["failed"] == 2
    [error, _] = [one["error"] for one in told(swarm, wanted.swarm_id, FAILED)]
    assert error["message"] == "quality is 1.5: return 0.0 to 1.0"


def test_a_partition_that_takes_too_long_fails(swarm: SwarmOrchestrator) -> None:
    # By itself: on a busy host others could take as long.
    wanted = task(
        1, max_attempts=1, partition_timeout_ms=100, metadata={"busy_ms": [60_000]}
    )
    result = deploy(swarm, wanted)
    assert result["failed_partitions"] == [0]
    [failed] = told(swarm, wanted.swarm_id, FAILED)
    assert failed["error"]["type"] == "StepTimedOut"
    assert failed["timing"]["busy_ms"] < 60_000


def test_a_swarm_whose_time_is_over_tells_what_is_done(
    swarm: SwarmOrchestrator, gate: Callable[[], Path]
) -> None:
    held = gate()
    wanted = task(40, timeout_ms=500, metadata={"gate": str(held)})
    result = deploy(swarm, wanted)
    held.touch()
    assert result["status"] == "TIMEOUT"
    assert result["partitions"] == {"done": 0, "failed": 0, "pending": 40}
    assert asyncio.run(swarm.status(wanted.swarm_id)).status is SwarmStatus.TIMED_OUT
    # What was at work comes too late, and changes nothing.
    wait_until(lambda: not busy(swarm), "nobody is at work any more")
    assert told(swarm, wanted.swarm_id, "PARTITION_COMMITTED") == []


def busy(swarm: SwarmOrchestrator) -> bool:
    app = Celery(broker=swarm._bus.settings.broker_url, set_as_current=False)
    transport = {"global_keyprefix": swarm._bus.settings.key_prefix}
    app.conf.broker_transport_options = transport
    active = app.control.inspect(timeout=1).active() or {}
    app.close()
    told = [row for name, row in active.items() if name.startswith("worker")]
    # One that has not answered may be busy.
    return not told or any(
        one["name"] == "swarm.partition" for row in told for one in row
    )


def test_without_drain_enough_is_enough(swarm: SwarmOrchestrator) -> None:
    result = deploy(swarm, task(100, drain=False, convergence_threshold=0.5))
    assert result["status"] == "COMPLETED"
    assert result["converged"] is True


def test_a_swarm_can_be_paused_and_goes_on(
    swarm: SwarmOrchestrator, gate: Callable[[], Path]
) -> None:
    held = gate()
    swarm_id = begin(swarm, task(30, metadata={"gate": str(held)}))
    queue = swarm._bus.partitions.queue
    wait_until(lambda: queue.pace(swarm_id).held, "some are at work")
    asyncio.run(swarm.pause(swarm_id, by="me"))
    wait_until(lambda: queue.pace(swarm_id).state == "paused", "nothing is given out")
    held.touch()
    wait_until(lambda: queue.pace(swarm_id).held == 0, "what was at work is done")
    assert asyncio.run(swarm.status(swarm_id)).status is SwarmStatus.PAUSED
    assert len(told(swarm, swarm_id, "PARTITION_COMMITTED")) < 30
    asyncio.run(swarm.resume(swarm_id, by="me"))
    assert result_of(swarm, swarm_id)["partitions"]["done"] == 30


def test_a_swarm_can_be_stopped(
    swarm: SwarmOrchestrator, gate: Callable[[], Path]
) -> None:
    held = gate()
    swarm_id = begin(swarm, task(30, metadata={"gate": str(held)}))
    asyncio.run(swarm.stop(swarm_id, by="me"))
    result = result_of(swarm, swarm_id)
    held.touch()
    assert result["status"] == "STOPPED"
    assert result["partitions"]["pending"] == 30
    with pytest.raises(SwarmActRefused):
        asyncio.run(swarm.pause(swarm_id))


def test_a_bare_client_deploys_a_swarm_by_name(
    swarm: SwarmOrchestrator, running: Stack
) -> None:
    client = bare(running)
    given = {"objective": "from outside", "data_partitions": 4, "handler": "work"}
    client.send_task(
        "swarm.deploy",
        kwargs={"task": given, "swarm_id": "outside-1"},
        ignore_result=True,
    )
    client.close()

    def is_over() -> bool:
        rows = asyncio.run(swarm.list(state="COMPLETED", limit=200))
        return "outside-1" in {row.swarm_id for row in rows}

    wait_until(is_over, "the swarm is done")
    assert len(asyncio.run(swarm.results("outside-1"))) == 4
