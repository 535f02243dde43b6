"""Scatter-gather: ask several agents one thing, and make one answer of theirs.

    scatter = ScatterGather(router)
    average = await scatter.execute(
        request=message,
        target_agents=["agent-calc-001", "agent-calc-002", "agent-calc-003"],
        aggregation_strategy=AggregationStrategy.AVERAGE,
        timeout_ms=5_000,
        min_responses=2,
    )

Each target is asked by a Celery task of its own. All of them have one deadline.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from orchestration.core.messaging.model import Message
from orchestration.core.routing.aggregate import (
    AggregationStrategy,
    Aggregator,
    ConflictRule,
    TieRule,
    aggregate,
)
from orchestration.core.routing.gather import ScatterEnd, ScatterResult
from orchestration.core.routing.hedging import HedgeSettings
from orchestration.core.routing.scatter_plan import make_plan
from orchestration.engine.hedger import Hedger
from orchestration.engine.scattering import Scattering
from orchestration.errors import (
    ConfigurationError,
    InsufficientResponses,
    InvalidScatter,
)
from orchestration.metrics import scatter_metrics

if TYPE_CHECKING:
    from orchestration.message_bus import MessageBus

__all__ = [
    "AggregationStrategy",
    "ConflictRule",
    "HedgeSettings",
    "ScatterEnd",
    "ScatterGather",
    "ScatterResult",
    "TieRule",
    "aggregator",
]

_F = TypeVar("_F", bound=Aggregator)
_AGGREGATORS: dict[str, Aggregator] = {}
_TIMEOUT_MS: Final = 30_000
_TRAILS_S: Final = 60.0  # beyond its time: an agent that hung may still answer
_OUTCOMES: Final = ("ok", "error", "late", "duplicate")


def aggregator(name: str) -> Callable[[_F], _F]:
    """Make the decorated function an aggregator that scatters may name.

    It takes the answers by target, in the order of the targets, and returns what they
    come to.

    Raises:
        ConfigurationError: There is one of that name already.
    """

    def register(function: _F) -> _F:
        if name in _AGGREGATORS:
            raise ConfigurationError(
                f"aggregator {name!r} is defined twice in this process: rename one"
            )
        _AGGREGATORS[name] = function
        return function

    return register


class Router(Protocol):
    """What a scatter needs of a router: the message bus that it sends on."""

    @property
    def message_bus(self) -> MessageBus:
        """The bus, which is initialized."""


class ScatterGather:
    """Asks several agents at once, and makes one answer of theirs.

    Args:
        router: On whose message bus it asks; it must be initialized.
        hedging: When a request that takes long is sent once more, to a spare agent or
            another worker, and how many may be; None: none is. For requests that do
            no harm twice.
    """

    def __init__(self, router: Router, *, hedging: HedgeSettings | None = None) -> None:
        self._router = router
        self._hedger = None if hedging is None else Hedger(hedging)
        self._metrics = scatter_metrics()
        self._trailing: deque[tuple[float, Scattering]] = deque()
        self._replies: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def replies(self) -> Mapping[str, int]:
        """What became of all replies so far: ``ok error late duplicate``.

        A reply that comes when its scatter is over is late: it is dropped, and counted
        here whenever it comes.
        """
        with self._lock:
            return {name: self._replies[name] for name in _OUTCOMES}

    async def execute(
        self,
        request: Message,
        target_agents: Sequence[str],
        aggregation_strategy: AggregationStrategy | str = AggregationStrategy.ALL,
        timeout_ms: int = _TIMEOUT_MS,
        min_responses: int | None = None,
        aggregator: Aggregator | str | None = None,
        *,
        on_conflict: ConflictRule | str | None = None,
        on_tie: TieRule | str = TieRule.ERROR,
        hedge_agents: Sequence[str] = (),
    ) -> Any:  # noqa: ANN401  what the answers come to
        """Ask all targets, and return what their answers come to.

        It returns as soon as what is still to come can change nothing: FIRST with the
        first answer, MAJORITY_VOTE once no other value can win, the others when all
        have answered or failed; at the deadline at the latest. A target that fails, or
        whose answer is no JSON of finite numbers, has not answered.

        Args:
            request: What is asked. Each target gets a copy with an id of its own,
                which is that of its Celery task.
            target_agents: Ids of agents, each once.
            aggregation_strategy: How the answers become one.
            timeout_ms: How long all have together from the call on, milliseconds; or
                until the request's own deadline, if that is earlier.
            min_responses: How many must answer. None: for FIRST one, for
                MAJORITY_VOTE more than half of the targets, else every target.
            aggregator: Of CUSTOM: a function of the answers by target, or its name.
                It runs in a thread, and what it raises is raised here.
            on_conflict: Of AVERAGE and MERGE, where answers differ; None: MERGE
                refuses them, and AVERAGE what is a number in some of them alone.
            on_tie: Of MAJORITY_VOTE: whether several values with the most votes are
                an error, or that of the first of the targets counts.
            hedge_agents: Who gets second copies, in turn: agents that can do what the
                targets do. None: the target itself, in another worker of its pool.

        Raises:
            InsufficientResponses: Fewer than ``min_responses`` have answered, in time
                or at all; it carries the answers.
            AggregationConflict: The answers contradict each other.
            UnknownRecipient: Nobody ever announced a target; nothing was sent.
            NoHandler: A target takes no messages; nothing was sent.
            InvalidScatter: Something asked for makes no sense; nothing was sent.
            InvalidMessage: The request is no JSON; nothing was sent.
            PayloadTooLarge: The request is; nothing was sent.
        """
        result = await self.execute_detailed(
            request,
            target_agents,
            aggregation_strategy,
            timeout_ms,
            min_responses,
            aggregator,
            on_conflict=on_conflict,
            on_tie=on_tie,
            hedge_agents=hedge_agents,
        )
        return result.value

    async def execute_detailed(
        self,
        request: Message,
        target_agents: Sequence[str],
        aggregation_strategy: AggregationStrategy | str = AggregationStrategy.ALL,
        timeout_ms: int = _TIMEOUT_MS,
        min_responses: int | None = None,
        aggregator: Aggregator | str | None = None,
        *,
        on_conflict: ConflictRule | str | None = None,
        on_tie: TieRule | str = TieRule.ERROR,
        hedge_agents: Sequence[str] = (),
    ) -> ScatterResult:
        """Do what ``execute`` does, and return who answered what, and when.

        The arguments and errors are those of ``execute``; what the answers come to is
        the result's ``value``.
        """
        began_s = time.monotonic()
        function = _function(aggregator)
        desk = self._router.message_bus.messages
        plan = make_plan(
            target_agents,
            aggregation_strategy,
            timeout_ms=_within_deadline(request, timeout_ms, desk.now_ms()),
            min_responses=min_responses,
            has_aggregator=function is not None,
            on_conflict=on_conflict,
            on_tie=on_tie,
        )
        run = Scattering(
            plan,
            request,
            desk,
            began_s=began_s,
            heard=self._count,
            hedger=self._hedger,
            spares=hedge_agents,
        )
        try:
            result = await _ended(run)
        finally:
            self._let_trail(run, plan.timeout_ms)
        self._metrics.duration_ms.observe(result.duration_ms)
        if not result.is_enough:
            raise InsufficientResponses(_too_few(result), result)
        return replace(result, value=await _value(result, function))

    def _let_trail(self, run: Scattering, timeout_ms: int) -> None:
        """Hear of its late replies for a while, and no longer of those long over."""
        now_s = time.monotonic()
        with self._lock:
            if run.is_awaiting:
                self._trailing.append((now_s + timeout_ms / 1_000 + _TRAILS_S, run))
            over = []
            while self._trailing and self._trailing[0][0] < now_s:
                over.append(self._trailing.popleft()[1])
        for one in over:
            one.let_go()

    def _count(self, outcome: str) -> None:
        self._metrics.replies.labels(outcome=outcome).inc()
        with self._lock:
            self._replies[outcome] += 1


async def _ended(run: Scattering) -> ScatterResult:
    """Return how a scatter went, at its deadline at the latest."""
    # Not waited for: a broker or a database that hangs must not move the deadline.
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, run.begin)
    done = asyncio.wrap_future(run.done)
    try:
        while not done.done():
            await asyncio.wait([done], timeout=run.wait_s)
            run.look()
            if run.takes_hedge():
                loop.run_in_executor(None, run.hedge)
        return await done
    except asyncio.CancelledError:
        run.give_up()
        raise


async def _value(result: ScatterResult, function: Aggregator | None) -> Any:  # noqa: ANN401
    plan, answers = result.plan, result.answers
    if function is not None:  # foreign code, which may take its time
        return await asyncio.to_thread(
            aggregate, plan.strategy, answers, aggregator=function
        )
    return aggregate(
        plan.strategy, answers, on_conflict=plan.on_conflict, on_tie=plan.on_tie
    )


def _function(given: Aggregator | str | None) -> Aggregator | None:
    if not isinstance(given, str):
        return given
    try:
        return _AGGREGATORS[given]
    except KeyError:
        known = ", ".join(sorted(_AGGREGATORS)) or "none"
        fault = f"there is no aggregator {given!r}: registered are {known}"
        raise InvalidScatter([fault]) from None


def _within_deadline(request: Message, timeout_ms: int, now_ms: int) -> int:
    """Return how long there is, which a deadline of the request may cut short."""
    if request.deadline_ms is None:
        return timeout_ms
    rest_ms = request.deadline_ms - now_ms
    if rest_ms <= 0:
        raise InvalidScatter([f"the request's deadline passed {-rest_ms} ms ago"])
    return min(timeout_ms, rest_ms)


def _too_few(result: ScatterResult) -> str:
    plan = result.plan
    told = [f"{target} failed ({error})" for target, error in result.errors.items()]
    told += [f"nothing was heard of {target}" for target in result.missing]
    return (
        f"{len(result.answers)} of {len(plan.targets)} agents answered within "
        f"{result.duration_ms:.0f} of {plan.timeout_ms} ms, "
        f"and {plan.min_responses} must: {'; '.join(told)}"
    )
