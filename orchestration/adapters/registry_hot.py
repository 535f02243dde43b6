"""The registry's hot state in Redis: heartbeats, and the feed that replicas live on.

All of it belongs to an epoch, which a key names, and can be built anew from Postgres.
Every write is a script that does nothing unless its epoch holds and what it brings is
newer than what is known, so that writes may come twice, late, or in any order. Times
are Redis' own: a sender whose clock is wrong is neither younger nor older for it.

==================  ==================================================================
``epoch``           which epoch holds
``<epoch>:meta``    how many deltas were told, the checksum, since when all is heard
``<epoch>:states``  by agent: version, status, health, last heard of, promises that it
                    breaks, digest
``<epoch>:agents``  by agent: what it says of itself and where it runs, JSON
``<epoch>:beats``   by agent: its last heartbeat, packed, and who sent it
``<epoch>:graves``  by agent that left: the version
``<epoch>:sla``     what the last sweep kept of agents' promises (``SlaBook``)
``<epoch>:deltas``  a stream of changes and heartbeats
==================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import redis

from orchestration.adapters.redis_clock import RedisClock
from orchestration.adapters.registry_epochs import (
    PER_CALL,
    Epochs,
    chunks,
    redis_errors,
)
from orchestration.adapters.registry_feed import (
    Delta,
    FeedChange,
    Glance,
    Heard,
    Kind,
    Position,
    Snapshot,
    change_arguments,
    checksum_of,
    halves,
    read_delta,
    read_snapshot,
    text,
)
from orchestration.core.registry.packed import BLOB_BYTES, pack

__all__ = ["HotState"]

_MOST_DELTAS: Final = 20_000
_PER_READ: Final = 200
_TIMEOUT_S: Final = 5.0
_STAMP_BYTES: Final = 8
_PARTS: Final = ("meta", "states", "agents", "beats", "graves", "deltas")

_ALWAYS: Final[Mapping[str, int]] = MappingProxyType({})


class HotState:
    """The hot state of one registry; for any number of threads.

    Attributes:
        clock: Redis' time, without asking for it.
    """

    def __init__(self, redis_url: str, key_prefix: str = "") -> None:
        """Open nothing yet.

        Args:
            redis_url: Where it is.
            key_prefix: Before every key, to share one server.
        """
        self._redis = redis.Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self.clock = RedisClock()
        self._epochs = Epochs(self._redis, f"{key_prefix}orchestration:registry:")
        self._epoch = ""
        self._change = self._epochs.script("registry_change.lua")
        self._beats = self._epochs.script("registry_beats.lua")

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    @property
    def epoch(self) -> str:
        """The epoch that held when it was last looked at; empty: none."""
        return self._epoch

    def look(self) -> str:
        """Return the epoch that holds now; empty: the hot state has to be built.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            self._epoch = text(self._redis.get(self._epochs.holds))
        return self._epoch

    def now_ms(self) -> int:
        """Return Redis' time, epoch milliseconds."""
        with redis_errors():
            return self._heard(self._redis.time())

    def change(self, changes: Sequence[FeedChange]) -> bool:
        """Take in changes that are newer than what is known, and tell the replicas.

        Returns:
            False if no epoch holds: what is built then has them from Postgres.

        Raises:
            TransportError: Redis does not answer.
        """
        for some in chunks(changes, PER_CALL):
            arguments = [_MOST_DELTAS, *change_arguments(some)]
            if self._run(self._change, _PARTS, arguments) is None:
                return False
        return True

    def beat(
        self,
        heartbeats: Sequence[tuple[str, Mapping[str, float]]],
        *,
        sender: str = "",
        number: int = 0,
        until_ms: Mapping[str, int] = _ALWAYS,
    ) -> Heard | None:
        """Take in heartbeats at this moment; None if no epoch holds.

        Args:
            heartbeats: Agents, and metrics free of faults.
            sender: Letters and digits that tell who sent them; empty: nobody says.
            number: Counts up with each message of the sender.
            until_ms: By agent, until when its heartbeat counts, by Redis' time; of one
                that is missing it always does.

        Raises:
            TransportError: Redis does not answer.
        """
        arguments: list[Any] = [_MOST_DELTAS, sender, number]
        for agent_id, metrics in heartbeats:
            packed = pack(0, metrics)[_STAMP_BYTES:]
            arguments += [agent_id, packed, until_ms.get(agent_id, 0)]
        parts = ("meta", "states", "beats", "deltas")
        answer = self._run(self._beats, parts, arguments)
        if answer is None:
            return None
        _, now_ms, unknown, late = answer
        self.clock.heard(now_ms)
        return Heard(now_ms=now_ms, unknown=tuple(map(text, unknown)), late=late)

    def read(self, after: Position, *, block_ms: int) -> tuple[str, tuple[Delta, ...]]:
        """Return the epoch that holds, and what its feed says after a position.

        Raises:
            TransportError: Redis does not answer.
        """
        key = self._epochs.key(after.epoch, "deltas")
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.get(self._epochs.holds)
            pipe.xread({key: after.entry}, count=_PER_READ, block=block_ms)
            epoch, streams = pipe.execute()
        entries = streams[0][1] if streams else ()
        return text(epoch), tuple(read_delta(at, said) for at, said in entries)

    def snapshot(self) -> Snapshot | None:
        """Return everything at one moment; None if no epoch holds.

        Raises:
            TransportError: Redis does not answer.
        """
        while epoch := self.look():
            with redis_errors():
                pipe = self._redis.pipeline(transaction=True)
                pipe.get(self._epochs.holds)
                pipe.hmget(self._epochs.key(epoch, "meta"), "deltas", "hi", "lo")
                pipe.xrevrange(self._epochs.key(epoch, "deltas"), count=1)
                for part in ("agents", "states", "beats"):
                    pipe.hgetall(self._epochs.key(epoch, part))
                pipe.time()
                holds, *replies, time = pipe.execute()
            self._heard(time)
            if text(holds) == epoch:
                return read_snapshot(epoch, replies)
        return None

    def look_at(self, agent_ids: Sequence[str]) -> Glance | None:
        """Return the last heartbeats of some agents; None if no epoch holds.

        Raises:
            TransportError: Redis does not answer.
        """
        epoch = self.look()
        if not epoch:
            return None
        with redis_errors():
            # At one moment: heartbeats that are missing because Redis was wiped in
            # between must not be taken for silence.
            pipe = self._redis.pipeline(transaction=True)
            pipe.get(self._epochs.holds)
            pipe.hmget(self._epochs.key(epoch, "meta"), "heard_since_ms", "run_id")
            pipe.hmget(self._epochs.key(epoch, "beats"), "", *agent_ids)
            pipe.get(self._epochs.key(epoch, "sla"))
            pipe.info("server")
            pipe.time()
            holds, (since_ms, before), blobs, sla, server, time = pipe.execute()
        if text(holds) != epoch:
            return None
        now_ms = self._heard(time)
        return Glance(
            epoch=epoch,
            heard_since_ms=int(since_ms or now_ms),  # nothing: it was lost
            now_ms=now_ms,
            is_restarted=text(before) != server["run_id"],
            promises=sla or b"",
            blobs=[blob and blob[:BLOB_BYTES] for blob in blobs[1:]],
        )

    def hear_anew(self, glance: Glance) -> None:
        """Have silence count from that moment on, at the earliest.

        Raises:
            TransportError: Redis does not answer.
        """
        meta: dict[Any, Any] = {"heard_since_ms": glance.now_ms}
        with redis_errors():
            meta["run_id"] = self._epochs.run_id()
            self._redis.hset(self._epochs.key(glance.epoch, "meta"), mapping=meta)

    def keep_promises(self, epoch: str, written: bytes) -> None:
        """Keep for the next sweep what this one knows of agents' promises.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            self._redis.set(self._epochs.key(epoch, "sla"), written)

    def _heard(self, time: Any) -> int:  # noqa: ANN401  as the client has it
        """Return the answer to TIME as epoch milliseconds; the clock goes by it."""
        now_ms = int(time[0]) * 1_000 + int(time[1]) // 1_000
        self.clock.heard(now_ms)
        return now_ms

    def states(self) -> tuple[dict[str, FeedChange], bool]:
        """Return where each agent stands, and whether that agrees with the checksum.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hgetall(self._epochs.key(self._epoch, "states"))
            pipe.hmget(self._epochs.key(self._epoch, "meta"), "hi", "lo")
            found, (high, low) = pipe.execute()
        read = [
            FeedChange.read(Kind.STATUS, text(agent_id), text(state))
            for agent_id, state in found.items()
        ]
        is_sound = halves(checksum_of(read)) == (int(high or 0), int(low or 0))
        return {change.agent_id: change for change in read}, is_sound

    def checksum(self, epoch: str) -> tuple[int, int] | None:
        """Return the number of deltas told, and the sum of what they led to.

        None if that epoch does not hold.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.get(self._epochs.holds)
            pipe.hmget(self._epochs.key(epoch, "meta"), "deltas", "hi", "lo")
            pipe.time()
            holds, (nth, high, low), time = pipe.execute()
        self._heard(time)
        if text(holds) != epoch:
            return None
        return int(nth or 0), (int(high or 0) << 32) + int(low or 0)

    def sizes(self) -> tuple[int, int]:
        """Return of how many agents it holds states, and what they say of themselves.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hlen(self._epochs.key(self._epoch, "states"))
            pipe.hlen(self._epochs.key(self._epoch, "agents"))
            states, agents = pipe.execute()
        return int(states), int(agents)

    def build(self, agents: Sequence[FeedChange]) -> str:
        """Build the hot state anew, in place of the epoch last looked at.

        Args:
            agents: Everybody who is registered, each a ``put``.

        Returns:
            The epoch that holds afterwards; another one if somebody was faster.

        Raises:
            TransportError: Redis does not answer.
        """
        with redis_errors():
            self._epoch = self._epochs.build(agents, before=self._epoch)
        return self._epoch

    def _run(
        self,
        script: Any,  # noqa: ANN401  the client's own type is not public
        parts: Sequence[str],
        arguments: Sequence[Any],
    ) -> Sequence[Any] | None:
        """Run a script in the epoch that holds; None if none does."""
        with redis_errors():
            while self._epoch or self.look():
                keys = [self._epochs.key(self._epoch, part) for part in parts]
                answer = script(
                    keys=[self._epochs.holds, *keys], args=[self._epoch, *arguments]
                )
                holds = text(answer[0])
                if holds == self._epoch:
                    return tuple(answer)
                self._epoch = holds
        return None
