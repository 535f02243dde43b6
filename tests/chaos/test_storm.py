"""Many sagas while everything is killed, wiped, restarted and delivered twice.

Every step's effect is a line in a file, and the file is held against the history.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from eventstore import EventStore
from eventstore.verify import verify
from orchestration.adapters.embedded import EmbeddedServers
from orchestration.saga import SagaState, SagaTransaction
from tests.conftest import migrate
from tests.support.front import Effects, Front, front_door, linear, step
from tests.support.stack import Stack, Started
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(900)]

SAGAS = int(os.environ.get("STORM_SAGAS", "60"))
LEASE_S = 3
SLOTS = 4
AGENTS = (
    "-I",
    "tests.support.effects_agents,tests.support.doubled",
    "--without-mingle",
    "-c",
    str(SLOTS // 2),
)


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    with EmbeddedServers() as servers:
        yield servers


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


def diamond(**options: dict[str, object]) -> SagaTransaction:
    """Return a saga that fans out and in."""
    return SagaTransaction(
        "diamond",
        [
            step("first", **options.get("first", {})),
            step("left", "first", **options.get("left", {})),
            step("right", "first", **options.get("right", {})),
            step("join", "left", "right", **options.get("join", {})),
            step("last", "join", **options.get("last", {})),
        ],
    )


def some_saga(number: int) -> SagaTransaction:
    """Return linear sagas and diamonds, a third of them failing near their end."""
    slow = {"sleep_s": 0.03}
    fails = slow | {"fail": "for good"} if number % 3 == 0 else slow
    if number % 2:
        return linear(5, s1=slow, s2=slow, s3=slow, s4=slow, s5=fails)
    return diamond(first=slow, left=slow, right=slow, join=fails)


class Storm:
    """The faults, and how many steps were in flight when they struck."""

    def __init__(self, stack: Stack, servers: EmbeddedServers) -> None:
        self.stack = stack
        self.servers = servers
        self.dice = random.Random(7)
        self.workers: list[Started] = []
        self.in_flight = 0

    def start(self) -> None:
        self.workers = [self.stack.worker(*AGENTS, wait=False) for _ in range(2)]
        self.chores = self.stack.chores("--without-mingle", wait=False)
        self.beat = self.stack.beat(wait=False)
        for part in (*self.workers, self.chores, self.beat):
            part.wait_ready()

    def kill_child(self) -> None:
        children = self.dice.choice(self.workers).children()
        if children:
            try:
                self.dice.choice(children).kill()
            except psutil.NoSuchProcess:
                return
            self.in_flight += 1

    def kill_worker(self) -> None:
        victim = self.workers.pop(self.dice.randrange(len(self.workers)))
        victim.kill()
        self.in_flight += SLOTS // 2
        self.workers.append(self.stack.worker(*AGENTS))

    def flush(self) -> None:
        with redis.Redis.from_url(self.servers.redis_url) as client:
            client.flushall()

    def restart_postgres(self) -> None:
        self.servers.restart_postgres("immediate")
        self.in_flight += SLOTS

    def kill_beat(self) -> None:
        self.beat.kill()
        self.beat = self.stack.beat()

    def kill_chores(self) -> None:
        self.chores.kill()
        self.chores = self.stack.chores("--without-mingle")

    def rage(self) -> None:
        """Strike once with everything, some of it twice, in a random order."""
        faults: list[Callable[[], None]] = [
            self.kill_child,
            self.kill_child,
            self.kill_child,
            self.kill_worker,
            self.kill_worker,
            self.flush,
            self.flush,
            self.restart_postgres,
            self.kill_beat,
            self.kill_chores,
        ]
        self.dice.shuffle(faults)
        for fault in faults:
            fault()
            until = time.monotonic() + self.dice.uniform(0.1, 0.8)
            wait_until(lambda until=until: time.monotonic() > until, "a moment")


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_no_saga_is_lost_and_no_effect_is_left_in_a_storm(
    broker: str,
    servers: EmbeddedServers,
    effects: Effects,
    make_stack: Callable[..., Stack],
    request: pytest.FixtureRequest,
) -> None:
    environment = dict(servers.environment)
    if broker == "rabbitmq":
        environment["CELERY_BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    environment |= {
        "ORCHESTRATION_LEASE_S": str(LEASE_S),
        "EFFECTS_FILE": str(effects.path),
    }
    storm = Storm(make_stack(environment, prepare=migrate), servers)
    storm.start()
    with front_door(environment) as front:
        sagas = [front.start(some_saga(number)) for number in range(SAGAS)]
        storm.rage()
        ended = {saga_id: front.wait(saga_id, timeout_s=240) for saga_id in sagas}
        judge(front, effects, sagas, storm)
        states = Counter(status.state for status in ended.values())
        assert set(states) == {SagaState.COMPLETED, SagaState.COMPENSATED}
        store = EventStore(front.bus.sagas.db.engine)
        wait_until(lambda: store.sequence() == 0, "all events are numbered")
        assert verify(front.bus.sagas.db.engine).sound


def judge(front: Front, effects: Effects, sagas: list[str], storm: Storm) -> None:
    """Hold what was done against what the histories say was done."""
    doubles = 0
    for saga_id in sagas:
        status = front.status(saga_id)
        done = Counter(effects.lines(saga_id, "do"))
        doubles += sum(count - 1 for count in done.values())
        if status.state is SagaState.COMPENSATED:
            assert effects.left(saga_id) == set(), front.types(saga_id)
            undone = Counter(effects.lines(saga_id, "undo"))
            doubles += sum(count - 1 for count in undone.values())
        else:
            assert set(status.completed_steps) == set(done), saga_id
    assert doubles <= storm.in_flight
