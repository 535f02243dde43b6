"""What strikes sagas in a storm, and which attempts were in flight when it struck.

A victim is stopped (SIGSTOP) before it is killed, so that what it holds can be read
from the database while it stands still.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import redis
from sqlalchemy import Engine

from orchestration.adapters.embedded import EmbeddedServers
from tests.support.front import Front
from tests.support.judging import has_told, told
from tests.support.stack import Stack, Started
from tests.support.waiting import wait_until
from tests.support.world import Attempt, World

__all__ = ["Hit", "Storm", "held", "is_quiet"]

_HELD = """
SELECT clock_timestamp(), l.saga_id, l.step, l.direction, l.attempt
FROM (SELECT 1) AS one
LEFT JOIN (
    orch.lease AS l
    JOIN es.streams AS s ON s.name = 'saga-' || l.saga_id
    JOIN es.events AS e ON e.stream_id = s.stream_id
        AND convert_from(e.data, 'UTF8')::jsonb ->> 'token' = l.owner::text
        AND e.type LIKE '%%_STARTED' AND e.actor LIKE %s
) ON true
"""
_OPEN = """
SELECT (SELECT count(*) FROM orch.open_saga) + (SELECT count(*) FROM orch.lease)
"""
_SOME_OPEN = "SELECT saga_id FROM orch.open_saga ORDER BY started_at LIMIT 5"
# Long enough for a machine that does much else, too.
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault.

    Attributes:
        at: The database's clock when it struck.
        attempts: What was in flight in what it struck.
        lost: Whether that has died with it.
    """

    what: str
    at: datetime
    attempts: frozenset[Attempt]
    lost: bool = False


def held(engine: Engine, worker: str = "%") -> tuple[datetime, frozenset[Attempt]]:
    """Return the database's clock, and the attempts that workers hold by a lease."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(_HELD, (worker,)).fetchall()
    return rows[0][0], frozenset(Attempt(*row[1:]) for row in rows if row[1])


def is_quiet(engine: Engine) -> bool:
    """Whether no saga is open and nobody holds anything."""
    with engine.connect() as connection:
        return not connection.exec_driver_sql(_OPEN).scalar()


def unfinished(engine: Engine) -> list[str]:
    """Return the ids of a few sagas that are open."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(_SOME_OPEN).fetchall()
    return [row[0] for row in rows]


@contextlib.contextmanager
def _telling(sagas: Callable[[], list[str]], front: Front) -> Iterator[None]:
    """Show the histories of sagas if the block waits in vain."""
    try:
        yield
    except AssertionError:
        for saga_id in sagas():
            print(f"\nsaga {saga_id}\n{told(front, saga_id)}")
        raise


def processes_of(worker: Started) -> list[psutil.Process]:
    """Return a worker's head and its children, head first."""
    head = psutil.Process(worker.pid)
    return [head, *head.children(recursive=True)]


def _each(
    processes: list[psutil.Process], call: Callable[[psutil.Process], None]
) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            call(process)


@dataclass(slots=True)
class Storm:
    """The faults of one test, struck at workers that it starts itself.

    Attributes:
        agents: Arguments of each worker that hosts agents.
        chores_arguments: Of the chores worker.
        seed: Of the dice; STORM_SEED sets it.
        frozen: Processes of the workers that stand still, by the workers' names.
        feed: Starts another saga, should all be over before one can be struck: this
            process may stand still for longer than sagas take.
    """

    stack: Stack
    servers: EmbeddedServers
    engine: Engine
    effects: Path
    agents: tuple[str, ...]
    chores_arguments: tuple[str, ...] = ()
    seed: int = field(
        default_factory=lambda: int(
            os.environ.get("STORM_SEED", random.getrandbits(32))
        )
    )
    dice: random.Random = field(init=False)
    workers: list[Started] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    frozen: dict[str, list[psutil.Process]] = field(default_factory=dict)
    chores: Started = field(init=False)
    beat: Started = field(init=False)
    feed: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        print(f"\nSTORM_SEED={self.seed}")
        self.dice = random.Random(self.seed)

    def start(self, workers: int = 2) -> None:
        self.workers = [
            self.stack.worker(*self.agents, wait=False) for _ in range(workers)
        ]
        self.chores = self.stack.chores(*self.chores_arguments, wait=False)
        self.beat = self.stack.beat(wait=False)
        for part in (*self.workers, self.chores, self.beat):
            part.wait_ready()

    @property
    def world(self) -> World:
        return World.read(self.effects)

    @property
    def in_flight(self) -> frozenset[Attempt]:
        """Every attempt that was in flight in something that was struck."""
        return frozenset().union(*(hit.attempts for hit in self.hits))

    def go_on(self, lines: int = 6) -> None:
        """Return once there is so much more done than now, or all is over."""
        wanted = len(self.world.effects) + lines
        wait_until(
            lambda: len(self.world.effects) >= wanted or is_quiet(self.engine),
            "the work goes on",
            timeout_s=_PATIENCE_S,
        )

    def strike(self, *faults: str) -> None:
        """Strike with each in turn, and let the work go on after it."""
        for fault in faults:
            getattr(self, fault)()
            self.go_on()

    def settle(self, front: Front) -> None:
        """Return once every saga is over, and all that was frozen has told its tale."""
        self.thaw()
        frozen = [hit for hit in self.hits if hit.what == "worker frozen"]
        stale = [one for hit in frozen for one in hit.attempts]
        with _telling(lambda: [one.saga_id for one in stale], front):
            wait_until(
                lambda: all(has_told(front, attempt) for attempt in stale),
                f"those that were frozen tell how their steps ended: {stale}",
                timeout_s=_PATIENCE_S,
            )
        with _telling(lambda: unfinished(self.engine), front):
            wait_until(
                lambda: is_quiet(self.engine), "every saga is over", timeout_s=240.0
            )

    # --- faults

    def kill_child(self) -> None:
        """Kill -9 a prefork child in the middle of a step."""
        victim, at, attempts = self._caught_child()
        _each([victim], psutil.Process.kill)
        self._note("child killed", at, attempts, lost=True)

    def kill_worker(self) -> None:
        """Kill -9 a worker that holds steps, head and children; start another."""
        victim, at, attempts = self._caught_worker()
        _each(processes_of(victim), psutil.Process.kill)
        self._note("worker killed", at, attempts, lost=True)
        self.workers.remove(victim)
        self.workers.append(self.stack.worker(*self.agents, wait=False))

    def freeze_worker(self) -> None:
        """Stop a worker inside its steps; see ``thaw``."""
        victim, at, attempts = self._caught_worker()
        self._note("worker frozen", at, attempts)
        self.frozen[victim.name] = processes_of(victim)

    def thaw(self) -> None:
        """Resume what is frozen, once others have taken over what it held."""
        if not self.frozen:
            return
        stale = frozenset().union(
            *(hit.attempts for hit in self.hits if hit.what == "worker frozen")
        )
        wait_until(
            lambda: not (held(self.engine)[1] & stale),
            "the frozen worker's steps are given to others",
            timeout_s=_PATIENCE_S,
        )
        while self.frozen:
            _, processes = self.frozen.popitem()
            _each(processes, psutil.Process.resume)

    def flush(self) -> None:
        """Wipe all of Redis: messages, hot state, everything."""
        with redis.Redis.from_url(self.servers.redis_url) as client:
            client.flushall()
        self._note("redis wiped", *self._nothing())

    def restart_postgres(self) -> None:
        _, before = held(self.engine)
        self.servers.restart_postgres("immediate")
        at, after = held(self.engine)
        self._note("postgres restarted", at, before | after)

    def kill_beat(self) -> None:
        self.beat.kill()
        self._note("beat killed", *self._nothing())
        self.beat = self.stack.beat(wait=False)

    def kill_chores(self) -> None:
        _each(processes_of(self.chores), psutil.Process.kill)
        self._note("chores killed", *self._nothing())
        self.chores = self.stack.chores(*self.chores_arguments, wait=False)

    # --- how victims are found

    def _note(
        self,
        what: str,
        at: datetime,
        attempts: frozenset[Attempt],
        *,
        lost: bool = False,
    ) -> None:
        self.hits.append(Hit(what, at, attempts, lost))

    def _nothing(self) -> tuple[datetime, frozenset[Attempt]]:
        return held(self.engine, "nobody")

    def _dead(self) -> frozenset[Attempt]:
        """Return the attempts whose processes were killed."""
        return frozenset().union(*(hit.attempts for hit in self.hits if hit.lost))

    def _awake(self) -> list[Started]:
        return [one for one in self.workers if one.name not in self.frozen]

    def _go_on_feeding(self) -> None:
        if is_quiet(self.engine):
            self.feed()

    def _caught_worker(self) -> tuple[Started, datetime, frozenset[Attempt]]:
        """Stop a worker while it holds a step."""
        caught: list[tuple[Started, datetime, frozenset[Attempt]]] = []

        def catch() -> bool:
            worker = self.dice.choice(self._awake())
            processes = processes_of(worker)
            _each(processes, psutil.Process.suspend)
            at, attempts = held(self.engine, f"{worker.name}@%")
            attempts -= self._dead()  # of children of it that were killed before
            if attempts:
                caught.append((worker, at, attempts))
            else:
                _each(processes, psutil.Process.resume)
                self._go_on_feeding()
            return bool(attempts)

        wait_until(catch, "a worker holds a step", timeout_s=_PATIENCE_S)
        return caught[0]

    def _caught_child(self) -> tuple[psutil.Process, datetime, frozenset[Attempt]]:
        """Stop a child that holds a step."""
        caught: list[tuple[psutil.Process, datetime, frozenset[Attempt]]] = []

        def catch() -> bool:
            children = [c for one in self._awake() for c in one.children()]
            child = self.dice.choice(children)
            _each([child], psutil.Process.suspend)
            last, (at, attempts) = self.world.last_of(child.pid), held(self.engine)
            if last is not None and last.of_attempt in attempts:
                caught.append((child, at, frozenset([last.of_attempt])))
            else:
                _each([child], psutil.Process.resume)
                self._go_on_feeding()
            return bool(caught)

        wait_until(catch, "a child is in a step", timeout_s=_PATIENCE_S)
        return caught[0]


@contextlib.contextmanager
def raging(storm: Storm) -> Iterator[Storm]:
    """Start a storm's workers, and stop them; whatever happens, none stays frozen."""
    storm.start()
    try:
        yield storm
    finally:
        while storm.frozen:
            _, processes = storm.frozen.popitem()
            _each(processes, psutil.Process.resume)
        storm.stack.close()
