"""Who may take which partition now: the queue of each swarm, in Redis.

All of it follows from the swarm's events and is built from them anew when it is gone.
An agent asks with its turn, which changes each time it is given something: so one of
two messages for the same agent finds the turn taken.

=============  =====================================================================
``meta``       ``state`` (open, paused, over), ``deadline`` (epoch ms; 0: none),
               ``left`` (partitions), ``since`` (settled since the last tick),
               ``moved`` (when the last one was taken or settled, epoch ms)
``turns``      agent: its turn; ``roles`` its role; ``seen`` when it asked last
``idle``       agents that were given nothing and are not to ask until they are told
``work``       partitions by their worth to workers; so ``forage`` and ``scout``
``retry``      partitions by when they may be tried again
``held``       partition: attempt and agent; ``until`` when that is taken for lost
``attempts``   partition: how many there were; ``failures`` how many came to nothing
``last``       partition: who had it last
``over``       partitions that nobody is to try any more
=============  =====================================================================
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import redis

from orchestration.adapters.partition_records import (
    Answer,
    Claim,
    Held,
    Layout,
    Pace,
    QueueState,
    Settling,
)
from orchestration.core.swarm.model import AgentRole
from orchestration.errors import TransportError

__all__ = ["PartitionQueue"]

_KEEP_S: Final = 7 * 24 * 3_600
_OVER_S: Final = 3_600
_TIMEOUT_S: Final = 5.0
_BUILDING_MS: Final = 10_000
_CHUNK: Final = 2_000
_PARTS: Final = (
    "meta", "turns", "roles", "seen", "idle", "work", "forage", "scout", "retry",
    "held", "until", "attempts", "last", "failures", "over",
)  # fmt: skip
_ORDERS: Final = ("work", "forage", "scout")
_SETTLE: Final = (
    "meta", "work", "forage", "scout", "retry", "held", "until", "failures", "over",
)  # fmt: skip


class PartitionQueue:
    """The queues of all swarms of one Redis; for any number of threads.

    Every method raises TransportError if Redis does not answer.

    Args:
        redis_url: Where it is.
        key_prefix: Before every key, to share one server.
    """

    def __init__(self, redis_url: str, key_prefix: str = "") -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._root = f"{key_prefix}orchestration:partitions:"
        self._claim = self._script("partition_claim.lua")
        self._settle = self._script("partition_settle.lua")
        self._renew = self._script("partition_renew.lua")

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def claim(
        self, swarm_id: str, agent: int, turn: int, *, lease_ms: int, grace_ms: int
    ) -> Claim:
        """Ask for a partition.

        Args:
            swarm_id: The swarm.
            agent: Who asks.
            turn: Its turn, as its message says.
            lease_ms: After which time without a renewal it is taken for lost.
            grace_ms: How long partitions that have failed are left to soldiers.
        """
        keys = [self._key(swarm_id, part) for part in _PARTS[:14]]
        with _redis_errors():
            told = self._claim(keys=keys, args=[agent, turn, lease_ms, grace_ms])
        answer = Answer(told[0].decode())
        return Claim(answer, *map(int, told[1:]))

    def settle(
        self,
        swarm_id: str,
        held: Held,
        how: Settling,
        *,
        wait_ms: int = 0,
        tick_every: int = 1,
    ) -> tuple[int, bool]:
        """Take in how an attempt has ended.

        Returns:
            How many partitions are left, -1 if there is no queue or it is over; and
            whether a tick is due.
        """
        keys = [self._key(swarm_id, part) for part in _SETTLE]
        args = [held.partition, held.attempt, str(how), wait_ms, tick_every]
        with _redis_errors():
            left, is_due = self._settle(keys=keys, args=args)
        return int(left), bool(is_due)

    def renew(self, swarm_id: str, held: Held, lease_ms: int) -> bool:
        """Prolong a lease; return whether it still is one."""
        keys = [self._key(swarm_id, part) for part in ("held", "until")]
        args = [held.partition, held.attempt, lease_ms]
        with _redis_errors():
            return bool(self._renew(keys=keys, args=args))

    def expired(self, swarm_id: str) -> tuple[Held, ...]:
        """Return the attempts that nobody has heard of in time."""
        with _redis_errors():
            now = self._now_ms()
            until = self._key(swarm_id, "until")
            lost: list[Any] = self._redis.zrangebyscore(until, "-inf", now)
            return self._held(swarm_id, [int(one) for one in lost])

    def held_by(self, swarm_id: str, agents: Collection[int]) -> tuple[Held, ...]:
        """Return what some agents have."""
        with _redis_errors():
            found: dict[Any, Any] = self._redis.hgetall(self._key(swarm_id, "held"))
        held = (_read_held(int(one), told) for one, told in found.items())
        return tuple(one for one in held if one.agent in agents)

    def pace(self, swarm_id: str) -> Pace:
        """Return what a queue looks like."""
        key = self._key
        with _redis_errors():
            now = self._now_ms()
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(key(swarm_id, "meta"), "state", "left", "moved")
            pipe.zcard(key(swarm_id, "work"))
            pipe.zcount(key(swarm_id, "retry"), "-inf", now)
            pipe.zrangebyscore(
                key(swarm_id, "retry"), f"({now}", "+inf", 0, 1, withscores=True
            )
            pipe.hgetall(key(swarm_id, "held"))
            pipe.smembers(key(swarm_id, "idle"))
            pipe.hgetall(key(swarm_id, "seen"))
            (state, left, moved), ready, due, later, held, idle, seen = pipe.execute()
        if state is None:
            return Pace(None)
        resting = {int(one) for one in idle}
        busy = {_read_held(int(one), told).agent for one, told in held.items()}
        asking = {int(one): now - int(at) for one, at in seen.items()}
        return Pace(
            state=QueueState(state.decode()),
            left=int(left),
            ready=int(ready),
            due=int(due),
            next_due_ms=int(later[0][1]) - now if later else None,
            held=len(held),
            idle=tuple(sorted(resting)),
            unseen_ms={
                one: age
                for one, age in asking.items()
                if one not in resting and one not in busy
            },
            still_ms=now - int(moved),
        )

    def wake(self, swarm_id: str, agents: Sequence[int]) -> dict[int, int]:
        """Give agents their next turn; return it, for the messages to them."""
        if not agents:
            return {}
        with _redis_errors():
            now = self._now_ms()
            pipe = self._redis.pipeline(transaction=True)
            pipe.srem(self._key(swarm_id, "idle"), *agents)
            for agent in agents:
                pipe.hset(self._key(swarm_id, "seen"), str(agent), str(now))
            for agent in agents:
                pipe.hincrby(self._key(swarm_id, "turns"), str(agent), 1)
            turns = pipe.execute()[-len(agents) :]
        return dict(zip(agents, map(int, turns), strict=True))

    def set_state(self, swarm_id: str, state: QueueState, deadline_ms: int) -> None:
        """Say whether partitions are given out, and until when."""
        told = {"state": str(state), "deadline": deadline_ms}
        with _redis_errors():
            self._redis.hset(self._key(swarm_id, "meta"), mapping=told)  # type: ignore[arg-type]

    def update(
        self,
        swarm_id: str,
        roles: Mapping[int, AgentRole],
        orders: Mapping[str, Sequence[float]],
        ready: Sequence[int],
    ) -> None:
        """Take over who lives, and what partitions are worth that are not taken yet."""
        with _redis_errors():
            known = {
                int(one) for one in self._redis.hkeys(self._key(swarm_id, "roles"))
            }
            pipe = self._redis.pipeline(transaction=True)
            if gone := known - roles.keys():
                for part in ("roles", "turns", "seen"):
                    pipe.hdel(self._key(swarm_id, part), *map(str, gone))
                pipe.srem(self._key(swarm_id, "idle"), *gone)
            self._put_roles(pipe, swarm_id, roles, new=sorted(roles.keys() - known))
            for part in _ORDERS:
                worth = orders[part]
                for some in _chunks(ready):
                    told: dict[Any, float] = {p: worth[p] for p in some}
                    pipe.zadd(self._key(swarm_id, part), told, xx=True)
            for part in _PARTS:  # those that came into being since
                pipe.expire(self._key(swarm_id, part), _KEEP_S)
            pipe.execute()

    def build(self, swarm_id: str, layout: Layout) -> bool:
        """Build a queue, unless somebody else has built it, or is at it.

        Returns:
            Whether this call has; if so all agents are idle, and have to be woken.
        """
        lock = self._key(swarm_id, "building")
        meta = self._key(swarm_id, "meta")
        with _redis_errors():
            if not self._redis.set(lock, "1", nx=True, px=_BUILDING_MS):
                return False
            if self._redis.exists(meta):
                self._redis.delete(lock)
                return False
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(*(self._key(swarm_id, part) for part in _PARTS))
            self._put_roles(pipe, swarm_id, layout.roles, new=sorted(layout.roles))
            self._put_partitions(pipe, swarm_id, layout)
            told: dict[Any, Any] = {
                "state": str(QueueState.OPEN),
                "deadline": layout.deadline_ms,
                "left": len(layout.ready) + len(layout.retry),
                "since": 0,
                "moved": self._now_ms(),
            }
            pipe.hset(meta, mapping=told)
            for part in _PARTS:
                pipe.expire(self._key(swarm_id, part), _KEEP_S)
            pipe.delete(lock)
            pipe.execute()
        return True

    def drop(self, swarm_id: str) -> None:
        """Forget a queue, but that it is over: messages may still be on their way."""
        meta = self._key(swarm_id, "meta")
        told: dict[Any, Any] = {"state": str(QueueState.OVER), "deadline": 0}
        told |= {"left": 0, "moved": self._now_ms()}
        with _redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.unlink(*(self._key(swarm_id, part) for part in _PARTS))
            pipe.hset(meta, mapping=told)
            pipe.expire(meta, _OVER_S)
            pipe.execute()

    def _put_roles(
        self,
        pipe: Any,  # noqa: ANN401  the client's own type is generic
        swarm_id: str,
        roles: Mapping[int, AgentRole],
        *,
        new: Sequence[int],
    ) -> None:
        names = {str(one): str(role) for one, role in roles.items()}
        if names:
            pipe.hset(self._key(swarm_id, "roles"), mapping=names)
        if not new:
            return
        # Beyond all turns that messages of an earlier queue may have.
        turn = time.time_ns() // 1_000
        now = turn // 1_000
        pipe.hset(
            self._key(swarm_id, "turns"), mapping=dict.fromkeys(map(str, new), turn)
        )
        pipe.hset(
            self._key(swarm_id, "seen"), mapping=dict.fromkeys(map(str, new), now)
        )
        pipe.sadd(self._key(swarm_id, "idle"), *new)

    def _put_partitions(
        self,
        pipe: Any,  # noqa: ANN401
        swarm_id: str,
        layout: Layout,
    ) -> None:
        for part in _ORDERS:
            worth = layout.orders[part]
            for some in _chunks(layout.ready):
                pipe.zadd(self._key(swarm_id, part), {p: worth[p] for p in some})
        for some in _chunks(layout.retry):
            tried = {p: layout.retry[p] for p in some}
            pipe.zadd(self._key(swarm_id, "retry"), dict.fromkeys(some, 0))
            for at, part in enumerate(("attempts", "failures", "last")):
                told = {str(p): values[at] for p, values in tried.items()}
                pipe.hset(self._key(swarm_id, part), mapping=told)
        for some in _chunks(sorted(layout.over)):
            pipe.sadd(self._key(swarm_id, "over"), *some)

    def _held(self, swarm_id: str, partitions: Sequence[int]) -> tuple[Held, ...]:
        if not partitions:
            return ()
        found: list[Any] = self._redis.hmget(
            self._key(swarm_id, "held"), [str(one) for one in partitions]
        )
        return tuple(
            _read_held(partition, told)
            for partition, told in zip(partitions, found, strict=True)
            if told is not None
        )

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    def _key(self, swarm_id: str, part: str) -> str:
        return f"{self._root}{swarm_id}:{part}"

    def _script(self, name: str) -> Any:  # noqa: ANN401  the client's own type is not public
        text = (files("orchestration.adapters") / "lua" / name).read_text("utf-8")
        return self._redis.register_script(text)


def _read_held(partition: int, told: bytes) -> Held:
    attempt, agent = told.decode().split()
    return Held(partition, int(attempt), int(agent))


def _chunks(items: Collection[int]) -> Iterator[list[int]]:
    listed = list(items)
    for at in range(0, len(listed), _CHUNK):
        yield listed[at : at + _CHUNK]


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Raise the errors of Redis as our own."""
    try:
        yield
    except redis.RedisError as exc:
        raise TransportError(
            f"Redis did not do what a swarm asked ({type(exc).__name__}: {exc}): "
            "check REDIS_URL and the server; what was recorded is safe in Postgres"
        ) from exc
