"""What an agent does in its turn: take a partition, work on it, record what came of it.

There is no barrier and nobody waits: each agent asks for the next partition as soon as
it is done with one. Who records a partition first has done it, whatever became of its
lease; who comes second is told so, and the swarm counts it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Final

from orchestration.adapters.partition_records import Answer, Claim, Held, Settling
from orchestration.adapters.saga_records import Because
from orchestration.core.swarm.partitions.colony import Plan
from orchestration.core.swarm.partitions.facts import How, committed, failed, repeated
from orchestration.core.swarm.providers import PartitionHandler, PartitionResult
from orchestration.engine.error_text import told_error
from orchestration.engine.limits import RealTime
from orchestration.engine.partition_desk import PartitionDesk
from orchestration.engine.partition_handlers import handler_of
from orchestration.engine.partition_rows import checked_result, partition_of
from orchestration.errors import NonRetryable, RetryLater, TransportError

__all__ = ["Puller"]

logger = logging.getLogger(__name__)
_SLICE_S: Final = 0.25
"""No agent begins another partition in a turn that has lasted so long; between turns a
process waits for a message, longer than between partitions."""

_GRACE_MS: Final = 1_000
_NOT_HOSTED_MS: Final = 1_000
_PLANS: Final = 64
_MOST_ASIDE: Final = 64  # one for each thread of a pool that works
_TIME: Final = RealTime()


@dataclass(slots=True)
class _Worked:
    """What came of one attempt; ``error`` if it came to nothing."""

    busy_ms: float
    result: PartitionResult | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Puller:
    """Has agents take their turns in this process.

    Attributes:
        worker: Returns this process's name, for the events.
        max_payload_bytes: Limit of one result.
    """

    desk: PartitionDesk
    worker: Callable[[], str]
    max_payload_bytes: int
    _plans: dict[str, Plan] = field(default_factory=dict)
    _aside: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_MOST_ASIDE, "partition-record")
    )

    def close(self) -> None:
        """Wait for what is being recorded."""
        self._aside.shutdown()

    def pull(self, swarm_id: str, agent: int, turn: int, because: Because) -> str:
        """Have an agent take its turn; return what became of it, for people."""
        plan = self._plan(swarm_id)
        handler = handler_of(plan.task.handler_name or "")
        until = time.monotonic() + _SLICE_S
        done = 0
        claim = self._claim(plan, agent, turn)
        while claim.answer is Answer.LEASED:
            held, turn = Held(claim.partition, claim.attempt, agent), claim.turn
            if handler is None:
                return self._hand_back(plan, held, turn)
            worked = self._work(plan, held, handler)
            done += 1
            is_last = done >= plan.turn_size or time.monotonic() >= until
            following = self._end(plan, held, claim, worked, because, is_last=is_last)
            if following is None:
                return f"{done} done"
            claim = following
        return self._rest(plan, claim, done, because)

    def _claim(self, plan: Plan, agent: int, turn: int) -> Claim:
        desk = self.desk
        lease_ms = desk.lease_ms
        return desk.queue.claim(
            plan.swarm_id, agent, turn, lease_ms=lease_ms, grace_ms=_GRACE_MS
        )

    def _rest(self, plan: Plan, claim: Claim, done: int, because: Because) -> str:
        """End a turn in which there is nothing more to take."""
        match claim.answer:
            case Answer.ABSENT if self.desk.swarms.over([plan.swarm_id]):
                pass  # and its queue was lost since
            case Answer.ABSENT | Answer.LATE:
                self.desk.tick(plan.swarm_id, because)
            case _:
                pass
        return f"{done} done, then {claim.answer}"

    def _hand_back(self, plan: Plan, held: Held, turn: int) -> str:
        """Give back what this worker cannot do: of a rolling deploy."""
        what = f"handler {plan.task.handler_name!r} in a worker of its pool"
        self.desk.swarms.note_waiting(plan.swarm_id, what)
        self.desk.queue.settle(
            plan.swarm_id, held, Settling.BACK, wait_ms=_NOT_HOSTED_MS
        )
        self._send_turn(plan, held.agent, turn, wait_ms=_NOT_HOSTED_MS)
        return f"not hosted here: {what}"

    def _work(self, plan: Plan, held: Held, handler: PartitionHandler) -> _Worked:
        """Have the handler work on a partition, within its time."""
        task = plan.task
        name = f"partition {held.partition} of swarm {plan.swarm_id}"
        limit_s = task.partition_timeout_ms / 1_000
        begin = time.perf_counter()
        result: PartitionResult | None = None
        error: Exception | None = None
        with self._alive(plan, held, limit_s):
            try:
                with _TIME.limit(name, limit_s):
                    partition = partition_of(plan, held)
                    output = handler(partition, dict(task.metadata))
                    if isawaitable(output):
                        output = _TIME.wait(output, name, limit_s)
                result = checked_result(output, partition, self.max_payload_bytes)
            except Exception as exc:  # noqa: BLE001  the edge: it may raise anything
                error = exc
        busy_ms = round((time.perf_counter() - begin) * 1_000, 3)
        return _Worked(busy_ms, result, error)

    @contextmanager
    def _alive(self, plan: Plan, held: Held, limit_s: float) -> Iterator[None]:
        """Keep a lease alive while the block runs, within the attempt's time."""
        lease_ms, ended = self.desk.lease_ms, threading.Event()
        give_up_at = time.monotonic() + limit_s

        def renew() -> None:
            while not ended.wait(lease_ms / 3_000):
                if time.monotonic() > give_up_at:
                    return
                try:
                    if not self.desk.queue.renew(plan.swarm_id, held, lease_ms):
                        return
                except TransportError:
                    logger.warning("partition %s: lease not renewed", held.partition)

        # Most attempts are over before the first renewal is due.
        timer = threading.Timer(lease_ms / 3_000, renew)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            ended.set()
            timer.cancel()

    def _end(
        self,
        plan: Plan,
        held: Held,
        claim: Claim,
        worked: _Worked,
        because: Because,
        *,
        is_last: bool,
    ) -> Claim | None:
        """End an attempt; return what its agent got next, or None after its turn.

        What comes next is asked for while the attempt is being recorded. It is begun
        once that is on record: code that kills its process costs nobody else's work.
        """
        wait_ms = None if worked.error is None else _wait_ms(plan, claim, worked.error)
        recording = self._aside.submit(
            self._record, plan, held, worked, because, retry_in_ms=wait_ms
        )
        following = None
        try:
            if is_last:
                self._send_turn(plan, held.agent, claim.turn)
            else:
                following = self._claim(plan, held.agent, claim.turn)
        finally:
            # If this raises, what was claimed comes back like this: by its lease.
            is_open = recording.result()
        if not is_open:
            self._tick(plan)
            return None
        self._aside.submit(self._settle, plan, held, wait_ms).add_done_callback(_told)
        return following

    def _settle(self, plan: Plan, held: Held, wait_ms: int | None) -> None:
        """Let the queue know of what is on record; in vain, a tick does so later."""
        try:
            left, is_due = self.desk.queue.settle(
                plan.swarm_id,
                held,
                Settling.OVER if wait_ms is None else Settling.RETRY,
                wait_ms=wait_ms or 0,
                tick_every=plan.tick_every,
            )
        except TransportError:
            logger.warning("partition %s: not settled yet", held.partition)
            return
        if is_due or left == 0:
            self._tick(plan)

    def _record(
        self,
        plan: Plan,
        held: Held,
        worked: _Worked,
        because: Because,
        *,
        retry_in_ms: int | None,
    ) -> bool:
        """Record how an attempt has ended; return whether the swarm goes on."""
        timing = {"busy_ms": worked.busy_ms, "worker": self.worker()}
        p, agent, attempt = held.partition, held.agent, held.attempt
        if worked.result is not None:
            fact = committed(p, agent, attempt, worked.result, timing)
        else:
            fact = failed(
                p,
                agent,
                attempt,
                how=How.FAILED,
                error=told_error(worked.error or RuntimeError("it came to nothing")),
                retry_in_ms=retry_in_ms,
                timing=timing,
            )
        recorded = self.desk.record(plan.swarm_id, [fact], because)
        if recorded is None:
            return False
        if not recorded[0] and worked.result is not None:
            again = repeated(p, agent, attempt)
            self.desk.record(plan.swarm_id, [again], because)
        return True

    def _plan(self, swarm_id: str) -> Plan:
        plan = self._plans.get(swarm_id)
        if plan is None:
            view = self.desk.swarms.view(swarm_id)
            plan = Plan.of(swarm_id, view.spec)
            while len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)), None)
            self._plans[swarm_id] = plan
        return plan

    def _tick(self, plan: Plan) -> None:
        try:
            self.desk.sender.tick(plan)
        except TransportError:
            logger.warning("swarm %s: tick not sent yet", plan.swarm_id)

    def _send_turn(self, plan: Plan, agent: int, turn: int, wait_ms: int = 0) -> None:
        try:
            self.desk.sender.turn(plan, agent, turn, wait_ms=wait_ms)
        except TransportError:
            logger.warning("swarm %s: turn of %s not sent yet", plan.swarm_id, agent)


def _told(settling: Future[None]) -> None:
    """Log what nobody waits for: a later tick makes it good."""
    if error := settling.exception():
        logger.error("a partition was not settled", exc_info=error)


def _wait_ms(plan: Plan, claim: Claim, error: Exception) -> int | None:
    """Return how long a partition waits after a failure; None: for ever."""
    wait_ms = plan.retry_in_ms(claim.failures + 1)
    if isinstance(error, NonRetryable) or wait_ms is None:
        return None
    if isinstance(error, RetryLater) and error.retry_in_ms is not None:
        return error.retry_in_ms
    return wait_ms
