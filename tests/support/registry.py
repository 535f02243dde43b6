"""The registry's working parts on a database and a Redis of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, create_engine

from orchestration.adapters.database import Database
from orchestration.adapters.registry_hot import HotState
from orchestration.adapters.registry_log import RegistryLog
from orchestration.adapters.registry_replica import Replica
from orchestration.adapters.saga_records import Because
from orchestration.adapters.schema import migrate_all
from orchestration.core.registry.fold import AgentState
from orchestration.core.registry.model import AgentDescriptor
from orchestration.engine.registering import RegistryDesk, health_rules, sla_rules
from orchestration.engine.sweeping import RegistrySweeper, Swept
from orchestration.metrics import RegistryMetrics
from orchestration.settings import Settings

# So that an agent's own intervals say when it is taken out.
QUICK = {"decommission_after_s": 1.0, "protect_hold_s": 0.5}
SECRET = "a secret of sixteen bytes"

_LOSE = """
local keys = redis.call('KEYS', ARGV[1])
if #keys > 0 then redis.call('DEL', unpack(keys)) end
"""
_JOINED_EARLIER = """
UPDATE orch.agent SET registered_at = registered_at - %s * interval '1 s'
WHERE agent_id = ANY(%s)
"""
# All at one moment: a sweep that looks in between would find a part of them silent.
_AGE = """
for n = 2, #ARGV do
    local beat = redis.call('HGET', KEYS[1], ARGV[n])
    if beat then
        local stamp = struct.unpack('<i8', beat)
        local older = struct.pack('<i8', stamp - ARGV[1]) .. string.sub(beat, 9)
        redis.call('HSET', KEYS[1], ARGV[n], older)
    end
end
local since = redis.call('HGET', KEYS[2], 'heard_since_ms')
if since then redis.call('HSET', KEYS[2], 'heard_since_ms', since - ARGV[1]) end
"""


def descriptor(agent_id: str = "agent-a", **changes: Any) -> AgentDescriptor:
    fields: dict[str, Any] = {
        "agent_id": agent_id,
        "agent_type": "Calculator",
        "version": "1.0.0",
        "capabilities": ["carbon_calculation"],
    }
    return AgentDescriptor(**{**fields, **changes})


class RegistrySide:
    """One process' tools of the registry, and ways to break what they stand on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.db = Database(settings.database_url, name="registry test")
        self.hot = HotState(settings.redis_url, settings.key_prefix)
        self.desk = RegistryDesk(self.db, self.hot, settings)
        self.metrics = RegistryMetrics(CollectorRegistry())
        self.sweeper = RegistrySweeper(
            self.desk, health_rules(settings), self.metrics, sla_rules(settings)
        )
        self.redis = redis.Redis.from_url(settings.redis_url)
        self._replicas: list[Replica] = []

    @property
    def log(self) -> RegistryLog:
        return self.desk.log

    def register(
        self, agent_id: str = "agent-a", *, owner: str | None = None, **changes: Any
    ) -> AgentState:
        location = changes.pop("location", None)
        said = descriptor(agent_id, **changes)
        return self.desk.register(said, Because(), location=location, owner=owner)

    def deregister(self, agent_id: str = "agent-a") -> None:
        self.desk.deregister(agent_id, Because())

    def beat(self, *agent_ids: str, number: int = 0, **metrics: float) -> None:
        sender = "tests" if number else ""
        beats = [(agent_id, metrics) for agent_id in agent_ids]
        assert self.desk.beat(beats, sender=sender, number=number) is not None

    def last_beat(self, agent_id: str) -> bytes | None:
        glance = self.hot.look_at([agent_id])
        assert glance is not None
        return glance.blobs[0]

    def sweep(self) -> Swept:
        swept = self.sweeper.sweep(Because())
        assert swept is not None
        return swept

    def replica(self, **options: Any) -> Replica:
        replica = Replica(self.log, self.hot, rules=self.sweeper.rules, **options)
        self._replicas.append(replica)
        replica.start()
        return replica

    def statuses(self) -> Mapping[str, str]:
        return {key: str(state.status) for key, state in self.log.states().items()}

    def types(self, agent_id: str = "agent-a") -> list[str]:
        return [str(event.type) for event in self.log.history(agent_id)]

    def wipe(self) -> None:
        """Have Redis lose everything of this registry, at once.

        Whatever else is in that database stays: other processes may use it.
        """
        self.redis.eval(_LOSE, 0, f"{self.settings.key_prefix}*")

    def age(self, seconds: float, *agent_ids: str) -> None:
        """Have agents be silent for so much longer; without names, all of them.

        A sleep would have to end before the next line of silence is passed, on
        whichever host.
        """
        some = [*agent_ids] or [*self.log.states()]
        make_older(self.db, self.hot, seconds, some)

    @contextlib.contextmanager
    def sql(self) -> Iterator[Connection]:
        """Open a connection of somebody else's."""
        engine = create_engine(self.settings.database_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def close(self) -> None:
        for replica in self._replicas:
            replica.close()
        self.hot.close()
        self.redis.close()
        self.db.close()


def make_older(
    db: Database, hot: HotState, seconds: float, agent_ids: Sequence[str]
) -> None:
    """Have agents join, be heard of, and be such as could be heard, so much earlier."""
    db.rows(_JOINED_EARLIER, (seconds, list(agent_ids)))
    hot.look()
    keys = [hot._epochs.key(hot.epoch, part) for part in ("beats", "meta")]
    hot._redis.eval(_AGE, 2, *keys, round(seconds * 1_000), *agent_ids)


@contextlib.contextmanager
def registry_side(
    database_url: str, redis_url: str, **settings: Any
) -> Iterator[RegistrySide]:
    """Make these tools, by default with lines of health that are soon passed."""
    migrate_all(database_url)
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "broker_url": redis_url,
        "key_prefix": f"{uuid4().hex}_",
    }
    side = RegistrySide(Settings(**{**QUICK, **given, **settings}))
    try:
        yield side
    finally:
        side.close()
