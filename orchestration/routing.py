"""Routing: which agents get a message, by rules, health and load.

    router = MessageRouter(message_bus)
    await router.initialize()
    router.add_route_rule(RouteRule("calc", condition="...", targets=["agent-1"]))
    targets = await router.route(message)

Rules are a process's own; several routers may send to the same agents.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from orchestration.adapters.route_log import RouteRecorder
from orchestration.core.messaging.model import Message
from orchestration.core.routing.affinity import AffinitySettings
from orchestration.core.routing.budget import BudgetSettings
from orchestration.core.routing.decision import Decision
from orchestration.core.routing.dispatch import DispatchResult
from orchestration.core.routing.ejection import EjectionSettings
from orchestration.core.routing.geography import GeographySettings
from orchestration.core.routing.loads import LoadPolicy, Loads, Report
from orchestration.core.routing.model import RouteRule, RoutingStrategy, Variant
from orchestration.core.routing.ports import AgentView, Heard, Reports, View
from orchestration.core.routing.predict import PredictorSettings
from orchestration.core.routing.rates import Rate
from orchestration.core.routing.record import DecisionRecord, replay
from orchestration.core.routing.router import Random
from orchestration.core.routing.settings import RouterSettings
from orchestration.core.routing.slow_start import SlowStartSettings
from orchestration.engine.asking import who
from orchestration.engine.dispatching import Dispatcher, Patience
from orchestration.engine.replaying import Replayed, replay_recorded
from orchestration.engine.routes import read_routes, router_settings
from orchestration.engine.routing import RouteDesk, status_of
from orchestration.engine.surroundings import MENDED_BY_NEWS, Surroundings
from orchestration.errors import ConfigurationError, RoutingError
from orchestration.message_bus import MessageBus
from orchestration.metrics import RoutingMetrics, routing_metrics
from orchestration.opening import Opened
from orchestration.scatter import (
    AggregationStrategy,
    ConflictRule,
    HedgeSettings,
    ScatterEnd,
    ScatterGather,
    ScatterResult,
    TieRule,
    aggregator,
)

__all__ = [
    "AffinitySettings",
    "AgentView",
    "AggregationStrategy",
    "BudgetSettings",
    "ConflictRule",
    "Decision",
    "DecisionRecord",
    "DispatchResult",
    "EjectionSettings",
    "GeographySettings",
    "Heard",
    "HedgeSettings",
    "LoadPolicy",
    "Loads",
    "MessageRouter",
    "PredictorSettings",
    "Rate",
    "Replayed",
    "Report",
    "Reports",
    "RouteRule",
    "RouterSettings",
    "RoutingStrategy",
    "ScatterEnd",
    "ScatterGather",
    "ScatterResult",
    "SlowStartSettings",
    "TieRule",
    "Variant",
    "View",
    "aggregator",
    "replay",
]

_Decide: TypeAlias = Callable[[Message], Decision]


class MessageRouter(Opened):
    """Decides which agents get a message, and sends it there.

    Agents that fail are left out for a while, newcomers start slowly, conversations
    stay where they are: what it does of that, and how, its settings say.

    Args:
        message_bus: Whose connections it uses; None: one of its own.
        settings: What it does; None: as the environment says.
        view: Who is there; None: the agents of the registry, and those that workers
            announce.
        reports: Where agents' loads are heard of; None: their heartbeats.
        loads: How loaded agents are, if somebody else keeps that.
        rng: Where dice come from; None: of its own.
        metrics: Where it counts; None: this process's.
    """

    def __init__(
        self,
        message_bus: MessageBus | None = None,
        *,
        settings: RouterSettings | None = None,
        view: View | None = None,
        reports: Reports | None = None,
        loads: Loads | None = None,
        rng: Random | None = None,
        metrics: RoutingMetrics | None = None,
    ) -> None:
        self._owns_bus = message_bus is None
        self._bus = MessageBus() if message_bus is None else message_bus
        self._around: Surroundings | None = None
        self._metrics = routing_metrics() if metrics is None else metrics
        self._desk = RouteDesk(
            router_settings(self._bus.settings) if settings is None else settings,
            metrics=self._metrics,
            view=view,
            loads=loads,
            rng=rng,
        )
        self._desk.reports = reports
        self._recorder: RouteRecorder | None = None
        self._dispatcher: Dispatcher | None = None
        self._has_read_file = False

    async def initialize(self) -> None:
        """Connect, unless the message bus is connected already.

        The routes of ORCHESTRATION_ROUTES_FILE are added the first time.

        Raises:
            SchemaOutdated: ``orchestration migrate`` has to be run first.
            TransportError: The database does not answer.
            ConfigurationError: The file cannot be read.
            InvalidRoute: One of its routes is not sound.
        """
        await self._bus.initialize()
        if self._desk.view is None:
            given = (self._bus.announcements, self._bus.registry)
            around = await asyncio.to_thread(Surroundings, *given)
            self._around = around
            self._desk.look_at(around.agents)
            if self._desk.reports is None:
                self._desk.reports = around.agents
        file = self._bus.settings.routes_file
        if file and not self._has_read_file:
            self.add_routes(file)
        self._has_read_file = True
        if self._desk.settings.record_rate > 0 and self._recorder is None:
            self._recorder = RouteRecorder(self._bus.route_log, who("", "").by)
            self._desk.records = self._recorder

    async def close(self) -> None:
        """Let go of what this object opened; a shared bus stays open."""
        self._metrics.flush()
        if self._recorder is not None:
            self._desk.records = None
            await asyncio.to_thread(self._recorder.close)
            self._recorder = None
        if self._around is not None:
            await asyncio.to_thread(self._around.close)
            if self._desk.reports is self._around.agents:
                self._desk.reports = None
            self._around = self._desk.view = None
        self._dispatcher = None
        if self._owns_bus:
            await self._bus.close()

    @property
    def message_bus(self) -> MessageBus:
        """The message bus whose connections it uses."""
        return self._bus

    @property
    def loads(self) -> Loads:
        """How loaded agents are, for whoever hears their reports."""
        return self._desk.router.loads

    @property
    def rules(self) -> tuple[RouteRule, ...]:
        """All rules, in the order that they are asked in."""
        return self._desk.table.rules

    @property
    def rule_errors(self) -> dict[str, int]:
        """How often each rule's condition could not be evaluated: no match, then."""
        return dict(self._desk.table.errors)

    @property
    def cache_stats(self) -> dict[str, int]:
        """Hits and misses of the cache of candidates, and entries found corrupt."""
        cache = self._desk.router.cache
        return {"hits": cache.hits, "misses": cache.misses, "corrupt": cache.corrupt}

    @property
    def record_stats(self) -> dict[str, int]:
        """How many decisions are on record, and how many were to be and are not."""
        kept = self._recorder
        counts = (0, 0) if kept is None else (kept.recorded, kept.dropped)
        return dict(zip(("recorded", "dropped"), counts, strict=True))

    # --- routes

    def add_route_rule(self, rule: RouteRule) -> None:
        """Add a rule; it counts from the next message on.

        Targets are looked for when a message is routed, not here.

        Raises:
            InvalidRoute: It is not sound, or its name is taken; all faults are named.
        """
        with self._desk.lock:
            self._desk.table = self._desk.table.with_rule(rule)

    def add_routes(self, path: Path | str) -> None:
        """Add the rules and static routes of a TOML or JSON file: all, or none.

        Raises:
            ConfigurationError: It cannot be read, or holds something else.
            InvalidRoute: One of its routes is not sound; all its faults are named.
        """
        with self._desk.lock:
            self._desk.table = read_routes(path, self._desk.table)

    def remove_route_rule(self, name: str) -> bool:
        """Remove a rule; return whether there was one of that name."""
        with self._desk.lock:
            before = self._desk.table
            self._desk.table = before.without_rule(name)
            return self._desk.table is not before

    def add_static_route(
        self,
        recipient_id: str,
        targets: Sequence[str],
        strategy: RoutingStrategy | str = RoutingStrategy.LEAST_LOADED,
    ) -> None:
        """Have a recipient stand for agents, for messages that no rule takes.

        A route of the same recipient is replaced.

        Raises:
            InvalidRoute: Targets or strategy are not sound.
        """
        with self._desk.lock:
            table = self._desk.table
            self._desk.table = table.with_static(recipient_id, targets, strategy)

    def remove_static_route(self, recipient_id: str) -> bool:
        """Remove a static route; return whether there was one."""
        with self._desk.lock:
            before = self._desk.table
            self._desk.table = before.without_static(recipient_id)
            return self._desk.table is not before

    # --- decisions

    async def route(self, message: Message) -> list[str]:
        """Decide which agents get a message, and return their ids.

        The first rule that matches decides, else the recipient's static route, else
        the recipient itself if it is an agent. What is decided counts as sent.

        Raises:
            NoRoute: There is no such rule, route or agent.
            UnknownTarget: Nobody knows the agents of the route.
            NoTargetAvailable: None of them may get it now; AllUnhealthy: none is well.
        """
        return list((await self.decide(message)).targets)

    async def decide(self, message: Message) -> Decision:
        """Do as ``route`` and return the whole decision.

        ``DecisionRecord.of`` makes a record of it that ``replay`` decides anew.

        Raises:
            RoutingError: As for ``route``.
        """
        begin = time.perf_counter()
        try:
            decision = await self._with_news(self._desk.decide, message)
        except RoutingError as exc:
            took_ms = 1_000 * (time.perf_counter() - begin)
            strategy = self._desk.table.strategy_of(exc.rule)
            self._metrics.note(strategy, took_ms, status_of(exc))
            raise
        took_ms = 1_000 * (time.perf_counter() - begin)
        self._metrics.note(decision.strategy, took_ms, cached=decision.cached)
        return decision

    async def dispatch(
        self,
        message: Message,
        *,
        timeout_ms: float | None = None,
        max_attempts: int | None = None,
        hedge: bool = False,
    ) -> DispatchResult:
        """Decide who gets a message, and send it there.

        The answer to a REQUEST is awaited. If an agent answers with an error, or not
        within its share of the time, another one is asked, as far as the budget of
        retries has it; so a request may be done twice, and its copies carry one
        ``dispatch_id`` in their headers. Anything else is sent, and that is all. A
        BROADCAST goes to each agent in a copy of its own.

        Args:
            message: What to send.
            timeout_ms: How long a REQUEST may take in all; None: until its deadline,
                or 30 seconds.
            max_attempts: At how many agents a REQUEST is tried; 1: it is never sent
                twice. None: as the settings say.
            hedge: Send it to a second agent when the first takes longer than most:
                for what does no harm twice.

        Raises:
            RoutingError: As for ``route``; nothing was sent.
            AgentError: The last agent that was asked answered with an error.
            RequestTimedOut: No answer came by the deadline.
            MessageError: It cannot be sent.
            TransportError: The broker did not confirm it.
        """
        if self._dispatcher is None:
            self._dispatcher = Dispatcher(self._desk, self._bus.messages)
        attempts = self._desk.settings.max_attempts
        patience = Patience(
            timeout_ms=timeout_ms,
            attempts=attempts if max_attempts is None else max_attempts,
            hedges=hedge,
        )
        decision = await self.decide(message)
        return await self._dispatcher.dispatch(message, decision, patience)

    async def explain(self, message: Message) -> dict[str, Any]:
        """Tell where a message would go now, and why; nothing is counted as sent.

        Returns:
            ``targets``, ``rule``, ``strategy``, ``method``, ``candidates``, ``loads``
            (of those looked at), ``load_ages_s`` (of each candidate's report; None: it
            had none), ``staleness_s`` (the oldest), ``left_out`` (ejected, or full),
            ``weights`` (of newcomers), ``panic``, ``mirror``, ``location``, ``reason``.

        Raises:
            RoutingError: As for ``route``.
        """
        return self._desk.told(await self._with_news(self._desk.look, message))

    async def replay(self) -> Replayed:
        """Decide once more whatever is on record in the database, and compare.

        Raises:
            TransportError: The database does not answer.
        """
        log = self._bus.route_log
        return await asyncio.to_thread(lambda: replay_recorded(log.read()))

    async def _with_news(self, decide: _Decide, message: Message) -> Decision:
        """Decide by what is known, and once more if somebody has just come."""
        around = self._around
        if around is None:
            if self._desk.view is None:
                raise ConfigurationError(
                    "the router is not connected: `await router.initialize()` first"
                )
            return decide(message)
        if around.is_due():
            # Not waited for: messages go on by what is known while it is read.
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, around.announced.refresh_quietly)
        known = around.agents.membership
        try:
            return decide(message)
        except MENDED_BY_NEWS:
            if not await asyncio.to_thread(around.has_news, known):
                raise
        return decide(message)
